"""A volume in an `.inr` file of format 1: its sections packed and unpacked."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrvis.bitstream import IntegerDecoder, IntegerEncoder
from inrvis.container.header import TensorHeader, VolumeHeader, parse_header
from inrvis.container.sections import deflate, file_image, inflate, read_sections
from inrvis.errors import FormatError, LimitError

GRAPHS = ("trunk", "interpolate", "head")
Integers = Mapping[str, NDArray[np.integer[Any]]]


@dataclass(frozen=True)
class StoredVolume:
    """What a volume file holds, decoded to weights but not to voxels."""

    header: VolumeHeader
    graphs: tuple[bytes, ...]
    trunk: dict[str, NDArray[np.float32]]
    head: dict[str, NDArray[np.float32]]
    encoded_bytes: int


def code_weights(header: VolumeHeader, trunk: Integers, head: Integers) -> bytes:
    """Entropy-code the integers of all tensors, in the header's order, as one stream."""
    coder = IntegerEncoder()
    for group, integers in ((header.model.trunk, trunk), (header.model.head, head)):
        for tensor in group:
            coder.put(integers[tensor.name], tensor.table)
    return coder.finish()


def volume_image(
    header: VolumeHeader, graphs: Sequence[bytes], trunk: Integers, head: Integers
) -> bytes:
    """Return the whole file of a volume."""
    packed = b"".join(struct.pack("<I", len(graph)) + graph for graph in graphs)
    return file_image(
        {
            "header": deflate(header.to_bytes()),
            "graphs": deflate(packed),
            "weights": code_weights(header, trunk, head),
        }
    )


def read_volume(path: str | os.PathLike[str]) -> StoredVolume:
    """Read and check a volume file.

    Raises
    ------
    FormatError
        If it is not a sound file of a known version.
    """
    sections = read_sections(path)
    for name in ("header", "graphs", "weights"):
        if name not in sections:
            raise FormatError(f"{path} has no section {name!r}")
    header = parse_header(inflate(sections["header"], "header"))
    # Few streams spend less than an eighth of a bit on a weight; a claim far beyond it is no
    # file of ours, and would cost memory out of all proportion.
    if header.model.parameters > 4096 + 64 * len(sections["weights"]):
        raise LimitError(
            f"{path} claims {header.model.parameters} weights, more than its stream holds"
        )
    graphs = _unpack_graphs(inflate(sections["graphs"], "graphs"))
    try:
        stream = IntegerDecoder(sections["weights"])
        trunk = {t.name: _take(stream, t) for t in header.model.trunk}
        head = {t.name: _take(stream, t) for t in header.model.head}
    except ValueError as error:
        raise FormatError(f"{path}: section 'weights' is damaged: {error}") from error
    # A range decoder reads anything, and reads on past the end: only coding again tells whether
    # these integers are what the stream holds, no more and no less.
    if code_weights(header, trunk, head) != sections["weights"]:
        raise FormatError(f"{path}: section 'weights' does not hold the tensors of the header")
    return StoredVolume(
        header,
        graphs,
        {t.name: _dequantise(trunk[t.name], t) for t in header.model.trunk},
        {t.name: _dequantise(head[t.name], t) for t in header.model.head},
        Path(path).stat().st_size,
    )


def _take(stream: IntegerDecoder, tensor: TensorHeader) -> NDArray[np.int64]:
    return stream.take(tensor.size, tensor.table).reshape(tensor.shape)


def _dequantise(integers: NDArray[np.int64], tensor: TensorHeader) -> NDArray[np.float32]:
    return np.asarray(integers * tensor.step, dtype=np.float32)


def _unpack_graphs(data: bytes) -> tuple[bytes, ...]:
    graphs = []
    for _ in GRAPHS:
        if len(data) < 4:
            raise FormatError("the graphs section is cut short")
        (length,) = struct.unpack_from("<I", data)
        graphs.append(data[4 : 4 + length])
        if len(graphs[-1]) != length:
            raise FormatError("the graphs section is cut short")
        data = data[4 + length :]
    if data:
        raise FormatError("the graphs section holds more than its graphs")
    return tuple(graphs)
