"""Images that one network gives from their parameters, stored ones and those between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from inrvis.container.images_file import StoredImages, cells_of_images
from inrvis.container.images_header import ImageKind
from inrvis.container.implicit_header import EmbeddingHeader, ImplicitHeader
from inrvis.decoder.codes import grid_of, waves_of
from inrvis.decoder.image_graphs import Array, RoleGraph, SessionSettings
from inrvis.decoder.neighbours import around
from inrvis.decoder.streams import StreamSource
from inrvis.parameters import Cell, Parameter


class ImplicitNetwork:
    """The network of a file.

    Parameters
    ----------
    header : ImplicitHeader
        What the file says of it.
    graphs, weights
        As in `StoredImages`.
    settings : SessionSettings
        How to run it.
    """

    def __init__(
        self,
        header: ImplicitHeader,
        graphs: Sequence[bytes],
        weights: Mapping[str, Array],
        settings: SessionSettings | None = None,
    ) -> None:
        self._header = header
        self._graph = RoleGraph("view", graphs[0], weights, settings or SessionSettings())
        self.device = self._graph.device

    def picture(
        self, kind: ImageKind, values: Sequence[float], embedding: Array | None = None
    ) -> Array:
        """Channels (channels, height, width) of an image, nominally 0 … 1.

        Parameters
        ----------
        kind : ImageKind
            Its size.
        values : sequence of float
            A number for each code of the header.
        embedding : ndarray of float32, optional
            What is stored for it, or mixed of what is; shape as `embedding_shape`.
        """
        height, width = kind.padded_to(self._header.stride)
        feeds = {"code": waves_of(self._header, values), "grid": grid_of(self._header, kind)}
        if embedding is not None:
            feeds["embedding"] = embedding
        shape = (1, self._header.channels, height, width)
        padded = self._graph(feeds, shape, height * width)
        return padded[0, :, : kind.height, : kind.width]


def embedding_shape(header: ImplicitHeader, kind: ImageKind) -> tuple[int, int, int, int]:
    """Shape (1, channels, rows, columns) of the embedding of an image."""
    height, width = kind.padded_to(header.stride)
    channels = len(header.embedding.tables) if header.embedding else 0
    return 1, channels, height // header.stride, width // header.stride


def embedding_tables(embedding: EmbeddingHeader, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Number of the table of each integer of an embedding."""
    tables = np.array(embedding.tables, dtype=np.int64)
    return np.ascontiguousarray(np.broadcast_to(tables[None, :, None, None], shape))


class ImplicitPictures:
    """Pictures of a file whose images one network gives.

    Parameters
    ----------
    stored : StoredImages
        The file.
    header : ImplicitHeader
        Its codec.
    settings : SessionSettings
        How to run the network.
    """

    def __init__(
        self, stored: StoredImages, header: ImplicitHeader, settings: SessionSettings
    ) -> None:
        self._stored, self._header = stored, header
        self._network = ImplicitNetwork(header, stored.graphs, stored.weights, settings)
        self.device = self._network.device
        tables = stored.tables
        first = cells_of_images(tables, stored.header.images)
        self._first = [tables.cells[int(number)] for number in first]

    def channels(self, image: int) -> Array:
        """Channels of a stored image, (channels, height, width), nominally 0 … 1."""
        cell = self._first[image]
        numbers = values_of(self._stored.header.parameters, cell)
        values = self._coded(numbers, cell.images.index(image))
        return self._network.picture(self._stored.kind(image), values, self._embedding(image))

    def between(
        self, column: int, nearest: Cell, cells: Sequence[Cell], wanted: Mapping[str, float]
    ) -> Array:
        """Channels of an image that is not stored.

        Parameters
        ----------
        column : int
            Which column of images.
        nearest : Cell
            The stored one whose size and texts it takes.
        cells : sequence of Cell
            All that have an image in the column.
        wanted : mapping of str to float
            Numbers by the parameters' names, all that are numbers.
        """
        parameters, kind = self._stored.header.parameters, self._kind(nearest, column)
        numbers = values_of(parameters, nearest)
        texts = [axis for axis, p in enumerate(parameters) if p.name not in wanted]
        for axis, parameter in enumerate(parameters):
            numbers[axis] = wanted.get(parameter.name, numbers[axis])
        embedding = None
        if self._header.embedding is not None:
            same = [
                cell
                for cell in cells
                if all(cell.values[axis] == nearest.values[axis] for axis in texts)
                and _size(self._kind(cell, column)) == _size(kind)
            ]
            mixed = np.zeros(embedding_shape(self._header, kind))
            for cell, weight in around(parameters, same, wanted):
                own = self._embedding(cell.images[column])
                mixed += weight * (0 if own is None else own.astype(np.float64))
            embedding = mixed.astype(np.float32)
        return self._network.picture(kind, self._coded(numbers, column), embedding)

    def close(self) -> None:
        """Let go of what is cached: nothing is."""

    def _kind(self, cell: Cell, column: int) -> ImageKind:
        return self._stored.kind(cell.images[column])

    def _coded(self, numbers: list[float], column: int) -> list[float]:
        return numbers + [float(column)] * (len(self._header.codes) - len(numbers))

    def _embedding(self, image: int) -> Array | None:
        embedding = self._header.embedding
        if embedding is None:
            return None
        shape = embedding_shape(self._header, self._stored.kind(image))
        source = StreamSource(self._stored.streams[image], image, exact=True)
        tables = embedding_tables(embedding, shape)
        symbols = source.symbols(np.zeros(shape), tables, np.ones(shape[2:], dtype=np.bool_))
        source.finish()
        offsets = np.array(embedding.offsets)[None, :, None, None]
        values: Array = ((symbols + offsets) * embedding.step).astype(np.float32)
        return values


def values_of(parameters: Sequence[Parameter], cell: Cell) -> list[float]:
    """For each parameter of a cell its number, or the index of its text."""
    return [
        float(index) if parameter.numbers is None else parameter.numbers[index]
        for parameter, index in zip(parameters, cell.values, strict=True)
    ]


def _size(kind: ImageKind) -> tuple[int, int]:
    return kind.height, kind.width
