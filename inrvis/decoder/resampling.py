"""The continuous fields of a volume at the points of a mesh or of another grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from inrvis.decoder.gradients import gradient
from inrvis.decoder.volume import Volume
from inrvis.errors import UsageError
from inrvis.grid import ImageGrid

__all__ = ["GridPoints", "Points", "Resampled", "resample", "sampling_grid"]

# Points at a time: what is held next to the result stays small, and a stop is heard soon.
_CHUNK = 1 << 15


class Points(Protocol):
    """Points of which a part at a time is looked at: an array, or the points of a grid."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> NDArray[np.floating[Any]]: ...


class GridPoints:
    """World coordinates of the points of a grid, x fastest, made when they are looked at."""

    def __init__(self, grid: ImageGrid) -> None:
        self._grid = grid

    def __len__(self) -> int:
        return self._grid.number_of_points

    def __getitem__(self, part: slice, /) -> NDArray[np.float64]:
        flat = np.arange(*part.indices(len(self)))
        reversed_indices = np.unravel_index(flat, self._grid.shape)
        indices = np.stack(reversed_indices[::-1], axis=-1) + np.array(self._grid.extent[::2])
        return self._grid.index_to_world(indices)


@dataclass(frozen=True)
class Resampled:
    """Fields at points.

    Attributes
    ----------
    values : dict of str to ndarray, shape (n,) or (n, components)
        By the name of the array; NaN outside the volume. float64 where the source has more than
        24 significant bits, else float32.
    gradients : dict of str to ndarray, shape (n, 3) or (n, components, 3)
        As `inrvis.decoder.gradients.gradient` gives them; empty if they were not asked for.
    inside : ndarray of bool, shape (n,)
        Which points are in the volume.
    """

    values: dict[str, NDArray[np.floating[Any]]]
    gradients: dict[str, NDArray[np.floating[Any]]]
    inside: NDArray[np.bool_]


def resample(
    volume: Volume,
    points: Points,
    *,
    arrays: Sequence[str] | None = None,
    gradients: bool = False,
    progress: Callable[[float], bool | None] | None = None,
) -> Resampled | None:
    """Evaluate the continuous fields at `points`.

    Parameters
    ----------
    volume : Volume
        An open volume.
    points : ndarray, shape (n, 3), or GridPoints
        World coordinates (x, y, z).
    arrays : sequence of str, optional
        Names of the arrays; all by default.
    gradients : bool
        Whether to differentiate the fields, too: six more evaluations a point.
    progress : callable, optional
        Called with the fraction done; sampling stops if it returns False.

    Returns
    -------
    Resampled or None
        None if it was stopped.

    Raises
    ------
    ArrayNotFoundError
        If there is no such array.
    UsageError
        If `points` are not of shape (n, 3).
    """
    wanted = [volume.array(name) for name in (volume.arrays if arrays is None else arrays)]
    count = len(points)
    result = Resampled({}, {}, np.zeros(count, dtype=bool))
    for array in wanted:
        shape = (count,) if array.components == 1 else (count, array.components)
        dtype = _sample_type(np.dtype(array.dtype))
        result.values[array.name] = np.empty(shape, dtype)
        if gradients:
            result.gradients[array.name] = np.empty((*shape, 3), dtype)
    for start in range(0, count, _CHUNK):
        part = slice(start, min(start + _CHUNK, count))
        chunk = np.asarray(points[part], dtype=np.float64)
        result.inside[part] = _inside(volume.grid, chunk)
        for array in wanted:
            result.values[array.name][part] = volume.sample(array.name, chunk)
            if gradients:
                result.gradients[array.name][part] = gradient(volume, array.name, chunk)
        if progress is not None and progress(part.stop / count) is False:
            return None
    return result


def sampling_grid(
    grid: ImageGrid, dimensions: Sequence[int], bounds: Sequence[float] | None = None
) -> ImageGrid:
    """Grid of other dimensions over the box of `grid`, or over a box along the world axes.

    Parameters
    ----------
    grid : ImageGrid
        Grid of the volume.
    dimensions : sequence of 3 int
        Points (nx, ny, nz) of the result; its first and last points are on the faces of the box.
        A single point along an axis is in the middle of it.
    bounds : sequence of 6 float, optional
        World coordinates (x0, x1, y0, y1, z0, z1) of a box. By default the box of `grid`, whose
        axes are kept.

    Raises
    ------
    UsageError
        If the dimensions are not positive, or the bounds are not finite or inverted.
    """
    counts = np.array(ImageGrid.from_dimensions(dimensions).dimensions)
    if bounds is None:
        low, high = np.array(grid.extent[::2], float), np.array(grid.extent[1::2], float)
        lengths = (high - low) * np.array(grid.spacing)
        direction = grid.direction
    else:
        box = np.array(bounds, dtype=np.float64)
        if box.shape != (6,) or not np.isfinite(box).all() or np.any(box[::2] > box[1::2]):
            raise UsageError(f"bounds {list(bounds)} are not a box (x0, x1, y0, y1, z0, z1)")
        low, high = box[::2], box[1::2]
        lengths = high - low
        direction = ImageGrid.from_dimensions(dimensions).direction
    spacing = np.where(counts > 1, lengths / np.maximum(counts - 1, 1), np.array(grid.spacing))
    # A box without thickness has one place only; its points need a spacing all the same.
    spacing = np.where(spacing == 0, np.array(grid.spacing), spacing)
    first = np.where(counts > 1, low, (low + high) / 2)
    origin = first if bounds is not None else grid.index_to_world(first[None])[0]
    return ImageGrid.from_dimensions(dimensions, spacing.tolist(), origin.tolist(), direction)


def _sample_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    narrow = dtype.itemsize <= (4 if dtype.kind == "f" else 2)
    return np.dtype(np.float32 if narrow else np.float64)


def _inside(grid: ImageGrid, points: NDArray[np.float64]) -> NDArray[np.bool_]:
    indices = grid.world_to_index(points)
    low, high = np.array(grid.extent[::2]), np.array(grid.extent[1::2])
    inside: NDArray[np.bool_] = np.all((indices > low - 1e-6) & (indices < high + 1e-6), axis=1)
    return inside
