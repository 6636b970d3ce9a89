"""Warm starts: the network of an earlier file as the first weights of a new one."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from inrvis.container.header import ArrayHeader, LatticeHeader
from inrvis.container.series_file import read_series, read_step
from inrvis.container.volume_file import StoredModel, StoredVolume
from inrvis.encoder.models.base import Model
from inrvis.encoder.settings import SirenSettings

if TYPE_CHECKING:
    from inrvis.decoder.volume import Volume

Weights = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class StartNetwork:
    """One network of a start: sizes, the channels that it gives, and its tensors by their names."""

    settings: SirenSettings
    channels: tuple[int, ...]
    weights: Weights


@dataclass(frozen=True)
class Start:
    """What to start from: one network for all arrays, or several.

    Attributes
    ----------
    networks : tuple of StartNetwork
        Together they give each channel once.
    dimensions : tuple of 3 int
        Voxels of their volume along x, y and z.
    arrays : tuple of ArrayHeader
        How their channels became values.
    encoded_bytes : int
        What the volume took.
    """

    networks: tuple[StartNetwork, ...]
    dimensions: tuple[int, int, int]
    arrays: tuple[ArrayHeader, ...]
    encoded_bytes: int

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return sum(tensor.size for own in self.networks for tensor in own.weights.values())

    def fits(
        self, dimensions: tuple[int, int, int], arrays: tuple[ArrayHeader, ...], spacing: int
    ) -> bool:
        """Whether networks for these arrays can have the same architecture."""
        components = [array.components for array in self.arrays]
        return (
            self.dimensions == dimensions
            and components == [array.components for array in arrays]
            and all(own.settings.spacing == spacing for own in self.networks)
        )

    def after(self, model: Model, arrays: tuple[ArrayHeader, ...]) -> Start:
        """Start of the same architecture with the weights that a training has reached."""
        reached = {
            name: tensor.detach().float().cpu().numpy() for name, tensor in model.tensors().items()
        }
        networks = tuple(
            replace(own, weights={name: reached[prefix + name] for name in own.weights})
            for prefix, own in self._prefixed()
        )
        return replace(self, networks=networks, arrays=arrays)

    def load(
        self, model: Model, arrays: tuple[ArrayHeader, ...], loss: Callable[[], float]
    ) -> float:
        """Give ``model`` the weights, and adapt the last layers where values were rescaled.

        The mean and the range of the values may have changed, and with them what a channel means.
        Either the values are those that they were, and the last layer, which is affine, takes
        the change up; or they were rescaled as a whole, and channels are what they were. The
        ``loss`` of the model tells, and is returned.
        """
        offset, scale = _affine(self.arrays)
        new_offset, new_scale = _affine(arrays)
        factor, shift = scale / new_scale, (offset - new_offset) / new_scale
        same_channels: dict[str, NDArray[np.float32]] = {}
        same_values: dict[str, NDArray[np.float32]] = {}
        for prefix, own in self._prefixed():
            rows = list(own.channels)
            bias = own.weights["h1b"].ravel() * factor[rows] + shift[rows]
            adapted = {
                **own.weights,
                "h1": (own.weights["h1"] * factor[rows, None]).astype(np.float32),
                "h1b": bias.astype(np.float32),
            }
            same_channels |= {prefix + name: tensor for name, tensor in own.weights.items()}
            same_values |= {prefix + name: tensor for name, tensor in adapted.items()}
        losses = []
        for weights in (same_values, same_channels):
            _load(model, weights)
            losses.append(loss())
        if losses[0] <= losses[1]:
            _load(model, same_values)
        return min(losses)

    def _prefixed(self) -> list[tuple[str, StartNetwork]]:
        """Networks, and what comes before the names of their tensors in a model."""
        several = len(self.networks) > 1
        return [(f"{i}/" if several else "", own) for i, own in enumerate(self.networks)]


@torch.no_grad()
def _load(model: Model, weights: Weights) -> None:
    for name, tensor in model.tensors().items():
        tensor.copy_(torch.from_numpy(weights[name].reshape(tensor.shape)))


def _affine(
    arrays: tuple[ArrayHeader, ...],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Offset and scale of each channel."""
    return (
        np.array([offset for array in arrays for offset in array.offset]),
        np.array([scale for array in arrays for scale in array.scale]),
    )


def start_from(source: str | os.PathLike[str] | Volume) -> Start | None:
    """Network of a file to start from; None where a file holds none that can be gone on from.

    Parameters
    ----------
    source : path or Volume
        An `.inr` file, of a series its last step; or an open volume, such as another step.

    Raises
    ------
    FormatError
        If the file cannot be read.
    """
    if isinstance(source, str | os.PathLike):
        path, last = source, max(1, len(read_series(source).header.times)) - 1
    else:
        path, last = source.path, source.time_index
    return _start(read_step(path, last))


def _start(stored: StoredVolume) -> Start | None:
    networks = [_network(model) for model in stored.models]
    found = [own for own in networks if own is not None]
    channels = [channel for own in found for channel in own.channels]
    # Layers add to networks; where they are all that there is, there is nothing to start from.
    if len(found) < len(networks) or sorted(channels) != list(range(stored.header.channels)):
        return None
    if not all(scale for array in stored.header.arrays for scale in array.scale):
        return None
    grid, arrays = stored.header.grid, stored.header.arrays
    return Start(tuple(found), grid.dimensions, arrays, stored.encoded_bytes)


def _network(model: StoredModel) -> StartNetwork | None:
    settings = _settings(model) if model.header.name == "siren" else None
    if settings is None:
        return None
    # A header may claim what it likes: only a network that has all the tensors will do.
    weights = {**model.trunk, **model.head}
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if shapes != settings.shapes(len(model.header.channels)):
        return None
    return StartNetwork(settings, model.header.channels, weights)


def _settings(model: StoredModel) -> SirenSettings | None:
    lattice, tensors = model.header.lattice, {**model.trunk, **model.head}
    layers = sum(re.fullmatch(r"w\d+", name) is not None for name in model.trunk)
    if not isinstance(lattice, LatticeHeader) or layers < 2 or not {"w0", "h0"} <= set(tensors):
        return None
    return SirenSettings(
        width=tensors["w0"].shape[1],
        blocks=lattice.blocks,
        overlap=lattice.overlap,
        spacing=lattice.spacing,
        depth=layers - 2,
        features=lattice.features,
        head_width=tensors["h0"].shape[0],
    )
