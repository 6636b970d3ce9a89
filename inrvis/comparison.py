"""Decoded images against their originals: the field of errors, and the measures of each array."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrvis.errors import UsageError
from inrvis.metrics import Metrics, measure
from inrvis.sources.image import Image

__all__ = ["common_arrays", "compare", "error_field"]


def compare(original: Image, decoded: Image) -> dict[str, Metrics]:
    """Measures of every array that both images have; see `inrvis.metrics`.

    Parameters
    ----------
    original, decoded : Image
        Images of the same dimensions.

    Returns
    -------
    dict of str to Metrics
        In the order of `original`.

    Raises
    ------
    UsageError
        If the dimensions differ, or no array has the same name and components in both.
    """
    return {
        name: measure(original.arrays[name], decoded.arrays[name])
        for name in common_arrays(original, decoded)
    }


def common_arrays(original: Image, decoded: Image) -> list[str]:
    """Names of the arrays that can be compared.

    Parameters and errors are those of `compare`.
    """
    if original.grid.dimensions != decoded.grid.dimensions:
        raise UsageError(
            f"the original has the dimensions {original.grid.dimensions}, the decoded image "
            f"{decoded.grid.dimensions}: they cannot be compared"
        )
    names = [
        name
        for name, values in original.arrays.items()
        if name in decoded.arrays and decoded.arrays[name].shape == values.shape
    ]
    if not names:
        raise UsageError(
            f"no array is in both images: the original has {_listed(original.arrays)}, "
            f"the decoded image {_listed(decoded.arrays)}"
        )
    return names


def error_field(original: NDArray[Any], decoded: NDArray[Any]) -> NDArray[np.floating[Any]]:
    """Decoded minus original values, at each point.

    Parameters
    ----------
    original, decoded : ndarray
        Real arrays of one shape.

    Returns
    -------
    ndarray of float32 or float64
        Of the same shape; float64 where a type is of more than 32 bits, or an integer of 32. Equal
        infinities, and NaN in both, have the error 0; NaN in one alone has the error NaN.
    """
    exact = all(
        a.dtype.itemsize * 8 <= (32 if a.dtype.kind == "f" else 16) for a in (original, decoded)
    )
    dtype = np.float32 if exact else np.float64
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.subtract(decoded, original, dtype=dtype, casting="unsafe")
        same = decoded == original
    if original.dtype.kind == "f" and decoded.dtype.kind == "f":
        same |= np.isnan(original) & np.isnan(decoded)
    error[same] = 0
    return error


def _listed(names: Sequence[str] | Mapping[str, Any]) -> str:
    return ", ".join(repr(name) for name in list(names)[:20])
