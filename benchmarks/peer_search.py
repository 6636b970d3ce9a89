"""The smallest stream of a peer that reaches a PSNR or keeps a bound.

Every trial is decoded with the peer's own decoder and measured, and none is forgotten: trials
for one target narrow the search for the next, and all together are the peer's curve.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from benchmarks.peers import Peer, Values

_MOST_TRIALS = 18
_CLOSE_DB = 0.01
# A change of a setting, in natural logarithm: the first step, and one too small to matter.
_STEP, _TINY = 0.4, 1e-3
_CURVE_STEP_DB = 0.8


@dataclass(frozen=True)
class Trial:
    """What one setting of a peer gave."""

    peer: Peer
    setting: float
    encoded_bytes: int
    psnr_db: float
    max_abs_error: float


class Goal(Protocol):
    """What a stream must reach."""

    def margin_db(self, trial: Trial) -> float:
        """By how much the trial is better than it needs to be; negative where it falls short."""

    def start(self, peer: Peer, values: Values) -> float:
        """Return the setting from which to look."""

    def first(self, peer: Peer) -> Peer:
        """Return the configuration from which to look."""


@dataclass(frozen=True)
class AtPsnr:
    """A PSNR of at least `db` over the range of the values."""

    db: float

    def margin_db(self, trial: Trial) -> float:
        return trial.psnr_db - self.db

    def start(self, peer: Peer, values: Values) -> float:
        return peer.guess_psnr(values, self.db)

    def first(self, peer: Peer) -> Peer:
        return peer


@dataclass(frozen=True)
class AtMaxError:
    """No error above `bound`, in the units of the data; whole for integers (see `max_error`)."""

    bound: float

    def margin_db(self, trial: Trial) -> float:
        if not trial.max_abs_error:
            # Below one half everything is exact; whoever promises that need not look further.
            return math.inf if self.bound or not trial.peer.bounded else 0.0
        # The logarithm's slope at 1, and no rounding of its own at the bound.
        return 20 / math.log(10) * (self.bound / trial.max_abs_error - 1)

    def start(self, peer: Peer, values: Values) -> float:
        return peer.guess_max_error(values, self.bound)

    def first(self, peer: Peer) -> Peer:
        return peer.for_max_error()


@dataclass
class Search:
    """Trials of one peer's configurations on one scalar volume.

    Parameters
    ----------
    values : (nz, ny, nx) ndarray
        What the peer is fed: no NaN.
    original : (nz, ny, nx) ndarray, optional
        What the result is compared with; its NaN are left out. `values` by default.
    """

    values: Values
    original: Values | None = None
    trials: dict[Peer, dict[float, Trial]] = field(default_factory=dict)

    def best(self, peer: Peer, goal: Goal) -> Trial | None:
        """Smallest trial over the peer's configurations, one group of them after another."""
        best = self.one(goal.first(peer), goal)
        stage = 0
        while True:
            start = best.peer if best else goal.first(peer)
            options = start.alternatives(stage, self.values.shape)
            if options is None:
                return best
            for option in options:
                if option != start:
                    best = _smaller(best, self.one(option, goal, best))
            stage += 1

    def one(self, peer: Peer, goal: Goal, rival: Trial | None = None) -> Trial | None:
        """Smallest trial of one configuration; given up where it cannot beat `rival`."""
        coarse, fine = peer.span(self.values)
        scale = math.log(fine / coarse)
        known = self.trials.setdefault(peer, {})
        start = goal.start(peer, self.values)
        if rival and not peer.bounded and rival.peer.unit == peer.unit:
            start = rival.setting
        step = _STEP / abs(scale)
        if peer.bounded and start not in known:
            known[start] = self._try(peer, start)
        for count in range(_MOST_TRIALS):
            place = {math.log(s / coarse) / scale: goal.margin_db(t) for s, t in known.items()}
            # The finest that fails, then the coarsest that passes beyond it: curves are jagged,
            # and TTHRESH gives far more than was asked for where next to nothing was asked for.
            coarser = max((x for x, margin in place.items() if margin < 0), default=None)
            finer = min(
                (x for x, m in place.items() if m >= 0 and (coarser is None or x > coarser)),
                default=None,
            )
            if finer is not None and place[finer] <= _CLOSE_DB:
                break
            if coarser is not None and rival is not None:
                setting = coarse * math.exp(coarser * scale)
                nearest = min(known, key=lambda s: abs(s - setting))
                if known[nearest].encoded_bytes >= rival.encoded_bytes:
                    break
            if finer is None and coarser is None:
                x = math.log(start / coarse) / scale
            elif finer is None:
                x, step = coarser + step, 2 * step
            elif coarser is None:
                x, step = finer - step, 2 * step
            else:
                width = finer - coarser
                if width * abs(scale) < _TINY:
                    break
                x = coarser + width * _split(place[coarser], place[finer], count)
            x = min(max(x, 0.0), 1.0)
            if any(abs(x - y) * abs(scale) < _TINY / 4 for y in place):
                break
            setting = coarse * math.exp(x * scale)
            known[setting] = self._try(peer, setting)
        reached = [t for t in known.values() if goal.margin_db(t) >= 0]
        return min(reached, key=lambda t: t.encoded_bytes, default=None)

    def smallest(self, name: str, goal: Goal) -> Trial | None:
        """Smallest trial of one compressor that reaches a goal, whatever it was made for."""
        reached = [t for t in self._of(name) if goal.margin_db(t) >= 0]
        return min(reached, key=lambda t: t.encoded_bytes, default=None)

    def curve(self, name: str) -> list[tuple[int, float]]:
        """Bytes and PSNR of the trials of one compressor that no smaller one beats."""
        points = front((t.encoded_bytes, t.psnr_db) for t in self._of(name))
        return front(points, _CURVE_STEP_DB)

    def _of(self, name: str) -> list[Trial]:
        return [t for p, known in self.trials.items() if p.name == name for t in known.values()]

    def _try(self, peer: Peer, setting: float) -> Trial:
        stream = peer.encode(self.values, setting)
        decoded = peer.decode(stream, self.values.shape, self.values.dtype)
        original = self.values if self.original is None else self.original
        return Trial(peer, setting, len(stream), *errors(original, decoded))


def at_psnr(peer: Peer, values: Values, db: float) -> Trial | None:
    """Smallest trial of one configuration with a PSNR of at least `db`."""
    return Search(values).one(peer, AtPsnr(db))


def at_max_error(peer: Peer, values: Values, bound: float) -> Trial | None:
    """Smallest trial of one configuration without an error above `bound`."""
    return Search(values).one(peer, max_error(values, bound))


def max_error(values: Values, bound: float) -> AtMaxError:
    """Goal of a bound: errors of integers are integers, so that theirs is rounded down."""
    return AtMaxError(math.floor(bound) if values.dtype.kind in "iu" else bound)


def errors(original: Values, decoded: Values) -> tuple[float, float]:
    """PSNR and largest error, as `inrvis.metrics` has them, in one pass."""
    squares, largest, count = 0.0, 0.0, 0
    low, high = math.inf, -math.inf
    for source, result in zip(original, decoded, strict=True):
        plane = source[~np.isnan(source)].astype(np.float64)
        difference = np.abs(result[~np.isnan(source)].astype(np.float64) - plane).ravel()
        if difference.size:
            squares += float(difference @ difference)
            largest = max(largest, float(difference.max()))
            low, high = min(low, float(plane.min())), max(high, float(plane.max()))
        count += difference.size
    if math.isnan(squares):
        return -math.inf, math.inf
    peak = high - low if high > low else 1.0
    return (10 * math.log10(peak * peak * count / squares) if squares else math.inf), largest


def front(points: Iterable[tuple[int, float]], step_db: float = 0.0) -> list[tuple[int, float]]:
    """Points of growing size and quality that no smaller one equals, at least `step_db` apart."""
    kept: list[tuple[int, float]] = []
    for size, db in sorted(points, key=lambda point: (point[0], -point[1])):
        if math.isfinite(db) and (not kept or db > kept[-1][1] + step_db):
            kept.append((size, db))
    return kept


def _smaller(a: Trial | None, b: Trial | None) -> Trial | None:
    return min((t for t in (a, b) if t), key=lambda t: t.encoded_bytes, default=None)


def _split(below: float, above: float, count: int) -> float:
    """Where between two margins to look next; halving now and then, for jagged curves."""
    if count % 3 == 2 or not math.isfinite(above - below):
        return 0.5
    return min(max((_CLOSE_DB / 2 - below) / (above - below), 0.1), 0.9)
