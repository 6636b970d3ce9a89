"""Probability tables of the entropy coder, defined by integer arithmetic alone.

A table is a symmetric distribution over the integers ``-reach .. reach`` and one escape symbol.
Tables ``0 .. 127`` are discrete Gaussians, tables ``128 .. 255`` two-sided geometric (discrete
Laplace) distributions; within a family the width grows by eight steps an octave. Each entry
follows from fixed-point products of Python integers, so every machine derives the same table,
and the format needs to ship no more than this rule (docs/format.md, "Tables").
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

WIDTHS_PER_FAMILY = 128
NUMBER_OF_TABLES = 2 * WIDTHS_PER_FAMILY
TOTAL = 1 << 20
_ONE = 1 << 60
# Symbols rarer than one in TOTAL would round to nothing; they go through the escape.
_SMALLEST = _ONE // TOTAL
MAX_REACH = 1 << 15


def _width(step: int) -> int:
    """Width of step ``step`` in units of 1/64: a mantissa of eight steps, then an octave."""
    return (8 + step % 8) << (step // 8)


def _weights(index: int) -> list[int]:
    """Unnormalised fixed-point weights of the magnitudes 0, 1, 2, ..."""
    family, step = divmod(index, WIDTHS_PER_FAMILY)
    width = _width(step)
    if family == 0:
        # p(k) ~ g^(k^2): successive ratios are g, g^3, g^5, ..., so each ratio is the last
        # one times g^2. g = w^2/(w^2 + 2048) approximates exp(-1/(2 s^2)) for s = w/64.
        decay = _ONE * width * width // (width * width + 2048)
        ratio, growth = decay, decay * decay // _ONE
    else:
        ratio, growth = _ONE * width // (width + 64), _ONE
    weights = [_ONE]
    while len(weights) <= MAX_REACH:
        following = weights[-1] * ratio // _ONE
        if following < _SMALLEST:
            break
        weights.append(following)
        ratio = ratio * growth // _ONE
    return weights


@lru_cache(maxsize=NUMBER_OF_TABLES)
def counts(index: int) -> NDArray[np.int64]:
    """Integer counts of table ``index``.

    Parameters
    ----------
    index : int
        0 <= index < NUMBER_OF_TABLES.

    Returns
    -------
    ndarray of int64, shape (2 * reach + 2,)
        Counts of ``-reach .. reach``, then of the escape; each at least 1.
    """
    if not 0 <= index < NUMBER_OF_TABLES:
        raise ValueError(f"table index {index} is outside 0..{NUMBER_OF_TABLES - 1}")
    half = _weights(index)
    total = 2 * sum(half) - half[0]
    magnitudes = [max(1, TOTAL * weight // total) for weight in half]
    table = np.array([*magnitudes[:0:-1], *magnitudes, 1], dtype=np.int64)
    table.flags.writeable = False
    return table


def reach(index: int) -> int:
    """Largest magnitude that table ``index`` codes without the escape."""
    return (len(counts(index)) - 2) // 2
