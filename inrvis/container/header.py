"""The header of format 1: what a file says of itself, as frozen dataclasses and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from inrvis.container.tensors import TensorHeader, tensors_to_json
from inrvis.grid import ImageGrid

MAX_POINTS = 1 << 36
MAX_PARAMETERS = 1 << 28
MAX_ARRAYS = 1024
MAX_CHANNELS = 256
MAX_FEATURES = 1024
MAX_TENSORS = 1024
MAX_SIDE = 1 << 12
MAX_OVERLAP = 64
MAX_SPACING = 64
MAX_MODELS = 64
MAX_MASKS = 1024
MAX_LEVELS = 4096
MAX_BOXES = 1 << 14
DTYPES = (
    "uint8",
    "int8",
    "uint16",
    "int16",
    "uint32",
    "int32",
    "uint64",
    "int64",
    "float32",
    "float64",
)
# Coders of layers; inrvis.residual has them.
CODECS = ("interpolation", "wavelet")


@dataclass(frozen=True)
class ArrayHeader:
    """One array of the volume and how channels of the network become its values.

    ``value = offset + scale * channel + residual``, clamped to ``[low, high]`` and, for integer
    types, rounded half to even.

    Attributes
    ----------
    residual : str
        Coder of the layer that is added on the grid; empty if there is none.
    precision : {"single", "double"}
        In which the residual is coded and added.
    levels : tuple of float
        If not empty, residuals are positions in this list of values.
    exact : tuple of ExactHeader
        Values that are restored exactly, where their masks say so.
    """

    name: str
    dtype: str
    components: int
    channel: int
    offset: tuple[float, ...]
    scale: tuple[float, ...]
    low: float
    high: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    residual: str = ""
    precision: str = "single"
    levels: tuple[float, ...] = ()
    exact: tuple[ExactHeader, ...] = ()


@dataclass(frozen=True)
class ExactHeader:
    """A value that is not coded but known: NaN, an infinity or a background.

    Attributes
    ----------
    value : float
        The value.
    masks : tuple of int
        For each component the number of the mask of its voxels; -1 for none.
    """

    value: float
    masks: tuple[int, ...]


@dataclass(frozen=True)
class LatticeHeader:
    """How the volume is cut into blocks, and where a block's trunk is evaluated.

    Attributes
    ----------
    blocks : tuple of 3 int
        Blocks along x, y and z.
    overlap : int
        Voxels that neighbouring blocks reach into each other.
    spacing : int
        Voxels between the knots at which the trunk is evaluated; 0 for every position itself.
    features : int
        Outputs of a trunk.
    """

    blocks: tuple[int, int, int]
    overlap: int
    spacing: int
    features: int

    @property
    def number(self) -> int:
        """Number of blocks."""
        return math.prod(self.blocks)


@dataclass(frozen=True)
class BoxesHeader:
    """Blocks of any size, each with its own extent.

    Attributes
    ----------
    boxes : tuple of six ints each
        First voxel along x, y, z, and number of voxels along x, y, z.
    overlap : int
        Voxels by which a block's domain reaches beyond its box.
    features : int
        Outputs of a trunk.
    """

    boxes: tuple[tuple[int, int, int, int, int, int], ...]
    overlap: int
    features: int
    spacing: int = 0

    @property
    def number(self) -> int:
        """Number of blocks."""
        return len(self.boxes)


@dataclass(frozen=True)
class ModelHeader:
    """A network: its blocks, graphs and tensors, and facts for the reader of ``info``.

    Attributes
    ----------
    channels : tuple of int
        Channels of the volume that it gives.
    graphs : tuple of 3 int
        Numbers of the trunk's, the interpolation's and the head's graph; -1 for none.
    """

    name: str
    lattice: LatticeHeader | BoxesHeader
    trunk: tuple[TensorHeader, ...]
    head: tuple[TensorHeader, ...]
    channels: tuple[int, ...]
    graphs: tuple[int, int, int] = (0, 1, 2)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def number_of_blocks(self) -> int:
        """Number of trunks."""
        return self.lattice.number

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return sum(tensor.size for tensor in (*self.trunk, *self.head))


@dataclass(frozen=True)
class VolumeHeader:
    """Everything a volume file says of itself.

    Attributes
    ----------
    models : tuple of ModelHeader
        Networks; none where coded layers hold the whole volume.
    masks : int
        Number of masks.
    """

    grid: ImageGrid
    arrays: tuple[ArrayHeader, ...]
    models: tuple[ModelHeader, ...] = ()
    masks: int = 0
    times: tuple[float, ...] = ()
    encoding: Mapping[str, Any] = field(default_factory=dict)

    @property
    def channels(self) -> int:
        """Number of channels of all arrays."""
        return sum(array.components for array in self.arrays)

    @property
    def parameters(self) -> int:
        """Number of weights and biases of all networks."""
        return sum(model.parameters for model in self.models)

    @property
    def model_name(self) -> str:
        """What holds the volume, for people: networks and coded layers."""
        names = dict.fromkeys(model.name for model in self.models)
        names |= dict.fromkeys(array.residual for array in self.arrays if array.residual)
        return "+".join(names)

    @property
    def original_bytes(self) -> int:
        """Size of the arrays in their source's own types."""
        values = self.grid.number_of_points
        return sum(values * a.components * np.dtype(a.dtype).itemsize for a in self.arrays)

    def to_bytes(self) -> bytes:
        """Serialise as compact JSON; deterministic."""
        return json.dumps(self._to_json(), separators=(",", ":"), sort_keys=True).encode()

    def _to_json(self) -> dict[str, Any]:
        return {
            "kind": "volume",
            "grid": self.grid.to_json(),
            "times": list(self.times),
            "arrays": [_array_to_json(array) for array in self.arrays],
            "masks": self.masks,
            "models": [_model_to_json(model) for model in self.models],
            "encoding": dict(self.encoding),
        }


def _array_to_json(array: ArrayHeader) -> dict[str, Any]:
    values: dict[str, Any] = {
        "name": array.name,
        "dtype": array.dtype,
        "components": array.components,
        "channel": array.channel,
        "offset": list(array.offset),
        "scale": list(array.scale),
        "low": array.low,
        "high": array.high,
        "metrics": dict(array.metrics),
    }
    if array.residual:
        values |= {"residual": array.residual, "precision": array.precision}
    if array.levels:
        values["levels"] = list(array.levels)
    if array.exact:
        # JSON has no NaN: values that are not finite go by their names.
        values["exact"] = [
            [e.value if math.isfinite(e.value) else str(e.value), list(e.masks)]
            for e in array.exact
        ]
    return values


def _model_to_json(model: ModelHeader) -> dict[str, Any]:
    lattice = model.lattice
    values: dict[str, Any] = {
        "name": model.name,
        "channels": list(model.channels),
        "graphs": list(model.graphs),
        "lattice": {"overlap": lattice.overlap, "features": lattice.features},
        "settings": dict(model.settings),
    }
    values |= tensors_to_json(model.trunk, model.head, model.number_of_blocks)
    if isinstance(lattice, BoxesHeader):
        values["lattice"]["boxes"] = [list(box) for box in lattice.boxes]
    else:
        values["lattice"] |= {"blocks": list(lattice.blocks), "spacing": lattice.spacing}
    return values
