"""A run of time steps stored in one `.inr` file: each step is a volume, opened when asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from operator import index
from types import TracebackType
from typing import Self

from inrvis.container.series_file import SeriesHeader, read_series
from inrvis.decoder.sessions import Device, check_device
from inrvis.decoder.volume import Volume
from inrvis.errors import DeviceError, FormatError, UsageError
from inrvis.grid import ImageGrid


class Series:
    """An open series; made by :func:`inrvis.open`.

    ``len(series)`` is the number of steps, ``series[k]`` opens step k as a
    :class:`~inrvis.decoder.volume.Volume`, counted from the end where k is negative. Opening a
    step reads and decodes nothing of the others.

    Attributes
    ----------
    path : str
        The file.
    header : SeriesHeader
        All that the file says of itself beside its steps.
    encoded_bytes : int
        Size of the file.
    """

    def __init__(self, path: str | os.PathLike[str], device: Device = "auto") -> None:
        check_device(device)
        self.path = os.fspath(path)
        stored = read_series(self.path)
        self.header: SeriesHeader = stored.header
        self.encoded_bytes = stored.encoded_bytes
        self._device: Device = device

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Do nothing, as the file is closed already; steps are closed by themselves."""

    @property
    def grid(self) -> ImageGrid:
        """Extent, spacing, origin and direction of every step."""
        return self.header.grid

    @property
    def arrays(self) -> tuple[str, ...]:
        """Names of the arrays of every step."""
        return tuple(array.name for array in self.header.arrays)

    @property
    def times(self) -> tuple[float, ...]:
        """Times of the steps, ascending."""
        return self.header.times

    def __len__(self) -> int:
        return len(self.times)

    def __iter__(self) -> Iterator[Volume]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, time_index: int) -> Volume:
        number = index(time_index)
        if not -len(self) <= number < len(self):
            # The protocol of sequences asks for this error.
            raise IndexError(f"{self.path} has {len(self)} time steps; there is no {time_index}")
        number %= len(self)
        try:
            volume = Volume(self.path, self._device, number)
        except DeviceError:
            raise
        except UsageError as error:
            raise FormatError(
                f"{self.path} lost steps since it was opened; open it again"
            ) from error
        if volume.times != (self.times[number],):
            raise FormatError(f"{self.path} changed since it was opened; open it again")
        return volume
