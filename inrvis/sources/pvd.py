"""ParaView's collections, `.pvd`: the files of a series, and the times that they belong to."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from xml.parsers import expat

from inrvis.errors import SourceError
from inrvis.sources.files import file_size

__all__ = ["TimeStep", "read_steps"]

_MOST_BYTES = 1 << 24


@dataclass(frozen=True)
class TimeStep:
    """A file and its time."""

    path: Path
    time: float


def read_steps(path: str | os.PathLike[str]) -> list[TimeStep]:
    """Time steps of a collection, in the order of their times.

    Raises
    ------
    SourceError
        If it is no collection, names no files, or several of one time (parts of a data set).
    """
    source = Path(path)
    if file_size(source) > _MOST_BYTES:
        raise SourceError(f"{source} is too large for a .pvd file; give the files themselves")
    steps: list[TimeStep] = []
    root: list[str] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        if not root:
            root.append(f"{name} {attributes.get('type', '')}")
        elif name == "DataSet" and "file" in attributes:
            steps.append(_step(source, attributes))

    def refuse(*_: object) -> None:
        raise SourceError(f"cannot read {source}: it declares entities, which no .pvd file needs")

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(source.read_bytes(), True)
    except expat.ExpatError as error:
        raise SourceError(f"cannot read {source}: {error}; it is damaged or no XML") from error
    if root != ["VTKFile Collection"] or not steps:
        raise SourceError(f"cannot read {source}: it is no collection of files")
    steps.sort(key=lambda step: step.time)
    for one, other in pairwise(steps):
        if one.time == other.time:
            raise SourceError(
                f"cannot read {source}: it names two files at the time {one.time:g}; "
                "join the parts of a step into one image first"
            )
    return steps


def _step(source: Path, attributes: dict[str, str]) -> TimeStep:
    try:
        time = float(attributes.get("timestep", "0"))
    except ValueError:
        time = math.nan
    if not math.isfinite(time):
        raise SourceError(f"cannot read {source}: a timestep is no finite number")
    return TimeStep(source.parent / attributes["file"], time)
