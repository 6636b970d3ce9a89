"""What is known of the blocks around a block, as spatial contexts see it: exact integers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inrvis.decoder.covers import Mask

# Latents count in sixteenths; further out their sums would leave 32 bits.
MEAN_UNIT = 16
_MOST_COUNTED = 1 << 20
# Exact networks see integers of 9 bits.
MOST_SEEN = 255
# What a known neighbour counts: there are at most nine.
COUNT_UNIT = 28

Counted = NDArray[np.int32]


def phases(height: int, width: int) -> tuple[Mask, Mask, Mask]:
    """Blocks of even rows and columns, of odd ones, and the others: the order of coding."""
    rows, columns = np.ogrid[:height, :width]
    first = (rows % 2 == 0) & (columns % 2 == 0)
    second = (rows % 2 == 1) & (columns % 2 == 1)
    return first, second, ~(first | second)


def counted(latents: NDArray[np.float64]) -> Counted:
    """Latents in sixteenths, which is what they are multiples of."""
    units = np.clip(np.rint(latents * MEAN_UNIT), -_MOST_COUNTED, _MOST_COUNTED)
    return np.asarray(units, dtype=np.int32)


def seen(units: Counted, shift: int) -> NDArray[np.float32]:
    """Sixteenths in units of ``2**shift`` of them, as exact networks see them."""
    return np.clip(units >> shift, -MOST_SEEN, MOST_SEEN).astype(np.float32)


class Surroundings:
    """Means over the known ones among the nine blocks around each block.

    Parameters
    ----------
    known : ndarray of bool, shape (height, width)
        Blocks whose latents are known.
    """

    def __init__(self, known: Mask) -> None:
        self._known = known
        number = _around(known[None, None].astype(np.int32))
        self.count = (COUNT_UNIT * number).astype(np.float32)
        self._number = np.maximum(number, 1)

    def mean(self, units: Counted) -> Counted:
        """Mean of ``units``, shape (1, channels, height, width), rounded down."""
        return np.asarray(_around(units * self._known) // self._number)


def _around(values: Counted) -> Counted:
    """Sums of three by three."""
    padded = np.pad(values, ((0, 0), (0, 0), (1, 1), (1, 1)))
    rows = padded[:, :, :-2] + padded[:, :, 1:-1] + padded[:, :, 2:]
    return np.asarray(rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:])
