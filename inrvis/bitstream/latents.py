"""Coding of latents: integers that each come with the number of a table, small ones near zero.

Table ``s`` is a Laplace distribution of integers, integrated over their bins: with
``t = w / (w + 2**16)`` and ``w = (8 + s % 8) << (s // 8)``, zero has the probability ``1 - t`` and
``k`` and ``-k`` have ``t**(2k - 1) (1 - t**2) / 2`` each. Its scale is ``b = -1 / (2 ln t)``. The
counts follow from products of Python integers, as those of `inrvis.bitstream.tables` do, which
end where most latents of a rendered image begin: at far less than a tenth of a bit each.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from inrvis.bitstream.coder import IntegerDecoder, IntegerEncoder
from inrvis.bitstream.tables import TOTAL

NUMBER_OF_SCALES = 176
_ONE = 1 << 60
_UNIT = 1 << 16
_ESCAPE_OFFSET = 1 << 31

Integers = NDArray[np.int64]


def _decay(index: int) -> int:
    """``t`` of table ``index`` in units of 2**-60."""
    width = (8 + index % 8) << (index // 8)
    return _ONE * width // (width + _UNIT)


@lru_cache(maxsize=NUMBER_OF_SCALES)
def latent_counts(index: int) -> Integers:
    """Integer counts of table ``index``: of ``-reach .. reach``, then of the escape.

    Parameters
    ----------
    index : int
        0 <= index < NUMBER_OF_SCALES.
    """
    if not 0 <= index < NUMBER_OF_SCALES:
        raise ValueError(f"table index {index} is outside 0..{NUMBER_OF_SCALES - 1}")
    decay = _decay(index)
    square = decay * decay // _ONE
    half = [_ONE - decay]
    weight = decay * (_ONE - square) // (2 * _ONE)
    # What is rarer than one in TOTAL goes through the escape.
    while weight >= _ONE // TOTAL:
        half.append(weight)
        weight = weight * square // _ONE
    magnitudes = [max(1, w * TOTAL // _ONE) for w in half]
    table = np.array([*magnitudes[:0:-1], *magnitudes, 1], dtype=np.int64)
    table.flags.writeable = False
    return table


def scales() -> NDArray[np.float64]:
    """Scale b of each table, ascending."""
    decay = np.array([_decay(i) / _ONE for i in range(NUMBER_OF_SCALES)])
    return np.asarray(-0.5 / np.log(decay))


def latent_reach(index: int) -> int:
    """Largest magnitude that table ``index`` codes without the escape."""
    return (len(latent_counts(index)) - 2) // 2


class LatentEncoder:
    """Append arrays of latents to one stream."""

    def __init__(self) -> None:
        self._coder = IntegerEncoder()

    def put(self, values: Integers, tables: Integers) -> None:
        """Code ``values`` (of 32 bits), each with the table of the same place in ``tables``."""
        flat = values.ravel()
        if flat.size and (flat.min() < -_ESCAPE_OFFSET or flat.max() >= _ESCAPE_OFFSET):
            raise ValueError("the coder takes integers of 32 bits")
        for table, places in _by_table(tables):
            counts = latent_counts(table)
            limit = latent_reach(table)
            own = flat[places]
            escaped = np.abs(own) > limit
            self._coder.put_symbols(np.where(escaped, 2 * limit + 1, own + limit), counts)
            self._coder.put_bits(own[escaped] + _ESCAPE_OFFSET, 32)

    def finish(self) -> bytes:
        """Return the stream."""
        return self._coder.finish()


class LatentDecoder:
    """Read back what `LatentEncoder` wrote, in the same order with the same tables."""

    def __init__(self, stream: bytes) -> None:
        self._coder = IntegerDecoder(stream)

    def take(self, tables: Integers) -> Integers:
        """Decode an array of the shape of ``tables``.

        Raises
        ------
        ValueError
            If the stream does not hold it.
        """
        values = np.empty(tables.size, dtype=np.int64)
        for table, places in _by_table(tables):
            counts = latent_counts(table)
            limit = latent_reach(table)
            own = self._coder.take_symbols(len(places), counts) - limit
            escaped = np.flatnonzero(own == limit + 1)
            own[escaped] = self._coder.take_bits(len(escaped), 32) - _ESCAPE_OFFSET
            values[places] = own
        return values.reshape(tables.shape)


def _by_table(tables: Integers) -> Iterator[tuple[int, Integers]]:
    """Tables in ascending order, each with the flat places that use it, ascending."""
    flat = tables.ravel()
    if flat.size and not 0 <= flat.min() <= flat.max() < NUMBER_OF_SCALES:
        raise ValueError("a table of latents that does not exist")
    # A stable sort of 8-bit integers is a radix sort.
    order = np.argsort(flat.astype(np.uint8), kind="stable")
    ends = np.cumsum(np.bincount(flat, minlength=NUMBER_OF_SCALES))
    start = 0
    for table, end in enumerate(ends.tolist()):
        if end > start:
            yield table, order[start:end]
        start = end
