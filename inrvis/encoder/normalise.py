"""Arrays of any type as channels around zero; what is not a number, as masks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrvis.container.header import ArrayHeader, ExactHeader
from inrvis.encoder.fill import fill_smoothly
from inrvis.errors import SourceError
from inrvis.sources import Image

Mask = NDArray[np.bool_]
_SPECIAL = (np.nan, np.inf, -np.inf)


@dataclass(frozen=True)
class Normalised:
    """An image as channels for a network, and what undoes the map.

    Attributes
    ----------
    values : ndarray of float32, shape (nz, ny, nx, channels)
        A mean of zero and a range of two; voxels of a mask go over smoothly into the others.
    planes : tuple of ndarray, shape (nz, ny, nx)
        The same channels in the source's type and units.
    arrays : tuple of ArrayHeader
        In the order of the channels.
    masks : tuple of ndarray of bool
        Distinct masks of values that are not finite, or exactly the background.
    known : ndarray of bool, shape (nz, ny, nx), or None
        Voxels with a value to learn in some channel; None for all of them.
    """

    values: NDArray[np.float32]
    planes: tuple[NDArray[Any], ...]
    arrays: tuple[ArrayHeader, ...]
    masks: tuple[Mask, ...] = ()
    known: Mask | None = None

    def hidden(self, array: ArrayHeader, component: int) -> Mask | None:
        """Voxels of a component that masks restore; None if there are none."""
        numbers = [exact.masks[component] for exact in array.exact]
        masks = [self.masks[number] for number in numbers if number >= 0]
        return np.logical_or.reduce(masks) if masks else None

    @property
    def ranges(self) -> tuple[float, ...]:
        """Largest minus smallest value of the array that each channel belongs to."""
        return tuple(a.high - a.low for a in self.arrays for _ in range(a.components))


class _Masks:
    """Collects distinct masks."""

    def __init__(self) -> None:
        self.masks: list[Mask] = []

    def number(self, mask: Mask) -> int:
        if not mask.any():
            return -1
        for number, other in enumerate(self.masks):
            if np.array_equal(mask, other):
                return number
        self.masks.append(mask)
        return len(self.masks) - 1


def normalise(
    image: Image, keep_background: tuple[tuple[float | None, ...], ...] | None = None
) -> Normalised:
    """Map every component to a mean of zero and a range of two, about.

    Parameters
    ----------
    image : Image
        Arrays of any type.
    keep_background : tuple, optional
        For each array the background of its components, which is to be restored exactly; None
        for a component without one.

    Raises
    ------
    SourceError
        If an array holds no finite value.
    """
    channels: list[NDArray[np.float32]] = []
    planes: list[NDArray[Any]] = []
    arrays, masks = [], _Masks()
    unknown: list[Mask | None] = []
    for position, (name, array) in enumerate(image.arrays.items()):
        components = array[..., None] if array.ndim == 3 else array
        background = keep_background[position] if keep_background else None
        offsets, scales, numbers = [], [], []
        first, lows, highs = len(channels), [], []
        for component in range(components.shape[-1]):
            plane = components[..., component]
            hidden, found = _hidden(plane, background[component] if background else None, masks)
            if hidden is not None and hidden.all():
                # Nothing is left to code: any value will do under the masks.
                plane = np.zeros_like(plane)
            elif hidden is not None:
                plane = fill_smoothly(plane, hidden)
            numbers.append(found)
            unknown.append(hidden)
            low, high = float(plane.min()), float(plane.max())
            # What overflows is refused below.
            with np.errstate(all="ignore"):
                # Few digits are enough, and more are dear in a header.
                scale = float(f"{(high - low) / 2:.4g}") or 1.0
                offset = float(plane.mean(dtype=np.float64))
                if low < high:  # else it is the value itself
                    offset = _short(offset, scale)
                channels.append(((plane.astype(np.float64) - offset) / scale).astype(np.float32))
            planes.append(np.ascontiguousarray(plane))
            offsets.append(offset)
            scales.append(scale)
            lows.append(low)
            highs.append(high)
        if not np.isfinite([*offsets, *scales]).all():
            raise SourceError(f"array {name!r} spans more than its type can compute with; scale it")
        values = list(dict.fromkeys(value for found in numbers for value in found))
        arrays.append(
            ArrayHeader(
                name=name,
                dtype=array.dtype.name,
                components=components.shape[-1],
                channel=first,
                offset=tuple(offsets),
                scale=tuple(scales),
                low=min(lows),
                high=max(highs),
                exact=tuple(
                    ExactHeader(float(value), tuple(found.get(value, -1) for found in numbers))
                    for value in values
                ),
            )
        )
    known = None
    if all(hidden is not None for hidden in unknown):
        known = ~np.logical_and.reduce([hidden for hidden in unknown if hidden is not None])
    return Normalised(
        np.stack(channels, axis=-1), tuple(planes), tuple(arrays), tuple(masks.masks), known
    )


def _hidden(
    plane: NDArray[Any], background: float | None, masks: _Masks
) -> tuple[Mask | None, dict[str, int]]:
    """Voxels that masks restore, and the number of the mask of each value, by its name."""
    hidden: Mask | None = None
    found = {}
    values: list[float] = []
    if plane.dtype.kind == "f" and not np.isfinite(plane).all():
        values += _SPECIAL
    if background is not None and np.isfinite(background):
        values.append(background)
    for value in values:
        mask = np.isnan(plane) if np.isnan(value) else plane == value
        number = masks.number(mask)
        if number >= 0:
            found[repr(float(value))] = number
            hidden = mask if hidden is None else hidden | mask
    return hidden, found


def _short(mean: float, scale: float) -> float:
    """Return ``mean`` without digits, dear in a header, that are far below ``scale``."""
    if scale > 1e300:  # rounding might overflow
        return mean
    return round(mean, 3 - math.floor(math.log10(scale)))
