"""Geometry of a volume's blocks and of the knots inside one (docs/format.md, "Blocks").

Neighbouring blocks overlap by a few voxels, and there their values are blended with weights that
rise linearly from zero to one. The weights sum to one and vanish at the rim of a block's domain,
so the field is continuous across block faces.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrvis.container.header import LatticeHeader

Positions = NDArray[np.floating[Any]] | NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Axis:
    """The blocks along one axis of ``voxels`` points.

    Attributes
    ----------
    voxels, blocks : int
        Points and blocks along the axis.
    overlap : int
        Voxels by which a block's domain reaches beyond its own on either side.
    spacing : int
        Voxels between knots; 0 if the network is evaluated at the positions themselves.
    """

    voxels: int
    blocks: int
    overlap: int
    spacing: int

    @property
    def side(self) -> int:
        """Voxels that a block owns (the last one may own fewer)."""
        return -(-self.voxels // self.blocks)

    def domain(self, block: int) -> tuple[int, int]:
        """First and last voxel that ``block`` covers, its overlaps included."""
        first = min(max(block * self.side - self.overlap, 0), self.voxels - 1)
        last = min((block + 1) * self.side - 1 + self.overlap, self.voxels - 1)
        return first, last

    def weight(self, block: int, positions: Positions) -> Positions:
        """Blending weight of ``block`` at ``positions``."""
        ramp = 2 * self.overlap - 1
        weights = np.ones(len(positions))
        if block > 0 and block * self.side < self.voxels:
            rise = (positions - (block * self.side - self.overlap)) / max(ramp, 1)
            weights = np.minimum(weights, np.clip(rise, 0, 1))
        if block < self.blocks - 1:
            start = (block + 1) * self.side
            if start < self.voxels:
                fall = (start - 1 + self.overlap - positions) / max(ramp, 1)
                weights = np.minimum(weights, np.clip(fall, 0, 1))
        if block * self.side >= self.voxels:
            weights[:] = 0  # an empty block, where the blocks do not divide the voxels
        return weights

    def near(self, positions: Positions) -> range:
        """Blocks that may have weight at ``positions``."""
        first = int((positions.min() - self.overlap) // self.side)
        last = int((positions.max() + self.overlap) // self.side)
        return range(max(first, 0), min(last, self.blocks - 1) + 1)

    def runs(self, positions: Positions) -> Iterator[tuple[int, slice, NDArray[np.float32]]]:
        """Blocks with weight at ascending ``positions``: their run of positions, and weights."""
        for block in self.near(positions):
            weights = self.weight(block, positions)
            (inside,) = np.nonzero(weights)
            if len(inside):
                run = slice(int(inside[0]), int(inside[-1]) + 1)
                yield block, run, weights[run].astype(np.float32)

    def cells(self, block: int, positions: Positions) -> tuple[NDArray[np.int64], Positions]:
        """Knot below each of ``positions``, and the fraction of the way to the next."""
        first, last = self.domain(block)
        knots = -(-(last - first) // self.spacing) + 1
        scaled = (np.asarray(positions, dtype=np.float64) - first) / self.spacing
        lower = np.clip(np.floor(scaled), 0, max(knots - 2, 0)).astype(np.int64)
        return lower, scaled - lower

    def interpolation(
        self, block: int, positions: Positions
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Knots (m,) that ``positions`` (n,) need, ascending, and linear weights (n, m)."""
        lower, fraction = self.cells(block, positions)
        # A position on a knot needs no other: a coarse read stays in proportion.
        upper = np.where(fraction > 0, lower + 1, lower)
        knots = np.unique(np.concatenate([lower, upper]))
        weights = np.zeros((len(lower), len(knots)), dtype=np.float32)
        rows = np.arange(len(lower))
        weights[rows, np.searchsorted(knots, upper)] = fraction
        weights[rows, np.searchsorted(knots, lower)] += (1 - fraction).astype(np.float32)
        return knots, weights


@dataclass(frozen=True)
class Blocks:
    """The blocks of a volume: one :class:`Axis` each for x, y and z."""

    axes: tuple[Axis, Axis, Axis]

    @classmethod
    def of(cls, dimensions: tuple[int, int, int], header: LatticeHeader) -> Blocks:
        """Blocks of a volume with ``dimensions`` (nx, ny, nz)."""
        x, y, z = (
            Axis(voxels, blocks, header.overlap if blocks > 1 else 0, header.spacing)
            for voxels, blocks in zip(dimensions, header.blocks, strict=True)
        )
        return cls((x, y, z))

    def flat(self, block: tuple[int, int, int]) -> int:
        """Position of ``block`` (x, y, z) in the order of the file: x fastest."""
        x, y, _ = self.axes
        return block[0] + x.blocks * (block[1] + y.blocks * block[2])

    @property
    def extent(self) -> float:
        """Half the longest side of a block's domain, in voxels: the unit of coordinates."""
        longest = max(
            last - first for axis in self.axes for first, last in [axis.domain(axis.blocks // 2)]
        )
        return max(longest, 1) / 2

    def coordinates(self, axis: int, block: int, positions: Positions) -> NDArray[np.float32]:
        """Network coordinates of voxel ``positions``: 0 in the middle of the block's domain."""
        first, last = self.axes[axis].domain(block)
        return ((positions - (first + last) / 2) / self.extent).astype(np.float32)

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        """Every block (x, y, z), in the order of the file."""
        x, y, z = (axis.blocks for axis in self.axes)
        return ((i, j, k) for k, j, i in product(range(z), range(y), range(x)))
