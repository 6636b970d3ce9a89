"""The default model: a SIREN in uniform blocks, with one head for all.

SIREN (Sitzmann et al. 2020) with its frequency factors folded into the weights. The trunks of
all blocks are one batched computation. With a lattice, a trunk is evaluated at knots a few
voxels apart and its features are interpolated: the trunk, nearly all of the cost, then runs once
for ``spacing**3`` voxels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from inrvis.container.header import ModelHeader
from inrvis.container.tensors import TensorHeader
from inrvis.encoder.export import head_graph, interpolate_graph, trunk_graph
from inrvis.encoder.models.base import Chain, Exported, Model, Weigh
from inrvis.encoder.models.sine import columns_of, sine, weighed
from inrvis.encoder.sampling import CellBatch, Sampler, VoxelBatch
from inrvis.encoder.settings import SirenSettings


class BlockSiren(Model):
    """Trunks and head.

    A layer's weights and biases are one matrix ``[W | b]``: the optimiser orthogonalises the
    affine map as a whole.

    Parameters
    ----------
    settings : SirenSettings
        Sizes.
    channels : int
        Outputs.
    sampler : Sampler
        Of the same blocks.
    generator : torch.Generator
        Source of the initial weights.
    """

    def __init__(
        self,
        settings: SirenSettings,
        channels: int,
        sampler: Sampler,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.settings, self.channels, self._sampler = settings, channels, sampler
        blocks = math.prod(settings.blocks)

        def affine(*shape: int, spread: float, bias: float) -> nn.Parameter:
            *batch, rows, columns = shape
            weight = (2 * torch.rand(*batch, rows, columns, generator=generator) - 1) * spread
            offset = (2 * torch.rand(*batch, rows, 1, generator=generator) - 1) * bias
            return nn.Parameter(torch.cat([weight, offset], dim=-1))

        widths = [3] + [settings.width] * (settings.depth + 1) + [settings.features]
        frequency = settings.frequency / math.sqrt(3)
        self.trunk = nn.ParameterList(
            affine(blocks, rows, columns, spread=frequency, bias=math.pi)
            if layer == 0
            else affine(
                blocks,
                rows,
                columns,
                spread=math.sqrt(6 / columns),
                bias=1.0 if layer == settings.depth + 1 else 0.3,
            )
            for layer, (columns, rows) in enumerate(pairwise(widths))
        )
        features, hidden = settings.features, settings.head_width
        self.head = nn.ParameterList(
            [
                affine(hidden, features, spread=math.sqrt(6 / features), bias=0.3),
                affine(channels, hidden, spread=math.sqrt(6 / hidden) / 10, bias=0.0),
            ]
        )

    def tensors(self) -> dict[str, Tensor]:
        """Weights and biases by their name in the file, as views."""
        named = {}
        for prefix, layers in (("w", self.trunk), ("h", self.head)):
            for index, layer in enumerate(layers):
                named[f"{prefix}{index}"] = layer[..., :-1]
                named[f"{prefix}{index}b"] = layer[..., -1]
        return named

    def chains(self) -> tuple[Chain, ...]:
        """The one there is where one block is evaluated at every voxel."""
        if not self.settings.is_chain:
            return ()
        names = [f"w{i}" for i in range(len(self.trunk))] + [f"h{i}" for i in range(len(self.head))]
        layers = (*(layer[0] for layer in self.trunk), *self.head)
        return (Chain(tuple(names), layers, self._sampler.points),)

    def features(self, coordinates: Tensor, weigh: Weigh) -> Tensor:
        """Trunk outputs, shape (blocks, features, n), at (blocks, n, 3)."""
        first, *others = self.trunk
        hidden = torch.bmm(weighed(weigh, "w0", first), columns_of(coordinates))
        for index, layer in enumerate(others, start=1):
            hidden = torch.bmm(weighed(weigh, f"w{index}", layer), sine(hidden))
        return hidden

    def values(self, features: Tensor, weigh: Weigh) -> Tensor:
        """Outputs, shape (blocks, channels, n), of features (blocks, features, n)."""
        hidden = features
        for index, layer in enumerate(self.head):
            hidden = torch.matmul(weighed(weigh, f"h{index}", layer), sine(hidden))
        return hidden

    def draw(self, number: int, fraction: float) -> VoxelBatch | CellBatch:
        """Single voxels first; later, if there is a lattice, cells seen through it."""
        if self.settings.spacing and fraction >= self.settings.lattice_start:
            return self._sampler.cells(number)
        return self._sampler.voxels(number)

    def loss(self, batch: VoxelBatch | CellBatch, weigh: Weigh) -> Tensor:
        """Mean squared error of a batch."""
        features = self.features(batch.coordinates, weigh)
        if isinstance(batch, CellBatch):
            blocks, width, _ = features.shape
            knots = features.view(blocks, width, -1, batch.interpolation.shape[1])
            features = torch.matmul(knots, batch.interpolation.T).flatten(2)
        values = self.values(features, weigh)
        targets = batch.targets.reshape(len(features), -1, self.channels)
        return (values.transpose(1, 2) - targets).square().mean()

    def matrices(self) -> list[nn.Parameter]:
        """All layers of the trunks but the first."""
        return list(self.trunk)[1:]

    def others(self, adam_rate: float, frequency_rate: float) -> list[dict[str, Any]]:
        """The head, and the first layer."""
        return [
            {"params": list(self.head), "lr": adam_rate},
            {"params": [self.trunk[0]], "lr": frequency_rate},
        ]

    @property
    def cost(self) -> tuple[float, float]:
        """Products and sines of one evaluation."""
        return evaluation_cost(self.settings, self.channels)

    def export(self, headers: Mapping[str, TensorHeader]) -> Exported:
        """One network with blocks in a lattice."""
        s = self.settings
        graphs = [trunk_graph(len(self.trunk)), head_graph(len(self.head))]
        if s.spacing:
            graphs.append(interpolate_graph())
        model = ModelHeader(
            name="siren",
            lattice=s.lattice,
            trunk=tuple(header for name, header in headers.items() if name.startswith("w")),
            head=tuple(header for name, header in headers.items() if name.startswith("h")),
            channels=tuple(range(self.channels)),
            graphs=(0, 2 if s.spacing else -1, 1),
            settings={"depth": s.depth, "width": s.width},
        )
        return Exported((model,), tuple(graphs), ({name: name for name in headers},))


def parameter_count(settings: SirenSettings, channels: int) -> int:
    """Weights and biases of all blocks and the head."""
    width, depth = settings.width, settings.depth
    trunk = 4 * width + depth * (width + 1) * width + (width + 1) * settings.features
    head = (settings.features + 1) * settings.head_width + (settings.head_width + 1) * channels
    return math.prod(settings.blocks) * trunk + head


def evaluation_cost(settings: SirenSettings, channels: int) -> tuple[float, float]:
    """Products and sines of one evaluation."""
    products = parameter_count(settings, channels) / math.prod(settings.blocks)
    sines = settings.width * (settings.depth + 1) + settings.features + settings.head_width
    return products, sines
