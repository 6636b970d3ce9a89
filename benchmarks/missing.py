"""What a user does about NaN before a compressor that knows none: fill the gaps, keep a mask."""

from __future__ import annotations

import lzma
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from inrvis.encoder.fill import fill_smoothly

Values: TypeAlias = npt.NDArray[Any]


def fill(values: Values) -> Values:
    """Return the values with NaN filled in smoothly, as our own encoder does.

    On `levitus_ocean_f32` SPERR needs half the bytes of a fill with the nearest value at 40 dB,
    and a tenth of one with zeros.
    """
    missing = np.isnan(values)
    if not missing.any():
        return values
    if missing.all():
        return np.zeros_like(values)
    return fill_smoothly(values, missing)


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
