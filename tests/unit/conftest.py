"""Golden files, edited copies of them, and the command line in a process that is watched."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

GOLDEN = Path(__file__).resolve().parent.parent / "golden"

# Runs each command line in turn and records its status, its standard error (as the file
# descriptor sees it, so that chatter of C libraries counts) and the largest resident memory.
_DRIVER = """
import json, os, sys, tempfile
from inrvis.cli import main

results = []
for arguments in json.loads(sys.stdin.read()):
    with tempfile.TemporaryFile("w+") as errors, tempfile.TemporaryFile("w+") as output:
        kept = os.dup(1), os.dup(2)
        sys.stdout.flush()
        os.dup2(output.fileno(), 1), os.dup2(errors.fileno(), 2)
        try:
            status = main(arguments)
        except SystemExit as stop:
            status = stop.code
        except BaseException as error:
            status = repr(error)
        sys.stdout.flush(), sys.stderr.flush()
        os.dup2(kept[0], 1), os.dup2(kept[1], 2)
        os.close(kept[0]), os.close(kept[1])
        errors.seek(0), output.seek(0)
        results.append([status, output.read(), errors.read()])
with open("/proc/self/status") as file:
    (peak,) = (int(line.split()[1]) for line in file if line.startswith("VmHWM"))
print(json.dumps({"results": results, "peak_bytes": peak * 1024}))
"""


@dataclass(frozen=True)
class Outcome:
    """What one command line did; ``status`` is the text of an exception that got out."""

    status: int | str
    output: str
    errors: str

    def assert_one_line(self, status: int) -> None:
        """Check for one line from inrvis on standard error, and the exit status."""
        assert self.status == status, self.errors
        lines = self.errors.splitlines()
        assert len(lines) == 1, self.errors
        assert lines[0].startswith("inrvis: ")
        assert len(lines[0]) < 600


@dataclass(frozen=True)
class Watched:
    """Outcomes of several command lines in one process, and its largest resident memory."""

    outcomes: list[Outcome]
    peak_bytes: int


@pytest.fixture(scope="session")
def watch() -> Callable[[Sequence[Sequence[Any]]], Watched]:
    """Return a function that runs command lines one after another in one watched process."""

    def run(commands: Sequence[Sequence[Any]]) -> Watched:
        texts = [[str(word) for word in command] for command in commands]
        done = subprocess.run(
            [sys.executable, "-c", _DRIVER],
            input=json.dumps(texts),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout.splitlines()[-1])
        return Watched([Outcome(*result) for result in answer["results"]], answer["peak_bytes"])

    return run


@pytest.fixture(scope="session")
def cli() -> Callable[..., Outcome]:
    """Return a function that runs ``python -m inrvis`` with its arguments."""

    def run(*arguments: Any, **options: Any) -> Outcome:
        done = subprocess.run(
            [sys.executable, "-m", "inrvis", *(str(a) for a in arguments)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            **options,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def golden() -> Callable[[str], Path]:
    """Return a function from the name of a golden file, such as direct, to its path."""
    return lambda name: GOLDEN / f"format1_{name}.inr"


Edit = Callable[[Any], Any]


@pytest.fixture
def edited(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that copies a golden file with changed sections and sound checksums.

    ``header`` gets and changes the parsed JSON, ``graphs``, ``residuals`` and ``masks`` a list of
    records, ``weights`` the stream; each may return a replacement. ``raw`` replaces whole sections
    as stored; None leaves one out.
    """
    from inrvis.container.sections import deflate, file_image, inflate, read_sections

    def make(
        source: str = "direct",
        *,
        header: Edit | None = None,
        graphs: Edit | None = None,
        weights: Edit | None = None,
        residuals: Edit | None = None,
        masks: Edit | None = None,
        raw: Mapping[str, bytes | None] | None = None,
        name: str = "edited",
    ) -> Path:
        sections = read_sections(GOLDEN / f"format1_{source}.inr")
        if header is not None:
            facts = json.loads(inflate(sections["header"], "header"))
            facts = header(facts) or facts
            sections["header"] = deflate(json.dumps(facts).encode())
        if graphs is not None:
            sections["graphs"] = deflate(_changed(inflate(sections["graphs"], "graphs"), graphs))
        if weights is not None:
            sections["weights"] = weights(sections["weights"])
        for section, edit in (("residuals", residuals), ("masks", masks)):
            if edit is not None:
                sections[section] = _changed(sections.get(section, b""), edit)
        for section, content in (raw or {}).items():
            sections.pop(section, None)
            if content is not None:
                sections[section] = content
        path = tmp_path / f"{name}.inr"
        path.write_bytes(file_image(sections, pack=False))
        return path

    return make


def _changed(section: bytes, edit: Edit) -> bytes:
    """Return a section of records, changed."""
    records, position = [], 0
    while position < len(section):
        end = position + 4 + int.from_bytes(section[position : position + 4], "little")
        records.append(section[position + 4 : end])
        position = end
    changed = edit(records)
    records = records if changed is None else changed
    return b"".join(len(r).to_bytes(4, "little") + r for r in records)


def analytic_field(shape: tuple[int, ...], dtype: str) -> Any:
    """Return a smooth field of ``shape`` (z, y, x) that spans most of an integer's range."""
    import numpy as np

    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    values = np.sin(3 * x + 2 * y) * np.cos(4 * z - y) + np.exp(-8 * (x * x + y * y + z * z))
    values = (values - values.min()) / np.ptp(values)
    if np.dtype(dtype).kind == "f":
        return (values * 7 - 2).astype(dtype)
    limits = np.iinfo(dtype)
    return np.rint(0.99 * (limits.min + values * (float(limits.max) - limits.min))).astype(dtype)


@pytest.fixture(scope="session")
def field() -> Callable[[tuple[int, ...], str], Any]:
    """Return the function that makes smooth fields."""
    return analytic_field


@pytest.fixture(scope="session")
def brief() -> Any:
    """Return settings of a training of under a second."""
    from inrvis.encoder.settings import TrainingSettings

    return TrainingSettings(seconds=0.05, batch=2048)


@pytest.fixture(scope="session")
def encoded(tmp_path_factory: pytest.TempPathFactory, brief: Any) -> tuple[Path, Any, Any]:
    """Return a network of several blocks, made once, its source image, and the result."""
    from inrvis.encoder.rate_control import encode_to_target
    from inrvis.sources import from_array
    from inrvis.targets import Ratio

    path = tmp_path_factory.mktemp("encoded") / "field.inr"
    image = from_array(analytic_field((24, 33, 40), "float32"), "height", (0.5, 1.0, 2.0))
    result = encode_to_target(image, path, Ratio(11), brief, model="siren", device="cpu", seed=3)
    return path, image, result


@pytest.fixture
def refused(capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Read a source that must be refused in one line, with nothing printed; return that line."""
    from inrvis import sources
    from inrvis.errors import SourceError

    def read(path: Path | str, **options: Any) -> str:
        with pytest.raises(SourceError) as caught:
            sources.read(path, **options)
        message = str(caught.value)
        assert message
        assert "\n" not in message
        assert "Traceback" not in message
        assert capfd.readouterr() == ("", "")
        return message

    return read
