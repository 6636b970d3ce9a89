"""Geometry of a regular grid, with the meaning that ``vtkImageData`` gives it.

This is the only module that knows the order of axes: users, files and VTK speak of ``(x, y, z)``
with x fastest, numpy arrays of values have the shape ``(nz, ny, nx)``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import index
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from inrvis.errors import ExtentError, FormatError, UsageError

__all__ = ["Extent", "ImageGrid"]

Extent: TypeAlias = tuple[int, int, int, int, int, int]
Triple: TypeAlias = tuple[float, float, float]
Floats: TypeAlias = npt.NDArray[np.float64]

_AXES = "xyz"
# VTK stores extents as C ints.
_LARGEST_INDEX = 2**31 - 1


@dataclass(frozen=True)
class ImageGrid:
    """A regular grid of points.

    The point with the indices ``(i, j, k)`` lies at
    ``origin + direction @ (spacing * (i, j, k))``. Indices count within `extent`, which need not
    start at 0; as in VTK, `origin` is where the point ``(0, 0, 0)`` is or would be.

    Parameters
    ----------
    extent : sequence of 6 int
        First and last index along each axis, inclusive: ``(x0, x1, y0, y1, z0, z1)``.
    spacing : sequence of 3 float
        Distance of neighbouring points along each axis, in world units; finite and not 0.
    origin : sequence of 3 float
        World coordinates of the point ``(0, 0, 0)``; finite.
    direction : sequence of 9 float
        Direction matrix, row by row; its columns are the directions of the axes. Not singular.

    Raises
    ------
    ExtentError
        If the extent is inverted or does not consist of six integers.
    UsageError
        If spacing, origin or direction is invalid.
    """

    extent: Extent
    spacing: Triple = (1.0, 1.0, 1.0)
    origin: Triple = (0.0, 0.0, 0.0)
    direction: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "extent", _extent(self.extent))
        for name, count in (("spacing", 3), ("origin", 3), ("direction", 9)):
            object.__setattr__(self, name, _floats(name, getattr(self, name), count))
        if 0.0 in self.spacing:
            raise UsageError(f"spacing {self.spacing} has a zero; give three non-zero numbers")
        matrix = np.array(self.direction).reshape(3, 3)
        volume = abs(float(np.linalg.det(matrix)))
        if not volume > 1e-9 * float(np.prod(np.linalg.norm(matrix, axis=0))):
            raise UsageError(f"direction {self.direction} is singular; give three independent axes")

    @classmethod
    def from_dimensions(
        cls,
        dimensions: Sequence[int],
        spacing: Sequence[float] = (1.0, 1.0, 1.0),
        origin: Sequence[float] = (0.0, 0.0, 0.0),
        direction: Sequence[float] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0),
    ) -> ImageGrid:
        """Grid whose extent starts at 0 and holds ``dimensions = (nx, ny, nz)`` points.

        Raises
        ------
        UsageError
            If `dimensions` are not three positive integers, or as the constructor does.
        """
        try:
            nx, ny, nz = (index(count) for count in dimensions)
        except (TypeError, ValueError):
            nx = ny = nz = 0
        if min(nx, ny, nz) < 1:
            raise UsageError(
                f"dimensions {dimensions} are not three positive integers (nx, ny, nz)"
            )
        return cls((0, nx - 1, 0, ny - 1, 0, nz - 1), *_loose(spacing, origin, direction))

    @classmethod
    def from_axes(
        cls, dimensions: Sequence[int], axes: npt.ArrayLike, origin: Sequence[float]
    ) -> ImageGrid:
        """Grid whose row ``axes[a]`` is the step in world units along the index axis ``a``.

        Parameters
        ----------
        dimensions : sequence of 3 int
            Number of points ``(nx, ny, nz)``.
        axes : (3, 3) array_like of float
            One row for each of x, y, z: spacing times direction of that axis.
        origin : sequence of 3 float
            World coordinates of the first point.

        Raises
        ------
        UsageError
            If a step is zero or not finite, or the steps are not independent.
        """
        steps = np.asarray(axes, dtype=np.float64).reshape(3, 3)
        spacing = np.linalg.norm(steps, axis=1)
        if not (np.isfinite(spacing).all() and spacing.all()):
            raise UsageError(f"axes {steps.tolist()} have a step that is zero or not finite")
        direction = (steps / spacing[:, None]).T.ravel().tolist()
        return cls.from_dimensions(dimensions, spacing.tolist(), origin, direction)

    @property
    def dimensions(self) -> tuple[int, int, int]:
        """Number of points ``(nx, ny, nz)``."""
        x0, x1, y0, y1, z0, z1 = self.extent
        return x1 - x0 + 1, y1 - y0 + 1, z1 - z0 + 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape ``(nz, ny, nx)`` of an array of one value per point."""
        nx, ny, nz = self.dimensions
        return nz, ny, nx

    @property
    def number_of_points(self) -> int:
        """Number of points."""
        return math.prod(self.dimensions)

    def index_to_world(self, ijk: npt.ArrayLike) -> Floats:
        """World coordinates of (fractional) indices.

        Parameters
        ----------
        ijk : (n, 3) array_like
            Indices ``(i, j, k)`` counted as in `extent`.

        Returns
        -------
        (n, 3) ndarray of float64
            World coordinates ``(x, y, z)``.

        Raises
        ------
        UsageError
            If `ijk` is not of shape (n, 3).
        """
        world: Floats = _rows(ijk) @ self._steps().T + np.array(self.origin)
        return world

    def world_to_index(self, xyz: npt.ArrayLike) -> Floats:
        """Fractional indices of world coordinates; the inverse of `index_to_world`.

        Parameters
        ----------
        xyz : (n, 3) array_like
            World coordinates ``(x, y, z)``.

        Returns
        -------
        (n, 3) ndarray of float64
            Indices ``(i, j, k)`` counted as in `extent`.

        Raises
        ------
        UsageError
            If `xyz` is not of shape (n, 3).
        """
        offsets = _rows(xyz) - np.array(self.origin)
        return np.linalg.solve(self._steps(), offsets.T).T

    def check_extent(self, extent: Sequence[int]) -> Extent:
        """`extent` as a tuple of six int.

        Raises
        ------
        ExtentError
            If `extent` is inverted or reaches outside this grid.
        """
        checked = _extent(extent)
        for axis, name in enumerate(_AXES):
            first, last = checked[2 * axis : 2 * axis + 2]
            low, high = self.extent[2 * axis : 2 * axis + 2]
            if first < low or last > high:
                raise ExtentError(
                    f"extent {checked} is outside the grid along {name}: "
                    f"ask for indices from {low} to {high}"
                )
        return checked

    def slices(
        self, extent: Sequence[int] | None = None, stride: int = 1
    ) -> tuple[slice, slice, slice]:
        """Slices that cut `extent` out of an array of shape `shape`.

        Takes the first point of `extent` along each axis and every `stride`-th after it, the same
        points as `subgrid`.

        Raises
        ------
        ExtentError
            If `extent` is inverted or reaches outside this grid.
        UsageError
            If `stride` is not a positive integer.
        """
        stride = _stride(stride)
        x0, x1, y0, y1, z0, z1 = self.extent if extent is None else self.check_extent(extent)
        x, y, z = self.extent[::2]
        return (
            slice(z0 - z, z1 - z + 1, stride),
            slice(y0 - y, y1 - y + 1, stride),
            slice(x0 - x, x1 - x + 1, stride),
        )

    def subgrid(self, extent: Sequence[int] | None = None, stride: int = 1) -> ImageGrid:
        """Grid of the points that a strided read of a sub-extent yields.

        The points are the first one of `extent` along each axis and every `stride`-th after it.
        With stride 1 they keep their indices, and only the extent changes. Otherwise, as in
        ``vtkExtractVOI``, indices are counted anew: the strided index ``i`` is the source index
        ``first + i * stride``, with `first` the start of this grid's whole extent. Reads of
        several sub-extents therefore share one set of indices. Where a sub-extent starts between
        two points of that lattice, the origin moves by the remainder, so that every point still
        has its true position.

        Parameters
        ----------
        extent : sequence of 6 int, optional
            Sub-extent in this grid's indices; the whole extent when omitted.
        stride : int
            1 for every point, 2 for every second along each axis, and so on.

        Raises
        ------
        ExtentError
            If `extent` is inverted or reaches outside this grid.
        UsageError
            If `stride` is not a positive integer.
        """
        stride = _stride(stride)
        wanted = self.extent if extent is None else self.check_extent(extent)
        if stride == 1:
            return replace(self, extent=wanted)
        strided: list[int] = []
        anchor: list[int] = []
        for axis in range(3):
            first, last = wanted[2 * axis : 2 * axis + 2]
            start, remainder = divmod(first - self.extent[2 * axis], stride)
            strided += [start, start + (last - first) // stride]
            anchor.append(self.extent[2 * axis] + remainder)
        sx, sy, sz = (step * stride for step in self.spacing)
        x, y, z = self.index_to_world([anchor])[0].tolist()
        return ImageGrid(_extent(strided), (sx, sy, sz), (x, y, z), self.direction)

    def source_extent(self, extent: Sequence[int], stride: int = 1) -> Extent:
        """Extent in this grid's indices of an extent in the indices of ``subgrid(stride=stride)``.

        Raises
        ------
        ExtentError
            If `extent` is inverted or reaches outside the strided grid.
        UsageError
            If `stride` is not a positive integer.
        """
        checked = self.subgrid(stride=stride).check_extent(extent)
        if stride == 1:
            return checked
        starts = (self.extent[2 * (position // 2)] for position in range(6))
        return _extent(start + value * stride for start, value in zip(starts, checked, strict=True))

    def to_json(self) -> dict[str, list[int] | list[float]]:
        """Plain lists under the keys ``extent``, ``spacing``, ``origin`` and ``direction``."""
        return {
            "extent": list(self.extent),
            "spacing": list(self.spacing),
            "origin": list(self.origin),
            "direction": list(self.direction),
        }

    @classmethod
    def from_json(cls, data: Any) -> ImageGrid:
        """Grid from what `to_json` returned; other keys are ignored.

        Raises
        ------
        FormatError
            If a key is missing or a value is not valid.
        """
        names = ("extent", "spacing", "origin", "direction")
        if not isinstance(data, Mapping) or not all(isinstance(data.get(n), list) for n in names):
            raise FormatError(
                f"the grid must have the lists {', '.join(names)}; the file is damaged"
            )
        try:
            return cls(*(data[name] for name in names))
        except UsageError as error:
            raise FormatError(f"the grid is not valid, the file is damaged: {error}") from error

    def _steps(self) -> Floats:
        """Matrix that takes indices to offsets from the origin, in world units."""
        steps: Floats = np.array(self.direction).reshape(3, 3) * np.array(self.spacing)
        return steps


def _loose(*values: Sequence[float]) -> Any:
    # The constructor checks lengths and turns sequences into tuples; its annotations state the
    # result, which a type checker cannot see coming.
    return values


def _extent(values: Iterable[int]) -> Extent:
    try:
        numbers = list(values)
        if any(isinstance(value, bool) for value in numbers):
            raise TypeError
        x0, x1, y0, y1, z0, z1 = (index(value) for value in numbers)
    except (TypeError, ValueError):
        raise ExtentError(f"extent {values} is not six integers (x0, x1, y0, y1, z0, z1)") from None
    extent = (x0, x1, y0, y1, z0, z1)
    for axis, name in enumerate(_AXES):
        first, last = extent[2 * axis : 2 * axis + 2]
        if last < first:
            raise ExtentError(
                f"extent {extent} is inverted along {name}: put the lower index first"
            )
    if max(map(abs, extent)) > _LARGEST_INDEX:
        raise ExtentError(f"extent {extent} has an index beyond {_LARGEST_INDEX}; use smaller ones")
    return extent


def _floats(name: str, values: Iterable[float], count: int) -> tuple[float, ...]:
    try:
        numbers = list(values)
        if any(isinstance(value, (bool, str, bytes)) for value in numbers):
            raise TypeError
        floats = tuple(float(value) for value in numbers)
    except (TypeError, ValueError, OverflowError):
        floats = ()
    if len(floats) != count or not all(map(math.isfinite, floats)):
        raise UsageError(f"{name} {values} is not {count} finite numbers")
    return floats


def _stride(stride: int) -> int:
    try:
        number = 0 if isinstance(stride, bool) else index(stride)
    except TypeError:
        number = 0
    if number < 1:
        raise UsageError(f"stride {stride} is not a positive integer")
    return number


def _rows(points: npt.ArrayLike) -> Floats:
    rows = np.asarray(points, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] != 3:
        raise UsageError(f"points have the shape {rows.shape}; give an array of shape (n, 3)")
    return rows
