"""Fourier features and a multilayer perceptron (docs/models.md, "fourier").

Coordinates are mapped to ``[cos 2πBp, sin 2πBp]`` with a random Gaussian B whose groups of rows
have a learnable multiplier each; hidden layers are rectified. One network serves all channels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from inrvis.container.header import LatticeHeader, ModelHeader
from inrvis.container.tensors import TensorHeader
from inrvis.decoder.blocks import Blocks
from inrvis.encoder.export import fourier_graph
from inrvis.encoder.models.base import Exported, Model, Weigh, named
from inrvis.encoder.sampling import Sampler, TrainingData, VoxelBatch
from inrvis.encoder.settings import FourierSettings
from inrvis.errors import UsageError

_NARROWEST, _WIDEST = 8, 1024


class FourierNetwork(Model):
    """The network.

    Parameters
    ----------
    settings : FourierSettings
        Sizes; `width` and `features` set.
    data : TrainingData
        The volume, and the voxels of it to train on.
    generator : torch.Generator
        Source of B and of the initial weights.
    """

    def __init__(
        self, settings: FourierSettings, data: TrainingData, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.settings, self.channels = settings, data.channels
        self._lattice = LatticeHeader((1, 1, 1), 0, 0, data.channels)
        self._sampler = Sampler(data, Blocks.of(data.dimensions, self._lattice))
        directions = torch.randn(settings.features, 3, generator=generator)
        self.directions: Tensor
        self.register_buffer("directions", directions)
        # Coordinates span -1 to 1 here and 0 to 1 in the paper: half of 2π.
        self.multipliers = nn.Parameter(
            torch.full((settings.groups,), math.pi * settings.multiplier)
            * 2.0 ** torch.linspace(-settings.spread, settings.spread, settings.groups)
        )
        group = torch.arange(settings.features) * settings.groups // settings.features
        self.group: Tensor
        self.register_buffer("group", group)
        widths = [2 * settings.features, *[settings.width] * settings.layers, data.channels]
        layers = []
        for columns, rows in pairwise(widths):
            weight = torch.randn(rows, columns, generator=generator) * math.sqrt(2 / columns)
            layers.append(nn.Parameter(torch.cat([weight, torch.zeros(rows, 1)], dim=1)[None]))
        self.layers = nn.ParameterList(layers)

    def tensors(self) -> dict[str, Tensor]:
        """B with its multipliers as ``w0``; the first layer's cosine and sine halves apart."""
        features = self.settings.features
        first, *others = self.layers
        found = {
            "w0": (self.multipliers[self.group][:, None] * self.directions)[None],
            "w1c": first[..., :features],
            "w1s": first[..., features:-1],
            "w1b": first[..., -1],
        }
        for index, layer in enumerate(others, start=2):
            found[f"w{index}"], found[f"w{index}b"] = layer[..., :-1], layer[..., -1]
        return found

    def draw(self, number: int, fraction: float) -> VoxelBatch:  # noqa: ARG002
        """Random voxels of the training mask."""
        return self._sampler.voxels(number)

    def loss(self, batch: VoxelBatch, weigh: Weigh) -> Tensor:
        """Mean squared error of a batch."""
        weights = {name: weigh(name, tensor)[0] for name, tensor in self.tensors().items()}
        angles = batch.coordinates[0] @ weights["w0"].T
        hidden = (
            torch.cos(angles) @ weights["w1c"].T
            + torch.sin(angles) @ weights["w1s"].T
            + weights["w1b"]
        )
        for index in range(2, len(self.layers) + 1):
            hidden = torch.relu(hidden) @ weights[f"w{index}"].T + weights[f"w{index}b"]
        return (hidden - batch.targets[0]).square().mean()

    def matrices(self) -> list[nn.Parameter]:
        """All layers but the last."""
        return list(self.layers)[:-1]

    def others(self, adam_rate: float, frequency_rate: float) -> list[dict[str, Any]]:
        """The last layer, and the multipliers."""
        return [
            {"params": [self.layers[-1]], "lr": adam_rate},
            {"params": [self.multipliers], "lr": frequency_rate},
        ]

    @property
    def cost(self) -> tuple[float, float]:
        """Products and activations of one evaluation."""
        s = self.settings
        return parameter_count(s, self.channels), 2 * s.features + 0.2 * s.layers * s.width

    def export(self, headers: Mapping[str, TensorHeader]) -> Exported:
        """One network without a head."""
        s = self.settings
        names = {name: name for name in headers}
        model = ModelHeader(
            name="fourier",
            lattice=self._lattice,
            trunk=named(headers, names),
            head=(),
            channels=tuple(range(self.channels)),
            graphs=(0, -1, -1),
            settings={"features": s.features, "layers": s.layers, "width": s.width},
        )
        return Exported((model,), (fourier_graph(len(self.layers)),), (names,))


def parameter_count(settings: FourierSettings, channels: int) -> int:
    """Numbers that a file stores: B, weights and biases."""
    k, n = settings.features, settings.width
    hidden = (settings.layers - 1) * (n + 1) * n
    return 3 * k + (2 * k + 1) * n + hidden + (n + 1) * channels


def plan_fourier(settings: FourierSettings, channels: int, parameters: float) -> FourierSettings:
    """Widest network of at most ``parameters`` numbers; sizes that were set stay.

    Raises
    ------
    UsageError
        If not even the narrowest fits, or a setting makes no network.
    """
    _check(settings)
    best = None
    for width in range(_NARROWEST, _WIDEST + 1):
        sized = settings.sized(width)
        if parameter_count(sized, channels) > parameters:
            break
        best = sized
    if best is None:
        raise UsageError(
            f"the target leaves room for {int(parameters)} weights, too few for the fourier "
            "model: ask for a lower ratio"
        )
    return best


def _check(settings: FourierSettings) -> None:
    least = {"features": 0, "width": 0, "layers": 1, "groups": 1}
    for name, low in least.items():
        if getattr(settings, name) < low:
            raise UsageError(f"{name} must be {low} or more, not {getattr(settings, name)}")
    if not 0 < settings.multiplier < math.inf:
        raise UsageError(f"the multiplier must be positive, not {settings.multiplier}")
    if not math.isfinite(settings.spread):
        raise UsageError(f"the spread must be a number of octaves, not {settings.spread}")
