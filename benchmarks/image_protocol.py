"""The whole protocol of image databases, in runs of a few minutes that resume each other.

    until python -m benchmarks.image_protocol FOLDER --minutes 9; do test $? = 3 || break; done

Renders a tornado (isosurface and volume rendering), encodes each at several trade-offs, and
measures our files and the peers on the same images. A run does what it can in its minutes and ends
with exit status 3 where there is more to do: renderings, trainings (from their checkpoints) and
measurements go on where they stopped. The largest size that was planned is
``--views 812 --steps 30 --size 1024 --grid 128``; the defaults show in minutes that all of it
works.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import image_database, image_plots
from benchmarks.image_render import geodesic_views
from benchmarks.provenance import ROOT

MORE_TO_DO = 3
# What an encoder may take to write its checkpoint after it was asked to stop.
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Clock:
    """When a run must have ended, on the monotonic clock; infinity for never."""

    deadline: float

    @property
    def seconds(self) -> float | None:
        """Seconds that are left; None for as long as it takes."""
        return None if math.isinf(self.deadline) else self.deadline - time.monotonic()

    @property
    def is_over(self) -> bool:
        """Whether nothing more can be begun."""
        return self.seconds is not None and self.seconds <= 0


def run_until(command: Sequence[str], clock: Clock, output: Path | None = None) -> int:
    """Exit status of a command; MORE_TO_DO where it was interrupted because time is up."""
    if clock.is_over:
        return MORE_TO_DO
    stream = None if output is None else output.open("w")
    try:
        process = subprocess.Popen(command, cwd=ROOT, stdout=stream)
        try:
            return process.wait(clock.seconds)
        except subprocess.TimeoutExpired:
            # As Ctrl-C would: the training keeps its checkpoint.
            process.send_signal(signal.SIGINT)
            try:
                process.wait(_PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            return MORE_TO_DO
    finally:
        if stream is not None:
            stream.close()


def render(options: argparse.Namespace, kind: str, clock: Clock) -> int:
    """Make the database of a kind of rendering."""
    folder = options.folder / f"tornado_{kind}.cdb"
    if (folder / "data.csv").exists():
        return 0
    if clock.is_over:
        return MORE_TO_DO
    command = [sys.executable, "-m", "benchmarks.image_render", str(folder), "--kind", kind]
    for name in ("views", "steps", "size", "grid"):
        command += [f"--{name}", str(getattr(options, name))]
    if clock.seconds is not None:
        command += ["--minutes", str(clock.seconds / 60)]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def encode(options: argparse.Namespace, kind: str, trade_off: float, clock: Clock) -> int:
    """Make our file of a database at one trade-off of rate and error."""
    output = file_of(options.folder, kind, trade_off)
    if output.exists():
        return 0
    database = options.folder / f"tornado_{kind}.cdb"
    command = [sys.executable, "-m", "inrvis", "encode", str(database), "-o", str(output)]
    command += ["--trade-off", f"{trade_off:g}", "--device", options.device, "--quiet", "--json"]
    command += ["--time-budget", str(options.train_seconds), *options.encode_options]
    report = output.with_suffix(".json")
    status = run_until(command, clock, report)
    if status not in (0, MORE_TO_DO):
        sys.stderr.write(f"{' '.join(command)} ended with {status}\n")
    return status


def file_of(folder: Path, kind: str, trade_off: float) -> Path:
    """Our file at one trade-off."""
    return folder / f"tornado_{kind}_{trade_off:g}.inr"


def measure(options: argparse.Namespace, kind: str, clock: Clock) -> int:
    """Measure our files and the peers."""
    if clock.is_over:
        return MORE_TO_DO
    arguments = [str(options.folder / f"tornado_{kind}.cdb"), "--device", options.device]
    arguments += ["--name", f"tornado_{kind}_{options.views}x{options.steps}_{options.size}"]
    for trade_off in options.trade_offs:
        file = file_of(options.folder, kind, trade_off)
        seconds = json.loads(file.with_suffix(".json").read_text())["encode_seconds"]
        arguments += ["--file", f"inrvis {trade_off:g}={file}@{seconds:g}"]
    if options.peers != ["none"]:
        arguments += ["--peers", *options.peers]
    else:
        arguments += ["--no-peers"]
    arguments += ["--results", str(options.results)]
    if clock.seconds is not None:
        arguments += ["--minutes", str(max(clock.seconds, 1e-6) / 60)]
    return image_database.main(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Go on with the protocol; exit status 3 where there is more to do."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--views", type=int, default=42)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--grid", type=int, default=64)
    parser.add_argument("--kinds", nargs="+", default=["isosurface", "volume"])
    parser.add_argument("--trade-offs", type=float, nargs="+", default=[0.003, 0.01, 0.03])
    parser.add_argument("--train-seconds", type=float, default=600)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--peers", nargs="*", default=[], help="some, or none; all by default")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--results", type=Path, default=image_database.RESULTS)
    parser.add_argument(
        "--encode-option",
        action="append",
        dest="encode_options",
        default=[],
        metavar="OPTION",
        help="handed to inrvis encode, as in --encode-option=--force",
    )
    options = parser.parse_args(arguments)
    geodesic_views(options.views)
    options.folder = options.folder.absolute()
    options.results = options.results.absolute()
    options.folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("SVT_LOG", "1")
    limit = math.inf if options.minutes is None else time.monotonic() + 60 * options.minutes
    clock = Clock(limit)
    for kind in options.kinds:
        if status := render(options, kind, clock):
            return status
        for trade_off in options.trade_offs:
            if status := encode(options, kind, trade_off, clock):
                return status
        if status := measure(options, kind, clock):
            return status
    return image_plots.main(["--results", str(options.results)])


if __name__ == "__main__":
    raise SystemExit(main())
