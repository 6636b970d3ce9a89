"""A volume in an `.inr` file of format 1: its sections packed and unpacked."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrvis.bitstream import IntegerDecoder, IntegerEncoder
from inrvis.container.header import ModelHeader, VolumeHeader
from inrvis.container.header_parser import parse_header
from inrvis.container.sections import deflate, file_image, inflate, join, read_sections, split
from inrvis.container.tensors import RAW_TABLE, TensorHeader
from inrvis.errors import FormatError, LimitError

# Coded layers are cut into chunks of at most this many voxels a side.
CHUNK_SIDE = 256
Integers = Mapping[str, NDArray[np.integer[Any]]]
Weights = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class StoredModel:
    """A network as stored: graphs (None for one that is not needed) and dequantised weights."""

    header: ModelHeader
    graphs: tuple[bytes, bytes | None, bytes | None]
    trunk: Weights
    head: Weights


@dataclass(frozen=True)
class Contents:
    """What a writer puts into a file beside the header.

    Attributes
    ----------
    graphs : sequence of bytes
        Distinct ONNX models; the header's models name them by number.
    tensors : sequence of mapping
        Integers of the tensors of each model, by name.
    residuals : sequence of bytes
        Streams of coded layers: by array, component and chunk.
    masks : sequence of bytes
        Streams of masks: by mask and chunk.
    """

    graphs: Sequence[bytes] = ()
    tensors: Sequence[Integers] = ()
    residuals: Sequence[bytes] = ()
    masks: Sequence[bytes] = ()


@dataclass(frozen=True)
class StoredVolume:
    """What a volume file holds, decoded to weights but not to voxels.

    Attributes
    ----------
    residuals : dict
        Array name to the streams of its layer: one tuple of chunks for each component.
    masks : tuple
        Streams of each mask's chunks.
    """

    header: VolumeHeader
    models: tuple[StoredModel, ...]
    residuals: Mapping[str, tuple[tuple[bytes, ...], ...]]
    masks: tuple[tuple[bytes, ...], ...]
    encoded_bytes: int


def number_of_chunks(dimensions: Sequence[int]) -> int:
    """Chunks that a coded layer of a volume consists of."""
    return math.prod(-(-n // CHUNK_SIDE) for n in dimensions)


def code_weights(header: VolumeHeader, tensors: Sequence[Integers]) -> bytes:
    """Entropy-code the integers of all tensors, in the header's order, as one stream."""
    coder = IntegerEncoder()
    for model, integers in zip(header.models, tensors, strict=True):
        for tensor in (*model.trunk, *model.head):
            if tensor.table == RAW_TABLE:
                coder.put_bits(integers[tensor.name], 32)
            else:
                coder.put(integers[tensor.name], tensor.table)
    return coder.finish()


def volume_image(header: VolumeHeader, contents: Contents) -> bytes:
    """Return the whole file of a volume."""
    sections = {"header": deflate(header.to_bytes())}
    if header.models:
        sections["graphs"] = join_graphs(contents.graphs)
        sections["weights"] = code_weights(header, contents.tensors)
    if contents.residuals:
        sections["residuals"] = join(contents.residuals)
    if contents.masks:
        sections["masks"] = join(contents.masks)
    return file_image(sections)


def read_volume(path: str | os.PathLike[str]) -> StoredVolume:
    """Read and check a volume file.

    Raises
    ------
    FormatError
        If it is not a sound file of a known version.
    """
    sections = read_sections(path)
    header = parse_header(inflate(_section(sections, "header", path), "header"))
    graphs = split_graphs(_section(sections, "graphs", path)) if header.models else []
    return unpack_volume(header, graphs, sections, path, Path(path).stat().st_size)


def unpack_volume(
    header: VolumeHeader,
    graphs: Sequence[bytes],
    sections: Mapping[str, bytes],
    path: str | os.PathLike[str],
    encoded_bytes: int,
) -> StoredVolume:
    """Decode the weights of a volume and share out its streams.

    Parameters
    ----------
    graphs : sequence of bytes
        ONNX models, which the header names by number.
    sections : mapping
        The sections ``weights``, ``residuals`` and ``masks``, as far as there are any.
    path : path
        The file, for messages.
    encoded_bytes : int
        What the volume takes in it.

    Raises
    ------
    FormatError
        If the sections do not hold what the header says.
    """
    models: tuple[StoredModel, ...] = ()
    if header.models:
        weights = _read_weights(header, _section(sections, "weights", path), path)
        models = tuple(
            _stored_model(model, graphs, integers)
            for model, integers in zip(header.models, weights, strict=True)
        )
    chunks = number_of_chunks(header.grid.dimensions)
    coded = [array for array in header.arrays if array.residual]
    wanted = chunks * sum(array.components for array in coded)
    residuals = split(sections.get("residuals", b""), "residuals", wanted)
    masks = split(sections.get("masks", b""), "masks", chunks * header.masks)
    layers = iter(residuals)
    return StoredVolume(
        header,
        models,
        {
            array.name: tuple(tuple(islice(layers, chunks)) for _ in range(array.components))
            for array in coded
        },
        tuple(tuple(masks[i : i + chunks]) for i in range(0, len(masks), chunks)),
        encoded_bytes,
    )


def split_graphs(section: bytes) -> list[bytes]:
    """ONNX models of a section ``graphs``."""
    return split(inflate(section, "graphs"), "graphs")


def join_graphs(graphs: Sequence[bytes]) -> bytes:
    """Section ``graphs`` of ONNX models."""
    return deflate(join(graphs))


def _section(sections: Mapping[str, bytes], name: str, path: str | os.PathLike[str]) -> bytes:
    if name not in sections:
        raise FormatError(f"{path} has no section {name!r}")
    return sections[name]


def _read_weights(
    header: VolumeHeader, data: bytes, path: str | os.PathLike[str]
) -> list[dict[str, NDArray[np.int64]]]:
    # Few streams spend less than an eighth of a bit on a weight; a claim far beyond it is no
    # file of ours, and would cost memory out of all proportion.
    if header.parameters > 4096 + 64 * len(data):
        raise LimitError(f"{path} claims {header.parameters} weights, more than its stream holds")
    try:
        stream = IntegerDecoder(data)
        weights = [
            {t.name: _take(stream, t) for t in (*model.trunk, *model.head)}
            for model in header.models
        ]
    except ValueError as error:
        raise FormatError(f"{path}: section 'weights' is damaged: {error}") from error
    # A range decoder reads anything, and reads on past the end: only coding again tells whether
    # these integers are what the stream holds, no more and no less.
    if code_weights(header, weights) != data:
        raise FormatError(f"{path}: section 'weights' does not hold the tensors of the header")
    return weights


def _take(stream: IntegerDecoder, tensor: TensorHeader) -> NDArray[np.int64]:
    if tensor.table == RAW_TABLE:
        return stream.take_bits(tensor.size, 32).reshape(tensor.shape)
    return stream.take(tensor.size, tensor.table).reshape(tensor.shape)


def _dequantise(integers: NDArray[np.int64], tensor: TensorHeader) -> NDArray[np.float32]:
    if tensor.table == RAW_TABLE:
        weights = integers.astype(np.uint32).view(np.float32)
        if not np.isfinite(weights).all():
            raise FormatError("the file holds weights that are not finite")
        return weights
    return np.asarray(integers * tensor.step, dtype=np.float32)


def _stored_model(
    model: ModelHeader, graphs: Sequence[bytes], integers: Mapping[str, NDArray[np.int64]]
) -> StoredModel:
    if max(model.graphs) >= len(graphs):
        raise FormatError("the file's header names a graph that is not there")
    trunk, interpolate, head = model.graphs
    return StoredModel(
        model,
        (
            graphs[trunk],
            graphs[interpolate] if interpolate >= 0 else None,
            graphs[head] if head >= 0 else None,
        ),
        {t.name: _dequantise(integers[t.name], t) for t in model.trunk},
        {t.name: _dequantise(integers[t.name], t) for t in model.head},
    )
