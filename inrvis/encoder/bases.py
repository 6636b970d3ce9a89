"""Networks below a residual that keeps a bound on every error: how large they are to be."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext, suppress
from dataclasses import replace

from inrvis.encoder.assembly import LayerParts, NetworkParts
from inrvis.encoder.settings import TrainingSettings
from inrvis.encoder.sizes import SMALLEST_BYTES
from inrvis.errors import UsageError

Based = tuple[NetworkParts, LayerParts]

# The first network takes so much of what layers alone do, the next ones so many times less or more,
# up to that share. On smooth fields few bytes of a network save most of the residual, down to all
# of it; on others none is worth its bytes.
_FIRST_SHARE, _TIMES, _MOST_SHARE = 0.12, 3, 0.6
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
    if not named and alone <= SMALLEST_BYTES:
        return
    first = max(int(_FIRST_SHARE * alone), SMALLEST_BYTES)
    try:
        spent = training.seconds - prepare(first, training).seconds
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

    budget: int | None = first
    with suppress(UsageError):
        while budget is not None and (not sizes or spent <= _TRIALS_SHARE * training.seconds):
            yield from attempt(budget)
            if not named and min(sizes.values()) > _MOST_TIMES * alone:
                return
            budget = _next(sizes, alone)
    # The first size that a network has, however large, where one is asked for.
    for larger in _LARGER_BYTES if named else ():
        if sizes:
            break
        with suppress(UsageError) if larger < _LARGER_BYTES[-1] else nullcontext():
            yield from attempt(larger)
    if not sizes:
        return
    best = min(sizes, key=sizes.__getitem__)
    # To code what is left over takes time, too.
    left = training.seconds - spent - (max(overhead, 0.0) if training.clocked else 0.0)
    if left >= trial.seconds:
        yield make(best, replace(training, seconds=left))


def _next(sizes: Mapping[int, int], alone: int) -> int | None:
    """Bytes of the next network to try, by the files that those so far, in order, make."""
    tried = list(sizes)
    first, last = tried[0], tried[-1]
    if len(sizes) == 1:
        # What takes most of the file is to become smaller.
        more = sizes[first] > 2 * first
    elif sizes[last] == min(sizes.values()):
        more = last > first
    elif len(sizes) == 2:
        more, last = last < first, first
    else:
        return None
    budget = max(int(last * _TIMES if more else last / _TIMES), SMALLEST_BYTES)
    return None if budget in sizes or budget > _MOST_SHARE * alone else budget
