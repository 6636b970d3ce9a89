"""Which axes each step of a wavelet transform halves, chosen by what the coded layer takes.

A rule of thumb, `residual.transform.plan_splits`, makes the first plan. Where a layer has a few
hundred bytes, other plans take up to a fifth less at the same quality: coarse bands of a handful
of coefficients cost more than they save, and a field may be smoother along an axis than the
differences of neighbours tell. On large layers half a percent is to be had.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from inrvis.residual.transform import Triple, splits
from inrvis.residual.wavelet import WaveletEncoder

Plan = tuple[int, ...]

# Limits of the rule to try beside its own, the nearest first.
_ROUGHER = (1.6, 3.0, 1.3, 4.0, 8.0, math.inf)
# The first coarser step that takes fewer bytes tells how many an error is worth.
_COARSER = (1.2, 1.5, 2.0)
# What saves a smaller share is no better.
_WORTH = 0.002
_ALL_AXES = 7
# Where values take more bits, there are coefficients enough in all bands.
_MOST_BITS_PER_VALUE = 0.5
# After so many plans in a row that are no better, hardly one was found that is; where trials are
# cheap, more are worth it.
_PATIENCE, _PATIENCE_SHARE = 8, 0.2
# Stands for an error of nothing beside that of the first plan.
_NO_ERROR = 1e-6


def rehalved(encoder: WaveletEncoder, step: float, trials: int) -> WaveletEncoder:
    """Return ``encoder`` with the best plan that up to ``trials`` encodings find.

    Parameters
    ----------
    encoder : WaveletEncoder
        With the plan to start from.
    step : float
        Step of the coefficients, near which plans are compared.
    trials : int
        Encodings that may be spent; below 3 there is nothing to compare.
    """
    if trials < 3:
        return encoder
    search = _Search(encoder, step, trials)
    if search.over:
        return encoder
    search.shorten()
    for plan in encoder.plans(_ROUGHER):
        if search.over:
            break
        if search.accept(plan[: len(plan) - search.cut]):
            search.shorten()
    while any(search.accept(plan) for plan in _neighbours(search.best.plan, encoder.shape)):
        pass
    return search.best


class _Search:
    """The best plan so far, its cost in bytes, and how many encodings are left."""

    def __init__(self, encoder: WaveletEncoder, step: float, trials: int) -> None:
        self.best, self._step, self._left, self.cut = encoder, step, trials - 1, 0
        self._most_misses = max(_PATIENCE, int(_PATIENCE_SHARE * trials))
        self._misses = 0
        size, self._error = encoder.trial(step)
        self._least, self._seen = float(size), {encoder.plan}
        self._bytes_per_nat = 0.0
        if 8 * size > _MOST_BITS_PER_VALUE * math.prod(encoder.shape):
            return
        for factor in _COARSER:
            coarser, more = encoder.trial(factor * step)
            self._left -= 1
            if coarser < size and more > self._error > 0:
                self._bytes_per_nat = (size - coarser) / math.log(more / self._error)
                break

    @property
    def over(self) -> bool:
        """Whether no plan is tried any more."""
        # Where no bytes are to be saved, or nothing is lost, all plans are alike.
        spent = self._left <= 0 or self._misses >= self._most_misses
        return spent or not self._bytes_per_nat

    def shorten(self) -> None:
        """Leave coarse steps out while that helps."""
        while self.accept(self.best.plan[:-1]):
            self.cut += 1

    def accept(self, plan: Plan) -> bool:
        """Try ``plan``, and keep it if it is better."""
        if self.over or plan in self._seen:
            return False
        self._left -= 1
        self._misses += 1
        self._seen.add(plan)
        other = self.best.replanned(plan)
        size, error = other.trial(self._step)
        cost = size + self._bytes_per_nat * math.log(max(error / self._error, _NO_ERROR))
        if cost >= (1 - _WORTH) * self._least:
            return False
        self.best, self._least, self._misses = other, cost, 0
        return True


def _neighbours(plan: Plan, shape: Triple) -> Iterator[Plan]:
    """Plans that differ in one step, or have one more or less."""
    changed = [
        (*plan[:place], axes, *plan[place + 1 :])
        for place in reversed(range(len(plan)))
        for axes in range(1, _ALL_AXES + 1)
    ]
    shorter = [(*plan[:place], *plan[place + 1 :]) for place in range(len(plan))]
    longer = [(*plan, axes) for axes in range(1, _ALL_AXES + 1)]
    for other in (*shorter, *longer, *changed):
        if all(
            n >= 2 for s in splits(shape, other) for a, n in zip(s.axes, s.before, strict=True) if a
        ):
            yield other
