"""A volume stored in an `.inr` file: decode it whole, in part, coarser, or at points."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from inrvis.container.header import ArrayHeader, VolumeHeader
from inrvis.container.volume_file import read_volume
from inrvis.decoder.blocks import Blocks
from inrvis.decoder.network import Network
from inrvis.decoder.sessions import Device, check_device, cores
from inrvis.decoder.tiles import TileCache, tiles
from inrvis.errors import ArrayNotFoundError, UsageError
from inrvis.grid import ImageGrid

Progress = Callable[[float], bool | None]
_WAVE = 4096


class Volume:
    """An open volume; made by :func:`inrvis.open`.

    Attributes
    ----------
    grid : ImageGrid
        Extent, spacing, origin and direction of the whole volume.
    header : VolumeHeader
        All that the file says of itself.
    device : {"cpu", "cuda"}
        The device that really decodes.
    """

    def __init__(self, path: str | os.PathLike[str], device: Device = "auto") -> None:
        check_device(device)
        self.path = os.fspath(path)
        stored = read_volume(self.path)
        self.header: VolumeHeader = stored.header
        self.grid: ImageGrid = stored.header.grid
        self.encoded_bytes = stored.encoded_bytes
        lattice = stored.header.model.lattice
        self._network = Network(
            stored.graphs,
            stored.trunk,
            stored.head,
            Blocks.of(self.grid.dimensions, lattice),
            features=lattice.features,
            channels=stored.header.channels,
            device=device,
        )
        self.device = self._network.device
        self._cache = TileCache()

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
        """Let go of cached tiles; the file itself is already closed."""
        self._cache.clear()

    @property
    def arrays(self) -> tuple[str, ...]:
        """Names of the arrays."""
        return tuple(array.name for array in self.header.arrays)

    @property
    def times(self) -> tuple[float, ...]:
        """Time values stored; empty if the source had none."""
        return self.header.times

    def array(self, name: str | None = None) -> ArrayHeader:
        """Facts of one array; the first if ``name`` is None.

        Raises
        ------
        ArrayNotFoundError
            If there is no such array.
        """
        for array in self.header.arrays:
            if name is None or array.name == name:
                return array
        raise ArrayNotFoundError(
            f"{self.path} has no array {name!r}; it has {', '.join(self.arrays)}"
        )

    def decode(
        self,
        array: str | None = None,
        *,
        extent: Sequence[int] | None = None,
        stride: int = 1,
        progress: Progress | None = None,
    ) -> NDArray[Any]:
        """Decode an array.

        Parameters
        ----------
        array : str, optional
            Its name; the first array by default.
        extent : six ints, optional
            Inclusive index ranges (x0, x1, y0, y1, z0, z1) within the grid's extent; all of it by
            default.
        stride : int
            Take every ``stride``-th point from the start of ``extent``.
        progress : callable, optional
            Called with the fraction done; decoding stops early if it returns False, and the rest
            of the array stays zero.

        Returns
        -------
        ndarray, shape (nz, ny, nx) or (nz, ny, nx, components)
            In the type of the source.

        Raises
        ------
        ArrayNotFoundError, ExtentError, UsageError
            If asked for what is not there.
        """
        return self.decode_arrays(
            [self.array(array).name], extent=extent, stride=stride, progress=progress
        )[0]

    def decode_arrays(
        self,
        arrays: Sequence[str],
        *,
        extent: Sequence[int] | None = None,
        stride: int = 1,
        progress: Progress | None = None,
    ) -> list[NDArray[Any]]:
        """Decode several arrays in one pass over the network; see :meth:`decode`."""
        self.grid.subgrid(extent, stride)  # checks both
        wanted = [self.array(name) for name in arrays]
        box = self.grid.check_extent(extent) if extent is not None else self.grid.extent
        positions = [
            np.arange(box[2 * i], box[2 * i + 1] + 1, stride) - self.grid.extent[2 * i]
            for i in range(3)
        ]
        shape = tuple(len(p) for p in reversed(positions))
        outputs = [
            np.zeros(shape if a.components == 1 else (*shape, a.components), dtype=a.dtype)
            for a in wanted
        ]
        jobs = tiles(positions, stride, self.device)
        stopped = False

        def work(tile: tuple[slice, slice, slice]) -> None:
            if stopped:
                return
            part = [p[s] for p, s in zip(positions, reversed(tile), strict=True)]
            for output, values in zip(outputs, self._tile(wanted, part, stride), strict=True):
                output[tile] = values

        workers = cores() if self.device == "cpu" else 1
        with ThreadPoolExecutor(min(workers, len(jobs))) as pool:
            # A huge volume has more tiles than should wait in the pool at once.
            waves = (jobs[i : i + _WAVE] for i in range(0, len(jobs), _WAVE))
            results = chain.from_iterable(pool.map(work, wave) for wave in waves)
            try:
                for done, _ in enumerate(results, start=1):
                    if progress is not None and progress(done / len(jobs)) is False:
                        stopped = True
            except BaseException:
                stopped = True  # what still waits in the pool ends at once
                raise
        return outputs

    def _tile(
        self, wanted: Sequence[ArrayHeader], part: list[NDArray[np.int64]], stride: int
    ) -> list[NDArray[Any]]:
        box = tuple((int(p[0]), int(p[-1])) for p in part)
        cached = [self._cache.get((a.name, stride, box)) for a in wanted]
        if all(values is not None for values in cached):
            return [values for values in cached if values is not None]
        channels = self._network.box(part)
        result = []
        for array in wanted:
            values = to_values(array, channels)
            self._cache.put((array.name, stride, box), values)
            result.append(values)
        return result

    def sample(self, array: str | None, points: NDArray[np.floating[Any]]) -> NDArray[Any]:
        """Evaluate the continuous field at ``points``.

        Parameters
        ----------
        array : str or None
            Its name; None for the first.
        points : ndarray, shape (n, 3)
            World coordinates (x, y, z). Points outside the grid give NaN.

        Returns
        -------
        ndarray of float64, shape (n,) or (n, components)
            Not rounded: the field is continuous even where its samples are integers.
        """
        header = self.array(array)
        points = np.asarray(points, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != 3:
            raise UsageError(f"points must have shape (n, 3), not {points.shape}")
        start = np.array(self.grid.extent[::2], dtype=np.float64)
        indices = self.grid.world_to_index(points) - start
        last = np.array(self.grid.dimensions, dtype=np.float64) - 1
        # World coordinates of a boundary point may land a rounding error outside.
        inside = np.all((indices > -1e-6) & (indices < last + 1e-6), axis=1)
        values = np.full((len(points), header.components), np.nan)
        if inside.any():
            channels = self._network.points(np.clip(indices[inside], 0, last))
            values[inside] = to_values(header, channels, integers=False)
        return values[:, 0] if header.components == 1 else values


def to_values(
    array: ArrayHeader, channels: NDArray[np.float32], *, integers: bool = True
) -> NDArray[Any]:
    """Turn network channels, shape (channels, ...), into values of ``array``.

    The result has shape (...) for one component and (..., components) for several; float64
    where ``integers`` is False, else the source's type.
    """
    dtype = np.dtype(array.dtype)
    # float32 holds every 16-bit integer; wider types take their affine map in float64.
    exact = integers and dtype.kind != "f" and dtype.itemsize <= 2
    work = np.dtype(np.float32) if exact or (dtype == np.float32 and integers) else np.dtype(float)
    parts = []
    for component in range(array.components):
        values = channels[array.channel + component].astype(work)
        values *= work.type(array.scale[component])
        values += work.type(array.offset[component])
        np.clip(values, array.low, array.high, out=values)
        if integers and dtype.kind != "f":
            np.rint(values, out=values)
        parts.append(_cast(values, dtype) if integers else values)
    return parts[0] if array.components == 1 and integers else np.stack(parts, axis=-1)


def _cast(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    if dtype.kind != "f" and dtype.itemsize == 8:
        # 2**63 and 2**64 are floats but no 64-bit integers.
        top = np.nextafter(float(np.iinfo(dtype).max), 0)
        values = np.minimum(values, top)
    return values.astype(dtype)
