"""Geometry of the knots at which a volume's trunk network is evaluated (docs/format.md, "Lattice").

The lattice belongs to the volume as a whole: blocks share out its knots, not its voxels, and the
interpolation between knots runs across blocks. So the decoded field is continuous at every block
face by construction, and there is nothing to blend or filter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inrvis.container.header import LatticeHeader


@dataclass(frozen=True)
class Axis:
    """The knots of one axis of ``voxels`` points."""

    voxels: int
    spacing: int
    blocks: int

    @property
    def knots(self) -> int:
        """Number of knots: they span the axis, the last one at or past its end."""
        return -(-(self.voxels - 1) // self.spacing) + 1

    @property
    def knots_per_block(self) -> int:
        """Largest number of knots that one block owns."""
        return -(-self.knots // self.blocks)

    def first_knot(self, block: int) -> int:
        """First knot that ``block`` owns; ``block == blocks`` gives the end."""
        return min(block * self.knots_per_block, self.knots)

    def interpolation(
        self, positions: NDArray[np.floating]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Knots needed at ``positions`` and their weights.

        Parameters
        ----------
        positions : ndarray, shape (n,)
            Voxel positions from 0 to voxels - 1, whole or fractional.

        Returns
        -------
        knots : ndarray of int64, shape (m,)
            The knots that carry weight, ascending.
        weights : ndarray of float32, shape (n, m)
            Linear interpolation: each row sums to one.
        """
        lower, fraction = self.cells(positions)
        upper = np.minimum(lower + 1, self.knots - 1)
        knots = np.unique(np.concatenate([lower, upper]))
        weights = np.zeros((len(lower), len(knots)), dtype=np.float32)
        rows = np.arange(len(lower))
        weights[rows, np.searchsorted(knots, upper)] = fraction
        weights[rows, np.searchsorted(knots, lower)] = 1 - fraction
        return knots, weights

    def cells(
        self, positions: NDArray[np.floating]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Lower knot and fraction of the way to the next, for each of ``positions``."""
        scaled = np.asarray(positions, dtype=np.float64) / self.spacing
        lower = np.clip(np.floor(scaled), 0, max(self.knots - 2, 0)).astype(np.int64)
        return lower, (scaled - lower).astype(np.float32)


@dataclass(frozen=True)
class Lattice:
    """The knots of a volume: one :class:`Axis` each for x, y and z."""

    x: Axis
    y: Axis
    z: Axis

    @classmethod
    def of(cls, dimensions: tuple[int, int, int], header: LatticeHeader) -> Lattice:
        """Lattice of a volume with ``dimensions`` (nx, ny, nz)."""
        return cls(
            *(
                Axis(voxels, spacing, blocks)
                for voxels, spacing, blocks in zip(
                    dimensions, header.spacing, header.blocks, strict=True
                )
            )
        )

    @property
    def axes(self) -> tuple[Axis, Axis, Axis]:
        """The axes in the order x, y, z."""
        return self.x, self.y, self.z

    @property
    def extent(self) -> float:
        """Length in voxels of the longest side of a block: the unit of the coordinates."""
        return float(max(axis.spacing * axis.knots_per_block for axis in self.axes))

    def coordinates(self, axis: Axis, knots: NDArray[np.int64]) -> NDArray[np.float32]:
        """Trunk coordinates along ``axis`` of ``knots``: from the middle of their block, to ±1."""
        block = knots // axis.knots_per_block
        first = block * axis.knots_per_block
        last = first + axis.knots_per_block - 1
        scaled = (2 * knots - first - last) * axis.spacing / self.extent
        return scaled.astype(np.float32)
