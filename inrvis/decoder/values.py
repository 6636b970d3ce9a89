"""From channels of networks and coded residuals to values of an array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrvis.container.header import ArrayHeader

Components = list[NDArray[Any]]


def working_type(array: ArrayHeader) -> np.dtype[Any]:
    """Type in which values of ``array`` are computed."""
    if array.residual:
        return np.dtype(np.float32 if array.precision == "single" else np.float64)
    dtype = np.dtype(array.dtype)
    # float32 holds every 16-bit integer; wider types take their affine map in float64.
    narrow = dtype == np.float32 or (dtype.kind != "f" and dtype.itemsize <= 2)
    return np.dtype(np.float32 if narrow else np.float64)


def base_values(
    array: ArrayHeader, channels: NDArray[np.float32], dtype: np.dtype[Any] | None = None
) -> Components:
    """What the networks say of each component, before any residual, clamping or rounding.

    Parameters
    ----------
    array : ArrayHeader
        The array.
    channels : ndarray of float32, shape (channels, ...)
        Channels of all arrays.
    dtype : dtype, optional
        Type to compute in; `working_type` by default.
    """
    work = dtype or working_type(array)
    result = []
    for component in range(array.components):
        values = channels[array.channel + component].astype(work)
        values *= work.type(array.scale[component])
        values += work.type(array.offset[component])
        result.append(values)
    return result


def final_values(
    array: ArrayHeader, components: Sequence[NDArray[Any]], *, integers: bool = True
) -> Components:
    """Clamp, round and convert each component.

    The result is in the source's type; where ``integers`` is False it is float64, not rounded.
    """
    dtype = np.dtype(array.dtype)
    wide = dtype.kind != "f" and dtype.itemsize >= 4
    result = []
    for component in components:
        # Single precision does not have the ends of 32-bit ranges.
        values = component.astype(np.float64) if wide else component
        if array.levels:
            positions = np.clip(np.rint(values), 0, len(array.levels) - 1).astype(np.int64)
            levels = np.array(array.levels)
            result.append(levels[positions] if not integers else _cast(levels[positions], dtype))
            continue
        np.clip(values, array.low, array.high, out=values)
        if integers and dtype.kind != "f":
            np.rint(values, out=values)
        result.append(_cast(values, dtype) if integers else values.astype(np.float64))
    return result


def _cast(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    if dtype.kind != "f" and dtype.itemsize == 8:
        # 2**63 and 2**64 are floats but no 64-bit integers.
        values = np.minimum(values, np.nextafter(float(np.iinfo(dtype).max), 0))
    return values.astype(dtype)
