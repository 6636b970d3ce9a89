"""The header of format 1: what a file says of itself, parsed into frozen dataclasses.

Everything here comes from a file of unknown origin: each value is checked for type, range and
consistency before any of it sizes an allocation.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from inrvis.bitstream import NUMBER_OF_TABLES
from inrvis.errors import FormatError, LimitError
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


@dataclass(frozen=True)
class ArrayHeader:
    """One array of the volume and how channels of the network become its values.

    ``value = offset + scale * channel``, clamped to ``[low, high]`` and, for integer types,
    rounded half to even.
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


@dataclass(frozen=True)
class TensorHeader:
    """A quantised weight tensor: ``step * integer``, its integers coded with ``table``."""

    name: str
    shape: tuple[int, ...]
    step: float
    table: int

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


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


@dataclass(frozen=True)
class ModelHeader:
    """The network: its lattice, its tensors by graph, and facts for the reader of ``info``."""

    name: str
    lattice: LatticeHeader
    trunk: tuple[TensorHeader, ...]
    head: tuple[TensorHeader, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return sum(tensor.size for tensor in (*self.trunk, *self.head))


@dataclass(frozen=True)
class VolumeHeader:
    """Everything a volume file says of itself."""

    grid: ImageGrid
    arrays: tuple[ArrayHeader, ...]
    model: ModelHeader
    times: tuple[float, ...] = ()
    encoding: Mapping[str, Any] = field(default_factory=dict)

    @property
    def channels(self) -> int:
        """Number of channels of the network's output."""
        return sum(array.components for array in self.arrays)

    @property
    def original_bytes(self) -> int:
        """Size of the arrays in their source's own types."""
        values = self.grid.number_of_points
        return sum(values * a.components * np.dtype(a.dtype).itemsize for a in self.arrays)

    def to_bytes(self) -> bytes:
        """Serialise as compact JSON; deterministic."""
        return json.dumps(self._to_json(), separators=(",", ":"), sort_keys=True).encode()

    def _to_json(self) -> dict[str, Any]:
        def tensors(group: tuple[TensorHeader, ...]) -> list[Any]:
            return [[t.name, list(t.shape), t.step, t.table] for t in group]

        lattice = self.model.lattice
        return {
            "kind": "volume",
            "grid": self.grid.to_json(),
            "times": list(self.times),
            "arrays": [
                {
                    "name": a.name,
                    "dtype": a.dtype,
                    "components": a.components,
                    "channel": a.channel,
                    "offset": list(a.offset),
                    "scale": list(a.scale),
                    "low": a.low,
                    "high": a.high,
                    "metrics": dict(a.metrics),
                }
                for a in self.arrays
            ],
            "model": {
                "name": self.model.name,
                "lattice": {
                    "blocks": list(lattice.blocks),
                    "overlap": lattice.overlap,
                    "spacing": lattice.spacing,
                    "features": lattice.features,
                },
                "trunk": tensors(self.model.trunk),
                "head": tensors(self.model.head),
                "settings": dict(self.model.settings),
            },
            "encoding": dict(self.encoding),
        }


class _Fields:
    """Typed access to a JSON object from an untrusted file."""

    def __init__(self, value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise FormatError(f"the file's header is malformed: {where} is not an object")
        self._value, self._where = value, where

    def _get(self, key: str, kind: type | tuple[type, ...]) -> Any:
        value = self._value.get(key)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise FormatError(f"the file's header is malformed: {self._where}.{key}")
        return value

    def text(self, key: str) -> str:
        value: str = self._get(key, str)
        # Half of a surrogate pair is no text: it could not be printed.
        if not 0 < len(value) <= 1024 or any("\ud800" <= c <= "\udfff" for c in value):
            raise FormatError(f"the file's header is malformed: {self._where}.{key}")
        return value

    def integer(self, key: str, low: int, high: int) -> int:
        value: int = self._get(key, int)
        if not low <= value <= high:
            raise LimitError(
                f"the file's header claims {self._where}.{key} = {value}, outside {low}..{high}"
            )
        return value

    def number(self, key: str) -> float:
        return _finite(self._get(key, (int, float)), f"{self._where}.{key}")

    def mapping(self, key: str) -> dict[str, Any]:
        value: dict[str, Any] = self._get(key, dict)
        return value

    def items(self, key: str, most: int) -> list[Any]:
        value: list[Any] = self._get(key, list)
        if len(value) > most:
            raise LimitError(f"the file's header lists {len(value)} {self._where}.{key}")
        return value

    def numbers(self, key: str, count: int) -> tuple[float, ...]:
        value = self.items(key, count)
        if len(value) != count:
            raise FormatError(f"the file's header is malformed: {self._where}.{key}")
        return tuple(_finite(v, f"{self._where}.{key}") for v in value)

    def triple(self, key: str, high: int) -> tuple[int, int, int]:
        value = self.items(key, 3)
        if len(value) != 3 or any(type(v) is not int or not 1 <= v <= high for v in value):
            raise FormatError(f"the file's header is malformed: {self._where}.{key}")
        return value[0], value[1], value[2]


def _finite(value: Any, where: str) -> float:
    try:
        number = float(value) if type(value) in (int, float) else math.nan
    except OverflowError:  # JSON knows integers of any size
        number = math.inf
    if not math.isfinite(number):
        raise FormatError(f"the file's header is malformed: {where}")
    return number


def parse_header(data: bytes) -> VolumeHeader:
    """Parse and check the JSON of a header.

    Raises
    ------
    FormatError
        If something is missing or of the wrong kind.
    LimitError
        If it claims more than any file may.
    """
    try:
        root = _Fields(json.loads(data), "header")
    except (ValueError, RecursionError) as error:
        raise FormatError("the file's header is not JSON") from error
    if (kind := root.text("kind")) != "volume":
        raise FormatError(f"the file holds a {kind!r}, which this inrvis cannot open; update it")
    grid = ImageGrid.from_json(root.mapping("grid"))
    if grid.number_of_points > MAX_POINTS:
        raise LimitError(
            f"the file claims {grid.number_of_points} voxels; the limit is {MAX_POINTS}"
        )
    arrays = tuple(_parse_array(a) for a in root.items("arrays", MAX_ARRAYS))
    _check_channels(arrays)
    model = _parse_model(_Fields(root.mapping("model"), "model"))
    _check_blocks(model.lattice, grid)
    times = root.items("times", 1)
    return VolumeHeader(
        grid=grid,
        arrays=arrays,
        model=model,
        times=tuple(_finite(t, "times") for t in times),
        encoding=root.mapping("encoding"),
    )


def _parse_array(value: Any) -> ArrayHeader:
    fields = _Fields(value, "array")
    dtype = fields.text("dtype")
    if dtype not in DTYPES:
        raise FormatError(f"the file's header names the unknown type {dtype!r}")
    components = fields.integer("components", 1, MAX_CHANNELS)
    metrics = _Fields(fields.mapping("metrics"), "metrics")
    low, high = fields.number("low"), fields.number("high")
    least, most = _limits(dtype)
    if not least <= low <= high <= most:
        raise FormatError(f"the file's header claims a range that {dtype} does not have")
    return ArrayHeader(
        name=fields.text("name"),
        dtype=dtype,
        components=components,
        channel=fields.integer("channel", 0, MAX_CHANNELS),
        offset=fields.numbers("offset", components),
        scale=fields.numbers("scale", components),
        low=low,
        high=high,
        metrics={key: metrics.number(key) for key in fields.mapping("metrics")},
    )


def _limits(dtype: str) -> tuple[float, float]:
    kind = np.dtype(dtype)
    limits = np.finfo(kind) if kind.kind == "f" else np.iinfo(kind)
    return float(limits.min), float(limits.max)


def _check_channels(arrays: tuple[ArrayHeader, ...]) -> None:
    channel = 0
    for array in arrays:
        if array.channel != channel:
            raise FormatError("the file's header is malformed: channels of the arrays overlap")
        channel += array.components
    names = {array.name for array in arrays}
    if not arrays or len(names) != len(arrays) or channel > MAX_CHANNELS:
        raise FormatError("the file's header is malformed: its arrays")


def _parse_model(fields: _Fields) -> ModelHeader:
    lattice = _Fields(fields.mapping("lattice"), "lattice")
    trunk = tuple(_parse_tensor(t) for t in fields.items("trunk", MAX_TENSORS))
    head = tuple(_parse_tensor(t) for t in fields.items("head", MAX_TENSORS))
    for group in (trunk, head):
        if len({tensor.name for tensor in group}) != len(group) or not group:
            raise FormatError("the file's header is malformed: names of its tensors")
    parameters = sum(tensor.size for tensor in (*trunk, *head))
    if parameters > MAX_PARAMETERS:
        raise LimitError(f"the file claims {parameters} parameters; the limit is {MAX_PARAMETERS}")
    blocks = lattice.triple("blocks", 1 << 12)
    if any(len(t.shape) < 2 or t.shape[0] != math.prod(blocks) for t in trunk):
        raise FormatError("the file's header is malformed: trunk tensors do not match its blocks")
    return ModelHeader(
        name=fields.text("name"),
        lattice=LatticeHeader(
            blocks=blocks,
            overlap=lattice.integer("overlap", 0, MAX_OVERLAP),
            spacing=lattice.integer("spacing", 0, MAX_SPACING),
            features=lattice.integer("features", 1, MAX_FEATURES),
        ),
        trunk=trunk,
        head=head,
        settings=fields.mapping("settings"),
    )


def _check_blocks(lattice: LatticeHeader, grid: ImageGrid) -> None:
    for voxels, blocks in zip(grid.dimensions, lattice.blocks, strict=True):
        side = -(-voxels // blocks)
        # Weights sum to one where the ramps around one face end before the next one's begin.
        if blocks > 1 and not 1 <= lattice.overlap <= (side + 1) // 2:
            raise FormatError(
                f"the file's header claims blocks of {side} voxels that overlap by "
                f"{lattice.overlap}: they cannot be blended"
            )


def _parse_tensor(value: Any) -> TensorHeader:
    if not isinstance(value, list) or len(value) != 4 or not isinstance(value[1], list):
        raise FormatError("the file's header is malformed: a tensor")
    fields = _Fields(dict(zip(("name", "shape", "step", "table"), value, strict=True)), "tensor")
    shape = fields.items("shape", 4)
    if any(type(n) is not int or not 1 <= n <= MAX_SIDE for n in shape):
        raise FormatError("the file's header is malformed: a tensor's shape")
    step = fields.number("step")
    if step <= 0:
        raise FormatError("the file's header is malformed: a tensor's step")
    return TensorHeader(
        name=fields.text("name"),
        shape=tuple(shape),
        step=step,
        table=fields.integer("table", 0, NUMBER_OF_TABLES - 1),
    )
