"""The perceptron of NeRF (Mildenhall et al. 2020), with which SCI is compared in its Table 1.

Coordinates are mapped to cosines and sines of ``2**k * x`` along each axis, k from 0; the layers
are rectified. The frequencies are whole numbers, so a file holds them exactly in some 50 bytes.
They are those of NeRF's code. With the pi of its text, opposite faces of a volume, at -1 and 1,
have the same features, which cost 5 dB on brain_u16.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import count, pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from inrvis.container.header import LatticeHeader, ModelHeader
from inrvis.container.tensors import TensorHeader
from inrvis.decoder.blocks import Blocks
from inrvis.encoder.assembly import NetworkParts
from inrvis.encoder.export import fourier_graph
from inrvis.encoder.making import Maker
from inrvis.encoder.models.base import Exported, Model, Weigh, named
from inrvis.encoder.plan import Variant
from inrvis.encoder.quantise import Quantiser, best_table
from inrvis.encoder.rounding import Trained
from inrvis.encoder.sampling import Sampler, TrainingData, VoxelBatch
from inrvis.encoder.volume import VolumeEncoder

# Linear maps and octaves, as in SCI's comparison.
_LAYERS, _OCTAVES = 7, 10
_BITS_PER_WEIGHT = 6.0


class PositionalNetwork(Model):
    """The network.

    Parameters
    ----------
    width : int
        Neurons of a hidden layer.
    data : TrainingData
        The volume.
    generator : torch.Generator
        Source of the initial weights.
    """

    def __init__(self, width: int, data: TrainingData, generator: torch.Generator) -> None:
        super().__init__()
        self.width, self.channels = width, data.channels
        self._lattice = LatticeHeader((1, 1, 1), 0, 0, data.channels)
        self._sampler = Sampler(data, Blocks.of(data.dimensions, self._lattice))
        self.frequencies: Tensor
        self.register_buffer("frequencies", torch.from_numpy(_frequencies()).float())
        widths = [2 * len(self.frequencies), *[width] * (_LAYERS - 1), data.channels]
        layers = []
        for columns, rows in pairwise(widths):
            weight = torch.randn(rows, columns, generator=generator) * math.sqrt(2 / columns)
            layers.append(nn.Parameter(torch.cat([weight, torch.zeros(rows, 1)], dim=1)[None]))
        self.layers = nn.ParameterList(layers)

    def tensors(self) -> dict[str, Tensor]:
        """Weights and biases, the first layer's cosine and sine halves apart."""
        first, *others = self.layers
        features = len(self.frequencies)
        found = {
            "w1c": first[..., :features],
            "w1s": first[..., features:-1],
            "w1b": first[..., -1],
        }
        for index, layer in enumerate(others, start=2):
            found[f"w{index}"], found[f"w{index}b"] = layer[..., :-1], layer[..., -1]
        return found

    def draw(self, number: int, fraction: float) -> VoxelBatch:
        """Random voxels."""
        del fraction
        return self._sampler.voxels(number)

    def loss(self, batch: VoxelBatch, weigh: Weigh) -> Tensor:
        """Mean squared error of a batch."""
        weights = {name: weigh(name, tensor)[0] for name, tensor in self.tensors().items()}
        angles = batch.coordinates[0] @ self.frequencies.T
        hidden = torch.cos(angles) @ weights["w1c"].T + torch.sin(angles) @ weights["w1s"].T
        hidden = hidden + weights["w1b"]
        for index in range(2, _LAYERS + 1):
            hidden = torch.relu(hidden) @ weights[f"w{index}"].T + weights[f"w{index}b"]
        return (hidden - batch.targets[0]).square().mean()

    def matrices(self) -> list[nn.Parameter]:
        """All layers but the last."""
        return list(self.layers)[:-1]

    def others(self, adam_rate: float, frequency_rate: float) -> list[dict[str, Any]]:
        """The last layer: the frequencies are fixed."""
        del frequency_rate
        return [{"params": [self.layers[-1]], "lr": adam_rate}]

    @property
    def cost(self) -> tuple[float, float]:
        """Products and activations of one evaluation."""
        return _parameters(self.width, self.channels), 2 * len(self.frequencies)

    def export(self, headers: Mapping[str, TensorHeader]) -> Exported:
        """One network without a head, but for its frequencies."""
        names = {name: name for name in headers}
        model = ModelHeader(
            name="fourier",
            lattice=self._lattice,
            trunk=named(headers, names),
            head=(),
            channels=tuple(range(self.channels)),
            graphs=(0, -1, -1),
            settings={"layers": _LAYERS - 1, "width": self.width},
        )
        return Exported((model,), (fourier_graph(_LAYERS),), (names,))


class _PositionalMaker(Maker):
    """Makes that network in place of a model of the library."""

    def make(
        self,
        data: TrainingData,
        bits: float,
        generator: torch.Generator,
        variant: Variant,  # noqa: ARG002
    ) -> Model:
        """Network whose weights take about ``bits``."""
        number = bits / _BITS_PER_WEIGHT
        width = next(n for n in count(1) if _parameters(n + 1, data.channels) > number)
        return PositionalNetwork(width, data, generator)


class PositionalEncoder(VolumeEncoder):
    """Trains it, and adds what is no weight."""

    maker = _PositionalMaker

    def parts(self, trained: Trained, quantiser: Quantiser | None) -> NetworkParts:
        """Add the frequencies, which are no weights."""
        found = super().parts(trained, quantiser)
        (model,), (tensors,) = found.models, found.tensors
        frequencies = _frequencies()[None]
        header = TensorHeader("w0", frequencies.shape, 1.0, best_table(frequencies)[0])
        return replace(
            found,
            models=(replace(model, trunk=(header, *model.trunk)),),
            tensors=({"w0": frequencies, **tensors},),
        )


def _frequencies() -> np.ndarray[Any, np.dtype[np.int64]]:
    """Of shape (octaves * 3, 3)."""
    powers = 2 ** np.arange(_OCTAVES)
    return np.kron(powers[:, None], np.eye(3, dtype=np.int64))


def _parameters(width: int, channels: int) -> int:
    widths = [6 * _OCTAVES, *[width] * (_LAYERS - 1), channels]
    return sum((columns + 1) * rows for columns, rows in pairwise(widths))
