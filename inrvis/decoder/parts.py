"""Decode a part of a volume, and again a part that overlaps it, without doing work twice.

Pipelines ask so: a piece, then the same piece with a layer of ghost points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrvis.decoder.volume import Layers, Progress, Volume
from inrvis.grid import Extent

__all__ = ["LastPart"]


@dataclass(frozen=True)
class _Part:
    """What was decoded last."""

    settings: tuple[Volume, tuple[str, ...], int, Layers]
    extent: Extent
    values: list[NDArray[Any]]


class LastPart:
    """The part decoded last; a part that overlaps it is decoded where it is new only.

    The values are shared with who asked for them, and must not be changed.
    """

    def __init__(self) -> None:
        self._last: _Part | None = None

    def decode_arrays(
        self,
        volume: Volume,
        arrays: Sequence[str],
        extent: Extent,
        *,
        stride: int = 1,
        layers: Layers = "all",
        progress: Progress | None = None,
    ) -> list[NDArray[Any]] | None:
        """Decode several arrays; see `Volume.decode_arrays`.

        Parameters
        ----------
        volume : Volume
            An open volume.
        arrays : sequence of str
            Names.
        extent : six ints
            In the indices of ``volume.grid.subgrid(stride=stride)``.
        stride, layers
            As in `Volume.decode_arrays`.
        progress : callable, optional
            Called with the fraction done of what is new; False stops.

        Returns
        -------
        list of ndarray or None
            None if it was stopped.
        """
        settings = (volume, tuple(arrays), stride, layers)
        last = self._last if self._last and self._last.settings == settings else None
        if last is not None and last.extent == extent:
            return last.values
        hole = None if last is None else _overlap(extent, last.extent)
        boxes = [extent] if hole is None else _around(extent, hole)
        total, done, stopped = sum(map(_size, boxes)), 0, False

        def report(fraction: float) -> bool:
            nonlocal stopped
            if progress is not None and progress((done + fraction * size) / total) is False:
                stopped = True
            return not stopped

        values: list[NDArray[Any]] = []
        for name in arrays:
            array = volume.array(name)
            shape = _shape(extent) + ((array.components,) if array.components > 1 else ())
            values.append(np.empty(shape, array.dtype))
        if last is not None and hole is not None:
            for value, kept in zip(values, last.values, strict=True):
                value[_slices(hole, extent)] = kept[_slices(hole, last.extent)]
        for box in boxes:
            size = _size(box)
            source = volume.grid.source_extent(box, stride)
            decoded = volume.decode_arrays(
                arrays, extent=source, stride=stride, layers=layers, progress=report
            )
            if stopped:
                return None
            if box == extent:
                values = decoded
            else:
                for value, new in zip(values, decoded, strict=True):
                    value[_slices(box, extent)] = new
            done += size
        self._last = _Part(settings, extent, values)
        return values


def _shape(extent: Extent) -> tuple[int, ...]:
    x0, x1, y0, y1, z0, z1 = extent
    return z1 - z0 + 1, y1 - y0 + 1, x1 - x0 + 1


def _size(extent: Extent) -> int:
    return math.prod(_shape(extent))


def _slices(box: Extent, within: Extent) -> tuple[slice, slice, slice]:
    x, y, z = (slice(box[i] - within[i], box[i + 1] - within[i] + 1) for i in (0, 2, 4))
    return z, y, x


def _overlap(a: Extent, b: Extent) -> Extent | None:
    low = [max(a[i], b[i]) for i in (0, 2, 4)]
    high = [min(a[i], b[i]) for i in (1, 3, 5)]
    if any(first > last for first, last in zip(low, high, strict=True)):
        return None
    return (low[0], high[0], low[1], high[1], low[2], high[2])


def _around(extent: Extent, hole: Extent) -> list[Extent]:
    """Boxes that fill `extent` but for `hole` within it: slabs along z, then y, then x."""
    boxes, rest = [], list(extent)
    for axis in (4, 2, 0):
        for side, bounds in (
            (0, (rest[axis], hole[axis] - 1)),
            (1, (hole[axis + 1] + 1, rest[axis + 1])),
        ):
            if bounds[0] <= bounds[1]:
                box = list(rest)
                box[axis : axis + 2] = bounds
                boxes.append((box[0], box[1], box[2], box[3], box[4], box[5]))
            rest[axis + side] = hole[axis + side]
    return boxes
