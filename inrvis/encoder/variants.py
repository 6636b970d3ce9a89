"""What short trainings choose: blocks, the optimiser's steps, and how fine weights are."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from inrvis.encoder.plan import Variant
from inrvis.encoder.settings import SirenSettings
from inrvis.encoder.training import Trial
from inrvis.errors import UsageError

# Numbers of blocks that are tried, relative to the usual one: where blocks may lie matters as much.
DENSITIES = (1.0, 0.35, 0.6, 1.4, 2.0)
# Short trainings rank as long ones do, but for a head start of small blocks: for twice as many.
_HEAD_START_DB = 0.5
# Smaller steps, on which small networks of smooth fields depend.
_GENTLE = 0.3
# Fewer weights of more bits each.
_FINER, _FINEST = 1.3, 1.6
# Smooth fields gain with every bit of a weight, and the more, the longer the training. Where the
# first of these gains so much in a trial, the second is better in the end, though it may seem so
# much worse (docs/benchmarks.md). Where it gains less, it is worse in the end: of two networks of
# equal bytes the one of fewer weights is ahead in a short training. On mni152_t1 at a ratio of 200
# 0.3 dB in a trial became 0.6 dB less.
_CLEARLY_DB, _HARDLY_DB = 0.5, 1.0
_FEW_PLANS = 2


def best_variant(
    plans: Callable[[Variant], tuple[SirenSettings, ...]],
    attempt: Callable[[Variant], Trial],
    *,
    refine: bool = True,
) -> tuple[Variant, Trial]:
    """Variant that some short trainings speak for, and what it reached.

    Parameters
    ----------
    plans : callable
        Networks of a variant. Blocks that give the same networks are tried once.
    attempt : callable
        Trains networks of a variant for a short time.
    refine : bool
        Whether to try finer weights, which those that are rounded together do not need.

    Raises
    ------
    UsageError
        If no network is small enough.
    """
    tried: dict[tuple[SirenSettings, ...], tuple[float, Variant, Trial]] = {}
    for density in DENSITIES:
        variant = Variant(density)
        own = plans(variant)
        if own not in tried:
            trial = attempt(variant)
            blocks = sum(math.prod(plan.blocks) for plan in own)
            merit = trial.psnr_db - _HEAD_START_DB * math.log2(blocks)
            tried[own] = merit, variant, trial
    _, best, trial = max(tried.values(), key=lambda entry: entry[0])
    slower = replace(best, rate=_GENTLE)
    usual, gentle = (best, trial), (slower, attempt(slower))
    if not refine:
        return max(usual, gentle, key=_reached)
    # Where one block is all that there is, there is time for finer weights with either rate.
    both = len(tried) <= _FEW_PLANS
    chosen = (usual, gentle) if both else (max(usual, gentle, key=_reached),)
    return max((_refined(*pair, attempt) for pair in chosen), key=_reached)


def _reached(pair: tuple[Variant, Trial]) -> float:
    return pair[1].psnr_db


def _refined(
    best: Variant, trial: Trial, attempt: Callable[[Variant], Trial]
) -> tuple[Variant, Trial]:
    """Variant with weights as fine as they should be, and what it reached."""
    for fineness, least_gain_db in ((_FINER, _CLEARLY_DB), (_FINEST, -_HARDLY_DB)):
        finer = replace(best, fineness=fineness)
        try:
            found = attempt(finer)
        except UsageError:
            # Too few weights for the smallest network.
            break
        gain_db = found.psnr_db - trial.psnr_db
        if gain_db <= least_gain_db:
            break
        best, trial = finer, found
    return best, trial
