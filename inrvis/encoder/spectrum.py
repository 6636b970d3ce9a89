"""How concentrated the spectrum of a block is (SCI, Yang et al. 2023, equation 9)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from inrvis.errors import SourceError

Array = NDArray[Any]


def spectrum_concentration(block: Array, *, largest: int = 1, remove_mean: bool = False) -> float:
    """Part of a block's spectrum that its largest coefficients hold: D of equation 9.

    Parameters
    ----------
    block : ndarray
        Real values of any shape and type.
    largest : int
        How many of the largest magnitudes are summed (M). The two coefficients of a pair of
        opposite frequencies count as two, as in the full transform.
    remove_mean : bool
        Whether the coefficient of frequency zero is taken as 0.

    Returns
    -------
    float
        In (0, 1]; 1 for a constant block, whatever the constant. Does not change with the unit
        of the values, nor, with `remove_mean`, with their offset.

    Raises
    ------
    SourceError
        If the block is empty or holds NaN or infinity.
    """
    if not block.size:
        raise SourceError("a block without voxels has no spectrum: leave empty blocks out")
    low, high = float(block.min()), float(block.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise SourceError("values hold NaN or infinity: fill such voxels before partitioning")
    # Halved first, because the range of extreme values has no float.
    middle, half = low / 2 + high / 2, high / 2 - low / 2
    if half == 0:
        return 1.0
    # In fp32 the rounding of a large mean would spread over all coefficients and, there being as
    # many as voxels, drown the rest of the spectrum. So the mean never enters the transform.
    scaled = np.empty(block.shape, np.result_type(block.dtype, np.float32))
    np.subtract(block, middle, out=scaled, dtype=np.float64, casting="same_kind")
    np.divide(scaled, half, out=scaled, dtype=np.float64, casting="same_kind")
    mean = float(scaled.mean(dtype=np.float64))
    scaled -= mean
    spectrum = np.abs(scipy.fft.rfftn(scaled, overwrite_x=True))
    offset = 0.0 if remove_mean else block.size * abs(mean + middle / half)
    spectrum[(0,) * spectrum.ndim] = offset

    # The transform of real values leaves out the mirrored half of the last axis. Its ends are
    # their own mirror images: frequency zero, and for an even length the highest one.
    length = block.shape[-1]
    paired = spectrum[..., 1 : (length + 1) // 2]
    single = spectrum[..., [0]] if length % 2 else spectrum[..., [0, -1]]
    total = float(single.sum(dtype=np.float64) + 2 * paired.sum(dtype=np.float64))
    peaks = np.concatenate([_top(single, largest), np.repeat(_top(paired, largest), 2)])
    return min(1.0, float(_top(peaks, largest).sum(dtype=np.float64)) / total)


def _top(values: Array, number: int) -> Array:
    """Return the ``number`` largest values, or all where there are no more."""
    flat = values.reshape(-1)
    rest = flat.size - number
    return flat if rest <= 0 else np.partition(flat, rest)[rest:]
