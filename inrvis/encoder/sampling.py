"""Batches to train on: single voxels, or cells of voxels seen through the lattice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inrvis.decoder.blocks import Blocks, Boxes

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


class TrainingData:
    """A normalised volume on the device that trains on it.

    Parameters
    ----------
    volume : ndarray of float32, shape (nz, ny, nx, channels)
        Normalised values.
    device : torch.device
        Where the volume lives and batches are made.
    generator : torch.Generator
        On that device.
    known : ndarray of bool, shape (nz, ny, nx), optional
        Voxels to draw from; all by default.
    """

    def __init__(
        self,
        volume: NDArray[np.float32],
        device: torch.device,
        generator: torch.Generator,
        known: NDArray[np.bool_] | None = None,
    ) -> None:
        nz, ny, nx, channels = volume.shape
        self.dimensions, self.channels = (nx, ny, nz), channels
        self.device, self.generator, self.known = device, generator, known
        self.values = torch.from_numpy(volume.reshape(-1, channels)).to(device)


class Sampler:
    """Draws training batches from the blocks of a volume.

    Parameters
    ----------
    data : TrainingData
        The volume.
    blocks : Blocks or Boxes
        Geometry.
    """

    def __init__(self, data: TrainingData, blocks: Blocks | Boxes) -> None:
        self._generator, self._device, self._values = data.generator, data.device, data.values
        device = data.device
        domains = [blocks.domain(block) for block in range(len(blocks))]
        # Shape (blocks, 3, 2): first and last voxel along x, y and z.
        domain = torch.tensor(domains, device=device)
        self._first, self._last = domain[..., 0], domain[..., 1]
        self._voxels = torch.tensor(data.dimensions, device=device)
        middle = domain.double().mean(dim=-1).float()
        if isinstance(blocks, Blocks):
            self._extent = torch.full_like(middle, blocks.extent)
            self._spacing = blocks.axes[0].spacing
        else:
            self._extent = torch.clamp(self._last - self._first, min=1) / 2
            self._spacing = 0
        self._middle = middle
        self._known = None if data.known is None else _known_in(domains, data.known, device)

    def _look_up(self, voxels: Tensor) -> Tensor:
        nx, ny = self._voxels[0], self._voxels[1]
        return self._values[voxels[..., 0] + nx * (voxels[..., 1] + ny * voxels[..., 2])]

    def _random(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self._generator, device=self._device)

    def _coordinates(self, positions: Tensor) -> Tensor:
        return (positions - self._middle[:, None]) / self._extent[:, None]

    def voxels(self, number: int) -> VoxelBatch:
        """About ``number`` random voxels, equally many in each block."""
        blocks = len(self._first)
        number = max(1, number // blocks)
        if self._known is not None:
            return self._known_voxels(self._known, number)
        size = (self._last - self._first + 1)[:, None]
        voxels = self._first[:, None] + (self._random(blocks, number, 3) * size).long()
        return VoxelBatch(self._coordinates(voxels), self._look_up(voxels))

    def points(self, number: int) -> tuple[Tensor, Tensor]:
        """Coordinates (n, 3) and values (n, channels) of random voxels of the first block."""
        batch = self.voxels(number)
        return batch.coordinates[0], batch.targets[0]

    def _known_voxels(self, known: tuple[Tensor, Tensor, Tensor], number: int) -> VoxelBatch:
        flat, starts, counts = known
        chosen = self._random(len(starts), number).double() * counts[:, None]
        index = flat[starts[:, None] + chosen.long()]
        nx, ny = self._voxels[0], self._voxels[1]
        voxels = torch.stack([index % nx, index // nx % ny, index // (nx * ny)], dim=-1)
        return VoxelBatch(self._coordinates(voxels), self._values[index])

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


def _known_in(
    domains: list[list[tuple[int, int]]], known: NDArray[np.bool_], device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Flat indices of known voxels block by block, and where each block's begin and how many."""
    numbers = np.arange(known.size).reshape(known.shape)
    parts = []
    for (x0, x1), (y0, y1), (z0, z1) in domains:
        box = (slice(z0, z1 + 1), slice(y0, y1 + 1), slice(x0, x1 + 1))
        inside = numbers[box][known[box]]
        # A block without any learns the fill.
        parts.append(inside if len(inside) else numbers[box].ravel())
    counts = np.array([len(part) for part in parts])
    return (
        torch.from_numpy(np.concatenate(parts)).to(device),
        torch.from_numpy(np.cumsum(counts) - counts).to(device),
        torch.from_numpy(counts).to(device),
    )
