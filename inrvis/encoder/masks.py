"""Which voxels a network is trained on: all, a box around the active ones, or these and a halo.

The masks of Zurkova et al., "Accelerated Volumetric Compression without Hierarchies", section 2.3:
BBX, AVM and the AVM dilated several times. There the background is 0 in normalised data; here it
is detected in each array.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inrvis.errors import UsageError
from inrvis.sources.image import Values

Mask: TypeAlias = NDArray[np.bool_]
# One value for each component, None where a component has no background.
Background: TypeAlias = tuple[int | float | None, ...]

_KINDS = ("all", "bbx", "avm")
# What a value must fill to be the background: of the whole, a share worth skipping; of the
# boundary, most of it, as the objects of interest may touch some faces.
_LEAST_SHARE = 0.05
_LEAST_BOUNDARY_SHARE = 0.5


@dataclass(frozen=True)
class MaskSettings:
    """Which voxels are sampled in training.

    Attributes
    ----------
    kind : {"all", "bbx", "avm"}
        Every voxel, the bounding box of the active voxels, or the active voxels.
    dilations : int
        How often the active voxels grow by their 26 neighbours (the paper's ℓ); for "avm" only.
    threshold : float
        Fraction of a component's range, from 0 to below 1, by which an active voxel differs from
        the background.

    Raises
    ------
    UsageError
        If a value is none of these.
    """

    kind: Literal["all", "bbx", "avm"] = "all"
    dilations: int = 0
    threshold: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise UsageError(f"unknown mask {self.kind!r}: choose {', '.join(_KINDS)}")
        if self.dilations < 0:
            raise UsageError(f"a mask cannot be dilated {self.dilations} times; give 0 or more")
        if not 0 <= self.threshold < 1:
            raise UsageError(
                f"the threshold of a mask is a fraction of the range below 1, not {self.threshold}"
            )


def training_mask(arrays: Mapping[str, Values], settings: MaskSettings) -> Mask:
    """Voxels to train on.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        At least one array, each of shape (nz, ny, nx) or (nz, ny, nx, c).
    settings : MaskSettings
        Kind, dilations and threshold.

    Returns
    -------
    (nz, ny, nx) ndarray of bool
        Never empty: every voxel where none is active. Voxels without a value (NaN) are not
        active, but may lie in the box or the halo.
    """
    shape = next(iter(arrays.values())).shape[:3]
    if settings.kind == "all":
        return np.ones(shape, dtype=np.bool_)
    background = {name: background_value(values) for name, values in arrays.items()}
    active = active_voxels(arrays, settings.threshold, background)
    if not active.any():
        return np.ones(shape, dtype=np.bool_)
    if settings.kind == "avm":
        return dilate(active, settings.dilations)
    box = np.zeros(shape, dtype=np.bool_)
    box[bounding_box(active)] = True
    return box


def background_value(values: Values) -> Background:
    """Find the value around the objects of an array.

    It is the most frequent value of the boundary if it fills at least half of the boundary and a
    twentieth of the volume. Values that are not finite count for nothing. Faces of axes of length
    1 are no boundary.

    Parameters
    ----------
    values : (nz, ny, nx) or (nz, ny, nx, c) ndarray
        Values of any integer or float type.

    Returns
    -------
    tuple of int, float or None
        One for each component; None for a component without background.
    """
    planes = values[..., None] if values.ndim == 3 else values
    return tuple(_background_of_component(planes[..., c]) for c in range(planes.shape[3]))


def active_voxels(
    arrays: Mapping[str, Values], threshold: float, background: Mapping[str, Background]
) -> Mask:
    """Voxels where any component of any array differs from its background (the paper's AVM).

    Parameters
    ----------
    arrays : mapping of str to ndarray
        At least one array, each of shape (nz, ny, nx) or (nz, ny, nx, c).
    threshold : float
        Fraction of a component's range beyond which it differs.
    background : mapping of str to tuple
        What `background_value` returns for each array. All finite values of a component without
        background are active.

    Returns
    -------
    (nz, ny, nx) ndarray of bool
        NaN is never active.
    """
    active = np.zeros(next(iter(arrays.values())).shape[:3], dtype=np.bool_)
    for name, values in arrays.items():
        planes = values[..., None] if values.ndim == 3 else values
        for component, value in enumerate(background[name]):
            plane = planes[..., component]
            if value is None:
                active |= np.isfinite(plane)
                continue
            # Two comparisons: a difference of unsigned integers would wrap around.
            reach = threshold * _range(plane) if threshold else 0
            active |= (plane > value + reach) | (plane < value - reach)
    return active


def bounding_box(mask: Mask) -> tuple[slice, slice, slice]:
    """Slices (z, y, x) of the box around the voxels of ``mask``, of all if it has none."""
    boxes = ndimage.find_objects(mask.view(np.uint8), max_label=1)
    z, y, x = boxes[0] or tuple(slice(0, n) for n in mask.shape)
    return z, y, x


def dilate(mask: Mask, times: int) -> Mask:
    """Grow ``mask`` by its 26 neighbours, ``times`` times over."""
    # Growing n times by a cube of side 3 is growing once by one of side 2 n + 1. The filter
    # works on one axis after another, so its time does not depend on n.
    size = 2 * min(times, max(mask.shape)) + 1
    grown: NDArray[np.uint8] = ndimage.maximum_filter(
        mask.view(np.uint8), size=size, mode="constant", cval=0
    )
    return grown.view(np.bool_)


def _background_of_component(plane: Values) -> int | float | None:
    boundary = _finite(_boundary(plane))
    if not boundary.size:
        return None
    candidates, counts = np.unique(boundary, return_counts=True)
    most = int(counts.argmax())
    if counts[most] < _LEAST_BOUNDARY_SHARE * boundary.size:
        return None
    filled = np.count_nonzero(plane == candidates[most])
    if filled < _LEAST_SHARE * np.count_nonzero(np.isfinite(plane)):
        return None
    value: int | float = candidates[most].item()
    return value


def _boundary(plane: Values) -> Values:
    long_axes = [axis for axis, n in enumerate(plane.shape) if n > 1]
    if not long_axes:
        return plane.ravel()
    faces = [plane.take(end, axis).ravel() for axis in long_axes for end in (0, -1)]
    return np.concatenate(faces)


def _finite(values: Values) -> Values:
    finite: Values = values[np.isfinite(values)]
    return finite


def _range(plane: Values) -> float:
    finite = _finite(plane)
    return float(finite.max()) - float(finite.min())
