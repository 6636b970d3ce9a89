"""Headers of unknown origin: each value is checked for type, range and consistency.

Nothing that a header claims sizes an allocation before it is checked here.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from inrvis.container.header import (
    CODECS,
    DTYPES,
    MAX_ARRAYS,
    MAX_BOXES,
    MAX_CHANNELS,
    MAX_FEATURES,
    MAX_LEVELS,
    MAX_MASKS,
    MAX_MODELS,
    MAX_OVERLAP,
    MAX_PARAMETERS,
    MAX_POINTS,
    MAX_SIDE,
    MAX_SPACING,
    MAX_TENSORS,
    ArrayHeader,
    BoxesHeader,
    ExactHeader,
    LatticeHeader,
    ModelHeader,
    VolumeHeader,
)
from inrvis.container.tensors import RAW_TABLE, TensorHeader, layers
from inrvis.errors import FormatError, LimitError
from inrvis.grid import ImageGrid


class Fields:
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
        """Return a text of 1 to 1024 characters."""
        value: str = self._get(key, str)
        # Half of a surrogate pair is no text: it could not be printed.
        if not 0 < len(value) <= 1024 or any("\ud800" <= c <= "\udfff" for c in value):
            raise FormatError(f"the file's header is malformed: {self._where}.{key}")
        return value

    def integer(self, key: str, low: int, high: int) -> int:
        """Return an integer from ``low`` to ``high``."""
        value: int = self._get(key, int)
        if not low <= value <= high:
            raise LimitError(
                f"the file's header claims {self._where}.{key} = {value}, outside {low}..{high}"
            )
        return value

    def has(self, key: str) -> bool:
        """Whether there is such a field."""
        return key in self._value

    def integers(self, key: str, count: int | None, low: int, high: int) -> tuple[int, ...]:
        """Return a list of ``count`` integers (None: any number) from ``low`` to ``high``."""
        value = self.items(key, MAX_CHANNELS if count is None else count)
        if (count is not None and len(value) != count) or any(
            type(v) is not int or not low <= v <= high for v in value
        ):
            raise FormatError(f"the file's header is malformed: {self._where}.{key}")
        return tuple(value)

    def number(self, key: str) -> float:
        """Return a finite number."""
        return finite(self._get(key, (int, float)), f"{self._where}.{key}")

    def mapping(self, key: str) -> dict[str, Any]:
        """Return an object."""
        value: dict[str, Any] = self._get(key, dict)
        return value

    def items(self, key: str, most: int) -> list[Any]:
        """Return a list of at most ``most`` items."""
        value: list[Any] = self._get(key, list)
        if len(value) > most:
            raise LimitError(f"the file's header lists {len(value)} {self._where}.{key}")
        return value

    def numbers(self, key: str, count: int) -> tuple[float, ...]:
        """Return a list of ``count`` finite numbers."""
        value = self.items(key, count)
        if len(value) != count:
            raise FormatError(f"the file's header is malformed: {self._where}.{key}")
        return tuple(finite(v, f"{self._where}.{key}") for v in value)

    def triple(self, key: str, high: int) -> tuple[int, int, int]:
        """Return three integers from 1 to ``high``."""
        value = self.items(key, 3)
        if len(value) != 3 or any(type(v) is not int or not 1 <= v <= high for v in value):
            raise FormatError(f"the file's header is malformed: {self._where}.{key}")
        return value[0], value[1], value[2]


def finite(value: Any, where: str) -> float:
    """Return a number of an untrusted file; FormatError if it is none, or not finite."""
    try:
        number = float(value) if type(value) in (int, float) else math.nan
    except OverflowError:  # JSON knows integers of any size
        number = math.inf
    if not math.isfinite(number):
        raise FormatError(f"the file's header is malformed: {where}")
    return number


def parse_root(data: bytes) -> Fields:
    """JSON object of a header.

    Raises
    ------
    FormatError
        If it is none.
    """
    try:
        return Fields(json.loads(data), "header")
    except (ValueError, RecursionError) as error:
        raise FormatError("the file's header is not JSON") from error


def parse_header(data: bytes) -> VolumeHeader:
    """Parse and check the JSON of a header.

    Raises
    ------
    FormatError
        If something is missing or of the wrong kind.
    LimitError
        If it claims more than any file may.
    """
    root = parse_root(data)
    if (kind := root.text("kind")) != "volume":
        raise FormatError(f"the file holds a {kind!r}, which this inrvis cannot open; update it")
    grid = ImageGrid.from_json(root.mapping("grid"))
    if grid.number_of_points > MAX_POINTS:
        raise LimitError(
            f"the file claims {grid.number_of_points} voxels; the limit is {MAX_POINTS}"
        )
    masks = root.integer("masks", 0, MAX_MASKS)
    arrays = tuple(_parse_array(a, masks) for a in root.items("arrays", MAX_ARRAYS))
    channels = _check_channels(arrays)
    models = tuple(
        _parse_model(Fields(m, "model"), grid, channels) for m in root.items("models", MAX_MODELS)
    )
    _check_what_gives(arrays, models)
    parameters = sum(model.parameters for model in models)
    if parameters > MAX_PARAMETERS:
        raise LimitError(f"the file claims {parameters} parameters; the limit is {MAX_PARAMETERS}")
    times = root.items("times", 1)
    return VolumeHeader(
        grid=grid,
        arrays=arrays,
        models=models,
        masks=masks,
        times=tuple(finite(t, "times") for t in times),
        encoding=root.mapping("encoding"),
    )


def _parse_array(value: Any, masks: int) -> ArrayHeader:
    fields = Fields(value, "array")
    dtype = fields.text("dtype")
    if dtype not in DTYPES:
        raise FormatError(f"the file's header names the unknown type {dtype!r}")
    components = fields.integer("components", 1, MAX_CHANNELS)
    metrics = Fields(fields.mapping("metrics"), "metrics")
    low, high = fields.number("low"), fields.number("high")
    least, most = _limits(dtype)
    if not least <= low <= high <= most:
        raise FormatError(f"the file's header claims a range that {dtype} does not have")
    residual = fields.text("residual") if fields.has("residual") else ""
    if residual and residual not in CODECS:
        raise FormatError(f"the file has values coded with {residual!r}: update inrvis")
    precision = fields.text("precision") if residual else "single"
    if precision not in ("single", "double"):
        raise FormatError("the file's header is malformed: array.precision")
    levels = fields.items("levels", MAX_LEVELS) if fields.has("levels") else []
    if not all(low <= _value(v, dtype, "array.levels") <= high for v in levels):
        raise FormatError("the file's header claims levels beyond the range of their array")
    exact = fields.items("exact", MAX_MASKS) if fields.has("exact") else []
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
        residual=residual,
        precision=precision,
        levels=tuple(map(float, levels)),
        exact=tuple(_parse_exact(e, components, masks, dtype) for e in exact),
    )


def _parse_exact(value: Any, components: int, masks: int, dtype: str) -> ExactHeader:
    if not isinstance(value, list) or len(value) != 2:
        raise FormatError("the file's header is malformed: array.exact")
    if value[0] in ("nan", "inf", "-inf") and np.dtype(dtype).kind == "f":
        number = float(value[0])
    else:
        number = _value(value[0], dtype, "array.exact")
    fields = Fields({"masks": value[1]}, "exact")
    return ExactHeader(number, fields.integers("masks", components, -1, masks - 1))


def _value(value: Any, dtype: str, where: str) -> float:
    number = finite(value, where)
    least, most = _limits(dtype)
    # The limits of 64-bit integers are no doubles: 2**63 lies within them only once rounded.
    if not least <= number <= most or (
        np.dtype(dtype).kind != "f" and (number != int(number) or int(number) > np.iinfo(dtype).max)
    ):
        raise FormatError(f"the file's header claims a value that {dtype} does not have")
    return number


def _limits(dtype: str) -> tuple[float, float]:
    kind = np.dtype(dtype)
    limits = np.finfo(kind) if kind.kind == "f" else np.iinfo(kind)
    return float(limits.min), float(limits.max)


def _check_channels(arrays: tuple[ArrayHeader, ...]) -> int:
    channel = 0
    for array in arrays:
        if array.channel != channel:
            raise FormatError("the file's header is malformed: channels of the arrays overlap")
        channel += array.components
    names = {array.name for array in arrays}
    if not arrays or len(names) != len(arrays) or channel > MAX_CHANNELS:
        raise FormatError("the file's header is malformed: its arrays")
    return channel


def _check_what_gives(arrays: tuple[ArrayHeader, ...], models: tuple[ModelHeader, ...]) -> None:
    """Check that something gives each channel, and that there is one way to put it together."""
    given: dict[int, ModelHeader] = {}
    for model in models:
        for channel in model.channels:
            first = given.setdefault(channel, model)
            # Weights of boxes are summed over all networks of the same channels.
            if first is not model and not (
                first.channels == model.channels
                and isinstance(first.lattice, BoxesHeader)
                and isinstance(model.lattice, BoxesHeader)
            ):
                raise FormatError("the file's header is malformed: networks share a channel")
    for array in arrays:
        own = range(array.channel, array.channel + array.components)
        if not array.residual and any(channel not in given for channel in own):
            raise FormatError("the file's header is malformed: nothing gives an array's values")
        # What is coded are positions in the list, which no network knows.
        if array.levels and (
            not array.residual or any(array.offset) or any(channel in given for channel in own)
        ):
            raise FormatError("the file's header is malformed: array.levels")


def _parse_model(fields: Fields, grid: ImageGrid, channels: int) -> ModelHeader:
    lattice = _parse_lattice(Fields(fields.mapping("lattice"), "lattice"), grid)
    if fields.has("steps"):
        rows, last = (fields.integers(key, None, 1, MAX_SIDE) for key in ("trunk", "head"))
        trunk, head = layers(rows, last, fields.text("steps"), lattice.number)
    else:
        trunk = tuple(parse_tensor(t) for t in fields.items("trunk", MAX_TENSORS))
        head = tuple(parse_tensor(t) for t in fields.items("head", MAX_TENSORS))
    if len({tensor.name for tensor in (*trunk, *head)}) != len(trunk) + len(head):
        raise FormatError("the file's header is malformed: names of its tensors")
    trunk_graph, interpolate_graph, head_graph = fields.integers("graphs", 3, -1, MAX_MODELS * 3)
    model = ModelHeader(
        name=fields.text("name"),
        lattice=lattice,
        trunk=trunk,
        head=head,
        channels=fields.integers("channels", None, 0, channels - 1),
        graphs=(trunk_graph, interpolate_graph, head_graph),
        settings=fields.mapping("settings"),
    )
    if not trunk or any(len(t.shape) < 2 or t.shape[0] != model.number_of_blocks for t in trunk):
        raise FormatError("the file's header is malformed: trunk tensors do not match its blocks")
    if not model.channels or len(set(model.channels)) != len(model.channels):
        raise FormatError("the file's header is malformed: model.channels")
    if (
        trunk_graph < 0
        or (interpolate_graph < 0) != (model.lattice.spacing == 0)
        or (head_graph < 0) != (not head)
        or (head_graph < 0 and model.lattice.features != len(model.channels))
    ):
        raise FormatError("the file's header is malformed: model.graphs")
    return model


def _parse_lattice(fields: Fields, grid: ImageGrid) -> LatticeHeader | BoxesHeader:
    features = fields.integer("features", 1, MAX_FEATURES)
    overlap = fields.integer("overlap", 0, MAX_OVERLAP)
    if not fields.has("boxes"):
        lattice = LatticeHeader(
            blocks=fields.triple("blocks", 1 << 12),
            overlap=overlap,
            spacing=fields.integer("spacing", 0, MAX_SPACING),
            features=features,
        )
        _check_blocks(lattice, grid)
        return lattice
    boxes = []
    for item in fields.items("boxes", MAX_BOXES):
        x, y, z, nx, ny, nz = Fields({"box": item}, "lattice").integers("box", 6, 0, 1 << 31)
        for first, size, voxels in zip((x, y, z), (nx, ny, nz), grid.dimensions, strict=True):
            if size < 1 or first + size > voxels:
                raise FormatError("the file's header claims a block outside its volume")
        boxes.append((x, y, z, nx, ny, nz))
    if not boxes:
        raise FormatError("the file's header is malformed: lattice.boxes")
    return BoxesHeader(tuple(boxes), overlap, features)


def _check_blocks(lattice: LatticeHeader, grid: ImageGrid) -> None:
    for voxels, blocks in zip(grid.dimensions, lattice.blocks, strict=True):
        side = -(-voxels // blocks)
        # Weights sum to one where the ramps around one face end before the next one's begin.
        if blocks > 1 and not 1 <= lattice.overlap <= (side + 1) // 2:
            raise FormatError(
                f"the file's header claims blocks of {side} voxels that overlap by "
                f"{lattice.overlap}: they cannot be blended"
            )


def parse_tensor(value: Any) -> TensorHeader:
    """Tensor of a header, ``[name, shape, step, table]``, checked."""
    if not isinstance(value, list) or len(value) != 4 or not isinstance(value[1], list):
        raise FormatError("the file's header is malformed: a tensor")
    fields = Fields(dict(zip(("name", "shape", "step", "table"), value, strict=True)), "tensor")
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
        table=fields.integer("table", 0, RAW_TABLE),
    )
