"""Our own coder of a grid of values, with a bound on every error.

Points are visited from coarse to fine, as interpolation-based compressors do (SZ3: Zhao et al.
2021): at each level the points halfway between known ones are predicted from decoded neighbours,
and the rounded differences are entropy-coded. Two things are done in another way. The weights of
the neighbours are fitted to each class of points by least squares on what the decoder will see,
and travel with the stream. And a difference is coded with the histogram of its context, the size
of the differences around it: integers, so that streams decode alike on every machine.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrvis.bitstream import IntegerDecoder, IntegerEncoder
from inrvis.errors import FormatError
from inrvis.residual.histograms import Histograms

Triple = tuple[int, int, int]
Floats = NDArray[np.floating[Any]]

# Classes of points by the parity of their index (z, y, x) at a level: those between two known
# points first, so that the ones between four or eight have neighbours half as far away.
_PARITIES: tuple[Triple, ...] = (
    (0, 0, 1),
    (0, 1, 0),
    (1, 0, 0),
    (0, 1, 1),
    (1, 0, 1),
    (1, 1, 0),
    (1, 1, 1),
)
_OFFSETS = sorted(
    (
        o
        for o in product(range(4), repeat=3)
        if sum(s * s for s in o) in (1, 2, 3, 5) or sorted(o) == [0, 0, 3]
    ),
    key=lambda o: (sum(s * s for s in o), o),
)
_WEIGHT_UNIT = 1 / 256
_FIT_SAMPLES = 50_000
_FEWEST_TO_FIT = 2000
# Levels with histograms of their own; all coarser ones share the last.
_FINEST_LEVELS = 4
_WEIGHTS_TABLE = 176
_MOST_MAGNITUDE = 4096
_THRESHOLDS = np.array([1, 3, 5, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512])
_CONTEXTS = len(_THRESHOLDS) + 1
_HEADER = struct.Struct("<ddd")


@dataclass(frozen=True)
class _Points:
    """Points of one class: their indices along z, y, x, and the offsets of known neighbours."""

    level: int
    parity: Triple
    shape: Triple
    known: tuple[Triple, ...]

    @cached_property
    def axes(self) -> tuple[NDArray[np.int64], ...]:
        stride = 1 << self.level
        return tuple(
            np.arange(parity * stride, size, 2 * stride)
            for parity, size in zip(self.parity, self.shape, strict=True)
        )

    @property
    def size(self) -> int:
        return math.prod(map(len, self.axes))

    def mean(self, grid: NDArray[Any], offset: Triple, scale: int) -> NDArray[Any]:
        """Sum of ``grid`` at the mirror images of ``offset``, times scale over their number.

        Beyond the rim the nearest known point stands in.
        """
        stride = 1 << self.level
        for axis, (points, step) in enumerate(zip(self.axes, offset, strict=True)):
            if step == 0:
                grid = grid.take(points, axis)
                continue
            first = (self.parity[axis] + step) % 2 * stride
            last = first + (self.shape[axis] - 1 - first) // (2 * stride) * 2 * stride
            low = np.clip(points - step * stride, first, last)
            high = np.clip(points + step * stride, first, last)
            grid = grid.take(low, axis) + grid.take(high, axis)
            scale //= 2
        return grid * grid.dtype.type(scale)


def _classes(shape: Triple) -> Iterator[_Points]:
    """All points but the first, (0, 0, 0), from coarse to fine."""
    for level in reversed(range(max(max(shape) - 1, 0).bit_length())):
        present = [
            parity
            for parity in _PARITIES
            if all(1 << level < n for n, odd in zip(shape, parity, strict=True) if odd)
        ]
        done: set[Triple] = {(0, 0, 0)}
        for parity in present:
            known = tuple(o for o in _OFFSETS if _moved(parity, o) in done)
            yield _Points(level, parity, shape, known)
            done.add(parity)


def _moved(parity: Triple, offset: Triple) -> Triple:
    z, y, x = ((p + o) % 2 for p, o in zip(parity, offset, strict=True))
    return z, y, x


def _default_weights(points: _Points) -> NDArray[np.int64]:
    """Weights where there are too few points to fit any: cubic, or the mean of the nearest."""
    weights = np.zeros(len(points.known) - 1, dtype=np.int64)
    axes = sum(points.parity)
    for position, offset in enumerate(points.known[1:]):
        if axes == 1 and sum(offset) == max(offset) == 3:
            weights[position] = round(-1 / 8 / _WEIGHT_UNIT)
        elif axes > 1 and sum(offset) == 1:
            weights[position] = round(1 / axes / _WEIGHT_UNIT)
    return weights


class _Predictor:
    """Predicts the points of one class from the known ones."""

    def __init__(self, points: _Points, grid: Floats) -> None:
        means = [points.mean(grid, offset, 8) / grid.dtype.type(8) for offset in points.known]
        self._nearest = means[0]
        # Differences: whatever their weights, a constant is predicted as itself.
        self._features = [mean - means[0] for mean in means[1:]]

    def fit(self, values: Floats) -> NDArray[np.int64]:
        """Weights, in units, with which a subset of ``values`` is predicted best."""
        step = max(1, values.size // _FIT_SAMPLES)
        columns = np.stack([f.ravel()[::step] for f in self._features], axis=1).astype(np.float64)
        target = (values - self._nearest).ravel()[::step].astype(np.float64)
        normal = columns.T @ columns
        normal[np.diag_indices_from(normal)] += 1e-6 * np.trace(normal) / len(normal) + 1e-300
        weights = np.linalg.solve(normal, columns.T @ target)
        return np.clip(np.rint(weights / _WEIGHT_UNIT), -2000, 2000).astype(np.int64)

    def predict(self, weights: NDArray[np.int64]) -> Floats:
        prediction = self._nearest
        for weight, feature in zip(weights.tolist(), self._features, strict=True):
            if weight:
                prediction = prediction + feature * feature.dtype.type(weight * _WEIGHT_UNIT)
        return prediction


def _contexts(points: _Points, magnitudes: NDArray[np.int32]) -> NDArray[np.int64]:
    """Context of each point: the size of the differences at its nearest neighbours."""
    near = [offset for offset in points.known if sum(s * s for s in offset) <= 3]
    total = sum(points.mean(magnitudes, offset, 8) for offset in near)
    sizes = np.searchsorted(_THRESHOLDS, (total // len(near)).ravel(), side="right")
    return sizes + _CONTEXTS * min(points.level, _FINEST_LEVELS - 1)


def _by_context(contexts: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    order = np.argsort(contexts.astype(np.uint8), kind="stable")
    present, starts = np.unique(contexts[order], return_index=True)
    for context, where in zip(present.tolist(), np.split(order, starts[1:]), strict=True):
        yield context, where


def _tolerance(bound: float, refinement: float, level: int) -> float:
    # Coarse points predict many others: a finer step there pays (QoZ: Liu et al. 2022).
    return bound / min(refinement**level, 4.0)


def encode(values: Floats, bound: float, refinement: float = 1.0) -> bytes:
    """Code a grid of finite values so that no decoded one is off by more than ``bound``.

    Parameters
    ----------
    values : ndarray of float32 or float64, shape (nz, ny, nx)
        In the precision in which the decoder is to work: rounding to it adds to the error.
    bound : float
        Largest error, in units of the values.
    refinement : float
        At least 1: by how much the steps shrink from one level to the next coarser one.

    Returns
    -------
    bytes
        For `decode` with the same shape and type.

    Raises
    ------
    ValueError
        If the bound is so small that a difference has more than 31 bits.
    """
    first = float(values[0, 0, 0])
    grid = np.zeros_like(values)
    grid[0, 0, 0] = values[0, 0, 0]
    magnitudes = np.zeros(values.shape, dtype=np.int32)
    coded: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    fitted: list[NDArray[np.int64]] = []
    for points in _classes(_triple(values.shape)):
        box = np.ix_(*points.axes)
        actual = values[box]
        predictor = _Predictor(points, grid)
        weights = _default_weights(points)
        if points.size >= _FEWEST_TO_FIT:
            weights = predictor.fit(actual)
            fitted.append(weights)
        step = values.dtype.type(2 * _tolerance(bound, refinement, points.level))
        prediction = predictor.predict(weights)
        differences = np.rint((actual - prediction) / step)
        if not np.abs(differences).max(initial=0) < 1 << 31:
            raise ValueError("the bound is too small for the range of the values")
        grid[box] = prediction + differences * step
        integers = differences.astype(np.int64)
        contexts = _contexts(points, magnitudes)
        magnitudes[box] = np.minimum(np.abs(integers), _MOST_MAGNITUDE)
        coded.append((contexts, integers.ravel()))
    histograms = Histograms.of(_FINEST_LEVELS * _CONTEXTS, coded)
    stream = IntegerEncoder()
    histograms.put_into(stream)
    stream.put(np.concatenate([np.zeros(0, dtype=np.int64), *fitted]), _WEIGHTS_TABLE)
    for contexts, integers in coded:
        for context, where in _by_context(contexts):
            histograms.put(stream, context, integers[where])
    return _HEADER.pack(bound, refinement, first) + stream.finish()


def decode(data: bytes, shape: Triple, dtype: np.dtype[Any]) -> Floats:
    """Decode what `encode` coded.

    Parameters
    ----------
    data : bytes
        The stream, of unknown origin.
    shape : tuple of 3 int
        (nz, ny, nx).
    dtype : dtype
        float32 or float64, as given to `encode`.

    Returns
    -------
    ndarray, shape (nz, ny, nx)

    Raises
    ------
    FormatError
        If it is no such stream.
    """
    if len(data) < _HEADER.size:
        raise FormatError("a residual is cut short")
    bound, refinement, first = _HEADER.unpack_from(data)
    if not (0 < bound < math.inf and 1 <= refinement <= 16 and math.isfinite(first)):
        raise FormatError("a residual's header is damaged")
    stream = IntegerDecoder(data[_HEADER.size :])
    histograms = Histograms.take_from(stream, _FINEST_LEVELS * _CONTEXTS)
    classes = [(points, points.size >= _FEWEST_TO_FIT) for points in _classes(shape)]
    number = sum(len(points.known) - 1 for points, fitted in classes if fitted)
    all_weights = iter(stream.take(number, _WEIGHTS_TABLE))
    grid = np.zeros(shape, dtype=dtype)
    magnitudes = np.zeros(shape, dtype=np.int32)
    grid[0, 0, 0] = first
    for points, fitted in classes:
        weights = _default_weights(points)
        if fitted:
            weights = np.array([next(all_weights) for _ in weights])
        integers = np.zeros(points.size, dtype=np.int64)
        for context, where in _by_context(_contexts(points, magnitudes)):
            integers[where] = histograms.take(stream, context, len(where))
        box = np.ix_(*points.axes)
        differences = integers.reshape([len(axis) for axis in points.axes])
        magnitudes[box] = np.minimum(np.abs(differences), _MOST_MAGNITUDE)
        step = dtype.type(2 * _tolerance(bound, refinement, points.level))
        grid[box] = _Predictor(points, grid).predict(weights) + differences.astype(dtype) * step
    return grid


def _triple(shape: tuple[int, ...]) -> Triple:
    z, y, x = shape
    return z, y, x
