"""The form in which every reader hands over what it read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from inrvis.errors import ArrayNotFoundError, SourceError
from inrvis.grid import ImageGrid

__all__ = ["Image", "Values", "from_array", "join"]

Values: TypeAlias = npt.NDArray[Any]

# The largest number of components: a 3 × 3 tensor. A longer last axis is taken for a mistake.
MOST_COMPONENTS = 9
_MOST_NAMED = 20


@dataclass(frozen=True, eq=False)
class Image:
    """Named arrays on one regular grid.

    Parameters
    ----------
    grid : ImageGrid
        Where the points are.
    arrays : dict of str to ndarray
        Each of shape (nz, ny, nx), or (nz, ny, nx, c) for c components, in the source's own type:
        an integer or float of 8 to 64 bits (float16 becomes float32, bool becomes uint8), native
        byte order, C-contiguous. Masked values of floats become NaN, and an axis of one component
        goes.
    time : float, optional
        Time of the data, in the source's unit.

    Raises
    ------
    SourceError
        If there is no array, a shape does not fit the grid, a type is not supported, or integers
        are masked.
    """

    grid: ImageGrid
    arrays: dict[str, Values]
    time: float | None = None

    def __post_init__(self) -> None:
        if not self.arrays:
            raise SourceError("the input holds no numeric array on its points or cells")
        arrays = {name: _plain(name, values) for name, values in self.arrays.items()}
        for name, values in arrays.items():
            if values.shape[:3] != self.grid.shape or values.ndim not in (3, 4) or not values.size:
                raise SourceError(
                    f"array '{name}' has the shape {values.shape}, the grid has {self.grid.shape}; "
                    "give one value, or one row of components, per point"
                )
        object.__setattr__(self, "arrays", arrays)

    def select(self, names: Sequence[str] | None) -> Image:
        """Image with the arrays of these names only, in this order; all of them for None.

        Raises
        ------
        ArrayNotFoundError
            If there is no array of one of the names.
        """
        if not names:
            return self
        check_names(names, self.arrays)
        return Image(self.grid, {name: self.arrays[name] for name in names}, self.time)


def from_array(
    array: Values,
    name: str = "intensity",
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
    origin: Sequence[float] = (0.0, 0.0, 0.0),
) -> Image:
    """Image of one numpy array.

    Parameters
    ----------
    array : (nz, ny, nx), (nz, ny, nx, c) or (ny, nx) ndarray
        Values; a fourth axis of at most 9 holds components, two axes are one slice.
    name : str
        Name of the array.
    spacing, origin : sequence of 3 float
        As in `inrvis.grid.ImageGrid`, in the order (x, y, z).

    Raises
    ------
    SourceError
        If the shape or the type is not supported.
    UsageError
        If spacing or origin is invalid.
    """
    values = array if isinstance(array, np.ma.MaskedArray) else np.asarray(array)
    if values.ndim == 2:
        values = values[None]
    if values.ndim not in (3, 4) or not values.size:
        raise SourceError(
            f"array '{name}' has the shape {values.shape}; give (z, y, x) or (z, y, x, component)"
        )
    if values.ndim == 4 and values.shape[3] > MOST_COMPONENTS:
        raise SourceError(
            f"array '{name}' has the shape {values.shape}: its last axis is too long for "
            "components; give one time step as (z, y, x)"
        )
    nz, ny, nx = values.shape[:3]
    return Image(ImageGrid.from_dimensions((nx, ny, nz), spacing, origin), {name: values})


def join(pieces: Sequence[Image]) -> Image:
    """Join images that tile one grid; where they overlap, the last one counts.

    Raises
    ------
    SourceError
        If there is no piece, they have different arrays, or they leave a gap.
    """
    if not pieces:
        raise SourceError("there is nothing to join; give an image that holds points")
    first = pieces[0]
    extents = np.array([piece.grid.extent for piece in pieces])
    low, high = extents[:, ::2].min(axis=0), extents[:, 1::2].max(axis=0)
    grid = replace(first.grid, extent=tuple(np.stack([low, high], axis=1).ravel().tolist()))
    # Checked before allocating: two small pieces far apart would claim all that lies between.
    if sum(piece.grid.number_of_points for piece in pieces) < grid.number_of_points:
        raise SourceError("the pieces of the image do not cover its whole extent")
    arrays = {
        name: np.empty(grid.shape + values.shape[3:], values.dtype)
        for name, values in first.arrays.items()
    }
    for piece in pieces:
        check_names(arrays, piece.arrays)
        start = np.array(piece.grid.extent[::2]) - low
        box = tuple(slice(s, s + n) for s, n in zip(start[::-1], piece.grid.shape, strict=True))
        for name, values in arrays.items():
            values[box] = piece.arrays[name]
    return Image(grid, arrays, first.time)


def check_names(wanted: Iterable[str], available: Iterable[str]) -> None:
    """Raise ArrayNotFoundError when a wanted name is not available."""
    names = list(available)
    for name in wanted:
        if name not in names:
            shown = ", ".join(names[:_MOST_NAMED]) or "none"
            more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
            raise ArrayNotFoundError(f"there is no array '{name}'; choose from: {shown}{more}")


def _plain(name: str, values: Values) -> Values:
    kind, bits = values.dtype.kind, values.dtype.itemsize * 8
    if kind == "b":
        dtype: np.dtype[Any] = np.dtype(np.uint8)
    elif kind == "f" and bits == 16:
        dtype = np.dtype(np.float32)
    elif kind in "iuf" and bits <= 64:
        dtype = values.dtype.newbyteorder("=")
    else:
        raise SourceError(
            f"array '{name}' is of type {values.dtype}; "
            "convert it to an integer or a float of at most 64 bits"
        )
    if isinstance(values, np.ma.MaskedArray):
        hidden, values = np.broadcast_to(values.mask, values.shape), np.asarray(values)
        if kind != "f" and hidden.any():
            raise SourceError(
                f"array '{name}' has masked integers, which have no NaN: fill them, or take floats"
            )
        values = np.where(hidden, np.nan, values) if kind == "f" else values
    if values.ndim == 4 and values.shape[3] == 1:
        values = values[..., 0]
    # A memory map would fault when the file changes under it, so its values are copied.
    if isinstance(values, np.memmap):
        return np.array(values, dtype=dtype, order="C", subok=False)
    return np.ascontiguousarray(values, dtype=dtype)
