"""The header of a file of kind "images", as frozen dataclasses and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from inrvis.container.header import MAX_PARAMETERS
from inrvis.container.header_parser import Fields, parse_root
from inrvis.container.implicit_header import (
    ImplicitHeader,
    parse_codes,
    parse_implicit,
    parse_range,
    parse_tensors,
)
from inrvis.container.tensors import TensorHeader
from inrvis.errors import FormatError, LimitError
from inrvis.parameters import Parameter

MAX_CELLS = 1 << 18
MAX_IMAGES = 1 << 18
MAX_COLUMNS = 64
MAX_AXES = 64
MAX_AXIS_VALUES = 1 << 16
MAX_KINDS = 4096
MAX_IMAGE_SIDE = 1 << 14
MAX_IMAGE_PIXELS = 1 << 26
MAX_LATENT_CHANNELS = 1024
MAX_CODE_LEVELS = 32

# Pixels a side to one latent, and to one hyperlatent: images are padded to whole hyperlatents.
LATENT_STRIDE = 8
HYPER_STRIDE = 32

# Inputs, beside weights, that the graph of each role may have.
ROLES: Mapping[str, frozenset[str]] = {
    "prior_left": frozenset({"code"}),
    "prior_right": frozenset({"code"}),
    "context_z": frozenset({"prior", "z_left"}),
    "hyper_left": frozenset({"z_left", "z_right"}),
    "hyper_right": frozenset({"z_left", "z_right"}),
    "context_y": frozenset({"y_left", "features"}),
    "spatial_left": frozenset({"near", "size", "count", "z_left", "z_right"}),
    "spatial_right": frozenset({"near", "size", "count", "near_left", "y_left", "features"}),
    "synthesis_left": frozenset({"y_left", "y_right", "cover", "background"}),
    "synthesis_right": frozenset({"y_left", "y_right", "cover", "background"}),
}
# Roles of spatial contexts, which a codec may do without.
SPATIAL_ROLES = frozenset({"spatial_left", "spatial_right"})
MAX_SHIFT = 6
Mask = Literal["", "alpha", "partial", "background", "nan"]


@dataclass(frozen=True)
class ImageKind:
    """Size and type that images have in common.

    Attributes
    ----------
    height, width : int
        Pixels.
    channels : int
        1, 3 or 4.
    dtype : {"uint8", "float32"}
        Type of the values.
    mask : {"", "alpha", "partial", "background", "nan"}
        What each of these images restores exactly by a mask of its own: nothing, an alpha that is
        0 or 255 everywhere, or in places, the background, or NaN.
    limits : tuple of 2 float, optional
        Range of the values of these images; that of the codec without.
    background : tuple of 3 int, optional
        Colour of all pixels that the mask leaves empty.
    """

    height: int
    width: int
    channels: int
    dtype: Literal["uint8", "float32"]
    mask: Mask = ""
    limits: tuple[float, float] | None = None
    background: tuple[int, int, int] | None = None

    @property
    def is_cut_out(self) -> bool:
        """Whether no network need give the pixels that the mask leaves empty."""
        return self.mask == "nan" or self.background is not None

    @property
    def mask_planes(self) -> int:
        """Masks that each of these images has, one behind the other."""
        return {"": 0, "partial": 2}.get(self.mask, 1)

    @property
    def coded_channels(self) -> int:
        """Channels that the network gives."""
        return 3 if self.mask in ("alpha", "background") else self.channels

    @property
    def padded(self) -> tuple[int, int]:
        """Height and width in whole hyperlatents."""
        return self.padded_to(HYPER_STRIDE)

    def padded_to(self, stride: int) -> tuple[int, int]:
        """Height and width, each up to a multiple of ``stride``."""
        return -(-self.height // stride) * stride, -(-self.width // stride) * stride

    @property
    def nbytes(self) -> int:
        """Bytes of an image in its own type."""
        return self.height * self.width * self.channels * (4 if self.dtype == "float32" else 1)


@dataclass(frozen=True)
class CodecHeader:
    """The networks that code pairs of images.

    Attributes
    ----------
    name : str
        For people.
    exact : bool
        Whether the graphs that drive the entropy coder work on integers.
    channels : int
        Outputs of the synthesis.
    latents, hyperlatents, features : int
        Channels of both, and of the features of a right image.
    code_levels : int
        Pairs of waves that each parameter makes of its value.
    codes : tuple of pairs of float
        Offset and scale that take each parameter to 0 … 1.
    low, high : float
        Range of the values of float images.
    graphs : mapping of str to int
        Number of the graph of each role.
    tensors : tuple of TensorHeader
        Weights of all graphs.
    covers : bool
        Whether blocks without a covered pixel have no symbols, and the synthesis may see covers.
    shift : int
        Networks before the coder see latents in units of ``2**shift`` sixteenths.
    """

    name: str
    exact: bool
    channels: int
    latents: int
    hyperlatents: int
    features: int
    code_levels: int
    codes: tuple[tuple[float, float], ...]
    low: float
    high: float
    graphs: Mapping[str, int]
    tensors: tuple[TensorHeader, ...]
    covers: bool = False
    shift: int = 0

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(tensor.size for tensor in self.tensors)

    @property
    def colours(self) -> int:
        """Outputs that are values of pixels."""
        return self.channels

    @property
    def has_streams(self) -> bool:
        """Whether each image has a stream of its own."""
        return True

    @property
    def interpolates(self) -> bool:
        """Whether images between the stored ones can be made."""
        return False

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        optional = {"covers": int(self.covers), "shift": self.shift}
        return {
            "family": "pairs",
            "name": self.name,
            "arithmetic": "integer" if self.exact else "float",
            "channels": self.channels,
            "latents": self.latents,
            "hyperlatents": self.hyperlatents,
            "features": self.features,
            "code_levels": self.code_levels,
            "codes": [list(code) for code in self.codes],
            "low": self.low,
            "high": self.high,
            "graphs": dict(self.graphs),
            "tensors": [tensor.to_json() for tensor in self.tensors],
        } | {key: value for key, value in optional.items() if value}


@dataclass(frozen=True)
class ImagesHeader:
    """All that a file of images says of itself, but for the tables of cells, images and pairs."""

    parameters: tuple[Parameter, ...]
    columns: tuple[str, ...]
    cells: int
    images: int
    pairs: int
    kinds: tuple[ImageKind, ...]
    codec: CodecHeader | ImplicitHeader
    metrics: Mapping[str, float] = field(default_factory=dict)
    encoding: Mapping[str, Any] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Serialise as compact JSON; deterministic."""
        return json.dumps(self.to_json(), separators=(",", ":"), sort_keys=True).encode()

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {
            "kind": "images",
            "parameters": [{"name": p.name, "values": list(p.values)} for p in self.parameters],
            "columns": list(self.columns),
            "cells": self.cells,
            "images": self.images,
            "pairs": self.pairs,
            "kinds": [
                [k.height, k.width, k.channels, k.dtype, k.mask, *(k.limits or k.background or ())]
                for k in self.kinds
            ],
            "codec": self.codec.to_json(),
            "metrics": dict(self.metrics),
            "encoding": dict(self.encoding),
        }


def parse_images_header(data: bytes) -> ImagesHeader:
    """Parse and check the JSON of a header of unknown origin.

    Raises
    ------
    FormatError
        If something is missing or of the wrong kind; LimitError if it claims too much.
    """
    root = parse_root(data)
    if (kind := root.text("kind")) != "images":
        raise FormatError(f"the file holds a {kind!r} and no images")
    parameters = tuple(_parse_parameter(p) for p in root.items("parameters", MAX_AXES))
    columns = tuple(_text(c, "columns") for c in root.items("columns", MAX_COLUMNS))
    names = [*(p.name for p in parameters), *columns]
    if not columns or len(set(names)) != len(names):
        raise FormatError("the file's header is malformed: names of parameters and columns")
    metrics = Fields(root.mapping("metrics"), "metrics")
    codec = _parse_codec(Fields(root.mapping("codec"), "codec"), parameters, columns)
    coded = isinstance(codec, CodecHeader)
    kinds = tuple(_parse_kind(k) for k in root.items("kinds", MAX_KINDS))
    masked = isinstance(codec, ImplicitHeader) and not codec.coverage
    if any(k.coded_channels > codec.colours or (masked and k.mask) for k in kinds):
        raise FormatError("the file's networks give fewer channels than its images have")
    return ImagesHeader(
        parameters=parameters,
        columns=columns,
        cells=root.integer("cells", 1, MAX_CELLS),
        images=root.integer("images", 1, MAX_IMAGES),
        pairs=root.integer("pairs", int(coded), coded * MAX_IMAGES),
        kinds=kinds,
        codec=codec,
        metrics={key: metrics.number(key) for key in root.mapping("metrics")},
        encoding=root.mapping("encoding"),
    )


def _text(value: Any, where: str) -> str:
    return Fields({where: value}, "header").text(where)


def _parse_parameter(value: Any) -> Parameter:
    fields = Fields(value, "parameters")
    values = tuple(_value(v) for v in fields.items("values", MAX_AXIS_VALUES))
    return Parameter(fields.text("name"), values)


def _value(value: Any) -> str:
    # A table may leave a value empty.
    return "" if value == "" else _text(value, "values")


_KIND: tuple[str, ...] = ("height", "width", "channels", "dtype", "mask")
_COLOUR = ("red", "green", "blue")
# What follows in lists of each length.
_KINDS: Mapping[int, tuple[str, ...]] = {5: (), 7: ("low", "high"), 8: _COLOUR}


def _parse_kind(value: Any) -> ImageKind:
    if not isinstance(value, list) or len(value) not in _KINDS:
        raise FormatError("the file's header is malformed: kinds")
    fields = Fields(dict(zip(_KIND + _KINDS[len(value)], value, strict=True)), "kinds")
    height = fields.integer("height", 1, MAX_IMAGE_SIDE)
    width = fields.integer("width", 1, MAX_IMAGE_SIDE)
    if height * width > MAX_IMAGE_PIXELS:
        raise LimitError(f"the file claims images of {width}x{height} pixels")
    channels, dtype, mask = fields.integer("channels", 1, 4), value[3], value[4]
    if (channels, dtype, mask) not in (
        (3, "uint8", ""),
        (4, "uint8", ""),
        (4, "uint8", "alpha"),
        (4, "uint8", "partial"),
        (3, "uint8", "background"),
        (4, "uint8", "background"),
        (1, "float32", ""),
        (1, "float32", "nan"),
    ):
        raise FormatError("the file's header names images of a type that this inrvis lacks")
    limits = parse_range(fields) if fields.has("low") else None
    background = None
    if fields.has("red"):
        red, green, blue = (fields.integer(name, 0, 255) for name in _COLOUR)
        background = red, green, blue
    kind = ImageKind(height, width, channels, dtype, mask, limits, background)
    # Floats may have limits, masks of colours a background, and that of the background must.
    if (
        (limits and dtype != "float32")
        or (background and mask not in ("alpha", "partial", "background"))
        or (mask == "background" and not background)
    ):
        raise FormatError("the file's header is malformed: kinds")
    return kind


def _parse_codec(
    fields: Fields, parameters: tuple[Parameter, ...], columns: tuple[str, ...]
) -> CodecHeader | ImplicitHeader:
    family = fields.text("family") if fields.has("family") else "pairs"
    codec: CodecHeader | ImplicitHeader
    if family == "pairs":
        codec = _parse_pairs(fields, len(parameters))
    elif family == "implicit":
        codec = parse_implicit(fields, len(parameters) + (len(columns) > 1))
    else:
        raise FormatError(f"the file's images are coded by {family!r} networks: update inrvis")
    if codec.parameters > MAX_PARAMETERS:
        raise LimitError(f"the file claims {codec.parameters} parameters")
    return codec


def _parse_pairs(fields: Fields, axes: int) -> CodecHeader:
    codes = parse_codes(fields, axes)
    if len(codes) != axes:
        raise FormatError("the file's header is malformed: codec.codes")
    graphs = Fields(fields.mapping("graphs"), "graphs")
    if (arithmetic := fields.text("arithmetic")) not in ("integer", "float"):
        raise FormatError(f"the file's codec needs {arithmetic!r} arithmetic: update inrvis")
    low, high = parse_range(fields)
    roles = [role for role in ROLES if role not in SPATIAL_ROLES or graphs.has(role)]
    if arithmetic == "float" and SPATIAL_ROLES & set(roles):
        raise FormatError("the file's header is malformed: a spatial context needs integers")
    return CodecHeader(
        name=fields.text("name"),
        exact=arithmetic == "integer",
        channels=fields.integer("channels", 1, 4),
        latents=fields.integer("latents", 1, MAX_LATENT_CHANNELS),
        hyperlatents=fields.integer("hyperlatents", 1, MAX_LATENT_CHANNELS),
        features=fields.integer("features", 1, MAX_LATENT_CHANNELS),
        code_levels=fields.integer("code_levels", 1, MAX_CODE_LEVELS),
        codes=codes,
        low=low,
        high=high,
        graphs={role: graphs.integer(role, 0, len(ROLES) - 1) for role in roles},
        tensors=parse_tensors(fields, frozenset().union(*ROLES.values())),
        covers=bool(fields.integer("covers", 0, 1)) if fields.has("covers") else False,
        shift=fields.integer("shift", 0, MAX_SHIFT) if fields.has("shift") else 0,
    )
