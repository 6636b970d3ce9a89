"""Points of a grid from coarse to fine, and sums over the known ones around them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrvis.errors import FormatError

Triple = tuple[int, int, int]
# Positions along z, y, x among the points of a class.
Sample = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]

# Classes of points by the parity of their index (z, y, x) at a level: those between two known
# points first, so that the ones between four or eight have neighbours half as far away.
_PARITIES: tuple[Triple, ...] = (
    (0, 0, 1),
    (0, 1, 0),
    (1, 0, 0),
    (0, 1, 1),
    (1, 0, 1),
    (1, 1, 0),
    (1, 1, 1),
)
_FARTHEST = 3


def _distances(squares: Sequence[int]) -> list[Triple]:
    offsets = product(range(_FARTHEST + 1), repeat=3)
    chosen = [(z, y, x) for z, y, x in offsets if z * z + y * y + x * x in squares]
    return sorted(chosen, key=lambda o: (sum(s * s for s in o), o))


# Offsets up to their signs: all that are used, and the few that suffice for most data.
OFFSETS = _distances((1, 2, 3, 5, 6, 9, 10, 11, 13, 14))
FEW_OFFSETS = frozenset(o for o in OFFSETS if sum(o) <= 3)


@dataclass(frozen=True)
class Points:
    """Points of one class.

    Attributes
    ----------
    level : int
        0 for the finest.
    axes : tuple of 3 int
        1 for the axes (z, y, x) that the level halves.
    parity : tuple of 3 int
        Of the index along those.
    strides : tuple of 3 int
        Between neighbours of the level.
    shape : tuple of 3 int
        (nz, ny, nx) of the grid.
    known : tuple of offsets
        Which lead to points that come before, the nearest first; signs do not matter.
    """

    level: int
    axes: Triple
    parity: Triple
    strides: Triple
    shape: Triple
    known: tuple[Triple, ...]

    @property
    def box(self) -> tuple[slice, slice, slice]:
        """Where the points are in the grid."""
        return self.box_of(self.parity)

    def box_of(self, parity: Triple) -> tuple[slice, slice, slice]:
        """Where the points of another parity of the same level are."""
        z, y, x = (
            slice(p * stride, None, (1 + a) * stride)
            for p, stride, a in zip(parity, self.strides, self.axes, strict=True)
        )
        return z, y, x

    @property
    def counts(self) -> Triple:
        """Number of points along z, y, x."""
        z, y, x = (len(range(n)[s]) for n, s in zip(self.shape, self.box, strict=True))
        return z, y, x

    @property
    def size(self) -> int:
        """Number of points."""
        return math.prod(self.counts)


def classes(shape: Triple, plan: Sequence[int]) -> Iterator[Points]:
    """All points but the first, (0, 0, 0), from coarse to fine.

    Parameters
    ----------
    shape : tuple of 3 int
        (nz, ny, nx).
    plan : sequence of int
        For the finest levels the sum of 4, 2 and 1 for the axes z, y and x that they halve;
        coarser levels halve every axis.

    Raises
    ------
    FormatError
        If the plan halves what has no length.
    """
    levels: list[tuple[Triple, Triple]] = []
    strides: Triple = (1, 1, 1)
    while any(s < n for s, n in zip(strides, shape, strict=True)):
        mask = plan[len(levels)] if len(levels) < len(plan) else 0
        z, y, x = (
            int(s < n) if not mask else mask >> bit & 1
            for s, n, bit in zip(strides, shape, (2, 1, 0), strict=True)
        )
        if mask > 7 or any(a and s >= n for a, s, n in zip((z, y, x), strides, shape, strict=True)):
            raise FormatError("a coded layer halves axes that it does not have")
        levels.append(((z, y, x), strides))
        strides = (strides[0] << z, strides[1] << y, strides[2] << x)
    for level in reversed(range(len(levels))):
        axes, strides = levels[level]
        done: set[Triple] = {(0, 0, 0)}
        for parity in _PARITIES:
            if all(a >= p for a, p in zip(axes, parity, strict=True)):
                known = tuple(o for o in OFFSETS if moved(parity, o, axes) in done)
                yield Points(level, axes, parity, strides, shape, known)
                done.add(parity)


def moved(parity: Triple, offset: Triple, axes: Triple) -> Triple:
    """Parity of the points ``offset`` away: along axes that are not halved, all are alike."""
    z, y, x = (a * ((p + o) % 2) for p, o, a in zip(parity, offset, axes, strict=True))
    return z, y, x


@dataclass(frozen=True)
class Neighbours:
    """Sums of a grid over known points around those of a class.

    Beyond the rim the nearest known point stands in.
    """

    points: Points
    grid: NDArray[Any]
    _padded: dict[Triple, NDArray[Any]] = field(default_factory=dict)

    def sum(self, offset: Triple, sample: Sample | None = None) -> NDArray[Any]:
        """Sum over the mirror images of ``offset``, in a fixed order; see `number`.

        Parameters
        ----------
        offset : tuple of 3 int
            One of those known.
        sample : arrays of positions, optional
            Only for these points of the class.
        """
        points = self.points
        parity = moved(points.parity, offset, points.axes)
        if parity not in self._padded:
            part = self.grid[points.box_of(parity)]
            self._padded[parity] = np.pad(part, _FARTHEST, mode="edge")
        shifts = [
            [(p - q + sign * o) >> a for sign in ((1, -1) if o else (1,))]
            for p, q, o, a in zip(points.parity, parity, offset, points.axes, strict=True)
        ]
        padded = self._padded[parity]
        total: NDArray[Any] | None = None
        box: tuple[Any, ...]
        for images in product(*shifts):
            first = [_FARTHEST + shift for shift in images]
            if sample is None:
                box = tuple(slice(f, f + n) for f, n in zip(first, points.counts, strict=True))
            else:
                box = np.ix_(*(s + f for s, f in zip(sample, first, strict=True)))
            total = padded[box] if total is None else total + padded[box]
        return padded if total is None else total

    @staticmethod
    def number(offset: Triple) -> int:
        """How many mirror images ``offset`` has."""
        return 1 << sum(o > 0 for o in offset)
