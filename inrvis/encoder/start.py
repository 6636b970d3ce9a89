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
from inrvis.encoder.models.siren import BlockSiren
from inrvis.encoder.settings import SirenSettings

if TYPE_CHECKING:
    from inrvis.decoder.volume import Volume


@dataclass(frozen=True)
class Start:
    """A network to start from.

    Attributes
    ----------
    settings : SirenSettings
        Its sizes.
    dimensions : tuple of 3 int
        Voxels of its volume along x, y and z.
    weights : mapping of str to ndarray
        Its tensors by their names in the file.
    arrays : tuple of ArrayHeader
        How its channels became values.
    encoded_bytes : int
        What its volume took.
    """

    settings: SirenSettings
    dimensions: tuple[int, int, int]
    weights: Mapping[str, NDArray[np.float32]]
    arrays: tuple[ArrayHeader, ...]
    encoded_bytes: int

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return sum(tensor.size for tensor in self.weights.values())

    def fits(
        self, dimensions: tuple[int, int, int], arrays: tuple[ArrayHeader, ...], spacing: int
    ) -> bool:
        """Whether a network for these arrays can have the same architecture."""
        own = [array.components for array in self.arrays]
        return (
            self.dimensions == dimensions
            and own == [array.components for array in arrays]
            and self.settings.spacing == spacing
        )

    def after(self, model: BlockSiren, arrays: tuple[ArrayHeader, ...]) -> Start:
        """Start of the same architecture with the weights that a training has reached."""
        weights = {
            name: tensor.detach().float().cpu().numpy() for name, tensor in model.tensors().items()
        }
        return replace(self, weights=weights, arrays=arrays)

    def load(
        self, model: BlockSiren, arrays: tuple[ArrayHeader, ...], loss: Callable[[], float]
    ) -> None:
        """Give ``model`` the weights, and adapt the last layer where values were rescaled.

        The mean and the range of the values may have changed, and with them what a channel means.
        Either the values are those that they were, and the last layer, which is affine, takes
        the change up; or they were rescaled as a whole, and channels are what they were. The
        ``loss`` of the model tells.
        """
        offset, scale = _affine(self.arrays)
        new_offset, new_scale = _affine(arrays)
        factor, shift = scale / new_scale, (offset - new_offset) / new_scale
        bias = self.weights["h1b"].ravel() * factor + shift
        same_values = {
            **self.weights,
            "h1": (self.weights["h1"] * factor[:, None]).astype(np.float32),
            "h1b": bias.astype(np.float32),
        }
        losses = []
        for weights in (same_values, self.weights):
            _load(model, weights)
            losses.append(loss())
        if losses[0] <= losses[1]:
            _load(model, same_values)


@torch.no_grad()
def _load(model: BlockSiren, weights: Mapping[str, NDArray[np.float32]]) -> None:
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
    if len(stored.models) != 1 or stored.models[0].header.name != "siren":
        return None
    (model,) = stored.models
    settings = _settings(model)
    # A header may claim what it likes: only a network that has all the tensors will do.
    if settings is None or model.header.channels != tuple(range(stored.header.channels)):
        return None
    weights = {**model.trunk, **model.head}
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if shapes != settings.shapes(stored.header.channels):
        return None
    if not all(scale for array in stored.header.arrays for scale in array.scale):
        return None
    return Start(
        settings,
        stored.header.grid.dimensions,
        weights,
        stored.header.arrays,
        stored.encoded_bytes,
    )


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
