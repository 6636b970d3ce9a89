"""What HDF5 and NetCDF files have in common: many arrays in one file, of which some are wanted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from inrvis.errors import SourceError
from inrvis.grid import ImageGrid
from inrvis.sources import cf
from inrvis.sources.files import ReadOptions, check_claim, header_geometry
from inrvis.sources.image import MOST_COMPONENTS, Image, Values, check_names
from inrvis.sources.selection import Selector

__all__ = [
    "Axis",
    "Catalogue",
    "Geometry",
    "Order",
    "Part",
    "Variable",
    "from_coordinates",
    "listing",
    "select",
    "to_image",
]

_MOST_LISTED = 6
_MOST_LETTERS = 40

# Index of the array's axis that runs along z, y and x; None where it has none.
Order: TypeAlias = tuple[int | None, int | None, int | None]


@dataclass(frozen=True, eq=False)
class Axis:
    """Name of an axis and its coordinates, None where the file has none of its length."""

    name: str
    is_time: bool
    coordinates: Callable[[], Values | None]


@dataclass(frozen=True, eq=False)
class Variable:
    """An array in a file, before its values are read.

    Parameters
    ----------
    path : str
        What selects it, after the colon.
    shape : tuple of int
        Number of values along each axis, the slowest first.
    dtype : dtype
        Type on disk.
    attribute, axes, read : callable
        Give an attribute by its name, all axes, and the values at the given indices of the
        leading axes, as a new array.
    check : callable
        Raises a SourceError if the file cannot hold this many bytes of values.
    """

    path: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    attribute: cf.Attribute
    axes: Callable[[], tuple[Axis, ...]]
    read: Callable[[tuple[int, ...]], Values]
    check: Callable[[int], None]

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.path.rstrip("/").rpartition("/")[2]

    @property
    def is_numeric(self) -> bool:
        """Whether there are values, of a type that an `Image` takes."""
        return self.dtype.kind in "biuf" and self.dtype.itemsize <= 8 and 0 not in self.shape


@dataclass(frozen=True, eq=False)
class Part:
    """All of a variable, or what remains of it at fixed indices of its leading axes."""

    variable: Variable
    indices: tuple[int, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the values: (z, y, x), (y, x) or (z, y, x, component), if it `is_image`."""
        return self.variable.shape[len(self.indices) :]

    @property
    def rank(self) -> int:
        """Number of axes in space."""
        return min(len(self.shape), 3)

    @property
    def is_image(self) -> bool:
        """Whether the values are numbers on a slice or in a volume."""
        return self.variable.is_numeric and (
            len(self.shape) in (2, 3) or (len(self.shape) == 4 and self.shape[3] <= MOST_COMPONENTS)
        )

    @property
    def is_within(self) -> bool:
        """Whether the variable has these indices."""
        return all(-n <= i < n for i, n in zip(self.indices, self.variable.shape, strict=False))


@dataclass(frozen=True)
class Geometry:
    """Places of the values of a part.

    Parameters
    ----------
    order : tuple of 3 int or None
        Axes of the array that run along z, y and x.
    steps, origins : tuple of float
        Distance of neighbours and place of the first value along each axis of the array.
    time : float, optional
        Time of the data, in the source's unit.
    """

    order: Order
    steps: tuple[float, ...]
    origins: tuple[float, ...]
    time: float | None = None


@dataclass(frozen=True, eq=False)
class Catalogue:
    """The variables of a file.

    Parameters
    ----------
    everything : callable
        Gives all variables.
    find : callable
        Gives the one variable of a name, those of a group, or None where there is neither.
    """

    everything: Callable[[], list[Variable]]
    find: Callable[[str], list[Variable] | None]


def listing(variables: Iterable[Variable]) -> str:
    """Paths, shapes and types of variables, for a message; the first few of them."""
    found = list(variables)
    texts = [
        f"{_printable(v.path)} ({'×'.join(map(str, v.shape)) or 'scalar'} {_type_name(v.dtype)})"
        for v in found[:_MOST_LISTED]
    ]
    more = [f"{len(found) - _MOST_LISTED} more"] if len(found) > _MOST_LISTED else []
    return ", ".join(texts + more) or "nothing"


def _printable(text: str) -> str:
    shown = text if len(text) <= _MOST_LETTERS else f"{text[:_MOST_LETTERS]}…"
    return "".join(letter if letter.isprintable() else "?" for letter in shown)


def _type_name(dtype: np.dtype[Any]) -> str:
    if dtype.names:
        return "compound"
    return "text" if dtype.kind in "OSU" else dtype.name


def select(
    path: Path,
    options: ReadOptions,
    catalogue: Catalogue,
    to_part: Callable[[Variable, tuple[int, ...]], Part],
) -> list[Part]:
    """Images among the variables that the selector, the wanted arrays, or neither name.

    Raises
    ------
    SourceError
        If there is none, or the selector names a variable that is none.
    ArrayNotFoundError
        If one of the wanted arrays is not there.
    """
    # As for files, what exists under the full text comes first.
    selector = Selector(options.selector)
    found = catalogue.find(selector.name) if selector.name else catalogue.everything()
    if found is None:
        selector = Selector.parse(options.selector)
        found = catalogue.find(selector.name) if selector.name else catalogue.everything()
    if found is None:
        raise SourceError(
            f"{path} holds no '{_printable(selector.name)}'; choose from: "
            f"{listing(v for v in catalogue.everything() if v.is_numeric)}"
        )
    parts = [to_part(variable, selector.indices) for variable in found]
    # An index that one variable lacks says that it is not meant, unless it was named.
    images = [p for p in parts if p.is_image and (len(parts) == 1 or p.is_within)]
    if options.arrays:
        check_names(options.arrays, [part.variable.name for part in images])
        images = [part for part in images if part.variable.name in options.arrays]
    if not images:
        wanted = f":{_printable(options.selector)}" if options.selector else ""
        numeric = (variable for variable in catalogue.everything() if variable.is_numeric)
        choice = f"it holds: {listing(found)}" if found else f"choose from: {listing(numeric)}"
        raise SourceError(
            f"{path}{wanted} has no numbers on 2 or 3 axes (or 4, the last of at most "
            f"{MOST_COMPONENTS} components); further leading axes need an index, as in NAME[0]; "
            f"{choice}"
        )
    return [_checked(path, part) for part in images]


def _checked(path: Path, part: Part) -> Part:
    """Part whose indices exist, those from the end turned into those from the start."""
    if not part.is_within:
        raise SourceError(
            f"{path}:{_printable(part.variable.path)} has the axes {part.variable.shape}; "
            f"the index {list(part.indices)} is outside"
        )
    shape = part.variable.shape
    return Part(part.variable, tuple(i % n for i, n in zip(part.indices, shape, strict=False)))


def from_coordinates(part: Part) -> Geometry:
    """Geometry of the file's own coordinates where they are regular, else of the indices.

    Time as an axis of the image has unit steps, because no scale of it fits the others.
    """
    axes = part.variable.axes()
    dropped, kept = axes[: len(part.indices)], axes[len(part.indices) :][: part.rank]
    places = [_place(axis) for axis in kept]
    times = [
        float(values[index])
        for axis, index in zip(dropped, part.indices, strict=True)
        if axis.is_time and (values := axis.coordinates()) is not None
    ]
    return Geometry(
        (0, 1, 2) if part.rank == 3 else (None, 0, 1),
        tuple(step for step, _ in places),
        tuple(origin for _, origin in places),
        times[0] if times and math.isfinite(times[0]) else None,
    )


def _place(axis: Axis) -> tuple[float, float]:
    values = None if axis.is_time else axis.coordinates()
    return (1.0, 0.0) if values is None else cf.regular(values)


def to_image(
    path: Path, parts: Sequence[Part], geometry: Geometry, fills: Sequence[float] = ()
) -> Image:
    """Read the values of parts that have the same shape, up to components.

    Parameters
    ----------
    path : Path
        File to name in messages.
    parts : sequence of Part
        What to read.
    geometry : Geometry
        Where it is.
    fills : sequence of float
        As in `inrvis.sources.cf.unpack`.
    """
    claims = [math.prod(part.shape) * part.variable.dtype.itemsize for part in parts]
    for part, claim in zip(parts, claims, strict=True):
        part.variable.check(claim)
    check_claim(path, sum(claims), None)
    arrays = {}
    for part in parts:
        stored = part.variable.read(part.indices)
        values = cf.unpack(stored, part.variable.attribute, fills)
        arrays[_sound(part.variable.name)] = _ordered(values, geometry.order)
    nz, ny, nx = next(iter(arrays.values())).shape[:3]
    places = [
        (1.0, 0.0) if axis is None else (geometry.steps[axis], geometry.origins[axis])
        for axis in reversed(geometry.order)
    ]
    with header_geometry(path):
        grid = ImageGrid.from_axes(
            (nx, ny, nz), np.diag([step for step, _ in places]), [origin for _, origin in places]
        )
    return Image(grid, arrays, geometry.time)


def _sound(name: str) -> str:
    """Name without the halves of characters that h5py makes of bytes that are not UTF-8."""
    return name.encode("utf-8", "replace").decode()


def _ordered(values: Values, order: Order) -> Values:
    """Values as (z, y, x) or (z, y, x, component)."""
    axes = [axis for axis in order if axis is not None]
    turned = values.transpose(*axes, *range(len(axes), values.ndim))
    missing = tuple(position for position, axis in enumerate(order) if axis is None)
    return np.expand_dims(turned, missing)
