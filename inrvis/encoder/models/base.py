"""What training, quantisation and rate control ask of a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from inrvis.container.header import ModelHeader
from inrvis.container.tensors import TensorHeader

# Maps the name and the values of a weight tensor to the values to be used.
Weigh = Callable[[str, Tensor], Tensor]


@dataclass(frozen=True)
class Exported:
    """A model as a file takes it.

    Attributes
    ----------
    models : tuple of ModelHeader
        One network or several.
    graphs : tuple of bytes
        Distinct ONNX models, which the headers name by number.
    tensors : tuple of dict
        For each network, names in the file and names in the model of its tensors.
    """

    models: tuple[ModelHeader, ...]
    graphs: tuple[bytes, ...]
    tensors: tuple[dict[str, str], ...]


@dataclass(frozen=True)
class Chain:
    """Sine layers from coordinates to values, one after the other, for all of a volume.

    Attributes
    ----------
    names : tuple of str
        Names of the layers' weights; those of their biases end in ``b``.
    layers : tuple of Tensor
        Weights and biases of each as one matrix ``[W | b]``, (rows, columns + 1).
    draw : callable
        Coordinates (n, 3) and values (n, channels) of so many random voxels.
    """

    names: tuple[str, ...]
    layers: tuple[Tensor, ...]
    draw: Callable[[int], tuple[Tensor, Tensor]]

    @property
    def weights(self) -> int:
        """Number of weights and biases."""
        return sum(layer.numel() for layer in self.layers)


class Model(nn.Module, ABC):
    """A network that trains on batches of its own drawing."""

    def chains(self) -> tuple[Chain, ...]:
        """All of the model as chains, one for each network; none where some network is not one."""
        return ()

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """Weights and biases by name; biases have names that end in ``b`` and no column axis."""

    @abstractmethod
    def draw(self, number: int, fraction: float) -> Any:
        """Batch of about ``number`` evaluations at a ``fraction`` of the training."""

    @abstractmethod
    def loss(self, batch: Any, weigh: Weigh) -> Tensor:
        """Mean squared error of a batch."""

    def losses(self, batch: Any, weigh: Weigh) -> list[Tensor]:
        """That of each network, where there are several side by side."""
        return [self.loss(batch, weigh)]

    @abstractmethod
    def matrices(self) -> list[nn.Parameter]:
        """Batches of matrices ``[W | b]`` whose steps are to be orthogonalised."""

    @abstractmethod
    def others(self, adam_rate: float, frequency_rate: float) -> list[dict[str, Any]]:
        """Groups of parameters for Adam: heads and last layers, and those of frequencies."""

    @property
    @abstractmethod
    def cost(self) -> tuple[float, float]:
        """Products and activations of one evaluation."""

    @abstractmethod
    def export(self, headers: Mapping[str, TensorHeader]) -> Exported:
        """The model for a file, given a header for each tensor."""


def named(
    headers: Mapping[str, TensorHeader], names: Mapping[str, str]
) -> tuple[TensorHeader, ...]:
    """Tensor headers under the names that a file gives them."""
    return tuple(
        TensorHeader(name, headers[own].shape, headers[own].step, headers[own].table)
        for name, own in names.items()
    )


def plain(_: str, weight: Tensor) -> Tensor:
    """Weights as they are."""
    return weight
