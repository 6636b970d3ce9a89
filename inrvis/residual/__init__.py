"""Coded grids of values: layers of a volume that no network holds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrvis.errors import FormatError
from inrvis.residual import interpolation, wavelet

__all__ = ["CODECS", "decode"]

_DECODERS = {"interpolation": interpolation.decode, "wavelet": wavelet.decode}
CODECS = tuple(_DECODERS)


def decode(
    codec: str, data: bytes, shape: tuple[int, int, int], dtype: np.dtype[Any]
) -> NDArray[np.floating[Any]]:
    """Decode a coded grid.

    Parameters
    ----------
    codec : str
        One of CODECS, as a file names it.
    data : bytes
        The stream, of unknown origin.
    shape : tuple of 3 int
        (nz, ny, nx).
    dtype : dtype
        float32 or float64, as given to the encoder.

    Returns
    -------
    ndarray, shape (nz, ny, nx)

    Raises
    ------
    FormatError
        If no codec has this name, or the bytes are no stream of it.
    """
    if codec not in _DECODERS:
        raise FormatError(f"the file has values coded with {codec!r}: update inrvis")
    return _DECODERS[codec](data, shape, dtype)
