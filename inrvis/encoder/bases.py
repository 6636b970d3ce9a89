"""Networks below a residual that keeps a bound on every error: how large they are to be."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import replace

from inrvis.encoder.assembly import LayerParts, NetworkParts
from inrvis.encoder.settings import TrainingSettings
from inrvis.errors import UsageError

Based = tuple[NetworkParts, LayerParts]

# Networks are tried that take so much of what layers alone do. On smooth fields few bytes of a
# network save most of the residual; on others none is worth its bytes.
_SHARES = (0.12, 0.35, 0.04)
_SMALLEST_BYTES = 720
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
    prepare: Callable[[int, TrainingSettings], TrainingSettings],
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
    prepare : callable
        Chooses how networks of about so many bytes are made; what it leaves of the training.
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
    budgets = [int(share * alone) for share in _SHARES]
    budgets = [budget for budget in budgets if budget >= _SMALLEST_BYTES]
    if not budgets and (named or alone > _SMALLEST_BYTES):
        budgets = [_SMALLEST_BYTES]
    if not budgets:
        return
    try:
        spent = training.seconds - prepare(budgets[0], training).seconds
    except UsageError:
        spent = 0.0
    trial = replace(training, seconds=_TRIAL_SHARE * training.seconds)
    sizes: dict[int, int] = {}
    overhead = 0.0

    def attempt(budget: int) -> Iterator[Based]:
        nonlocal spent, overhead
        start = time.monotonic()
        try:
            found = make(budget, trial)
        finally:
            overhead = time.monotonic() - start - trial.seconds
            spent = time.monotonic() - began if training.clocked else spent + trial.seconds
        sizes[budget] = size_of(found)
        yield found

    for budget in budgets:
        if sizes and spent > _TRIALS_SHARE * training.seconds:
            break
        with suppress(UsageError):
            yield from attempt(budget)
        if not named and sizes and min(sizes.values()) > _MOST_TIMES * alone:
            return
    # The first size that a network has, however large, where one is asked for.
    for budget in _LARGER_BYTES if named else ():
        if sizes:
            break
        with suppress(UsageError) if budget < _LARGER_BYTES[-1] else nullcontext():
            yield from attempt(budget)
    if not sizes:
        return
    best = min(sizes, key=sizes.__getitem__)
    # To code what is left over takes time, too.
    left = training.seconds - spent - (max(overhead, 0.0) if training.clocked else 0.0)
    if left >= trial.seconds:
        yield make(best, replace(training, seconds=left))
