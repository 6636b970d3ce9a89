"""The CF conventions for NetCDF, as far as they change values and the places of points.

CF 1.11: section 2.5.1 (missing data), 8.1 (packed data), 4.4 and 5 (time and coordinates).
``valid_min``, ``valid_max`` and ``valid_range`` are not applied: files often state them in the
wrong units, and all values would be lost.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from inrvis.sources.image import Values

__all__ = ["NETCDF_FILL", "Attribute", "is_time", "numbers", "regular", "text", "unpack"]

# Value of an attribute, None where there is none of this name.
Attribute: TypeAlias = Callable[[str], Any]

# What NetCDF leaves in floats that were never written, where no attribute says so.
NETCDF_FILL = 9.969209968386869e36
# One value is usual. Each costs a pass over the volume.
_MOST_MISSING = 8
_TOLERANCE = 1e-3


def numbers(value: Any) -> list[float]:
    """Finite and other numbers of an attribute; empty where it holds none."""
    flat = np.asarray(value).ravel()
    return [float(number) for number in flat[:1024]] if flat.dtype.kind in "biuf" else []


def text(value: Any) -> str:
    """Text of an attribute; empty where it holds none."""
    flat = np.asarray(value).ravel()
    if flat.size != 1:
        return ""
    first = flat[0]
    if isinstance(first, bytes):
        return first.decode("utf-8", "replace")
    return first if isinstance(first, str) else ""


def is_time(name: str, attribute: Attribute) -> bool:
    """Whether a coordinate of this name, with these attributes, is time."""
    return (
        name.lower() in {"t", "time"}
        or " since " in text(attribute("units"))
        or text(attribute("axis")) == "T"
        or text(attribute("standard_name")) == "time"
    )


def regular(coordinates: Values) -> tuple[float, float]:
    """Step and first value of coordinates; 1 and 0 where their steps are not equal.

    Steps may differ by a thousandth, and by what the coordinates' own type cannot express.
    """
    values = np.asarray(coordinates, dtype=np.float64)
    if not values.size or not np.isfinite(values).all():
        return 1.0, 0.0
    if values.size == 1:
        return 1.0, float(values[0])
    step = float(values[-1] - values[0]) / (values.size - 1)
    tolerance = _TOLERANCE * abs(step)
    if coordinates.dtype.kind == "f":
        tolerance += 2 * float(np.spacing(np.abs(coordinates).max()))
    if step == 0 or np.abs(np.diff(values) - step).max() > tolerance:
        return 1.0, 0.0
    return step, float(values[0])


def unpack(values: Values, attribute: Attribute, fills: Sequence[float] = ()) -> Values:
    """Values as a variable's attributes mean them.

    Parameters
    ----------
    values : ndarray
        Values as stored; may be changed in place.
    attribute : callable
        Gives ``_FillValue``, ``missing_value``, ``scale_factor``, ``add_offset`` and
        ``_Unsigned``.
    fills : sequence of float
        More values of a float array that stand for missing ones.

    Returns
    -------
    ndarray
        In native byte order. Floats keep their type, and are NaN where values are missing. Packed
        integers become float32 where that holds each of their steps, else float64, and NaN
        likewise. Integers that are not packed stay as they are: their type has no place for a
        missing value.
    """
    if values.dtype.kind not in "iuf":
        return values
    stored = values.dtype.newbyteorder("=")
    values = values.astype(stored, copy=False)
    if stored.kind == "i" and text(attribute("_Unsigned")).lower() == "true":
        values = values.view(f"u{stored.itemsize}")
    scale = _finite(attribute("scale_factor"), 1.0)
    offset = _finite(attribute("add_offset"), 0.0)
    packed = scale != 1 or offset != 0
    if stored.kind != "f" and not packed:
        return values
    missing = [
        value
        for name in ("_FillValue", "missing_value")
        for value in numbers(attribute(name))[:_MOST_MISSING]
    ]
    if stored.kind == "f":
        missing += fills
    holes = [
        values == marker.astype(values.dtype)
        for marker in (_marker(value, stored) for value in dict.fromkeys(missing))
        if marker is not None
    ]
    with np.errstate(all="ignore"):
        result: Values = values.astype(_float_type(stored, scale, offset), copy=False)
        if packed:
            result *= scale
            result += offset
    for hole in holes:
        result[hole] = np.nan
    return result


def _finite(value: Any, default: float) -> float:
    found = numbers(value)
    return found[0] if len(found) == 1 and math.isfinite(found[0]) else default


def _float_type(stored: np.dtype[Any], scale: float, offset: float) -> np.dtype[Any]:
    if stored.kind == "f":
        return np.promote_types(stored, np.float32)
    # Of the 24 bits of a float32, 16 hold the steps, and the offset may take a few of the rest.
    exact = stored.itemsize <= 2 and abs(offset) < 2**20 * abs(scale)
    return np.dtype(np.float32 if exact else np.float64)


def _marker(missing: float, stored: np.dtype[Any]) -> Any:
    """Return a missing value as it is stored; None for one that cannot be there."""
    if math.isnan(missing):
        return None
    with np.errstate(all="ignore"):
        marker = np.float64(missing).astype(stored)
    return marker if stored.kind == "f" or float(marker) == missing else None
