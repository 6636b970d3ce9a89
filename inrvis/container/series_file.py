"""A run of time steps in one `.inr` file: volumes on one grid, their graphs stored once.

A step is appended by writing the whole file anew and renaming it: coded steps are small, and a
reader or a crash meets either all finished steps or all and the new one.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from inrvis.container.header import DTYPES, MAX_ARRAYS, MAX_CHANNELS, MAX_POINTS, VolumeHeader
from inrvis.container.header_parser import Fields, finite, parse_header, parse_root
from inrvis.container.sections import (
    MAX_INFLATED_BYTES,
    MAX_SECTION_BYTES,
    SectionReader,
    deflate,
    file_image,
    inflate,
    join,
    opened,
    read_sections,
    split,
    write_file,
)
from inrvis.container.volume_file import StoredVolume, join_graphs, split_graphs, unpack_volume
from inrvis.errors import FormatError, LimitError, UsageError
from inrvis.grid import ImageGrid

MAX_STEPS = 1 << 14
# What a step keeps of a volume's sections, in this order; graphs are shared by all steps.
_PARTS = ("header", "weights", "residuals", "masks")
# Distinct graphs that headers can name by number; parse_header allows no more.
_MOST_GRAPHS = 192


@dataclass(frozen=True)
class StepArray:
    """An array that every step has."""

    name: str
    dtype: str
    components: int


@dataclass(frozen=True)
class SeriesHeader:
    """What a series says of itself without a look at any step.

    Attributes
    ----------
    grid : ImageGrid
        Of every step.
    arrays : tuple of StepArray
        Of every step.
    times : tuple of float
        Of the steps, ascending.
    """

    grid: ImageGrid
    arrays: tuple[StepArray, ...]
    times: tuple[float, ...]

    def before(self, time: float) -> SeriesHeader | None:
        """Header of the steps before ``time``; None if there are none."""
        times = tuple(t for t in self.times if t < time)
        return replace(self, times=times) if times else None

    @property
    def original_bytes(self) -> int:
        """Size of all steps in their source's own types."""
        point = sum(a.components * np.dtype(a.dtype).itemsize for a in self.arrays)
        return len(self.times) * self.grid.number_of_points * point

    def to_bytes(self) -> bytes:
        """Serialise as compact JSON; deterministic."""
        values = {
            "kind": "series",
            "grid": self.grid.to_json(),
            "arrays": [
                {"name": a.name, "dtype": a.dtype, "components": a.components} for a in self.arrays
            ],
            "times": list(self.times),
        }
        return json.dumps(values, separators=(",", ":"), sort_keys=True).encode()


@dataclass(frozen=True)
class StoredSeries:
    """A series, of which no step is read yet."""

    header: SeriesHeader
    encoded_bytes: int


def read_kind(path: str | os.PathLike[str]) -> str:
    """Kind of content that a file's header names, such as ``volume`` or ``series``.

    Raises
    ------
    FormatError
        If it is not an `.inr` file, or has no sound header.
    """
    with opened(path) as file:
        section = file.read("header")
    return parse_root(inflate(section, "header")).text("kind")


def read_series(path: str | os.PathLike[str]) -> StoredSeries:
    """Read what a series file says of itself; a volume file counts as a series of one step.

    Raises
    ------
    FormatError
        If it is not a sound file of a known version.
    """
    with opened(path) as file:
        section, names, size = file.read("header"), file.names, file.file_bytes
    data = inflate(section, "header")
    if parse_root(data).text("kind") != "series":
        return StoredSeries(_header_of_one(parse_header(data)), size)
    header = parse_series_header(data)
    _check_steps(header, names, path)
    return StoredSeries(header, size)


def read_step_headers(path: str | os.PathLike[str]) -> tuple[VolumeHeader, ...]:
    """Headers of all steps, or of a volume file's one volume; no weights are decoded.

    Raises
    ------
    FormatError
        If the file is not sound.
    """
    with opened(path) as file:
        root = inflate(file.read("header"), "header")
        if parse_root(root).text("kind") != "series":
            return (parse_header(root),)
        series = _load_series(file, root, path)
    parts = map(_parts, series.steps)
    return tuple(parse_header(inflate(part["header"], "header")) for part in parts)


def read_step(path: str | os.PathLike[str], time_index: int = 0) -> StoredVolume:
    """Read and check one step of a series file, and none of the others; or a volume file.

    Parameters
    ----------
    path : path
        The file.
    time_index : int
        Number of the step, from 0; a volume file has this one alone.

    Raises
    ------
    FormatError
        If the file, or this step of it, is not sound.
    UsageError
        If there is no such step.
    """
    with opened(path) as file:
        root = inflate(file.read("header"), "header")
        # Of a volume, all sections are read, known or not: what is damaged shows.
        series = parse_root(root).text("kind") == "series"
        steps = 1
        if series:
            header = parse_series_header(root)
            _check_steps(header, file.names, path)
            steps = len(header.times)
        if not 0 <= time_index < steps:
            raise UsageError(f"{path} has {steps} time step(s); choose one from 0 to {steps - 1}")
        names = {"graphs", _name(time_index)} & file.names if series else file.names
        sections = {name: file.read(name) for name in sorted(names)}
        size = file.file_bytes
    if not series:
        volume = parse_header(root)
        graphs = _graphs(volume, sections, path)
        return unpack_volume(volume, graphs, sections, path, size)
    parts = _parts(sections[_name(time_index)])
    volume = parse_header(inflate(parts["header"], "header"))
    if _header_of_one(volume) != SeriesHeader(
        header.grid, header.arrays, (header.times[time_index],)
    ):
        raise FormatError(f"{path}: step {time_index} does not belong to this series")
    graphs = _graphs(volume, sections, path)
    return unpack_volume(volume, graphs, parts, path, size // steps)


def parse_series_header(data: bytes) -> SeriesHeader:
    """Parse and check the JSON of a series' header.

    Raises
    ------
    FormatError
        If something is missing or of the wrong kind.
    LimitError
        If it claims more than any file may.
    """
    root = parse_root(data)
    if (kind := root.text("kind")) != "series":
        raise FormatError(f"the file holds a {kind!r} and not a series")
    grid = ImageGrid.from_json(root.mapping("grid"))
    if grid.number_of_points > MAX_POINTS:
        raise LimitError(
            f"the file claims {grid.number_of_points} voxels; the limit is {MAX_POINTS}"
        )
    arrays = []
    for item in root.items("arrays", MAX_ARRAYS):
        fields = Fields(item, "array")
        dtype = fields.text("dtype")
        if dtype not in DTYPES:
            raise FormatError(f"the file's header names the unknown type {dtype!r}")
        components = fields.integer("components", 1, MAX_CHANNELS)
        arrays.append(StepArray(fields.text("name"), dtype, components))
    if not arrays or len({array.name for array in arrays}) != len(arrays):
        raise FormatError("the file's header is malformed: its arrays")
    times = tuple(finite(time, "times") for time in root.items("times", MAX_STEPS))
    if not times or any(a >= b for a, b in pairwise(times)):
        raise FormatError("the file's header is malformed: its times do not ascend")
    return SeriesHeader(grid, tuple(arrays), times)


def next_time(header: SeriesHeader | None, time: float | None) -> float:
    """Time of a step to be appended: its own, or one after the last step's.

    Raises
    ------
    UsageError
        If it is not after the last step's, or no finite number.
    """
    last = header.times[-1] if header is not None else None
    if time is None:
        time = 0.0 if last is None else last + 1.0
    if not math.isfinite(time):
        raise UsageError(f"the time {time} of a step is no finite number")
    if last is not None and time <= last:
        raise UsageError(f"a step at the time {time:g} cannot follow the last one, at {last:g}")
    return time


def check_fits(series: SeriesHeader, step: SeriesHeader, path: str | os.PathLike[str]) -> None:
    """Raise UsageError unless a step has the grid and the arrays of a series."""
    if series.grid != step.grid:
        raise UsageError(f"the step has another grid than {path}; use another file")
    if series.arrays != step.arrays:
        names = ", ".join(f"{a.name} ({a.dtype}, {a.components})" for a in series.arrays)
        raise UsageError(f"the step has other arrays, or types, than {path}, which has {names}")


def append_volume(
    path: str | os.PathLike[str], volume: bytes, *, new: bool = False, restart: bool = False
) -> int:
    """Append a volume file, given as bytes, to a series as its next step.

    Parameters
    ----------
    path : path
        The series file; made if there is none. A volume file becomes the first step of a series.
    volume : bytes
        A file of one volume with a time after that of the last step.
    new : bool
        Whether to begin the series anew, whatever is there.
    restart : bool
        Whether steps that are not before the volume's time give way to it, as those of a run that
        goes on from a checkpoint.

    Returns
    -------
    int
        Bytes by which the file is now larger than it was with the steps that are kept.

    Raises
    ------
    FormatError
        If what is there is no sound `.inr` file.
    UsageError
        If the volume does not fit the series.
    OutputError
        If the file cannot be written.
    """
    step = read_sections(path, volume)
    header = _header_of_one(parse_header(inflate(step["header"], "header")))
    series = _Series(None, [], [])
    if not new and Path(path).exists():
        series = _load(path)
    if restart and series.header is not None:
        series = series.before(header.times[0] if header.times else math.inf)
    size = len(series.image()) if series.header is not None else 0
    longer = series.with_step(header, step, path).image()
    write_file(path, longer)
    return len(longer) - size


@dataclass(frozen=True)
class _Series:
    """A series as it is stored: header, distinct graphs, and a section for each step."""

    header: SeriesHeader | None
    graphs: Sequence[bytes]
    steps: Sequence[bytes]

    def before(self, time: float) -> _Series:
        """Series of the steps before ``time``."""
        header = self.header.before(time) if self.header is not None else None
        if header is None:
            return _Series(None, [], [])
        return _Series(header, self.graphs, self.steps[: len(header.times)])

    def with_step(
        self, header: SeriesHeader, step: Mapping[str, bytes], path: str | os.PathLike[str]
    ) -> _Series:
        """Series with one more step, given by the sections of its volume file."""
        if self.header is not None:
            check_fits(self.header, header, path)
        if self.header is not None and len(self.steps) >= MAX_STEPS:
            raise UsageError(f"{path} is full: {MAX_STEPS} steps; begin another file")
        if not header.times:
            raise UsageError("a step of a series needs a time")
        time = next_time(self.header, header.times[0])
        graphs = list(self.graphs)
        facts: dict[str, Any] = json.loads(inflate(step["header"], "header"))
        own = split_graphs(step["graphs"]) if facts["models"] else []
        for graph in own:
            if graph not in graphs:
                graphs.append(graph)
        if len(graphs) > _MOST_GRAPHS or sum(map(len, graphs)) > MAX_INFLATED_BYTES // 2:
            raise UsageError(f"{path} holds too many different networks; begin another file")
        for model in facts["models"]:
            model["graphs"] = [graphs.index(own[n]) if n >= 0 else -1 for n in model["graphs"]]
        parts = {**step, "header": deflate(_compact(facts))}
        times = (*(self.header.times if self.header is not None else ()), time)
        section = join([parts.get(part, b"") for part in _PARTS])
        if len(section) > MAX_SECTION_BYTES:
            raise UsageError("the step is too large for a series; write it to a file of its own")
        return _Series(
            SeriesHeader(header.grid, header.arrays, times), graphs, [*self.steps, section]
        )

    def image(self) -> bytes:
        """Return the whole file."""
        sections = {"header": deflate(self.header.to_bytes() if self.header is not None else b"")}
        if self.graphs:
            sections["graphs"] = join_graphs(self.graphs)
        sections |= {_name(number): step for number, step in enumerate(self.steps)}
        return file_image(sections, pack=False)


def _load(path: str | os.PathLike[str]) -> _Series:
    with opened(path) as file:
        root = inflate(file.read("header"), "header")
        kind = parse_root(root).text("kind")
        if kind == "series":
            return _load_series(file, root, path)
        sections = {name: file.read(name) for name in sorted(file.names)}
    # A single volume may have no time: it comes first.
    volume = parse_header(root)
    header = _header_of_one(volume)
    if not header.times:
        header = SeriesHeader(header.grid, header.arrays, (0.0,))
        facts = {**json.loads(root), "times": [0.0]}
        sections["header"] = deflate(_compact(facts))
    return _Series(None, [], []).with_step(header, sections, path)


def _load_series(file: SectionReader, root: bytes, path: str | os.PathLike[str]) -> _Series:
    header = parse_series_header(root)
    _check_steps(header, file.names, path)
    graphs = split_graphs(file.read("graphs")) if "graphs" in file.names else []
    return _Series(header, graphs, [file.read(_name(n)) for n in range(len(header.times))])


def _compact(facts: Mapping[str, Any]) -> bytes:
    return json.dumps(facts, separators=(",", ":"), sort_keys=True).encode()


def _name(time_index: int) -> str:
    return f"step_{time_index}"


def _check_steps(header: SeriesHeader, names: frozenset[str], path: str | os.PathLike[str]) -> None:
    for number in range(len(header.times)):
        if _name(number) not in names:
            raise FormatError(f"{path} has no section {_name(number)!r}")


def _parts(section: bytes) -> dict[str, bytes]:
    return dict(zip(_PARTS, split(section, "step", len(_PARTS)), strict=True))


def _graphs(
    header: VolumeHeader, sections: Mapping[str, bytes], path: str | os.PathLike[str]
) -> list[bytes]:
    if not header.models:
        return []
    if "graphs" not in sections:
        raise FormatError(f"{path} has no section 'graphs'")
    return split_graphs(sections["graphs"])


def _header_of_one(header: VolumeHeader) -> SeriesHeader:
    arrays = tuple(StepArray(a.name, a.dtype, a.components) for a in header.arrays)
    return SeriesHeader(header.grid, arrays, header.times)
