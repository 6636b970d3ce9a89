"""Networks below a residual that keeps a bound on every error: how large they are to be."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from inrvis.encoder.assembly import LayerParts, NetworkParts
from inrvis.encoder.settings import TrainingSettings
from inrvis.errors import UsageError

Based = tuple[NetworkParts, LayerParts]

# Networks are tried that take so much of what layers alone do. On smooth fields few bytes of a
# network save most of the residual; on others none is worth its bytes.
_SHARES = (0.12, 0.35, 0.04)
_SMALLEST_BYTES = 850
# The first of these is enough for any named network.
_LARGER_BYTES = (2000, 6000, 20000)
# Time of each trial, and how much larger than layers alone a first one may leave the file: a
# longer training will hardly make up for more.
_TRIAL_SHARE, _MOST_TIMES = 0.12, 1.15
# No further trial where so much of the time is spent.
_TRIALS_SHARE = 0.5


def bases(
    alone: int,
    training: TrainingSettings,
    make: Callable[[int, TrainingSettings], Based],
    size_of: Callable[[Based], int],
    *,
    began: float,
    named: bool,
) -> Iterator[Based]:
    """Networks and residuals that keep the bound: short trials, then a training of the best size.

    Parameters
    ----------
    alone : int
        Bytes of the file with layers alone.
    training : TrainingSettings
        Time for all trainings together.
    make : callable
        Trains a network for a file of so many bytes, and codes what it leaves over.
    size_of : callable
        Bytes of the whole file.
    began : float
        Monotonic time at which that time began to count.
    named : bool
        Whether there has to be a network, however large.

    Raises
    ------
    UsageError
        If there has to be a network, and none is small enough.
    """
    trial = replace(training, seconds=_TRIAL_SHARE * training.seconds)
    budgets = [int(share * alone) for share in _SHARES]
    budgets = [budget for budget in budgets if budget >= _SMALLEST_BYTES]
    if not budgets and (named or alone > _SMALLEST_BYTES):
        budgets = [_SMALLEST_BYTES]
    sizes: dict[int, int] = {}
    spent, overhead = 0.0, 0.0
    for budget in [*budgets, *(_LARGER_BYTES if named else ())]:
        if sizes and (budget not in budgets or spent > _TRIALS_SHARE * training.seconds):
            break
        start = time.monotonic()
        try:
            found = make(budget, trial)
        except UsageError:
            if named and budget == _LARGER_BYTES[-1] and not sizes:
                raise
            continue
        finally:
            overhead = time.monotonic() - start - trial.seconds
            spent = time.monotonic() - began if training.clocked else spent + trial.seconds
        yield found
        sizes[budget] = size_of(found)
        if not named and sizes[budget] > _MOST_TIMES * alone:
            break
    if not sizes:
        return
    best = min(sizes, key=sizes.__getitem__)
    if named or sizes[best] <= _MOST_TIMES * alone:
        # To code what is left over takes time, too.
        left = training.seconds - spent - (max(overhead, 0.0) if training.clocked else 0.0)
        if left >= trial.seconds:
            yield make(best, replace(training, seconds=left))
