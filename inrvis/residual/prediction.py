"""Weights with which points are predicted from their neighbours: fitted, coded and applied."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrvis.bitstream import IntegerDecoder, IntegerEncoder, counts, reach
from inrvis.residual.stencils import FEW_OFFSETS, Neighbours, Points, Sample, Triple

Floats = NDArray[np.floating[Any]]
Weights = NDArray[np.int64]

_UNIT = 1 / 256
_LARGEST = 2000
# Classes with fewer points have weights of no choice.
_FEWEST = 300
# Points looked at to fit a class, and those of them used: where all is flat there is no news.
_LOOKED_AT, _SAMPLES = 48_000, 16_000
_ROUNDS = 3
# Tables of the coder for the differences of weights.
_TABLES = (152, 160, 168, 176)
# Where weights come from: these below, the level before, or the stream, for few offsets or all.
_DEFAULT, _BEFORE, _FEW, _ALL = range(4)
# Sums of products of integers up to here are exact in float64, whatever their order.
_EXACT = 1 << 18


@dataclass(frozen=True)
class _System:
    """A sample of points: what to predict from the nearest on, and columns to do it with."""

    target: NDArray[np.float64]
    columns: NDArray[np.float64]
    share: float
    step: float

    def errors(self, weights: NDArray[Any]) -> NDArray[np.float64]:
        rest = self.target.copy()
        for column, weight in zip(self.columns, weights.tolist(), strict=True):
            if weight:
                rest -= weight * column
        return np.abs(rest)

    def bits(self, weights: Weights) -> float:
        """About the bits that all points cost with these weights."""
        return float(np.log2(1 + self.errors(weights * _UNIT) * (2 / self.step)).sum()) / self.share

    def fit(self, chosen: NDArray[np.bool_]) -> Weights:
        """Weights of the ``chosen`` columns that leave small errors, with less regard to large.

        Sums are exact, so that the result is the same for any number of threads.
        """
        weights = np.zeros(len(self.columns))
        importance = np.ones(len(self.target))
        for _ in range(_ROUNDS):
            rows = np.vstack([self.columns[chosen], self.target]) * importance
            rows = np.rint(rows * (_EXACT / max(np.abs(rows).max(), 1e-300)))
            normal = rows @ rows.T
            left, right = normal[:-1, :-1], normal[:-1, -1]
            left[np.diag_indices_from(left)] += 1e-6 * np.trace(left) / len(left) + 1
            weights[chosen] = np.linalg.solve(left, right)
            importance = 1 / np.sqrt(self.errors(weights) + self.step)
        result: Weights = np.clip(np.rint(weights / _UNIT), -_LARGEST, _LARGEST).astype(np.int64)
        return result


@dataclass
class Predictor:
    """Predicts the points of one class after another.

    Parameters
    ----------
    stream : IntegerEncoder or IntegerDecoder
        Where weights go to or come from.
    brief : bool
        Whether to save time and fit weights for few neighbours alone.
    """

    stream: IntegerEncoder | IntegerDecoder
    brief: bool = False
    _before: dict[tuple[Triple, Triple], Weights] = field(default_factory=dict)

    def fit(self, neighbours: Neighbours, values: Floats, step: float) -> Weights:
        """Choose weights for the points of a class, and code them.

        Parameters
        ----------
        neighbours : Neighbours
            Of the points, in the grid as the decoder knows it.
        values : ndarray, shape of the class
            What is to be predicted.
        step : float
            In which the differences will be coded.
        """
        stream = self.stream
        if not isinstance(stream, IntegerEncoder):
            raise TypeError("weights are fitted where a stream is written")
        points = neighbours.points
        weights = base = self._known_weights(points)[_BEFORE]
        if points.size >= _FEWEST and len(points.known) > 1:
            few = np.array([offset in FEW_OFFSETS for offset in points.known[1:]])
            used = few if self.brief else np.ones_like(few)
            system = _system(neighbours, used, values, step)
            choices = list(self._known_weights(points))
            costs = [system.bits(weights) for weights in choices]
            for chosen in (few,) if self.brief else (few, used):
                fitted = np.where(chosen, system.fit(chosen), base * 0)
                choices.append(fitted)
                table = _best_table((fitted - base)[chosen])
                costs.append(system.bits(fitted) + _bits((fitted - base)[chosen], table))
            choice = int(np.argmin(costs))
            weights = choices[choice]
            stream.put_bits(np.array([choice]), 2)
            if choice >= _FEW:
                differences = (weights - base)[few if choice == _FEW else slice(None)]
                table = _best_table(differences)
                stream.put_bits(np.array([table]), 2)
                stream.put(differences, _TABLES[table])
            self._before[points.axes, points.parity] = weights
        return weights

    def take(self, points: Points) -> Weights:
        """Decode the weights for ``points``; ValueError if they are not there."""
        stream = self.stream
        if not isinstance(stream, IntegerDecoder):
            raise TypeError("weights are taken where a stream is read")
        default, weights = self._known_weights(points)
        if points.size >= _FEWEST and len(points.known) > 1:
            choice = int(stream.take_bits(1, 2)[0])
            if choice == _DEFAULT:
                weights = default
            elif choice >= _FEW:
                coded = np.array(
                    [choice == _ALL or offset in FEW_OFFSETS for offset in points.known[1:]]
                )
                table = _TABLES[int(stream.take_bits(1, 2)[0])]
                taken = stream.take(int(coded.sum()), table)
                base, weights = weights, np.zeros_like(weights)
                weights[coded] = base[coded] + taken
            self._before[points.axes, points.parity] = weights
        return weights

    def _known_weights(self, points: Points) -> tuple[Weights, Weights]:
        """Weights without a fit, and those of the same class a level before."""
        default = np.zeros(len(points.known) - 1, dtype=np.int64)
        between = sum(points.parity)
        for position, offset in enumerate(points.known[1:]):
            along = all(p or not o for p, o in zip(points.parity, offset, strict=True))
            if between == 1 and along and sum(offset) == 3:
                # Cubic interpolation.
                default[position] = round(-1 / 8 / _UNIT)
            elif between > 1 and along and sum(offset) == 1:
                default[position] = round(1 / between / _UNIT)
        before = self._before.get((points.axes, points.parity), default)
        return default, before


def predict(neighbours: Neighbours, weights: Weights) -> Floats:
    """Prediction of the points: the nearest known ones, and weighted differences to them.

    Whatever the weights, a constant is predicted as itself.
    """
    known = neighbours.points.known
    nearest = _mean(neighbours, known[0])
    prediction = nearest
    for offset, weight in zip(known[1:], weights.tolist(), strict=True):
        if weight:
            difference = _mean(neighbours, offset) - nearest
            difference *= nearest.dtype.type(weight * _UNIT)
            prediction = prediction + difference
    return prediction


def _mean(neighbours: Neighbours, offset: Triple, sample: Sample | None = None) -> Floats:
    total = neighbours.sum(offset, sample)
    result: Floats = total * total.dtype.type(1 / neighbours.number(offset))
    return result


def _system(
    neighbours: Neighbours, used: NDArray[np.bool_], values: Floats, step: float
) -> _System:
    points = neighbours.points
    stride = 1
    while points.size // stride**3 > _LOOKED_AT:
        stride += 1
    z, y, x = (np.arange(0, n, min(stride, n)) for n in points.counts)
    nearest = _mean(neighbours, points.known[0], (z, y, x)).ravel()
    target = values[np.ix_(z, y, x)].ravel() - nearest
    columns = np.zeros((len(used), len(target)), dtype=target.dtype)
    for column, offset, wanted in zip(columns, points.known[1:], used, strict=True):
        if wanted:
            column[...] = _mean(neighbours, offset, (z, y, x)).ravel() - nearest
    (varied,) = np.nonzero(np.abs(target) + np.abs(columns).sum(axis=0))
    rows = varied[:: max(len(varied) // _SAMPLES, 1)] if len(varied) else np.array([0])
    share = target.size / points.size * len(rows) / max(len(varied), 1)
    target, columns = target[rows].astype(np.float64), columns[:, rows].astype(np.float64)
    # Squares of large values would overflow.
    scale = 1 / max(float(np.abs(target).max()), float(np.abs(columns).max()), 1e-300)
    return _System(target * scale, columns * scale, share, step * scale)


def _bits(integers: Weights, table: int) -> float:
    """Bits that a table of the coder spends on ``integers``."""
    limit = reach(_TABLES[table])
    share = counts(_TABLES[table])
    symbols = np.where(np.abs(integers) > limit, 2 * limit + 1, integers + limit)
    escaped = 32 * int((np.abs(integers) > limit).sum())
    return escaped - float(np.log2(share[symbols] / share.sum()).sum())


def _best_table(integers: Weights) -> int:
    return min(range(len(_TABLES)), key=lambda table: _bits(integers, table))
