"""Images of a database in an `.inr` file of format 1: its sections packed and unpacked."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inrvis.bitstream.outlines import Outlines, read_outlines
from inrvis.container.images_header import ImageKind, ImagesHeader, parse_images_header
from inrvis.container.sections import deflate, file_image, inflate, join, read_sections, split
from inrvis.container.weights import Integers, Weights, pack_tensors, unpack_tensors
from inrvis.errors import FormatError
from inrvis.parameters import Cell

Pair = tuple[int, int]


@dataclass(frozen=True)
class Tables:
    """What a file lists.

    Attributes
    ----------
    cells : tuple of Cell
        Rows of the database.
    kinds : tuple of int
        For each image, the number of its kind.
    pairs : tuple of pairs of int
        Left and right image of each pair; the right one is -1 for an image alone, and a left one
        may have several partners. Empty where images are not coded in pairs.
    """

    cells: tuple[Cell, ...]
    kinds: tuple[int, ...]
    pairs: tuple[Pair, ...]


@dataclass(frozen=True)
class StoredImages:
    """What a file of images holds, decoded to weights but not to latents.

    Attributes
    ----------
    streams : tuple of bytes
        For each image its symbols' CRC-32, four bytes, and the stream of its latents; empty where
        images have none.
    masks : mapping of int to bytes
        Masks of the images whose kind has one.
    outlines : Outlines or None
        What the masks are coded with; None if each stands for itself.
    """

    header: ImagesHeader
    tables: Tables
    graphs: tuple[bytes, ...]
    weights: Weights
    streams: tuple[bytes, ...]
    masks: Mapping[int, bytes]
    outlines: Outlines | None
    encoded_bytes: int

    def kind(self, image: int) -> ImageKind:
        """Size and type of an image."""
        return self.header.kinds[self.tables.kinds[image]]


def images_image(
    header: ImagesHeader,
    tables: Tables,
    *,
    graphs: Sequence[bytes],
    integers: Integers,
    streams: Sequence[bytes],
    masks: Mapping[int, bytes],
    outlines: bytes = b"",
) -> bytes:
    """Return the whole file of a database of images."""
    numbers = [
        *(n for cell in tables.cells for n in (*cell.values, *cell.images)),
        *tables.kinds,
        *(n for pair in tables.pairs for n in pair),
    ]
    sections = {
        "header": deflate(header.to_bytes()),
        "tables": deflate(np.array(numbers, dtype="<i4").tobytes()),
        "graphs": deflate(join(graphs)),
        "weights": pack_tensors(header.codec.tensors, integers),
    }
    if header.codec.has_streams:
        sections["latents"] = join(streams)
    if masks:
        sections["masks"] = join([masks[image] for image in sorted(masks)])
    if outlines:
        sections["outlines"] = outlines
    return file_image(sections)


def read_images(path: str | os.PathLike[str], data: bytes | None = None) -> StoredImages:
    """Read and check a file of images, or one that is in memory as ``data``.

    Raises
    ------
    FormatError
        If it is not a sound file of images of a known version.
    """
    sections = read_sections(path, data)
    _require_sections(path, sections, {"header", "tables", "graphs", "weights"})
    header = parse_images_header(inflate(sections["header"], "header"))
    if header.codec.has_streams:
        _require_sections(path, sections, {"latents"})
    tables = _read_tables(header, inflate(sections["tables"], "tables"))
    graphs = split(inflate(sections["graphs"], "graphs"), "graphs")
    if max(header.codec.graphs.values()) >= len(graphs):
        raise FormatError("the file's header names a graph that is not there")
    masked = [i for i, k in enumerate(tables.kinds) if header.kinds[k].mask]
    masks = split(sections.get("masks", b""), "masks", len(masked))
    coded = header.codec.has_streams
    streams = split(sections["latents"], "latents", header.images) if coded else []
    return StoredImages(
        header,
        tables,
        tuple(graphs),
        unpack_tensors(header.codec.tensors, sections["weights"]),
        tuple(streams),
        dict(zip(masked, masks, strict=True)),
        read_outlines(sections["outlines"]) if "outlines" in sections else None,
        Path(path).stat().st_size if data is None else len(data),
    )


def _require_sections(
    path: str | os.PathLike[str], sections: Mapping[str, bytes], names: set[str]
) -> None:
    if missing := names - set(sections):
        raise FormatError(f"{path} has no section {min(missing)!r}")


def _read_tables(header: ImagesHeader, data: bytes) -> Tables:
    width = len(header.parameters) + len(header.columns)
    wanted = header.cells * width + header.images + 2 * header.pairs
    if len(data) != 4 * wanted:
        raise FormatError("the tables section does not hold what the header says")
    numbers = np.frombuffer(data, dtype="<i4")
    rows = numbers[: header.cells * width].reshape(header.cells, width)
    kinds, pairs = np.split(numbers[header.cells * width :], [header.images])
    pairs = pairs.reshape(header.pairs, 2)
    axes = len(header.parameters)
    most = np.array([len(p.values) for p in header.parameters], dtype=np.int64)
    _require(((rows[:, :axes] >= 0) & (rows[:, :axes] < most)).all(), "a value of a cell")
    files = rows[:, axes:]
    _require(((files >= -1) & (files < header.images)).all(), "an image of a cell")
    # Each image takes its parameters from a cell.
    _require(len(np.unique(files[files >= 0])) == header.images, "an image without a cell")
    _require(((kinds >= 0) & (kinds < len(header.kinds))).all(), "the kind of an image")
    _require(((pairs >= (0, -1)) & (pairs < header.images)).all(), "a pair")
    both = pairs[pairs[:, 1] >= 0]
    if header.pairs:
        # A left image may have several partners.
        lefts = np.concatenate([np.unique(both[:, 0]), pairs[pairs[:, 1] < 0, 0]])
        own = np.concatenate([lefts, both[:, 1]])
        _require(
            len(own) == header.images == len(np.unique(own)), "images that are not in one pair"
        )
    sizes = np.array([(k.height, k.width) for k in header.kinds])[kinds]
    _require((sizes[both[:, 0]] == sizes[both[:, 1]]).all(), "a pair of different sizes")
    return Tables(
        tuple(_cell(row, axes) for row in rows.tolist()),
        tuple(kinds.tolist()),
        tuple((left, right) for left, right in pairs.tolist()),
    )


def _cell(row: list[int], axes: int) -> Cell:
    return Cell(tuple(row[:axes]), tuple(row[axes:]))


def _require(sound: bool | np.bool_, what: str) -> None:
    if not sound:
        raise FormatError(f"the tables section is damaged: {what}")


def cells_of_images(tables: Tables, images: int) -> NDArray[np.int64]:
    """For each image the number of the first cell that names it."""
    first = np.full(images, -1, dtype=np.int64)
    for number, cell in enumerate(tables.cells):
        for image in cell.images:
            if image >= 0 and first[image] < 0:
                first[image] = number
    return first
