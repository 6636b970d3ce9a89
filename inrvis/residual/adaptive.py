"""Adaptive coding of integers that are mostly small, each in the context of what surrounds it.

An integer's context says how large it is expected to be, and one of a few kinds. What followed a
context so far tells how frequent each symbol is: nothing is stored about it, and small streams pay
for no tables. Statistics of a context begin as those of its expected size alone.

All statistics are integers, and change only between runs of integers that the coder takes at once:
encoder and decoder go through the same states on every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrvis.bitstream import IntegerDecoder, IntegerEncoder

Integers = NDArray[np.integer[Any]]

# Magnitudes 0 to 14, in units of a context's low bits, and one symbol for all larger ones.
_SYMBOLS = 16
_ESCAPE = _SYMBOLS - 1
# What follows an escape has at most this number of bits.
MOST_BITS = 52
# Square roots of magnitudes, in sixteenths: large neighbours count, but not for all others.
_ROOT_UNIT = 16
_LARGEST_ROOTED = 1 << 20
# Unit of the weights with which roots are summed up to an expected one.
WEIGHT_UNIT = 256
_STEPS_PER_OCTAVE = 4
_SIZES = 14 * _STEPS_PER_OCTAVE + 1
# Quarter octaves, in integers.
_THRESHOLDS = np.array(
    [
        (WEIGHT_UNIT * mantissa << octave) >> 12
        for octave in range(14)
        for mantissa in (4096, 4871, 5793, 6889)
    ]
)
# One observation, and how many observations the statistics of a size are worth to its kinds, of
# the last level to the next, and of no stream at all.
_ONE = 64
_TRUST_SIZE, _TRUST_LEVEL, _TRUST_START = 32, 32, 16
# Beyond this many observations, older ones count half.
_MOST = 4096
# Observations after which the statistics of a context are used anew: a share of those it has.
_FEWEST_NEW, _NEW_SHARE = 8, 4


def roots(integers: Integers) -> NDArray[np.int32]:
    """Square roots of the magnitudes of ``integers``, the unit of contexts."""
    magnitudes = np.minimum(np.abs(integers), _LARGEST_ROOTED).astype(np.float64)
    # IEEE 754 demands that square roots are rounded correctly.
    result: NDArray[np.int32] = np.sqrt(magnitudes * _ROOT_UNIT**2).astype(np.int32)
    return result


def sizes(expected: Integers) -> NDArray[np.int64]:
    """Size contexts of integers, from expected roots in units of 1/WEIGHT_UNIT."""
    return np.searchsorted(_THRESHOLDS, expected.ravel(), side="right")


def _low_bits(size: int) -> int:
    """How many low bits of a magnitude go uncoded, where 2 to 4 times 2**bits is expected."""
    return max(0, size // (_STEPS_PER_OCTAVE // 2) - 10)


def _start(size: int) -> NDArray[np.int64]:
    """Counts of a size's symbols before there are observations: a geometric distribution."""
    # Expected magnitude in units of the low bits, in sixteenths.
    expected = max(1, (1 << max(size, 1) // 2) >> 4 >> _low_bits(size))
    share, counts = 1 << 20, []
    for _ in range(_SYMBOLS):
        counts.append(max(1, (share * 16 // (expected + 16)) * _TRUST_START * _ONE >> 20))
        share = share * expected // (expected + 16)
    return np.array(counts)


class Statistics:
    """How frequent symbols are in each context, as far as a stream has been coded.

    Parameters
    ----------
    kinds : int
        Number of kinds; the context of an integer is ``size * kinds + kind``.
    """

    def __init__(self, kinds: int) -> None:
        self._kinds = kinds
        self._by_size = np.stack([_start(size) for size in range(_SIZES)])
        self._by_context = np.zeros((_SIZES * kinds, _SYMBOLS), dtype=np.int64)
        self._lengths = np.maximum(_ONE >> np.arange(MOST_BITS + 1) // 2, 1)
        self._models: list[NDArray[np.int64] | None] = [None] * (_SIZES * kinds)
        self._fresh = [0] * (_SIZES * kinds)

    def begin_level(self) -> None:
        """Forget most of what was seen, because integers of another level come."""
        for counts in (self._by_size, self._by_context):
            totals = counts.sum(axis=1, keepdims=True)
            most = _TRUST_LEVEL * _ONE
            counts[:] = np.where(totals > most, counts * most // np.maximum(totals, 1), counts)
        self._models = [None] * len(self._models)

    def saved_bits(self, contexts: Integers, magnitudes: Integers) -> NDArray[np.float64]:
        """About how many bits magnitudes above 0 would take less if they were less by one."""
        sizes = self._by_size * (_TRUST_SIZE * _ONE) // self._by_size.sum(axis=1, keepdims=True)
        counts = self._by_context + np.repeat(np.maximum(sizes, 1), self._kinds, axis=0)
        symbol_bits = np.log2(counts.sum(axis=1, keepdims=True)) - np.log2(counts)
        low = _bits_of(contexts // self._kinds)

        def bits(magnitudes: Integers) -> NDArray[np.float64]:
            symbols = np.minimum(magnitudes >> low, _ESCAPE)
            rest = np.maximum(magnitudes - (_ESCAPE << low) + 1, 1)
            further = np.where(symbols == _ESCAPE, np.log2(rest), low)
            result: NDArray[np.float64] = symbol_bits[contexts, symbols] + further
            return result + (magnitudes > 0)  # the sign

        return bits(magnitudes) - bits(magnitudes - 1)

    def put(self, stream: IntegerEncoder, contexts: Integers, integers: Integers) -> None:
        """Code ``integers``, each with its context; ValueError if one has too many bits."""
        magnitudes = np.abs(integers)
        bits = _bits_of(contexts // self._kinds)
        symbols = np.minimum(magnitudes >> bits, _ESCAPE)
        escaped = symbols == _ESCAPE
        beyond = magnitudes[escaped] - (_ESCAPE << bits[escaped]) + 1
        lengths = np.frexp(beyond.astype(np.float64))[1] - 1
        if lengths.max(initial=0) > MOST_BITS:
            raise ValueError("an integer has too many bits")

        def code(counts: NDArray[np.int64], where: NDArray[np.int64]) -> Integers:
            stream.put_symbols(symbols[where], counts)
            return symbols[where]

        self._run(contexts, code)
        stream.put_symbols(lengths, self._lengths)
        self._lengths += _ONE * np.bincount(lengths, minlength=MOST_BITS + 1)
        for length in np.unique(lengths).tolist():
            stream.put_bits(beyond[lengths == length], length)
        low = np.where(escaped, 0, bits)
        for number in np.unique(low).tolist():
            stream.put_bits(magnitudes[low == number], number)
        stream.put_bits((integers < 0)[magnitudes > 0].astype(np.int64), 1)

    def take(self, stream: IntegerDecoder, contexts: Integers) -> NDArray[np.int64]:
        """Decode an integer for each context; ValueError if the stream does not hold them."""
        symbols = np.zeros(len(contexts), dtype=np.int64)

        def code(counts: NDArray[np.int64], where: NDArray[np.int64]) -> Integers:
            symbols[where] = stream.take_symbols(len(where), counts)
            return symbols[where]

        self._run(contexts, code)
        bits = _bits_of(contexts // self._kinds)
        magnitudes = symbols << bits
        escaped = np.flatnonzero(symbols == _ESCAPE)
        lengths = stream.take_symbols(len(escaped), self._lengths)
        self._lengths += _ONE * np.bincount(lengths, minlength=MOST_BITS + 1)
        for length in np.unique(lengths).tolist():
            where = escaped[lengths == length]
            magnitudes[where] += (1 << length) - 1 + stream.take_bits(len(where), length)
        bits[escaped] = 0
        for number in np.unique(bits).tolist():
            where = np.flatnonzero(bits == number)
            magnitudes[where] += stream.take_bits(len(where), number)
        (nonzero,) = np.nonzero(magnitudes)
        signs = stream.take_bits(len(nonzero), 1)
        magnitudes[nonzero[signs == 1]] *= -1
        return magnitudes

    def _run(
        self,
        contexts: Integers,
        code: Callable[[NDArray[np.int64], NDArray[np.int64]], Integers],
    ) -> None:
        """Call ``code`` with counts and positions until every position was coded, and learn."""
        # A stable sort of 16-bit integers is a radix sort.
        order = np.argsort(contexts.astype(np.uint16), kind="stable")
        ordered = contexts[order]
        ends = np.flatnonzero(np.diff(ordered)) + 1
        for start, stop in pairwise([0, *ends.tolist(), len(order)] if len(order) else []):
            context, position = int(ordered[start]), start
            while position < stop:
                counts = self._counts(context)
                end = min(stop, position + self._fresh[context])
                symbols = code(counts, order[position:end])
                seen = _ONE * np.bincount(symbols, minlength=_SYMBOLS)
                self._by_context[context] += seen
                self._by_size[context // self._kinds] += seen
                self._fresh[context] -= end - position
                position = end

    def _counts(self, context: int) -> NDArray[np.int64]:
        model = self._models[context]
        if model is None or not self._fresh[context]:
            own, size = self._by_context[context], self._by_size[context // self._kinds]
            total, size_total = int(own.sum()), int(size.sum())
            # In place: both are rows of the tables.
            if total > _MOST * _ONE:
                own >>= 1
            if size_total > _MOST * _ONE:
                size >>= 1
            model = own + np.maximum(size * (_TRUST_SIZE * _ONE) // size_total, 1)
            self._models[context] = model
            self._fresh[context] = max(_FEWEST_NEW, total // _ONE // _NEW_SHARE)
        return model


_LOW_BITS = np.array([_low_bits(size) for size in range(_SIZES)])


def _bits_of(size: Integers) -> NDArray[np.int64]:
    bits: NDArray[np.int64] = _LOW_BITS[size]
    return bits
