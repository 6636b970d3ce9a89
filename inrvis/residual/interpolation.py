"""Our own coder of a grid of values, with a bound on every error.

Points are visited from coarse to fine, as interpolation-based compressors do (SZ3: Zhao et al.
2021): at each level the points halfway between known ones are predicted from decoded neighbours,
and the rounded differences are entropy-coded. Three things are done in another way. The weights of
the neighbours are fitted to each class of points on what the decoder will see, and travel with the
stream where they pay. A difference is coded in the context of the differences around it. And axes
along which points lie far apart may be left out of the finest levels.

Streams decode to the same bits on every machine and for every number of threads: what drives the
entropy coder are integers, and a value follows from single IEEE 754 operations on each element, in
a fixed order. No sum over elements takes part in decoding.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrvis.bitstream import IntegerDecoder, IntegerEncoder
from inrvis.errors import FormatError
from inrvis.residual import adaptive
from inrvis.residual.prediction import Predictor, predict
from inrvis.residual.stencils import Neighbours, Points, Triple, classes
from inrvis.residual.transform import plan_splits

Floats = NDArray[np.floating[Any]]

# Weights, for points between two, four and eight coarser ones, of the differences around: in all
# for each squared distance. Fitted to volumes of many kinds.
_NEAR = (
    {1: 39, 2: 67, 5: 100, 9: 14},
    {1: 93, 2: 19, 3: 36, 5: 65, 9: 12},
    {1: 130, 2: 25, 3: -8, 5: 77, 9: 10},
)
_FINER = 16
# Kinds of contexts: between how many points, and whether the differences at the coarser ones of
# these are all zero.
_KINDS = 3 * 2
# A finer step where points predict many others pays (QoZ: Liu et al. 2022), up to this factor.
_MOST_REFINED = 4.0
_REFINEMENT_UNIT = 1 / 16
_REFINEMENTS = (19, 22, 26)
_ROUGHER = (1.4, 2.0, 4.0, math.inf)
_TRIAL_POINTS = 1 << 21
# Rounding adds to errors; see `encode`.
_ULPS = 3
_ATTEMPTS = 3
_HEADER = struct.Struct("<ddBBB")


@dataclass(frozen=True)
class _Settings:
    """How a stream is coded.

    Attributes
    ----------
    step : float
        Of the differences at the finest level.
    refinement : int
        By how much steps shrink from a level to the next coarser one, in units of 1/16.
    integer : bool
        Whether decoded values differ from the first by integers.
    plan : bytes
        Axes that the finest levels halve; see `stencils.classes`.
    """

    step: float
    refinement: int
    integer: bool
    plan: bytes

    def step_of(self, points: Points) -> float:
        """Step of the differences at the level of ``points``."""
        factor = 1.0
        for _ in range(points.level):
            factor = min(factor * (self.refinement * _REFINEMENT_UNIT), _MOST_REFINED)
        step = self.step / factor
        return 2.0 * math.floor(step / 2) + 1 if self.integer else step


def _contexts(points: Points, roots: NDArray[np.int32]) -> NDArray[np.int64]:
    """Context of each point: the differences expected from those around it."""
    between = sum(points.parity) - 1
    neighbours = Neighbours(points, roots)
    squares = [sum(s * s for s in offset) for offset in points.known]
    expected = np.zeros(points.counts, dtype=np.int32)
    nonzero = np.zeros(points.counts, dtype=np.bool_)
    for offset, square in zip(points.known, squares, strict=True):
        group = _NEAR[between].get(square, 0) if max(offset) == 3 or square < 9 else 0
        if group:
            total = neighbours.sum(offset)
            number = neighbours.number(offset) * squares.count(square)
            expected += np.int32(_FINER * group // number) * total
            if offset == points.parity:
                nonzero = total > 0
    kinds = 2 * between + nonzero.ravel()
    return adaptive.sizes(expected // np.int32(_FINER)) * _KINDS + kinds


def encode(
    values: Floats,
    bound: float,
    refinement: float | None = None,
    free: NDArray[np.bool_] | None = None,
) -> bytes:
    """Code a grid of finite values so that no decoded one is off by more than ``bound``.

    Parameters
    ----------
    values : ndarray of float32 or float64, shape (nz, ny, nx)
        In the precision in which the decoder is to work.
    bound : float
        Largest error, in units of the values.
    refinement : float, optional
        From 1 to 4: by how much the steps shrink from one level to the next coarser one. If not
        given, the best of a few is found by trial.
    free : ndarray of bool, shape (nz, ny, nx), optional
        Values that may decode to anything finite; what they are helps to predict the others.

    Returns
    -------
    bytes
        For `decode` with the same shape and type. For every voxel but the free ones,
        ``abs(decoded - value) <= bound`` as the type computes it: this was checked.

    Raises
    ------
    ValueError
        If the bound is too small for the type. It is never refused if it is at least eight units
        in the last place of the largest magnitude.
    """
    largest = float(np.abs(values).max())
    if not (0 < bound < math.inf and largest < float(np.finfo(values.dtype).max) / 64):
        raise ValueError("values and a positive bound within the range of their type are needed")
    settings = _choose(values, bound, refinement, free)
    for attempt in range(1, _ATTEMPTS + 1):
        if not settings.integer:
            # Rounding of a difference, of its product with the step and of their sum.
            ulp = float(np.spacing(values.dtype.type(largest)))
            settings = replace(settings, step=2 * (bound - _ULPS * attempt * ulp))
        try:
            return _encode(values, settings, bound, free)
        except ValueError:
            settings = replace(settings, integer=False)
    raise ValueError("the bound is too small for the precision of the values")


def _choose(
    values: Floats, bound: float, refinement: float | None, free: NDArray[np.bool_] | None
) -> _Settings:
    """Settings that code a part of the values, in the middle, best."""
    offsets = values - values[0, 0, 0]
    step = 2.0 * math.floor(bound) + 1
    integer = bool(
        step >= 0.97 * 2 * bound
        and np.abs(offsets).max() < 1 / np.sqrt(np.finfo(values.dtype).eps)
        and (offsets == np.rint(offsets)).all()
        and (values[0, 0, 0] + offsets == values).all()
    )
    settings = _Settings(step if integer else 2 * bound, 16, integer, b"")
    middle = tuple(_middle(n, _trial_side(values.shape)) for n in values.shape)
    part = values[middle]
    free_part = None if free is None else free[middle]

    def size(trial: _Settings, *, brief: bool = False) -> int:
        try:
            return len(_encode(part, trial, math.inf, free_part, brief=brief))
        except ValueError:
            return part.nbytes

    plans = sorted({b""} | {_finest(part, rougher) for rougher in _ROUGHER})
    if len(plans) > 1:
        settings = min(
            (replace(settings, plan=plan) for plan in plans), key=lambda s: size(s, brief=True)
        )
    if refinement is not None:
        return replace(settings, refinement=round(refinement / _REFINEMENT_UNIT))
    best = size(settings)
    for refined in _REFINEMENTS:
        trial = replace(settings, refinement=refined)
        attempt = size(trial)
        if attempt >= best:
            break
        settings, best = trial, attempt
    return settings


def _trial_side(shape: Sequence[int]) -> int:
    """Largest side of a cube that has few enough points where it reaches into the grid."""
    side = int(np.cbrt(_TRIAL_POINTS))
    while side < max(shape) and math.prod(min(side + 1, n) for n in shape) <= _TRIAL_POINTS:
        side += 1
    return side


def _middle(size: int, side: int) -> slice:
    start = max(size - side, 0) // 2
    return slice(start, start + side)


def _finest(values: Floats, rougher: float) -> bytes:
    """Axes to halve at the levels before all of them are."""
    plan = bytes(plan_splits(values, rougher))
    end = next((i for i, mask in enumerate(plan) if mask == max(plan)), 0)
    return plan[:end]


def _encode(
    values: Floats,
    settings: _Settings,
    bound: float,
    free: NDArray[np.bool_] | None,
    *,
    brief: bool = False,
) -> bytes:
    """Code values; ValueError if an error is larger than ``bound``, or a difference too large."""
    first = values.dtype.type(values.flat[0])
    if settings.integer:
        values = values - first
    grid = np.zeros_like(values)
    grid.flat[0] = values.flat[0]
    roots = np.zeros(values.shape, dtype=np.int32)
    stream, statistics = IntegerEncoder(), adaptive.Statistics(_KINDS)
    predictor, level = Predictor(stream, brief), -1
    for points in classes(_triple(values.shape), settings.plan):
        if points.level != level:
            level = points.level
            statistics.begin_level()
        step = values.dtype.type(settings.step_of(points))
        if not step > 0:
            raise ValueError("a step has no size")
        actual, neighbours = values[points.box], Neighbours(points, grid)
        prediction = predict(neighbours, predictor.fit(neighbours, actual, float(step)))
        if settings.integer:
            prediction = np.rint(prediction)
        differences = np.rint((actual - prediction) / step)
        if free is not None:
            # They become what is predicted, which costs next to nothing.
            differences[free[points.box]] = 0
        decoded = prediction + differences * step
        wrong = np.abs(decoded - actual) > bound
        if free is not None:
            wrong &= ~free[points.box]
        if wrong.any():
            # Rounding chose the second nearest.
            differences[wrong] += np.sign(actual - decoded)[wrong]
            decoded = prediction + differences * step
            if (np.abs(decoded - actual)[wrong] > bound).any():
                raise ValueError("an error is larger than the bound")
        if not np.abs(differences).max() < 2.0**adaptive.MOST_BITS:
            raise ValueError("a difference is too large")
        integers = differences.astype(np.int64).ravel()
        statistics.put(stream, _contexts(points, roots), integers)
        if not np.isfinite(decoded).all():
            raise ValueError("a prediction is no number")
        grid[points.box] = decoded
        roots[points.box] = adaptive.roots(integers).reshape(points.counts)
    header = _HEADER.pack(
        settings.step, float(first), settings.refinement, settings.integer, len(settings.plan)
    )
    return header + settings.plan + stream.finish()


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
        raise FormatError("a coded layer is cut short")
    step, start, refinement, integer, planned = _HEADER.unpack_from(data)
    position = _HEADER.size + planned
    settings = _Settings(step, refinement, integer == 1, data[_HEADER.size : position])
    first = dtype.type(start)
    if not (0 < step < math.inf and np.isfinite(first) and refinement >= 16 and integer < 2):
        raise FormatError("the header of a coded layer is damaged")
    try:
        with np.errstate(all="ignore"):
            grid = _decode(IntegerDecoder(data[position:]), settings, first, shape)
    except ValueError as error:
        raise FormatError(f"a coded layer is damaged: {error}") from error
    if not np.isfinite(grid).all():
        raise FormatError("a coded layer is damaged: it has values that are not finite")
    return grid


def _decode(
    stream: IntegerDecoder, settings: _Settings, first: np.floating[Any], shape: Triple
) -> Floats:
    grid = np.zeros(shape, dtype=first.dtype)
    grid[0, 0, 0] = 0 if settings.integer else first
    roots = np.zeros(shape, dtype=np.int32)
    statistics = adaptive.Statistics(_KINDS)
    predictor, level = Predictor(stream), -1
    for points in classes(shape, settings.plan):
        if points.level != level:
            level = points.level
            statistics.begin_level()
        prediction = predict(Neighbours(points, grid), predictor.take(points))
        if settings.integer:
            prediction = np.rint(prediction)
        integers = statistics.take(stream, _contexts(points, roots))
        step = first.dtype.type(settings.step_of(points))
        grid[points.box] = prediction + integers.reshape(points.counts).astype(first.dtype) * step
        roots[points.box] = adaptive.roots(integers).reshape(points.counts)
    if settings.integer:
        grid += first
    return grid


def _triple(shape: tuple[int, ...]) -> Triple:
    z, y, x = shape
    return z, y, x
