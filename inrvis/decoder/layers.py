"""Coded layers on the grid, residuals and masks: decoded chunk by chunk, as they are needed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrvis.container.volume_file import CHUNK_SIDE
from inrvis.errors import FormatError

Triple = tuple[int, int, int]
Decode = Callable[[bytes, Triple], NDArray[Any]]
_CACHE_BYTES = 96 << 20


@dataclass(frozen=True)
class Chunks:
    """How a coded layer is cut up: evenly, into boxes of at most CHUNK_SIDE voxels a side.

    Attributes
    ----------
    dimensions : tuple of 3 int
        (nx, ny, nz).
    """

    dimensions: Triple

    @property
    def counts(self) -> Triple:
        """Chunks along x, y and z."""
        x, y, z = (-(-n // CHUNK_SIDE) for n in self.dimensions)
        return x, y, z

    @property
    def sides(self) -> Triple:
        """Voxels of a chunk along x, y and z; the last one may have fewer."""
        x, y, z = (-(-n // c) for n, c in zip(self.dimensions, self.counts, strict=True))
        return x, y, z

    def slices(self, chunk: Triple) -> tuple[slice, slice, slice]:
        """Voxels of a chunk as slices of a (z, y, x) array."""
        x, y, z = (
            slice(c * side, min((c + 1) * side, n))
            for c, side, n in zip(chunk, self.sides, self.dimensions, strict=True)
        )
        return z, y, x

    def __iter__(self) -> Iterator[Triple]:
        """Every chunk (x, y, z) in the order of the file, x fastest."""
        x, y, z = self.counts
        return ((i, j, k) for k, j, i in product(range(z), range(y), range(x)))

    def flat(self, chunk: Triple) -> int:
        """Position of a chunk in the order of the file."""
        x, y, _ = self.counts
        return chunk[0] + x * (chunk[1] + y * chunk[2])


class ChunkCache:
    """Decoded chunks, up to a number of bytes (one at least); safe to share between threads."""

    def __init__(self, capacity_bytes: int = _CACHE_BYTES) -> None:
        self._capacity, self._bytes = capacity_bytes, 0
        self._chunks: OrderedDict[tuple[int, int], NDArray[Any]] = OrderedDict()
        self._lock = RLock()

    def get(self, key: tuple[int, int], decode: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """Chunk of ``key``, decoded if it is not here."""
        # Held while decoding: two threads that want one chunk must not both decode it.
        with self._lock:
            if key not in self._chunks:
                chunk = decode()
                self._bytes += chunk.nbytes
                while self._chunks and self._bytes > self._capacity:
                    self._bytes -= self._chunks.popitem(last=False)[1].nbytes
                self._chunks[key] = chunk
            self._chunks.move_to_end(key)
            return self._chunks[key]

    def clear(self) -> None:
        """Forget every chunk."""
        with self._lock:
            self._chunks.clear()
            self._bytes = 0


class Layer:
    """One coded layer.

    Parameters
    ----------
    chunks : Chunks
        Its geometry.
    streams : sequence of bytes
        A stream for each chunk.
    decode : callable
        Decodes a stream of a given shape (nz, ny, nx).
    dtype : dtype
        Of what that gives.
    cache : ChunkCache
        Where decoded chunks are kept.
    """

    def __init__(
        self,
        chunks: Chunks,
        streams: Sequence[bytes],
        decode: Decode,
        dtype: np.dtype[Any],
        cache: ChunkCache,
    ) -> None:
        self._chunks, self._streams, self._decode = chunks, streams, decode
        self._dtype, self._cache = dtype, cache

    def _chunk(self, chunk: Triple) -> NDArray[Any]:
        flat = self._chunks.flat(chunk)
        z, y, x = (s.stop - s.start for s in self._chunks.slices(chunk))

        def decode() -> NDArray[Any]:
            try:
                return self._decode(self._streams[flat], (z, y, x))
            except MemoryError as error:
                raise FormatError("a coded layer does not fit in memory") from error

        return self._cache.get((id(self), flat), decode)

    def box(self, positions: Sequence[NDArray[np.int64]]) -> NDArray[Any]:
        """Values on the Cartesian product of ``positions`` along x, y, z; (nz, ny, nx)."""
        result = np.empty([len(p) for p in reversed(positions)], dtype=self._dtype)
        runs = [_runs(p // side) for p, side in zip(positions, self._chunks.sides, strict=True)]
        for (cx, x), (cy, y), (cz, z) in product(*runs):
            first = self._chunks.slices((cx, cy, cz))
            inside = [
                p[s] - f.start
                for p, s, f in zip(positions, (x, y, z), reversed(first), strict=True)
            ]
            result[z, y, x] = self._chunk((cx, cy, cz))[np.ix_(*reversed(inside))]
        return result

    def points(self, positions: NDArray[np.int64]) -> NDArray[Any]:
        """Values at voxels (n, 3), in the order x, y, z."""
        result = np.empty(len(positions), dtype=self._dtype)
        chunks = positions // np.array(self._chunks.sides)
        flat = np.ravel_multi_index(tuple(chunks.T), self._chunks.counts)
        for number in np.unique(flat):
            (where,) = np.nonzero(flat == number)
            cx, cy, cz = chunks[where[0]].tolist()
            first = [s.start for s in reversed(self._chunks.slices((cx, cy, cz)))]
            x, y, z = (positions[where] - first).T
            result[where] = self._chunk((cx, cy, cz))[z, y, x]
        return result


def _runs(chunks: NDArray[np.int64]) -> list[tuple[int, slice]]:
    """Runs of equal numbers in an ascending sequence."""
    numbers, starts = np.unique(chunks, return_index=True)
    ends = [*starts[1:].tolist(), len(chunks)]
    return [
        (int(number), slice(int(start), end))
        for number, start, end in zip(numbers, starts, ends, strict=True)
    ]


def trilinear(
    layer: Callable[[NDArray[np.int64]], NDArray[Any]],
    positions: NDArray[np.float64],
    dimensions: Triple,
) -> NDArray[np.float64]:
    """Interpolate values of voxels at ``positions`` (n, 3) in voxels, order x, y, z."""
    last = np.array(dimensions) - 1
    lower = np.clip(np.floor(positions).astype(np.int64), 0, np.maximum(last - 1, 0))
    fraction = positions - lower
    result = np.zeros(len(positions))
    for step in product((0, 1), repeat=3):
        weight = np.prod(np.where(step, fraction, 1 - fraction), axis=1)
        # A corner without weight must not be asked for: it may be NaN or beyond the rim.
        (some,) = np.nonzero(weight)
        if len(some):
            corner = np.minimum(lower[some] + step, last)
            result[some] += weight[some] * layer(corner).astype(np.float64)
    return result


def chunk_order(tile: tuple[slice, slice, slice], positions: Sequence[Any], chunks: Chunks) -> int:
    """Number of the chunk in which a tile of the output starts."""
    z, y, x = (
        int(p[s.start]) // side
        for p, s, side in zip(reversed(positions), tile, reversed(chunks.sides), strict=True)
    )
    return chunks.flat((x, y, z))
