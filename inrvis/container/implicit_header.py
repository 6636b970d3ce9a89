"""The codec of images that one network gives as a whole from their parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inrvis.bitstream.latents import NUMBER_OF_SCALES
from inrvis.container.header import MAX_TENSORS
from inrvis.container.header_parser import Fields, parse_tensor
from inrvis.container.tensors import TensorHeader
from inrvis.errors import FormatError, LimitError

MAX_WAVES = 64
MIN_STRIDE = 8
MAX_STRIDE = 256
MAX_EMBEDDING_CHANNELS = 64
_MOST_OFFSET = 1 << 15

# Inputs, beside weights, that the one graph may have.
IMPLICIT_ROLES: Mapping[str, frozenset[str]] = {"view": frozenset({"code", "grid", "embedding"})}


@dataclass(frozen=True)
class EmbeddingHeader:
    """Small maps of integers that are stored for each image.

    Attributes
    ----------
    step : float
        What an integer counts.
    offsets : tuple of int
        For each channel the integer that is coded as 0.
    tables : tuple of int
        For each channel the table of latents that codes it.
    """

    step: float
    offsets: tuple[int, ...]
    tables: tuple[int, ...]


@dataclass(frozen=True)
class ImplicitHeader:
    """A network from the parameters of an image to the image.

    Attributes
    ----------
    name : str
        For people.
    channels : int
        Outputs of the network, the coverage included.
    coverage : bool
        Whether the last output tells where an image that is not stored has its mask.
    stride : int
        Pixels a side to one cell of the first map: images are padded to whole cells.
    codes : tuple of pairs of float
        Offset and scale of each parameter, and, if there are two, of the column.
    waves : tuple of tuples of float
        Frequencies of the same, in half periods.
    grid : tuple of float
        Frequencies of the places in an image.
    embedding : EmbeddingHeader, optional
        What is stored for each image; None if nothing is.
    low, high : float
        Range of the values of float images.
    tensors : tuple of TensorHeader
        Weights.
    """

    name: str
    channels: int
    coverage: bool
    stride: int
    codes: tuple[tuple[float, float], ...]
    waves: tuple[tuple[float, ...], ...]
    grid: tuple[float, ...]
    embedding: EmbeddingHeader | None
    low: float
    high: float
    tensors: tuple[TensorHeader, ...]

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(tensor.size for tensor in self.tensors)

    @property
    def colours(self) -> int:
        """Outputs that are values of pixels."""
        return self.channels - self.coverage

    @property
    def graphs(self) -> Mapping[str, int]:
        """Number of the graph of each role."""
        return dict.fromkeys(IMPLICIT_ROLES, 0)

    @property
    def has_streams(self) -> bool:
        """Whether each image has a stream of its own."""
        return self.embedding is not None

    @property
    def interpolates(self) -> bool:
        """Whether images between the stored ones can be made."""
        return True

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        values = {
            "family": "implicit",
            "name": self.name,
            "channels": self.channels,
            "coverage": int(self.coverage),
            "stride": self.stride,
            "codes": [list(code) for code in self.codes],
            "waves": [list(waves) for waves in self.waves],
            "grid": list(self.grid),
            "low": self.low,
            "high": self.high,
            "tensors": [tensor.to_json() for tensor in self.tensors],
        }
        if self.embedding is not None:
            values["embedding"] = {
                "step": self.embedding.step,
                "offsets": list(self.embedding.offsets),
                "tables": list(self.embedding.tables),
            }
        return values


def parse_tensors(fields: Fields, inputs: frozenset[str]) -> tuple[TensorHeader, ...]:
    """Tensors of a codec, none with the name of an input of its graphs."""
    tensors = tuple(parse_tensor(t) for t in fields.items("tensors", MAX_TENSORS))
    names = {tensor.name for tensor in tensors}
    if len(names) != len(tensors) or names & inputs:
        raise FormatError("the file's header is malformed: names of its tensors")
    return tensors


def parse_codes(fields: Fields, most: int) -> tuple[tuple[float, float], ...]:
    """Offsets and scales."""
    items = fields.items("codes", most)
    codes = [Fields({"code": c}, "codec").numbers("code", 2) for c in items]
    return tuple((c[0], c[1]) for c in codes)


def parse_range(fields: Fields) -> tuple[float, float]:
    """Range of the values of float images."""
    low, high = fields.number("low"), fields.number("high")
    if not -3.5e38 < low <= high < 3.5e38:
        raise FormatError("the file's header is malformed: low and high")
    return low, high


def parse_implicit(fields: Fields, axes: int) -> ImplicitHeader:
    """Parse the codec of an untrusted header.

    Parameters
    ----------
    fields : Fields
        Its object.
    axes : int
        Parameters of the images, the column among them where there are several.

    Raises
    ------
    FormatError
        If something is missing or of the wrong kind; LimitError if it claims too much.
    """
    codes = parse_codes(fields, axes)
    waves = tuple(_waves({"waves": w}) for w in fields.items("waves", axes))
    if len(codes) != axes or len(waves) != axes:
        raise FormatError("the file's header is malformed: codec.codes")
    stride = fields.integer("stride", MIN_STRIDE, MAX_STRIDE)
    if stride & (stride - 1):
        raise FormatError("the file's header is malformed: codec.stride")
    coverage = fields.integer("coverage", 0, 1)
    low, high = parse_range(fields)
    embedding = _embedding(fields) if fields.has("embedding") else None
    return ImplicitHeader(
        name=fields.text("name"),
        channels=fields.integer("channels", 1 + coverage, 4 + coverage),
        coverage=bool(coverage),
        stride=stride,
        codes=codes,
        waves=waves,
        grid=_waves({"waves": fields.items("grid", MAX_WAVES)}),
        embedding=embedding,
        low=low,
        high=high,
        tensors=parse_tensors(fields, IMPLICIT_ROLES["view"]),
    )


def _waves(value: dict[str, Any]) -> tuple[float, ...]:
    fields = Fields(value, "codec")
    waves = fields.numbers("waves", len(fields.items("waves", MAX_WAVES)))
    if any(abs(wave) > 1e6 for wave in waves):
        raise LimitError("the file's header claims waves beyond all proportion")
    return waves


def _embedding(fields: Fields) -> EmbeddingHeader:
    own = Fields(fields.mapping("embedding"), "embedding")
    step = own.number("step")
    if not 0 < step < 1e6:
        raise FormatError("the file's header is malformed: embedding.step")
    tables = own.integers("tables", None, 0, NUMBER_OF_SCALES - 1)
    if not 0 < len(tables) <= MAX_EMBEDDING_CHANNELS:
        raise FormatError("the file's header is malformed: embedding.tables")
    offsets = own.integers("offsets", len(tables), -_MOST_OFFSET, _MOST_OFFSET)
    return EmbeddingHeader(step, offsets, tables)
