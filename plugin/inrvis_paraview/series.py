"""The files of a reader: their time steps, opened when needed and again when they changed."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import inrvis
from inrvis.container.series_file import SeriesHeader, read_series
from inrvis.decoder.sessions import Device
from inrvis.decoder.volume import Volume
from inrvis.errors import DeviceError, FormatError, UsageError
from inrvis.grid import ImageGrid

# Two steps let a filter that interpolates between them go back and forth.
_OPEN_VOLUMES = 2


@dataclass(frozen=True)
class Facts:
    """What the panel shows of a step."""

    model: str
    compression_ratio: float
    psnr_db: float

    @classmethod
    def of(cls, volume: Volume) -> Facts:
        """Facts of an open volume."""
        header = volume.header
        blocks = sum(model.number_of_blocks for model in header.models)
        # Arrays without errors have none.
        recorded = [a.metrics["psnr_db"] for a in header.arrays if "psnr_db" in a.metrics]
        return cls(
            model=f"{header.model_name}, {header.parameters:,} parameters, "
            f"{blocks} {'block' if blocks == 1 else 'blocks'}"
            if header.models
            else header.model_name,
            compression_ratio=header.original_bytes / volume.encoded_bytes,
            psnr_db=min(recorded, default=math.nan),
        )


@dataclass(frozen=True)
class Step:
    """A time step of a file.

    Attributes
    ----------
    path, time_index : str, int
        The file, and the number of the step in it.
    time : float or None
        When it is shown; None for a single volume without a time.
    stored_time : float or None
        The time that the file gives it.
    arrays : tuple of str
        Names of its arrays.
    grid : ImageGrid
        That of all steps of the reader.
    """

    path: str
    time_index: int
    time: float | None
    stored_time: float | None
    arrays: tuple[str, ...]
    grid: ImageGrid


@dataclass(frozen=True)
class Contents:
    """What a reader's files hold.

    Attributes
    ----------
    steps : tuple of Step
        At least one, in the order of time.
    damaged : tuple of str
        Of each file that was left out, what is wrong with it.
    """

    steps: tuple[Step, ...]
    damaged: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Version:
    """Tells a file from another one that took its place under the same name."""

    path: str
    modified_ns: int
    size: int

    @classmethod
    def of(cls, path: str) -> _Version:
        try:
            stat = Path(path).stat()
        except OSError as error:
            raise FormatError(f"{path} cannot be read: {error.strerror}") from error
        return cls(path, stat.st_mtime_ns, stat.st_size)


class Series:
    """Files with the same grid, their steps in the order of time."""

    def __init__(self) -> None:
        self._headers: dict[_Version, SeriesHeader] = {}
        self._volumes: OrderedDict[tuple[_Version, int, Device], Volume] = OrderedDict()

    def contents(self, paths: Sequence[str]) -> Contents:
        """Steps of all files in the order of their times; only headers are read.

        The times are those stored in the files. Where a volume has none, or two steps share one,
        the steps are numbered in the order given. A file that cannot be read is left out, and
        keeps its number.

        Raises
        ------
        FormatError
            If no file can be read.
        UsageError
            If there is no file, or two have different grids.
        """
        if not paths:
            raise UsageError("no file is chosen; set FileNames")
        found: list[Step | None] = []
        damaged: list[FormatError] = []
        versions = []
        for path in paths:
            try:
                versions.append(_Version.of(path))
                found += _steps(path, self._header_of(versions[-1]))
            except FormatError as error:
                found.append(None)
                damaged.append(error)
        self._forget_all_but(versions)
        steps = tuple(step for step in found if step is not None)
        if not steps:
            raise damaged[0]
        for step in steps:
            if step.grid != steps[0].grid:
                raise UsageError(
                    f"{step.path} has another grid than {steps[0].path}; open it by itself"
                )
        times = sorted(step.time for step in steps if step.time is not None)
        if len(found) == 1:
            pass
        elif len(times) < len(steps) or any(a == b for a, b in pairwise(times)):
            steps = tuple(replace(s, time=float(i)) for i, s in enumerate(found) if s is not None)
        else:
            steps = tuple(sorted(steps, key=lambda step: step.time or 0.0))
        return Contents(steps, tuple(map(str, damaged)))

    def volume(self, step: Step, device: Device) -> Volume:
        """Open the volume of a step, or return the one that is open already.

        Raises
        ------
        FormatError
            If the file cannot be read, or holds other steps now.
        DeviceError
            If the device is not available.
        """
        key = (_Version.of(step.path), step.time_index, device)
        if key not in self._volumes:
            self._volumes[key] = _open(step, device)
            if len(self._volumes) > _OPEN_VOLUMES:
                self._volumes.popitem(last=False)[1].close()
        self._volumes.move_to_end(key)
        return self._volumes[key]

    def _header_of(self, version: _Version) -> SeriesHeader:
        if version not in self._headers:
            self._headers[version] = read_series(version.path).header
        return self._headers[version]

    def _forget_all_but(self, versions: Sequence[_Version]) -> None:
        for version in self._headers.keys() - set(versions):
            del self._headers[version]
        for key in [key for key in self._volumes if key[0] not in versions]:
            self._volumes.pop(key).close()


def _steps(path: str, header: SeriesHeader) -> list[Step]:
    times: Sequence[float | None] = header.times or (None,)
    arrays = tuple(array.name for array in header.arrays)
    return [Step(path, n, time, time, arrays, header.grid) for n, time in enumerate(times)]


def _open(step: Step, device: Device) -> Volume:
    try:
        volume = inrvis.open(step.path, time_index=step.time_index, device=device)
    except DeviceError:
        raise
    except UsageError as error:
        raise _changed(step) from error
    if volume.times != (() if step.stored_time is None else (step.stored_time,)):
        raise _changed(step)
    return volume


def _changed(step: Step) -> FormatError:
    return FormatError(f"{step.path} holds other time steps than before; use Reload Files")


def step_at(steps: Sequence[Step], time: float | None) -> Step:
    """Step that is shown at ``time``: the last one that began by then, else the first."""
    if time is None:
        return steps[0]
    # ParaView hands times on with rounding errors of their last digits.
    begun = [s for s in steps if s.time is not None and s.time <= time + 1e-9 * abs(time)]
    return begun[-1] if begun else steps[0]
