"""Several networks that train together, each for some of the channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from inrvis.container.header import ModelHeader
from inrvis.container.tensors import TensorHeader
from inrvis.encoder.models.base import Chain, Exported, Model, Weigh, plain


class Separate(Model):
    """Networks side by side.

    Parameters
    ----------
    models : sequence of Model
        Networks of the same voxels.
    channels : sequence of tuple of int
        Channels that each gives.
    """

    def __init__(self, models: Sequence[Model], channels: Sequence[tuple[int, ...]]) -> None:
        super().__init__()
        self._parts = nn.ModuleList(models)
        self._channels = tuple(channels)
        self._all = sum(map(len, channels))

    @property
    def _models(self) -> list[Model]:
        return [model for model in self._parts if isinstance(model, Model)]

    def tensors(self) -> dict[str, Tensor]:
        """Weights and biases, ``network/w0`` and so on."""
        return {
            f"{number}/{name}": tensor
            for number, model in enumerate(self._models)
            for name, tensor in model.tensors().items()
        }

    def chains(self) -> tuple[Chain, ...]:
        """Those of all networks, if all have some."""
        own = [model.chains() for model in self._models]
        if not all(own):
            return ()
        return tuple(
            replace(chain, names=tuple(f"{number}/{name}" for name in chain.names))
            for number, chains in enumerate(own)
            for chain in chains
        )

    def draw(self, number: int, fraction: float) -> list[Any]:
        """Batch of each network."""
        return [model.draw(max(1, number // len(self._models)), fraction) for model in self._models]

    def loss(self, batch: Sequence[Any], weigh: Weigh) -> Tensor:
        """Mean squared error over all channels."""
        shares = [len(channels) / self._all for channels in self._channels]
        losses = self.losses(batch, weigh)
        return torch.stack([share * own for share, own in zip(shares, losses, strict=True)]).sum()

    def losses(self, batch: Sequence[Any], weigh: Weigh) -> list[Tensor]:
        """That of each network."""
        found = []
        for index, (model, part) in enumerate(zip(self._models, batch, strict=True)):

            def own(name: str, values: Tensor, prefix: str = f"{index}/") -> Tensor:
                return weigh(prefix + name, values)

            found.append(model.loss(part, plain if weigh is plain else own))
        return found

    def matrices(self) -> list[nn.Parameter]:
        """Those of all networks."""
        return [matrix for model in self._models for matrix in model.matrices()]

    def others(self, adam_rate: float, frequency_rate: float) -> list[dict[str, Any]]:
        """Those of all networks."""
        return [
            group for model in self._models for group in model.others(adam_rate, frequency_rate)
        ]

    @property
    def cost(self) -> tuple[float, float]:
        """Products and sines of one evaluation, in the mean over the networks."""
        products, sines = zip(*(model.cost for model in self._models), strict=True)
        return sum(products) / len(products), sum(sines) / len(sines)

    def export(self, headers: Mapping[str, TensorHeader]) -> Exported:
        """All networks; equal graphs are there once."""
        models: list[ModelHeader] = []
        graphs: list[bytes] = []
        tensors: list[dict[str, str]] = []
        for index, (model, channels) in enumerate(zip(self._models, self._channels, strict=True)):
            prefix = f"{index}/"
            own = {
                name.removeprefix(prefix): replace(header, name=name.removeprefix(prefix))
                for name, header in headers.items()
                if name.startswith(prefix)
            }
            exported = model.export(own)
            numbers = []
            for graph in exported.graphs:
                if graph not in graphs:
                    graphs.append(graph)
                numbers.append(graphs.index(graph))
            for header, names in zip(exported.models, exported.tensors, strict=True):
                trunk, interpolate, head = (numbers[n] if n >= 0 else -1 for n in header.graphs)
                given = tuple(channels[c] for c in header.channels)
                models.append(replace(header, channels=given, graphs=(trunk, interpolate, head)))
                tensors.append({name: prefix + inner for name, inner in names.items()})
        return Exported(tuple(models), tuple(graphs), tuple(tensors))
