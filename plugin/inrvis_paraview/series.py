"""The files of a reader: one time step each, opened when needed and again when they changed."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import inrvis
from inrvis.decoder.sessions import Device
from inrvis.decoder.volume import Volume
from inrvis.errors import FormatError, UsageError
from inrvis.grid import ImageGrid

# Two steps let a filter that interpolates between them go back and forth.
_OPEN_VOLUMES = 2


@dataclass(frozen=True)
class Facts:
    """What the panel and the pipeline want to know of a file before anything is decoded."""

    path: str
    grid: ImageGrid
    arrays: tuple[str, ...]
    time: float | None
    model: str
    compression_ratio: float
    psnr_db: float

    @classmethod
    def of(cls, volume: Volume) -> Facts:
        """Facts of an open volume."""
        header = volume.header
        blocks = sum(model.number_of_blocks for model in header.models)
        recorded = [array.metrics.get("psnr_db", math.nan) for array in header.arrays]
        return cls(
            path=volume.path,
            grid=volume.grid,
            arrays=volume.arrays,
            time=volume.times[0] if volume.times else None,
            model=f"{header.model_name}, {header.parameters:,} parameters, "
            f"{blocks} {'block' if blocks == 1 else 'blocks'}"
            if header.models
            else header.model_name,
            compression_ratio=header.original_bytes / volume.encoded_bytes,
            psnr_db=math.nan if any(map(math.isnan, recorded)) else min(recorded),
        )


@dataclass(frozen=True)
class Step:
    """A file and its time; None for a single file without one."""

    facts: Facts
    time: float | None


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
    """Files with the same grid, in the order of their times."""

    def __init__(self) -> None:
        self._facts: dict[_Version, Facts] = {}
        self._volumes: OrderedDict[tuple[_Version, Device], Volume] = OrderedDict()

    def steps(self, paths: Sequence[str], device: Device) -> tuple[Step, ...]:
        """Files in the order of their times.

        The times are those stored in the files. Where a file has none, or two share one, the
        files are numbered in the order given.

        Raises
        ------
        FormatError
            If a file cannot be read.
        UsageError
            If there is no file, two have different grids, or the device is not available.
        """
        if not paths:
            raise UsageError("no file is chosen; set FileNames")
        versions = [_Version.of(path) for path in paths]
        self._forget_all_but(versions)
        every = [self._facts_of(version, device) for version in versions]
        for facts in every[1:]:
            if facts.grid != every[0].grid:
                raise UsageError(
                    f"{facts.path} has another grid than {every[0].path}; open it by itself"
                )
        if len(every) == 1:
            return (Step(every[0], every[0].time),)
        timed = [(facts.time, facts) for facts in every if facts.time is not None]
        timed.sort(key=lambda pair: pair[0])
        if len(timed) < len(every) or any(a[0] == b[0] for a, b in pairwise(timed)):
            return tuple(Step(facts, float(i)) for i, facts in enumerate(every))
        return tuple(Step(facts, time) for time, facts in timed)

    def volume(self, path: str, device: Device) -> Volume:
        """Open the volume of a file, or return the one that is open already.

        Raises
        ------
        FormatError
            If the file cannot be read.
        DeviceError
            If the device is not available.
        """
        return self._open(_Version.of(path), device)

    def _open(self, version: _Version, device: Device) -> Volume:
        key = (version, device)
        if key not in self._volumes:
            self._volumes[key] = inrvis.open(version.path, time_index=0, device=device)
            if len(self._volumes) > _OPEN_VOLUMES:
                self._volumes.popitem(last=False)[1].close()
        self._volumes.move_to_end(key)
        return self._volumes[key]

    def _facts_of(self, version: _Version, device: Device) -> Facts:
        if version not in self._facts:
            self._facts[version] = Facts.of(self._open(version, device))
        return self._facts[version]

    def _forget_all_but(self, versions: Sequence[_Version]) -> None:
        for version in self._facts.keys() - set(versions):
            del self._facts[version]
        for key in [key for key in self._volumes if key[0] not in versions]:
            self._volumes.pop(key).close()


def step_at(steps: Sequence[Step], time: float | None) -> Step:
    """Step that is shown at ``time``: the last one that began by then, else the first."""
    if time is None:
        return steps[0]
    # ParaView hands times on with rounding errors of their last digits.
    begun = [s for s in steps if s.time is not None and s.time <= time + 1e-9 * abs(time)]
    return begun[-1] if begun else steps[0]
