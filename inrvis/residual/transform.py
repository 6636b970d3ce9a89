"""The wavelet transform CDF 9/7 of a grid, by lifting (Daubechies and Sweldens 1998).

Every operation is one IEEE operation on each element, in a fixed order: all machines compute the
same. With this scaling the transform is nearly orthonormal, so that one quantisation step for all
coefficients is nearly the best.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Triple = tuple[int, int, int]

_STEPS = (-1.586134342059924, -0.052980118572961, 0.882911075530934, 0.443506852043971)
_SCALE = 1.149604398860241
# Shorter axes are not split further.
_SHORTEST = 4


@dataclass(frozen=True)
class Split:
    """One step of the transform: which axes are halved, and the low band's shapes."""

    axes: Triple
    before: Triple
    after: Triple


def splits(shape: Triple, plan: Sequence[int]) -> list[Split]:
    """Steps of the transform of a grid, from fine to coarse.

    Parameters
    ----------
    shape : tuple of 3 int
        (nz, ny, nx).
    plan : sequence of int
        For each step the sum of 4, 2 and 1 for the axes z, y and x that it halves.
    """
    result = []
    for mask in plan:
        axes = (mask >> 2 & 1, mask >> 1 & 1, mask & 1)
        z, y, x = (-(-n // 2) if a else n for n, a in zip(shape, axes, strict=True))
        result.append(Split(axes, shape, (z, y, x)))
        shape = (z, y, x)
    return result


def plan_splits(values: Floats, rougher: float = 2.0) -> tuple[int, ...]:
    """Choose which axes each step halves, so that fine bands hold equally fast variation.

    Along an axis whose points lie far apart, values vary as much from one point to the next as
    they do over several points of the others: such an axis is halved only once these have caught
    up. A distance twice as long changes a smooth field's squared differences fourfold, so
    ``rougher`` cuts half-way: measured from 1.3 to 4, two is best or next to it on all volumes.
    """
    plan: list[int] = []
    # Squares of huge values would be infinite; those of the tiniest may as well be zero.
    largest = np.abs(values).max()
    low = values / largest if largest >= np.finfo(values.dtype).tiny else values
    while True:
        rough = [
            float(np.square(np.diff(low, axis=axis)).mean()) if low.shape[axis] >= _SHORTEST
            else math.inf
            for axis in range(3)
        ]  # fmt: skip
        if min(rough) == math.inf:
            return tuple(plan)
        # Values that do not vary at all make the limit infinity times zero: no number.
        limit = rougher * min(rough) if rougher < math.inf else sys.float_info.max
        chosen = [r <= limit for r in rough]
        plan.append(4 * chosen[0] + 2 * chosen[1] + chosen[2])
        for axis in range(3):
            if chosen[axis]:
                count = -(-low.shape[axis] // 2)
                low = _split(low, axis).take(range(count), axis)


def forward(values: Floats, plan: Sequence[int]) -> Floats:
    """Coefficients of ``values`` (nz, ny, nx); low bands lie at the start of every axis."""
    result = values.copy()
    for split in splits(_triple(values.shape), plan):
        box = tuple(slice(n) for n in split.before)
        for axis in range(3):
            if split.axes[axis]:
                result[box] = _split(result[box], axis)
    return result


def inverse(coefficients: Floats, plan: Sequence[int]) -> Floats:
    """Values of coefficients from `forward`."""
    result = coefficients.copy()
    for split in reversed(splits(_triple(coefficients.shape), plan)):
        box = tuple(slice(n) for n in split.before)
        for axis in reversed(range(3)):
            if split.axes[axis]:
                result[box] = _join(result[box], axis)
    return result


def _split(values: Floats, axis: int) -> Floats:
    moved = np.moveaxis(values, axis, 0)
    low, high = moved[0::2].copy(), moved[1::2].copy()
    kind = values.dtype.type
    for number, step in enumerate(_STEPS):
        if number % 2 == 0:
            high += kind(step) * _around_high(low, len(high))
        else:
            low += kind(step) * _around_low(high, len(low))
    low *= kind(_SCALE)
    high /= kind(_SCALE)
    return np.moveaxis(np.concatenate([low, high]), 0, axis)


def _join(values: Floats, axis: int) -> Floats:
    moved = np.moveaxis(values, axis, 0)
    count = -(-len(moved) // 2)
    kind = values.dtype.type
    low, high = moved[:count] / kind(_SCALE), moved[count:] * kind(_SCALE)
    for number in (3, 2, 1, 0):
        if number % 2 == 0:
            high -= kind(_STEPS[number]) * _around_high(low, len(high))
        else:
            low -= kind(_STEPS[number]) * _around_low(high, len(low))
    result = np.empty_like(moved)
    result[0::2], result[1::2] = low, high
    return np.moveaxis(result, 0, axis)


def _around_high(low: Floats, number: int) -> Floats:
    """Sums of the two low neighbours of each high sample, mirrored at the end."""
    right = low[1:] if len(low) > number else np.concatenate([low[1:], low[-1:]])
    result: Floats = low[:number] + right
    return result


def _around_low(high: Floats, number: int) -> Floats:
    """Sums of the two high neighbours of each low sample, mirrored at both ends."""
    left = np.concatenate([high[:1], high])[:number]
    right = high if len(high) == number else np.concatenate([high, high[-1:]])
    result: Floats = left + right
    return result


def _triple(shape: tuple[int, ...]) -> Triple:
    z, y, x = shape
    return z, y, x
