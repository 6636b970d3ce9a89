"""Batches to train on: single voxels, or patches of voxels seen through the lattice."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inrvis.decoder.lattice import Lattice

# Cells along a side of a patch. A patch of c cells needs (c + 1)**3 knots.
_PATCH_CELLS = 3
# Voxels drawn from a patch, for each of its knots.
_VOXELS_PER_KNOT = 1.5


@dataclass(frozen=True)
class VoxelBatch:
    """Voxels of each block: coordinates (blocks, n, 3), targets (blocks, n, channels)."""

    coordinates: Tensor
    targets: Tensor
    weights: Tensor


@dataclass(frozen=True)
class PatchBatch:
    """Knots by block, where each patch finds its own, and targets (patches, n, channels)."""

    coordinates: Tensor
    gather: Tensor
    interpolation: Tensor
    targets: Tensor


class Sampler:
    """Draws training batches from a normalised volume.

    Parameters
    ----------
    volume : ndarray of float32, shape (nz, ny, nx, channels)
        Normalised values.
    lattice : Lattice
        Knots and blocks.
    device : torch.device
        Where the volume lives and batches are made.
    generator : torch.Generator
        On that device.
    """

    def __init__(
        self,
        volume: NDArray[np.float32],
        lattice: Lattice,
        device: torch.device,
        generator: torch.Generator,
    ) -> None:
        self._generator, self._device = generator, device
        self._lattice = lattice
        self._dimensions = torch.tensor([a.voxels for a in lattice.axes], device=device)
        self._values = torch.from_numpy(volume.reshape(-1, volume.shape[-1])).to(device)
        self._spacing = torch.tensor([a.spacing for a in lattice.axes], device=device)
        self._blocks = torch.tensor([a.blocks for a in lattice.axes], device=device)
        self._block_knots = torch.tensor([a.knots_per_block for a in lattice.axes], device=device)
        axes = lattice.axes
        index = torch.arange(math.prod(a.blocks for a in axes), device=device)
        x, y, z = (a.blocks for a in axes)
        block = torch.stack([index % x, index // x % y, index // (x * y)], dim=-1)
        # Voxels from a block's first knot up to the next block's first.
        self._start = torch.minimum(block * self._block_knots * self._spacing, self._dimensions - 1)
        stop = torch.minimum((block + 1) * self._block_knots * self._spacing, self._dimensions)
        self._size = (stop - self._start).clamp(min=1)
        volume_share = self._size.prod(dim=1).float()
        self._weights = (volume_share / volume_share.mean())[:, None, None]

    def _look_up(self, voxels: Tensor) -> Tensor:
        nx, ny = self._dimensions[0], self._dimensions[1]
        return self._values[voxels[..., 0] + nx * (voxels[..., 1] + ny * voxels[..., 2])]

    def _random(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self._generator, device=self._device)

    def voxels(self, number: int) -> VoxelBatch:
        """About ``number`` random voxels, equally many in each block."""
        blocks = len(self._start)
        chosen = self._random(blocks, max(1, number // blocks), 3)
        voxels = self._start[:, None] + (chosen * self._size[:, None]).long()
        knots = voxels / self._spacing
        first = (self._start / self._spacing)[:, None]
        return VoxelBatch(self._coordinates(knots, first), self._look_up(voxels), self._weights)

    def _coordinates(self, knots: Tensor, first: Tensor) -> Tensor:
        middle = 2 * first + self._block_knots - 1
        return ((2 * knots - middle) * self._spacing / self._lattice.extent).float()

    def patches(self, number: int) -> PatchBatch:
        """Patches with about ``number`` knots in all, and random voxels of them."""
        knots = torch.tensor([a.knots for a in self._lattice.axes], device=self._device)
        cells = torch.clamp(knots - 1, max=_PATCH_CELLS)
        offsets = _product([int(c) + 1 for c in cells], self._device)
        patches = max(1, number // len(offsets))
        origin = (self._random(patches, 3) * (knots - cells)).long()
        inside = _product([int(c * s) + 1 for c, s in zip(cells, self._spacing, strict=True)],
                          self._device)
        wanted = max(1, round(_VOXELS_PER_KNOT * len(offsets)))
        drawn = inside[(self._random(min(wanted, len(inside))) * len(inside)).long()]
        distance = (drawn / self._spacing)[:, None] - offsets[None]
        interpolation = torch.clamp(1 - distance.abs(), min=0).prod(dim=-1)
        voxels = torch.minimum(origin[:, None] * self._spacing + drawn, self._dimensions - 1)
        coordinates, gather = self._by_block(origin[:, None] + offsets)
        return PatchBatch(coordinates, gather, interpolation, self._look_up(voxels))

    def _by_block(self, knots: Tensor) -> tuple[Tensor, Tensor]:
        """Sort knots (patches, m, 3) into rows by block, padded; and where each one went."""
        block = knots // self._block_knots
        coordinates = self._coordinates(knots, block * self._block_knots).reshape(-1, 3)
        bx, by = self._blocks[0], self._blocks[1]
        owner = (block[..., 0] + bx * (block[..., 1] + by * block[..., 2])).reshape(-1)
        counts = torch.bincount(owner, minlength=len(self._start))
        longest = int(counts.max())
        order = torch.argsort(owner, stable=True)
        rank = torch.arange(len(owner), device=self._device)
        rank -= (torch.cumsum(counts, 0) - counts)[owner[order]]
        slot = torch.empty_like(owner)
        slot[order] = owner[order] * longest + rank
        padded = torch.zeros(len(counts) * longest, 3, device=self._device)
        padded[slot] = coordinates
        return padded.view(len(counts), longest, 3), slot.view(knots.shape[:-1])


def _product(lengths: list[int], device: torch.device) -> Tensor:
    axes = [torch.arange(n, device=device) for n in lengths]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 3)
