"""SCI: blocks of concentrated spectrum, a funnel-shaped SIREN for each (docs/models.md, "sci").

Yang et al. 2023. Blocks whose networks have equal widths are one batched computation; all of them
train together. Blocks overlap a little and blend there, which takes the place of the paper's
deblocking filter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from inrvis.container.header import BoxesHeader, ModelHeader
from inrvis.container.tensors import TensorHeader
from inrvis.decoder.blocks import Boxes
from inrvis.encoder.export import trunk_graph
from inrvis.encoder.funnel import allocate, funnel, parameter_count, width_classes
from inrvis.encoder.models.base import Chain, Exported, Model, Weigh, named
from inrvis.encoder.models.sine import columns_of, sine, weighed
from inrvis.encoder.normalise import Normalised
from inrvis.encoder.octree import Leaf, equidistant, partition, whole
from inrvis.encoder.sampling import Sampler, TrainingData, VoxelBatch
from inrvis.encoder.settings import SciSettings
from inrvis.errors import UsageError

_NARROWEST = 4
_PARTITIONS = {"octree": partition, "equidistant": equidistant, "whole": whole}
Widths = tuple[int, ...]


class _Group(nn.Module):
    """Blocks whose networks have the same widths."""

    def __init__(
        self,
        leaves: Sequence[Leaf],
        widths: Widths,
        data: TrainingData,
        generator: torch.Generator,
        *,
        overlap: int,
        frequency: float,
    ) -> None:
        super().__init__()
        self.widths = widths
        self.boxes = BoxesHeader(
            tuple((*leaf.box.start, *leaf.box.size) for leaf in leaves), overlap, data.channels
        )
        self.sampler = Sampler(data, Boxes(data.dimensions, self.boxes))
        self.voxels = sum(leaf.box.voxels for leaf in leaves)
        sizes = torch.tensor([float(leaf.box.voxels) for leaf in leaves])
        self.share: Tensor
        self.register_buffer("share", sizes / sizes.mean())
        layers = []
        for index, (columns, rows) in enumerate(pairwise((3, *widths, data.channels))):
            # SIREN's frequency factors are folded into the weights: 20 and 30 in the paper.
            spread = frequency / 3 if index == 0 else math.sqrt(6 / columns)
            if index == len(widths):
                spread /= 30
            bias = spread * math.sqrt(3 / columns) if index else frequency / math.sqrt(3)
            shape = (len(leaves), rows)
            weight = (2 * torch.rand(*shape, columns, generator=generator) - 1) * spread
            offset = (2 * torch.rand(*shape, 1, generator=generator) - 1) * bias
            layers.append(nn.Parameter(torch.cat([weight, offset], dim=-1)))
        self.layers = nn.ParameterList(layers)


class SciNetwork(Model):
    """The networks of all blocks.

    Parameters
    ----------
    leaves : sequence of Leaf
        Blocks that tile the volume.
    widths : sequence of tuple of int
        Hidden widths of each block's network.
    data : TrainingData
        The volume.
    generator : torch.Generator
        Source of the initial weights.
    overlap : int
        Voxels that neighbouring blocks reach into each other.
    frequency : float
        Frequency factor of the first layer, the paper's w0.
    """

    def __init__(
        self,
        leaves: Sequence[Leaf],
        widths: Sequence[Widths],
        data: TrainingData,
        generator: torch.Generator,
        *,
        overlap: int,
        frequency: float,
    ) -> None:
        super().__init__()
        self.channels = data.channels
        self.groups = nn.ModuleList(
            _Group(
                [leaf for leaf, own in zip(leaves, widths, strict=True) if own == distinct],
                distinct,
                data,
                generator,
                overlap=overlap,
                frequency=frequency,
            )
            for distinct in sorted(set(widths), reverse=True)
        )
        self._all_voxels = sum(leaf.box.voxels for leaf in leaves)

    def chains(self) -> tuple[Chain, ...]:
        """The one there is where the volume is one block."""
        group, *others = self._groups()
        if others or len(group.share) > 1:
            return ()
        names = tuple(f"0/w{index}" for index in range(len(group.layers)))
        return (Chain(names, tuple(layer[0] for layer in group.layers), group.sampler.points),)

    def _groups(self) -> list[_Group]:
        return [group for group in self.groups if isinstance(group, _Group)]

    def tensors(self) -> dict[str, Tensor]:
        """Weights and biases, ``group/w0`` and so on."""
        found = {}
        for number, group in enumerate(self._groups()):
            for index, layer in enumerate(group.layers):
                found[f"{number}/w{index}"] = layer[..., :-1]
                found[f"{number}/w{index}b"] = layer[..., -1]
        return found

    def draw(self, number: int, fraction: float) -> list[VoxelBatch]:  # noqa: ARG002
        """Random voxels: of each group in proportion to its voxels."""
        return [
            group.sampler.voxels(max(1, round(number * group.voxels / self._all_voxels)))
            for group in self._groups()
        ]

    def loss(self, batch: Sequence[VoxelBatch], weigh: Weigh) -> Tensor:
        """Mean squared error over the volume."""
        total = torch.zeros((), device=batch[0].coordinates.device)
        for number, (group, part) in enumerate(zip(self._groups(), batch, strict=True)):
            hidden = columns_of(part.coordinates)
            for index, layer in enumerate(group.layers):
                columns = sine(hidden) if index else hidden
                hidden = torch.bmm(weighed(weigh, f"{number}/w{index}", layer), columns)
            # Blocks of a group may differ in size and yet draw equally many voxels.
            errors = (hidden.transpose(1, 2) - part.targets).square().mean(dim=(1, 2))
            total = total + (errors * group.share).mean() * (group.voxels / self._all_voxels)
        return total

    def matrices(self) -> list[nn.Parameter]:
        """All layers but the first and the last of each network."""
        return [layer for group in self._groups() for layer in list(group.layers)[1:-1]]

    def others(self, adam_rate: float, frequency_rate: float) -> list[dict[str, Any]]:
        """Last layers, and first ones."""
        return [
            {"params": [group.layers[-1] for group in self._groups()], "lr": adam_rate},
            {"params": [group.layers[0] for group in self._groups()], "lr": frequency_rate},
        ]

    @property
    def cost(self) -> tuple[float, float]:
        """Products and sines of one evaluation, in the mean over the voxels."""
        shares = [group.voxels / self._all_voxels for group in self._groups()]
        products = [parameter_count(group.widths, self.channels) for group in self._groups()]
        sines = [sum(group.widths) for group in self._groups()]
        return (
            sum(s * p for s, p in zip(shares, products, strict=True)),
            sum(s * p for s, p in zip(shares, sines, strict=True)),
        )

    def export(self, headers: Mapping[str, TensorHeader]) -> Exported:
        """One network for each group of blocks; they share one graph."""
        models, tensors = [], []
        for number, group in enumerate(self._groups()):
            prefix = f"{number}/"
            names = {n.removeprefix(prefix): n for n in headers if n.startswith(prefix)}
            tensors.append(names)
            models.append(
                ModelHeader(
                    name="sci",
                    lattice=group.boxes,
                    trunk=named(headers, names),
                    head=(),
                    channels=tuple(range(self.channels)),
                    graphs=(0, -1, -1),
                    settings={"widths": list(group.widths)},
                )
            )
        layers = len(self._groups()[0].layers)
        return Exported(tuple(models), (trunk_graph(layers),), tuple(tensors))


def plan_sci(
    settings: SciSettings,
    normalised: Normalised,
    parameters: int,
    data: TrainingData,
    generator: torch.Generator,
) -> SciNetwork:
    """Partition a volume and share out ``parameters`` among its blocks.

    The paper's measure of a spectrum takes values as they are, an offset included; without the
    mean it does not see one.

    Raises
    ------
    UsageError
        If there are too few parameters for any network, or a setting makes none.
    """
    if settings.partition not in _PARTITIONS:
        raise UsageError(
            f"unknown partition {settings.partition!r}: choose {', '.join(_PARTITIONS)}"
        )
    if not 0 < settings.frequency < math.inf:
        raise UsageError(f"the frequency must be positive, not {settings.frequency}")
    if settings.overlap < 0:
        raise UsageError(f"blocks cannot overlap by {settings.overlap} voxels; give 0 or more")
    values = np.stack(normalised.planes, axis=-1)
    smallest = parameter_count(funnel(_NARROWEST, settings.layers, settings.ratio), data.channels)
    if parameters < smallest:
        raise UsageError(
            f"the target leaves room for {max(parameters, 0)} weights, too few for the sci model, "
            f"which takes {smallest}: ask for a lower ratio"
        )
    least = max(smallest, settings.least_weights)
    most = max(1, min(settings.spectrum.most_blocks, parameters // least))
    spectrum = replace(settings.spectrum, most_blocks=most)
    leaves = _PARTITIONS[settings.partition](values, spectrum)
    shares = allocate(leaves, parameters, by=settings.allocation, smallest=smallest)
    widths = width_classes(shares, data.channels, settings.layers, settings.ratio)
    sides = [n for leaf in leaves for n in leaf.box.size if n > 1] if len(leaves) > 1 else [0]
    overlap = min(settings.overlap, min(sides, default=0) // 4)
    return SciNetwork(
        leaves, widths, data, generator, overlap=overlap, frequency=settings.frequency
    )
