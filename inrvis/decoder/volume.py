"""A volume stored in an `.inr` file: decode it whole, in part, coarser, or at points."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from inrvis import residual
from inrvis.bitstream.masks import decode_mask
from inrvis.container.header import ArrayHeader, VolumeHeader
from inrvis.container.series_file import read_step
from inrvis.decoder.layers import ChunkCache, Chunks, Layer, chunk_order, trilinear
from inrvis.decoder.network import Networks
from inrvis.decoder.sessions import Device, check_device, cores
from inrvis.decoder.tiles import TileCache, tiles
from inrvis.decoder.values import base_values, final_values, working_type
from inrvis.errors import ArrayNotFoundError, UsageError
from inrvis.grid import ImageGrid

Layers = Literal["all", "base"]
Progress = Callable[[float], bool | None]
_WAVE = 4096


class Volume:
    """An open volume, or one step of a series; made by :func:`inrvis.open`.

    Attributes
    ----------
    path : str
        The file.
    time_index : int
        Number of the step in its file; 0 in a file of one volume.
    grid : ImageGrid
        Extent, spacing, origin and direction of the whole volume.
    header : VolumeHeader
        All that the file says of itself.
    device : {"cpu", "cuda"}
        The device that really decodes.
    encoded_bytes : int
        Size of the file; of a step of a series, its equal share of it.
    """

    def __init__(
        self, path: str | os.PathLike[str], device: Device = "auto", time_index: int = 0
    ) -> None:
        check_device(device)
        self.path, self.time_index = os.fspath(path), time_index
        stored = read_step(self.path, time_index)
        self.header: VolumeHeader = stored.header
        self.grid: ImageGrid = stored.header.grid
        self.encoded_bytes = stored.encoded_bytes
        self._networks = Networks(stored.models, self.grid.dimensions, self.header.channels, device)
        self._chunks = Chunks(self.grid.dimensions)
        self._layers = ChunkCache()
        self._residuals = {
            array.name: [
                Layer(
                    self._chunks,
                    streams,
                    partial(_decode_residual, array.residual, working_type(array)),
                    working_type(array),
                    self._layers,
                )
                for streams in stored.residuals[array.name]
            ]
            for array in self.header.arrays
            if array.residual
        }
        self._masks = [
            Layer(self._chunks, streams, decode_mask, np.dtype(bool), self._layers)
            for streams in stored.masks
        ]
        self.device: Literal["cpu", "cuda"] = self._networks.device
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
        """Let go of what is cached; the file itself is already closed."""
        self._cache.clear()
        self._layers.clear()

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
        layers: Layers = "all",
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
        layers : {"all", "base"}
            Whether to add the residual; without it an array of a network is a preview, for which
            no error bound holds. Arrays that no network gives are the same in both.
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
            [self.array(array).name],
            extent=extent,
            stride=stride,
            layers=layers,
            progress=progress,
        )[0]

    def decode_arrays(
        self,
        arrays: Sequence[str],
        *,
        extent: Sequence[int] | None = None,
        stride: int = 1,
        layers: Layers = "all",
        progress: Progress | None = None,
    ) -> list[NDArray[Any]]:
        """Decode several arrays in one pass over the networks; see :meth:`decode`."""
        if layers not in ("all", "base"):
            raise UsageError(f"unknown layers {layers!r}: choose all or base")
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
        if self._residuals or self._masks:
            # One chunk after the other: only few of them are kept decoded.
            jobs.sort(key=lambda tile: chunk_order(tile, positions, self._chunks))
        stopped = False

        def work(tile: tuple[slice, slice, slice]) -> None:
            if stopped:
                return
            part = [p[s] for p, s in zip(positions, reversed(tile), strict=True)]
            for output, values in zip(
                outputs, self._tile(wanted, part, stride, layers), strict=True
            ):
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

    def channels(self) -> NDArray[np.float32]:
        """Channels of all arrays as the networks give them, shape (channels, nz, ny, nx).

        Tiles are cut as in `decode`, so that their values are those that it starts from.
        """
        positions = [np.arange(n) for n in self.grid.dimensions]
        result = np.zeros((self.header.channels, *self.grid.shape), dtype=np.float32)

        def work(tile: tuple[slice, slice, slice]) -> None:
            part = [p[s] for p, s in zip(positions, reversed(tile), strict=True)]
            result[(slice(None), *tile)] = self._networks.box(part, self.header.arrays)

        with ThreadPoolExecutor(cores() if self.device == "cpu" else 1) as pool:
            list(pool.map(work, tiles(positions, 1, self.device)))
        return result

    def decode_from(self, channels: NDArray[np.float32]) -> list[NDArray[Any]]:
        """All arrays as `decode_arrays` gives them, where the networks' :meth:`channels` are known.

        Layers on networks that stay the same are tried without running these each time.
        """
        everything = [np.arange(n) for n in self.grid.dimensions]
        return [self._values(array, channels, everything, "all") for array in self.header.arrays]

    def _tile(
        self,
        wanted: Sequence[ArrayHeader],
        part: list[NDArray[np.int64]],
        stride: int,
        layers: Layers,
    ) -> list[NDArray[Any]]:
        box = tuple((int(p[0]), int(p[-1])) for p in part)
        keys = [(a.name, stride, box, layers) for a in wanted]
        cached = [self._cache.get(key) for key in keys]
        if all(values is not None for values in cached):
            return [values for values in cached if values is not None]
        channels = self._networks.box(part, wanted)
        result = []
        for array, key in zip(wanted, keys, strict=True):
            values = self._values(array, channels, part, layers)
            self._cache.put(key, values)
            result.append(values)
        return result

    def _values(
        self,
        array: ArrayHeader,
        channels: NDArray[np.float32],
        part: Sequence[NDArray[np.int64]],
        layers: Layers,
    ) -> NDArray[Any]:
        """Values of an array at the positions ``part``, where networks give ``channels``."""
        components = base_values(array, channels)
        if self._adds_residual(array, layers):
            for i, layer in enumerate(self._residuals[array.name]):
                components[i] += layer.box(part)
        finished = final_values(array, components)
        for component, value, mask in self._exact(array):
            finished[component][mask.box(part)] = value
        return finished[0] if array.components == 1 else np.stack(finished, axis=-1)

    def _adds_residual(self, array: ArrayHeader, layers: Layers) -> bool:
        return bool(array.residual) and (layers == "all" or not self._networks.give(array))

    def _exact(self, array: ArrayHeader) -> Iterator[tuple[int, float, Layer]]:
        for exact in array.exact:
            for component, number in enumerate(exact.masks):
                if number >= 0:
                    yield component, exact.value, self._masks[number]

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
            values[inside] = self._at(header, np.clip(indices[inside], 0, last))
        return values[:, 0] if header.components == 1 else values

    def _at(self, array: ArrayHeader, positions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values (n, components) at voxel ``positions`` (n, 3)."""
        components = base_values(array, self._networks.points(positions, array), np.dtype(float))
        dimensions = self.grid.dimensions
        if self._adds_residual(array, "all"):
            for i, layer in enumerate(self._residuals[array.name]):
                at = partial(_levels_at, array.levels, layer) if array.levels else layer.points
                components[i] += trilinear(at, positions, dimensions)
        for values in components:
            np.clip(values, array.low, array.high, out=values)
        nearest = np.rint(positions).astype(np.int64)
        for component, value, mask in self._exact(array):
            components[component][mask.points(nearest)] = value
        return np.stack(components, axis=-1)


def _levels_at(
    levels: Sequence[float], layer: Layer, positions: NDArray[np.int64]
) -> NDArray[np.float64]:
    ranks = np.clip(np.rint(layer.points(positions)), 0, len(levels) - 1).astype(np.int64)
    values: NDArray[np.float64] = np.array(levels)[ranks]
    return values


def _decode_residual(
    codec: str, dtype: np.dtype[Any], data: bytes, shape: tuple[int, int, int]
) -> NDArray[Any]:
    return residual.decode(codec, data, shape, dtype)
