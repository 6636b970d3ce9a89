"""What a result needs so that another can repeat it."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# Folders of an absolute path, also in LABEL=FILE.
_FOLDERS = re.compile(r"(?<![^=])/(?:[^/]+/)*")
_PACKAGES = ("numpy", "torch", "onnxruntime", "h5py", "constriction")


def git(*arguments: str) -> str:
    """What git answers in this repository; nothing where it fails."""
    done = subprocess.run(
        ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else ""


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def _command(words: Sequence[str]) -> str:
    """What to type: the module for its file, and of absolute paths the last part alone."""
    file, *arguments = words
    path = Path(file).resolve()
    program = [path.name]
    if path.is_relative_to(ROOT):
        program = ["-m", ".".join(path.relative_to(ROOT).with_suffix("").parts)]
    return " ".join(["python", *program, *(_FOLDERS.sub("", a) for a in arguments)])


def provenance() -> dict[str, Any]:
    """Commit, machine, versions and command of this run."""
    return {
        "commit": git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(git("status", "--porcelain", "--", "inrvis")),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)),
            "system": platform.platform(),
        },
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in _PACKAGES},
        "command": _command(sys.argv),
    }


def save(name: str, results: Any) -> Path:
    """Write ``results`` with their provenance to ``benchmarks/results/name.json``."""
    path = _file(name)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"provenance": provenance(), "results": results}, indent=1) + "\n")
    return path


def load(name: str) -> dict[str, Any]:
    """Return the results that `save` has kept under a name."""
    return dict(json.loads(_file(name).read_text(encoding="utf-8"))["results"])


def _file(name: str) -> Path:
    return ROOT / "benchmarks" / "results" / f"{name}.json"
