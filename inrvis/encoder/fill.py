"""Values for voxels that have none: smooth ones, which cost the fewest bits."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]
# Rounds of averaging at each resolution.
_ROUNDS = 8


def fill_smoothly(values: NDArray[Any], hidden: Mask) -> NDArray[Any]:
    """Replace hidden values by some that go over smoothly into the others.

    Gaps are filled from coarse to fine, and averaged at every resolution: nearly the harmonic
    function with the known values at its rim.

    Parameters
    ----------
    values : ndarray, shape (nz, ny, nx)
        What it holds under the mask is not looked at.
    hidden : ndarray of bool, shape (nz, ny, nx)
        Voxels to fill; not all of them.

    Returns
    -------
    ndarray
        Of the same type, within the range of the known values; integers where these are.
    """
    known = values[~hidden]
    low, high = known.min(), known.max()
    # Values of any magnitude: their squares and sums must be numbers.
    scale = float(max(abs(float(low)), abs(float(high)))) or 1.0
    filled = _filled(np.where(hidden, 0, values) / scale, (~hidden).astype(np.float64)) * scale
    if (known == np.rint(known)).all():
        filled = np.rint(filled)
    result = values.copy()
    result[hidden] = np.clip(filled[hidden], float(low), float(high)).astype(values.dtype)
    # A 64-bit integer may round to a double beyond the range.
    result[hidden] = np.clip(result[hidden], low, high)
    return result


def _filled(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted values, filled where the weight is zero."""
    empty = weights == 0
    if not empty.any():
        return values
    if max(values.shape) == 1:
        return values
    sums, counts = _halved(values * weights), _halved(weights)
    coarse = _filled(np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0), counts)
    finer = coarse
    for axis, size in enumerate(values.shape):
        finer = np.repeat(finer, 2, axis=axis).take(range(size), axis=axis)
    filled = np.where(empty, finer, values)
    for _ in range(_ROUNDS):
        filled[empty] = ndimage.uniform_filter(filled, 3, mode="nearest")[empty]
    return filled


def _halved(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums of boxes of 2 × 2 × 2 values."""
    padded = np.pad(values, [(0, n % 2) for n in values.shape])
    total: NDArray[np.float64] = np.zeros([n // 2 for n in padded.shape])
    for start in product((0, 1), repeat=3):
        total += padded[tuple(slice(s, None, 2) for s in start)]
    return total
