"""What a user does about NaN before a compressor that knows none: fill the gaps, keep a mask."""

from __future__ import annotations

import lzma
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Values: TypeAlias = npt.NDArray[Any]

_PASSES = 200


def fill(values: Values) -> Values:
    """Return the values with NaN filled in smoothly, so that filling costs few bits.

    Gaussian averages of growing width reach ever further into the gaps; repeated averaging then
    brings them near a harmonic function. On `levitus_ocean_f32` SPERR needs half the bytes of a
    fill with the nearest value at 40 dB, and a tenth of one with zeros.
    """
    from scipy import ndimage

    known = ~np.isnan(values)
    if known.all():
        return values
    if not known.any():
        return np.zeros_like(values)
    weights = known.astype(np.float64)
    sums = np.where(known, values, 0).astype(np.float64)
    filled, have, width = sums.copy(), known.copy(), 1.0
    while not have.all():
        weight = ndimage.gaussian_filter(weights, width)
        new = ~have & (weight > 0.05)
        if width > max(values.shape):
            new, weight = ~have, np.maximum(weight, 1e-30)
        filled[new] = ndimage.gaussian_filter(sums, width)[new] / weight[new]
        have |= new
        width *= 2
    for _ in range(_PASSES):
        filled[~known] = ndimage.uniform_filter(filled, 3, mode="nearest")[~known]
    low, high = np.nanmin(values), np.nanmax(values)
    filled[~known] = np.clip(filled[~known], low, high)
    return filled.astype(values.dtype)


def mask_bytes(values: Values) -> int:
    """Bytes of an LZMA stream of the mask of NaN, along its best axis; 0 without any."""
    missing = np.isnan(values)
    if not missing.any():
        return 0
    streams = (
        lzma.compress(np.packbits(np.moveaxis(missing, axis, -1)).tobytes(), preset=9)
        for axis in range(missing.ndim)
    )
    return min(len(stream) for stream in streams)
