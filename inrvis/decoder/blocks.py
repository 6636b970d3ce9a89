"""Geometry of a volume's blocks and of the knots inside one (docs/format.md, "Blocks").

Neighbouring blocks overlap by a few voxels, and there their values are blended with weights that
rise linearly from zero to one. The weights sum to one and vanish at the rim of a block's domain,
so the field is continuous across block faces.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrvis.container.header import BoxesHeader, LatticeHeader

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


Runs = tuple[tuple[slice, NDArray[np.float32]], ...]


@dataclass(frozen=True)
class Blocks:
    """The blocks of a volume: one :class:`Axis` each for x, y and z.

    Their weights sum to one at every position.
    """

    axes: tuple[Axis, Axis, Axis]
    partial = False

    @classmethod
    def of(cls, dimensions: tuple[int, int, int], header: LatticeHeader) -> Blocks:
        """Blocks of a volume with ``dimensions`` (nx, ny, nz)."""
        x, y, z = (
            Axis(voxels, blocks, header.overlap if blocks > 1 else 0, header.spacing)
            for voxels, blocks in zip(dimensions, header.blocks, strict=True)
        )
        return cls((x, y, z))

    def at(self, block: int) -> tuple[int, int, int]:
        """Place (x, y, z) of a block in the order of the file: x fastest."""
        x, y, _ = self.axes
        return block % x.blocks, block // x.blocks % y.blocks, block // (x.blocks * y.blocks)

    @property
    def extent(self) -> float:
        """Half the longest side of a block's domain, in voxels: the unit of coordinates."""
        longest = max(
            last - first for axis in self.axes for first, last in [axis.domain(axis.blocks // 2)]
        )
        return max(longest, 1) / 2

    def domain(self, block: int) -> list[tuple[int, int]]:
        """First and last voxel along x, y and z of a block's domain, its overlaps included."""
        return [axis.domain(b) for axis, b in zip(self.axes, self.at(block), strict=True)]

    def coordinates(self, axis: int, block: int, positions: Positions) -> NDArray[np.float32]:
        """Network coordinates of voxel ``positions``: 0 in the middle of the block's domain."""
        first, last = self.domain(block)[axis]
        return ((positions - (first + last) / 2) / self.extent).astype(np.float32)

    def covering(self, positions: Sequence[Positions]) -> Iterator[tuple[int, Runs]]:
        """Blocks with weight on a box: for each axis their run of positions, and the weights."""
        runs = [list(a.runs(p)) for a, p in zip(self.axes, positions, strict=True)]
        x, y, _ = self.axes
        for (bx, sx, wx), (by, sy, wy), (bz, sz, wz) in product(*runs):
            yield bx + x.blocks * (by + y.blocks * bz), ((sx, wx), (sy, wy), (sz, wz))

    def near(self, positions: Positions) -> Iterator[tuple[int, NDArray[np.floating[Any]]]]:
        """Blocks with weight at some of ``positions`` (n, 3), and the weights (n,)."""
        nearby = (axis.near(positions[:, i]) for i, axis in enumerate(self.axes))
        x, y, _ = self.axes
        for bx, by, bz in product(*nearby):
            weight = np.ones(len(positions))
            for i, (axis, b) in enumerate(zip(self.axes, (bx, by, bz), strict=True)):
                weight *= axis.weight(b, positions[:, i])
            if weight.any():
                yield bx + x.blocks * (by + y.blocks * bz), weight

    def __len__(self) -> int:
        x, y, z = (axis.blocks for axis in self.axes)
        return x * y * z


@dataclass(frozen=True)
class Boxes:
    """Blocks of any size, such as the leaves of an octree.

    A block's weight falls from one to zero around each of its faces that is not a face of the
    volume. Where more than two blocks meet weights need not sum to one: a reader divides by
    their sum.
    """

    dimensions: tuple[int, int, int]
    header: BoxesHeader
    partial = True

    def __len__(self) -> int:
        return len(self.header.boxes)

    def domain(self, block: int) -> list[tuple[int, int]]:
        """First and last voxel along x, y and z of a block's domain, its overlaps included."""
        box, overlap = self.header.boxes[block], self.header.overlap
        return [
            (max(first - overlap, 0), min(first + size - 1 + overlap, voxels - 1))
            for first, size, voxels in zip(box[:3], box[3:], self.dimensions, strict=True)
        ]

    def weight(self, axis: int, block: int, positions: Positions) -> Positions:
        """Blending weight of ``block`` along one axis."""
        box, overlap = self.header.boxes[block], self.header.overlap
        first, size = box[axis], box[axis + 3]
        last = first + size - 1
        ramp = max(2 * overlap - 1, 1)
        reach = overlap or 0.5
        inside = (positions >= first - reach) & (positions <= last + reach)
        weights = inside.astype(np.float64)
        if not overlap:
            return weights
        if first > 0:
            weights = np.minimum(weights, np.clip((positions - first + overlap) / ramp, 0, 1))
        if last < self.dimensions[axis] - 1:
            weights = np.minimum(weights, np.clip((last + overlap - positions) / ramp, 0, 1))
        return weights

    def coordinates(self, axis: int, block: int, positions: Positions) -> NDArray[np.float32]:
        """Network coordinates of voxel ``positions``: -1 to 1 over the block's domain."""
        first, last = self.domain(block)[axis]
        half = max(last - first, 1) / 2
        return ((positions - (first + last) / 2) / half).astype(np.float32)

    def covering(self, positions: Sequence[Positions]) -> Iterator[tuple[int, Runs]]:
        """As of `Blocks`."""
        for block in range(len(self)):
            runs = []
            for axis, along in enumerate(positions):
                weights = self.weight(axis, block, along)
                (inside,) = np.nonzero(weights)
                if len(inside):
                    run = slice(int(inside[0]), int(inside[-1]) + 1)
                    runs.append((run, weights[run].astype(np.float32)))
            if len(runs) == 3:
                yield block, tuple(runs)

    def near(self, positions: Positions) -> Iterator[tuple[int, NDArray[np.floating[Any]]]]:
        """As of `Blocks`."""
        for block in range(len(self)):
            weight = np.ones(len(positions))
            for axis in range(3):
                weight *= self.weight(axis, block, positions[:, axis])
            if weight.any():
                yield block, weight


def blocks_of(
    dimensions: tuple[int, int, int], header: LatticeHeader | BoxesHeader
) -> Blocks | Boxes:
    """Geometry of a model's blocks on a volume with ``dimensions`` (nx, ny, nz)."""
    if isinstance(header, BoxesHeader):
        return Boxes(dimensions, header)
    return Blocks.of(dimensions, header)
