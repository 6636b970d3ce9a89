"""One range-coded stream of integer arrays (constriction's range coder)."""

from __future__ import annotations

from typing import Any

import constriction
import numpy as np
from numpy.typing import NDArray

from inrvis.bitstream.tables import counts, reach

# An escaped value follows as four bytes, each uniform: room for any 32-bit integer.
_ESCAPE_BYTES = 4
_ESCAPE_OFFSET = 1 << 31


def _model(weights: NDArray[np.int64]) -> constriction.stream.model.Categorical:
    # Counts are integers below 2**20: float64 holds them exactly, and with perfect=False the
    # library's conversion to fixed point is a fixed sequence of exactly rounded operations.
    return constriction.stream.model.Categorical(weights.astype(np.float64), perfect=False)


class IntegerEncoder:
    """Append integer arrays, each with its own table, to one stream."""

    def __init__(self) -> None:
        self._coder = constriction.stream.queue.RangeEncoder()
        self._byte = constriction.stream.model.Uniform(256)

    def put(self, values: NDArray[np.integer[Any]], table: int) -> None:
        """Code ``values`` (any shape, C order, 32-bit range) with table ``table``."""
        flat = np.asarray(values, dtype=np.int64).ravel()
        if flat.size == 0:
            return
        if flat.min() < -_ESCAPE_OFFSET or flat.max() >= _ESCAPE_OFFSET:
            raise ValueError("the coder takes integers of 32 bits")
        limit = reach(table)
        escaped = np.abs(flat) > limit
        symbols = np.where(escaped, 2 * limit + 1, flat + limit).astype(np.int32)
        self._coder.encode(symbols, _model(counts(table)))
        outliers = (flat[escaped] + _ESCAPE_OFFSET).astype(np.uint32)
        if outliers.size:
            raw = outliers.astype("<u4").view(np.uint8).astype(np.int32)
            self._coder.encode(raw, self._byte)

    def put_symbols(self, symbols: NDArray[np.integer[Any]], counts: NDArray[np.int64]) -> None:
        """Code ``symbols`` from 0 to n - 1 in proportion to n integer ``counts``, each positive."""
        if symbols.size:
            self._coder.encode(symbols.ravel().astype(np.int32), _model(counts))

    def put_bits(self, values: NDArray[np.integer[Any]], bits: int) -> None:
        """Code the low ``bits`` (at most 32) of non-negative ``values`` as they are."""
        for shift in range(0, bits, 8):
            part = (np.asarray(values, dtype=np.int64).ravel() >> shift) & 255
            width = min(8, bits - shift)
            model = constriction.stream.model.Uniform(1 << width)
            self._coder.encode((part & ((1 << width) - 1)).astype(np.int32), model)

    def finish(self) -> bytes:
        """Return the stream."""
        stream: bytes = self._coder.get_compressed().astype("<u4").tobytes()
        return stream


class IntegerDecoder:
    """Read back what :class:`IntegerEncoder` wrote, in the same order with the same tables."""

    def __init__(self, stream: bytes) -> None:
        if len(stream) % 4:
            raise ValueError("a coded stream is a whole number of 32-bit words")
        self._coder = constriction.stream.queue.RangeDecoder(
            np.frombuffer(stream, dtype="<u4").astype(np.uint32)
        )
        self._byte = constriction.stream.model.Uniform(256)

    def take(self, number: int, table: int) -> NDArray[np.int64]:
        """Decode the next ``number`` integers.

        Raises
        ------
        ValueError
            If the stream does not hold them.
        """
        if number == 0:
            return np.zeros(0, dtype=np.int64)
        limit = reach(table)
        try:
            symbols = self._coder.decode(_model(counts(table)), number).astype(np.int64)
            values: NDArray[np.int64] = symbols - limit
            escaped = np.flatnonzero(symbols == 2 * limit + 1)
            if escaped.size:
                raw = self._coder.decode(self._byte, _ESCAPE_BYTES * escaped.size)
                words = raw.astype(np.uint8).view("<u4").astype(np.int64)
                values[escaped] = words - _ESCAPE_OFFSET
        except AssertionError as error:  # how constriction reports an impossible stream
            raise ValueError("the coded stream is damaged") from error
        return values

    def take_symbols(self, number: int, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Decode what ``put_symbols`` coded with the same ``counts``; ValueError as in `take`."""
        if number == 0:
            return np.zeros(0, dtype=np.int64)
        try:
            symbols: NDArray[np.int64] = self._coder.decode(_model(counts), number).astype(np.int64)
        except AssertionError as error:
            raise ValueError("the coded stream is damaged") from error
        return symbols

    def take_bits(self, number: int, bits: int) -> NDArray[np.int64]:
        """Decode what ``put_bits`` coded; ValueError as in `take`."""
        values = np.zeros(number, dtype=np.int64)
        for shift in range(0, bits if number else 0, 8):
            model = constriction.stream.model.Uniform(1 << min(8, bits - shift))
            try:
                values |= self._coder.decode(model, number).astype(np.int64) << shift
            except AssertionError as error:
                raise ValueError("the coded stream is damaged") from error
        return values
