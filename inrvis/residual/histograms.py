"""Histograms of rounded differences, one for each context, as a stream carries them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrvis.bitstream import IntegerDecoder, IntegerEncoder, counts, reach
from inrvis.errors import FormatError

Integers = NDArray[np.integer[Any]]

# Magnitudes 0 to 14 above the raw low bits, and one symbol for all larger ones.
_SYMBOLS = 16
_ESCAPE = _SYMBOLS - 1
_ESCAPE_BITS = 31
_MOST_SHIFT = 28
# A count is stored as its position among these: two steps an octave, up to 2**20.
_COUNTS = np.array([0, 1] + [(2 + i % 2) << (i // 2) for i in range(39)], dtype=np.int64)
# Tables of the coder for the differences of neighbouring histograms.
_TABLES = (128, 136, 144, 148, 152, 156, 160, 168)


@dataclass(frozen=True)
class Histograms:
    """For each context, how many low bits go uncoded and how frequent each symbol is.

    Attributes
    ----------
    table : ndarray of uint8, shape (contexts, 1 + 16)
        Number of low bits, then the codes of the counts.
    """

    table: NDArray[np.uint8]

    @classmethod
    def of(cls, number: int, parts: Iterable[tuple[Integers, Integers]]) -> Histograms:
        """Histograms of ``number`` contexts, from arrays of contexts and of integers."""
        bits = np.zeros((number, 33), dtype=np.int64)
        small = np.zeros((number, 1 << 12), dtype=np.int64)
        for contexts, integers in parts:
            magnitudes = np.abs(integers)
            lengths = np.frexp(magnitudes.astype(np.float64))[1]
            np.add.at(bits, (contexts, lengths), 1)
            low = magnitudes < small.shape[1]
            flat = contexts[low] * small.shape[1] + magnitudes[low]
            small += np.bincount(flat, minlength=small.size).reshape(small.shape)
        table = np.zeros((number, 1 + _SYMBOLS), dtype=np.uint8)
        for context in range(number):
            total = bits[context].sum()
            if not total:
                continue
            # So few low bits that all but about one in a hundred fit below the escape.
            reach = int(np.searchsorted(np.cumsum(bits[context]), 0.99 * total))
            shift = max(0, reach - 4)
            if shift > 8:
                frequencies = _octaves(bits[context], shift)
            else:
                values = small[context].reshape(-1, 1 << shift).sum(axis=1)
                frequencies = np.append(values[:_ESCAPE], total - values[:_ESCAPE].sum())
            table[context] = [shift, *_codes(frequencies)]
        return cls(table)

    def put_into(self, stream: IntegerEncoder) -> None:
        """Code the histograms: each as its difference to the one before."""
        used = self.table[:, 1:].any(axis=1)
        stream.put_bits(used, 1)
        rows = self.table[used].astype(np.int64)
        lengths = _SYMBOLS - (rows[:, :0:-1] > 0).argmax(axis=1)
        shifted = int(rows[:, 0].any())
        stream.put_bits(np.array([shifted]), 1)
        stream.put_bits(rows[:, 0], 5 * shifted)
        stream.put_bits(lengths - 1, 4)
        differences = np.diff(rows[:, 1:], axis=0, prepend=0)
        coded = differences[np.arange(_SYMBOLS) < lengths[:, None]]
        best = min(range(len(_TABLES)), key=lambda i: _bits(coded, _TABLES[i]))
        stream.put_bits(np.array([best]), 3)
        stream.put(coded, _TABLES[best])

    @classmethod
    def take_from(cls, stream: IntegerDecoder, number: int) -> Histograms:
        """Decode ``number`` histograms; FormatError if they are damaged."""
        used = stream.take_bits(number, 1) == 1
        count = int(used.sum())
        shifted = int(stream.take_bits(1, 1)[0])
        rows = np.zeros((count, 1 + _SYMBOLS), dtype=np.int64)
        rows[:, 0] = stream.take_bits(count, 5 * shifted)
        lengths = stream.take_bits(count, 4) + 1
        table = _TABLES[int(stream.take_bits(1, 3)[0])]
        coded = stream.take(int(lengths.sum()), table)
        before = np.zeros(_SYMBOLS, dtype=np.int64)
        position = 0
        for row, length in zip(rows, lengths.tolist(), strict=True):
            row[1 : 1 + length] = before[:length] + coded[position : position + length]
            position += length
            before = row[1:]
        if rows[:, 0].max(initial=0) > _MOST_SHIFT or not (
            rows[:, 1:].min(initial=0) >= 0 and rows[:, 1:].max(initial=0) < len(_COUNTS)
        ):
            raise FormatError("a residual's histograms are damaged")
        table_ = np.zeros((number, 1 + _SYMBOLS), dtype=np.uint8)
        table_[used] = rows
        return cls(table_)

    def _counts(self, context: int) -> NDArray[np.int64]:
        result: NDArray[np.int64] = np.maximum(_COUNTS[self.table[context, 1:]], 1)
        return result

    def put(self, stream: IntegerEncoder, context: int, integers: Integers) -> None:
        """Code ``integers``, all of one context."""
        shift = int(self.table[context, 0])
        magnitudes = np.abs(integers)
        symbols = np.minimum(magnitudes >> shift, _ESCAPE)
        stream.put_symbols(symbols, self._counts(context))
        escaped = symbols == _ESCAPE
        stream.put_bits(magnitudes[escaped], _ESCAPE_BITS)
        stream.put_bits(magnitudes[~escaped], shift)
        stream.put_bits((integers < 0)[magnitudes > 0], 1)

    def take(self, stream: IntegerDecoder, context: int, number: int) -> NDArray[np.int64]:
        """Decode ``number`` integers of one context; ValueError if they are not there."""
        shift = int(self.table[context, 0])
        symbols = stream.take_symbols(number, self._counts(context))
        escaped = symbols == _ESCAPE
        magnitudes = symbols << shift
        magnitudes[escaped] = stream.take_bits(int(escaped.sum()), _ESCAPE_BITS)
        magnitudes[~escaped] |= stream.take_bits(int((~escaped).sum()), shift)
        (nonzero,) = np.nonzero(magnitudes)
        signs = stream.take_bits(len(nonzero), 1)
        magnitudes[nonzero[signs == 1]] *= -1
        return magnitudes


def _octaves(lengths: NDArray[np.int64], shift: int) -> NDArray[np.int64]:
    """Counts of the symbols where only the bit lengths of the magnitudes are known."""
    result = np.zeros(_SYMBOLS, dtype=np.int64)
    result[0] = lengths[: shift + 1].sum()
    for extra in range(1, 5):
        first, last = 1 << (extra - 1), min(1 << extra, _ESCAPE)
        result[first:last] = lengths[shift + extra] // (1 << (extra - 1))
    result[_ESCAPE] = lengths[shift + 5 :].sum() + 1
    return result


def _codes(frequencies: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions in the list of counts, in proportion to ``frequencies``; zero only for none."""
    scaled = np.maximum(frequencies * float(_COUNTS[-1]) / max(int(frequencies.max()), 1), 1.0)
    nearest = np.abs(np.log(_COUNTS[1:]) - np.log(scaled)[:, None]).argmin(axis=1)
    return np.where(frequencies > 0, nearest + 1, 0)


def _bits(integers: Integers, table: int) -> float:
    """Bits that a table of the coder spends on ``integers``."""
    sizes = np.minimum(integers + reach(table), 2 * reach(table) + 1)
    share = counts(table)
    return float(-np.log2(share[np.maximum(sizes, 0)] / share.sum()).sum())
