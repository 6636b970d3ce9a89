"""Batches to train on: single voxels, or cells of voxels seen through the lattice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inrvis.decoder.blocks import Blocks

# Voxels drawn from a cell of the lattice, for each of its eight knots.
_VOXELS_PER_KNOT = 1.5


@dataclass(frozen=True)
class VoxelBatch:
    """Voxels of each block: coordinates (blocks, n, 3), targets (blocks, n, channels)."""

    coordinates: Tensor
    targets: Tensor


@dataclass(frozen=True)
class CellBatch:
    """Cells of each block's lattice.

    Knots (blocks, cells * 8, 3), weights (n, 8) of the voxels drawn from every cell, and targets
    (blocks, cells, n, channels).
    """

    coordinates: Tensor
    interpolation: Tensor
    targets: Tensor


class Sampler:
    """Draws training batches from a normalised volume.

    Parameters
    ----------
    volume : ndarray of float32, shape (nz, ny, nx, channels)
        Normalised values.
    blocks : Blocks
        Geometry.
    device : torch.device
        Where the volume lives and batches are made.
    generator : torch.Generator
        On that device.
    """

    def __init__(
        self,
        volume: NDArray[np.float32],
        blocks: Blocks,
        device: torch.device,
        generator: torch.Generator,
    ) -> None:
        self._generator, self._device = generator, device
        self._values = torch.from_numpy(volume.reshape(-1, volume.shape[-1])).to(device)
        domains = [
            [axis.domain(b) for axis, b in zip(blocks.axes, block, strict=True)] for block in blocks
        ]
        # Shape (blocks, 3, 2): first and last voxel along x, y and z.
        domain = torch.tensor(domains, device=device)
        self._first, self._last = domain[..., 0], domain[..., 1]
        self._voxels = torch.tensor([axis.voxels for axis in blocks.axes], device=device)
        self._extent = blocks.extent
        self._spacing = blocks.axes[0].spacing

    def _look_up(self, voxels: Tensor) -> Tensor:
        nx, ny = self._voxels[0], self._voxels[1]
        return self._values[voxels[..., 0] + nx * (voxels[..., 1] + ny * voxels[..., 2])]

    def _random(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self._generator, device=self._device)

    def _coordinates(self, positions: Tensor) -> Tensor:
        middle = (self._first + self._last)[:, None] / 2
        return (positions - middle) / self._extent

    def voxels(self, number: int) -> VoxelBatch:
        """About ``number`` random voxels, equally many in each block."""
        blocks = len(self._first)
        size = (self._last - self._first + 1)[:, None]
        chosen = self._random(blocks, max(1, number // blocks), 3)
        voxels = self._first[:, None] + (chosen * size).long()
        return VoxelBatch(self._coordinates(voxels), self._look_up(voxels))

    def cells(self, number: int) -> CellBatch:
        """Random cells with about ``number`` knots in all, and the same random voxels of each."""
        blocks, spacing = len(self._first), self._spacing
        span = self._last - self._first
        cells = torch.clamp((span + spacing - 1) // spacing, min=1)[:, None]
        chosen = self._random(blocks, max(1, number // (8 * blocks)), 3)
        origin = self._first[:, None] + (chosen * cells).long() * spacing
        corners = _cube(2, self._device)
        inside = _cube(spacing + 1, self._device)
        wanted = min(len(inside), round(_VOXELS_PER_KNOT * 8))
        drawn = inside[(self._random(wanted) * len(inside)).long()]
        distance = drawn[:, None] / spacing - corners
        interpolation = torch.clamp(1 - distance.abs(), min=0).prod(dim=-1)
        voxels = torch.minimum(origin[:, :, None] + drawn, self._last[:, None, None])
        knots = (origin[:, :, None] + corners * spacing).reshape(blocks, -1, 3)
        return CellBatch(self._coordinates(knots), interpolation, self._look_up(voxels))


def _cube(side: int, device: torch.device) -> Tensor:
    """All integer positions of a cube, shape (side**3, 3)."""
    steps = torch.arange(side, device=device)
    return torch.cartesian_prod(steps, steps, steps)
