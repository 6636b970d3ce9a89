"""Looks for networks of a size or of a quality, in the time that there is."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from inrvis.encoder.assembly import Assembly, Encoded, NetworkParts, worst
from inrvis.encoder.clock import Clock
from inrvis.encoder.coarsest import coarsest
from inrvis.encoder.rounding import Trained
from inrvis.encoder.settings import TrainingSettings
from inrvis.encoder.sizes import (
    LONG_STEPS,
    SMALLEST_WEIGHTS_BYTES,
    Sizes,
    gain_db,
    is_hopeful,
)
from inrvis.encoder.training import Trial
from inrvis.encoder.volume import VolumeEncoder, trial_of
from inrvis.errors import UsageError

T = TypeVar("T")

# Share of the time for a short training where none of the trials of variants has told anything.
_TRIAL_SHARE = 0.12
# Share of the time for a training that tells at what size a network will have a quality, which a
# minute does; of long trainings a smaller share is enough. Where one tells a size far from its own,
# that is tried, too.
_SIZING_SHARE, _SIZING_SECONDS, _LATER_SIZING_SHARE = 0.2, 60.0, 0.08
_MOST_SIZINGS, _NEAR_SIZES = 3, 1.5
# So many times larger is the next size where there is no network for one.
_LARGER = 1.15
# More steps bring small networks little: the time is then better spent on several, each of a size
# that the last ones told.
_MOST_PARTS = 4
_MOST_ATTEMPTS = 4
# Share of a training for weights that settle on coarser grids, and the quality to train for then.
# So many rounds settle weights as well as more do.
_AGAIN_SHARE, _AGAIN_DB, _ENOUGH_ROUNDS, _MOST_GROWTH = 0.2, 0.5, 40, 1.25
# What misses by so much may grow by more.
_FAR_DB, _MOST_GROWTH_OF_FAR = 1.5, 2.0
# A network is tried where it may save this much of what layers take.
_CHALLENGE_SHARE = 0.9
# So far above the quality, another training of a smaller network is worth its time; a short one
# is sooner.
_MUCH_DB, _MUCH_OF_SHORT_DB = 0.5, 0.15
# Coded layers on top of a network may bring so much quality, and on larger networks about so much
# of it for the fewest bytes: headsq at 35 dB takes 4,794 with a network of 33.6 dB, 5,269 with one
# of 34.6.
_NEARLY_DB, _UNDER_DB = 3.0, 1.2
# A network that would have to be so much larger than it may be is given up.
_MOST_HOPE = 1.3
# Of the most bytes that a named network may have: where the search begins.
_FIRST_SHARE = 0.25
# Trainings that go on from a start, each from where the last one ended: shares of a whole one.
_WARM_SHARES = (0.05, 0.1, 0.2, 0.4)
# A start's volume took about what the next one will; a little more room may be rounded away.
_WARM_ROOM = 1.1


@dataclass(frozen=True)
class _Goal:
    """A quality, the most bytes it may take, and what completes networks that have not enough."""

    psnr_db: float
    most: float
    complete: Callable[[NetworkParts], Encoded]


@dataclass
class _Smallest:
    """Bytes of the smallest file of a network alone, and of one that layers complete."""

    alone: float = math.inf
    mixed: float = math.inf

    @property
    def mixing(self) -> bool:
        """Whether layers are to make up for less of a network: that was better, or not tried."""
        return min(self.alone, self.mixed) < math.inf and not self.alone <= self.mixed < math.inf


class NetworkSearch:
    """Trains networks for one image until a file has what is asked for.

    Parameters
    ----------
    assembly : Assembly
        The image, and what makes files of it.
    encoder : VolumeEncoder
        What trains networks.
    training : TrainingSettings
        Time for all trainings together.
    began : float
        Monotonic time at which that time began to count.
    """

    def __init__(
        self,
        assembly: Assembly,
        encoder: VolumeEncoder,
        training: TrainingSettings,
        began: float,
    ) -> None:
        self._assembly, self._encoder = assembly, encoder
        self._training, self._clock = training, Clock(training, began)

    @property
    def _overhead(self) -> int:
        return self._encoder.overhead_bytes

    @property
    def _smallest(self) -> int:
        return SMALLEST_WEIGHTS_BYTES + self._overhead

    def of_size(self, budget: int) -> Encoded:
        """Best file of at most ``budget`` bytes.

        Raises
        ------
        UsageError
            If no network is as small as that.
        """
        return self._of_size(budget, self._clock.needed())

    def better(self, budget: int, psnr_db: float) -> Iterator[Encoded]:
        """File of at most ``budget`` bytes, unless it will hardly have ``psnr_db``."""
        left = self._clock.left()
        if left is None:
            return
        try:
            trial, training = self._try(budget, left)
            if is_hopeful(psnr_db, trial, training):
                yield self._of_size(budget, training)
        except UsageError:
            # Too small for a network at all.
            return

    def _of_size(self, budget: int, training: TrainingSettings) -> Encoded:
        trained = self._encoder.train(budget, training)
        return self._assembly.attempt(self._encoder.fit(trained, budget))

    def of_quality(
        self, psnr_db: float, most: int, complete: Callable[[NetworkParts], Encoded]
    ) -> Iterator[Encoded]:
        """Files with a network of at most ``most`` bytes, larger and larger up to ``psnr_db``.

        Without a start the first is as large as a short training tells. Where none has enough,
        what ``complete`` makes of the last one comes, too.

        Raises
        ------
        UsageError
            If no network is as small as that.
        """
        for warm in self._warm(psnr_db):
            yield warm
            return
        tried, trial, training = self._try_from(self._part(_FIRST_SHARE, most), most)
        size = self._told_by(trial, training, tried).size_for(psnr_db)
        sizes, found, fitted = Sizes(self._overhead), False, None
        for _ in range(_MOST_ATTEMPTS):
            one_there_is = found or fitted is not None
            left = self._clock.left(training) if one_there_is else self._clock.needed(training)
            if left is None:
                break
            # Where a quality is out of reach, sizes must not run away.
            size = min(size, most)
            try:
                trained = self._trained(size, left, psnr_db)
            except UsageError:
                # What is smaller than the trial may be too small for a network of its kind.
                if found:
                    return
                if size >= tried:
                    raise
                size = tried
                continue
            encoded = self._coarsest(trained, psnr_db, left)
            if encoded is not None:
                yield encoded
                sizes.learn(len(encoded.data), worst(encoded))
                if found or not self._is_much(encoded, psnr_db):
                    return
                found, size = True, sizes.size_for(psnr_db)
                continue
            if found:
                return
            fitted = self._encoder.fit(trained, int(size))
            best = self._assembly.attempt(fitted)
            yield best
            if size >= most:
                break
            sizes.learn(size, worst(best))
            size = max(1.3 * size, sizes.size_for(psnr_db + 0.3))
        if fitted is not None:
            yield complete(fitted)

    def challenge(
        self, psnr_db: float, size: int, complete: Callable[[NetworkParts], Encoded]
    ) -> Iterator[Encoded]:
        """Files with a network that may have ``psnr_db`` in less than ``size`` bytes.

        What ``complete`` makes of a network that has not enough is one, too.
        """
        most = self._part(_CHALLENGE_SHARE, size)
        for warm in self._warm(psnr_db, most):
            if len(warm.data) < size:
                yield warm
                return
        left = self._clock.left()
        if most >= size or left is None:
            return
        try:
            trial, training = self._try(most, left)
            if is_hopeful(psnr_db, trial, training):
                goal = _Goal(psnr_db, most, complete)
                sizes = self._told_by(trial, training, most)
                first = min(sizes.size_for(psnr_db), most)
                found = yield from self._sized(goal, sizes, first, training)
                if found is not None:
                    yield from self._aimed(goal, sizes, *found)
        except UsageError:
            # Too small for a network at all.
            return

    def _sized(
        self, goal: _Goal, sizes: Sizes, budget: float, training: TrainingSettings
    ) -> Generator[Encoded, None, tuple[float, TrainingSettings, int] | None]:
        """Files of short trainings, that at ``budget`` bytes the first.

        Returns the size that they tell, what is left of the training, and in how many parts it is
        best spent; None if there is no hope.
        """
        psnr_db, most = goal.psnr_db, goal.most
        seconds = _sizing_seconds(training)
        for _ in range(_MOST_SIZINGS):
            left = self._clock.left(training)
            if left is None:
                return None
            seconds = min(seconds, left.seconds)
            brief = replace(left, seconds=seconds)
            training = replace(left, seconds=left.seconds - seconds)
            budget, trained = self._first(
                budget, most, partial(self._encoder.train, training=brief)
            )
            fitted = self._encoder.parts(trained, trained.quantiser)
            alone = self._assembly.attempt(fitted)
            yield alone
            # What misses little is a candidate, too: a longer training of a smaller one may fail.
            if psnr_db - _NEARLY_DB <= worst(alone) < psnr_db:
                yield goal.complete(fitted)
            enough = seconds * LONG_STEPS / trained.steps
            parts = self._parts(budget, training.seconds, enough)
            times = training.seconds / seconds * (1 - _AGAIN_SHARE if trained.rounds else 1)
            whole, gain = gain_db(times, trained.steps), gain_db(times / parts, trained.steps)
            sizes.learn(budget, trial_of(trained, brief).psnr_db + gain, foretold=True)
            if sizes.size_for(psnr_db - (whole - gain)) > most * _MOST_HOPE:
                return None
            before, budget = budget, min(sizes.size_for(_goal_of(trained, psnr_db)), most)
            seconds = min(seconds, enough)
            if before / _NEAR_SIZES <= budget <= before * _NEAR_SIZES:
                break
        # At the largest size, only more steps can bring more.
        several = budget < most
        return budget, training, self._parts(budget, training.seconds, enough) if several else 1

    def _parts(self, budget: float, seconds: float, enough: float) -> int:
        """Trainings at ``budget`` bytes, of ``enough`` seconds or more, to spend ``seconds`` on."""

        def rounds(parts: int) -> int:
            return self._encoder.rounds(budget, (1 - _AGAIN_SHARE) * seconds / parts)

        parts = min(_MOST_PARTS, max(1, int(seconds / enough)))
        # Several trainings are of no use where each has too little time to round its weights well.
        while parts > 1 and rounds(1) and rounds(parts) < _ENOUGH_ROUNDS:
            parts -= 1
        return parts

    def _aimed(
        self, goal: _Goal, sizes: Sizes, budget: float, training: TrainingSettings, parts: int
    ) -> Iterator[Encoded]:
        """Files of trainings of sizes ever nearer to that of the quality, ``budget`` the first."""
        psnr_db, most = goal.psnr_db, goal.most
        part = replace(training, seconds=training.seconds / parts)
        much_db = _MUCH_DB if parts == 1 else _MUCH_OF_SHORT_DB
        found = _Smallest()
        for number in range(max(2, parts)):
            left = self._clock.left(part)
            if left is None:
                return
            # Coarser weights for what is above the aim are no good where rounding is the error; the
            # next size makes up for it.
            aim = psnr_db if parts == 1 else None
            train = partial(self._trained, training=left, psnr_db=aim, number=number)
            budget, trained = self._first(budget, most, train)
            reached = trial_of(trained, left).psnr_db
            encoded = self._coarsest(trained, psnr_db, left)
            least = 0.0
            if encoded is None:
                if parts == 1 or reached > psnr_db - _NEARLY_DB:
                    completed = goal.complete(self._encoder.parts(trained, trained.quantiser))
                    yield completed
                    found.mixed = min(found.mixed, len(completed.data))
                if parts == 1:
                    return
                sizes.learn(budget, reached)
            else:
                yield encoded
                found.alone = min(found.alone, len(encoded.data))
                if trained.rounds:
                    # Small networks end differently with every training: another one is worth it.
                    least, most = len(encoded.data), min(most, budget)
                    sizes.learn(budget, reached)
                elif (parts > 1 and found.mixing) or self._is_much(encoded, psnr_db, much_db):
                    sizes.learn(len(encoded.data), worst(encoded))
                else:
                    return
            under_db = _UNDER_DB if found.mixing and not trained.rounds else 0.0
            further = max(sizes.size_for(_goal_of(trained, psnr_db) - under_db), least)
            if trained.rounds:
                # Trainings differ by as much as sizes do, which must not run away.
                growth = _MOST_GROWTH_OF_FAR if reached < psnr_db - _FAR_DB else _MOST_GROWTH
                further = min(further, self._part(growth, budget))
            budget = min(further, most)

    def _is_much(self, encoded: Encoded, psnr_db: float, much_db: float = _MUCH_DB) -> bool:
        """Whether a smaller network may do."""
        return worst(encoded) - psnr_db >= much_db and len(encoded.data) > self._smallest

    def _first(self, size: float, most: float, work: Callable[[float], T]) -> tuple[float, T]:
        """First size from ``size`` to ``most`` that there is a network for, and the work on it.

        Raises
        ------
        UsageError
            If there is none.
        """
        while True:
            try:
                return size, work(size)
            except UsageError:
                if size >= most:
                    raise
                size = min(self._overhead + _LARGER * (size - self._overhead), most)

    def _try_from(self, size: float, most: float) -> tuple[float, Trial, TrainingSettings]:
        """As `_try`, at the first size from ``size`` to ``most`` that there is a network for."""
        needed = self._clock.needed()
        size, (trial, left) = self._first(size, most, lambda own: self._try(own, needed))
        return size, trial, left

    def _try(self, budget: float, training: TrainingSettings) -> tuple[Trial, TrainingSettings]:
        """What a short training at ``budget`` bytes reaches, and what is left of the time."""
        trial, left = self._encoder.prepare(budget, training)
        if trial is not None:
            return trial, left
        brief = replace(left, seconds=left.seconds * _TRIAL_SHARE)
        trained = self._encoder.train(budget, brief)
        left = replace(left, seconds=left.seconds * (1 - _TRIAL_SHARE))
        return trial_of(trained, brief), left

    def _part(self, share: float, size: float) -> float:
        """So much of ``size`` bytes, of what they leave for weights; enough for the smallest."""
        return max(self._smallest, self._overhead + share * (size - self._overhead))

    def _told_by(self, trial: Trial, training: TrainingSettings, size: float) -> Sizes:
        """What a short training at ``size`` bytes tells of those of ``training``."""
        sizes = Sizes(self._overhead)
        gain = gain_db(training.seconds / trial.seconds, trial.steps)
        sizes.learn(size, trial.psnr_db + gain, foretold=True)
        return sizes

    def _warm(self, psnr_db: float, most: float = math.inf) -> Iterator[Encoded]:
        """Files of at most ``most`` bytes that go on from a start, until one has ``psnr_db``."""
        weights = self._encoder.start
        if weights is None:
            return
        budget = min(_WARM_ROOM * weights.encoded_bytes, most)
        for share in _WARM_SHARES:
            training = replace(self._training, seconds=share * self._training.seconds)
            left = self._clock.left(training)
            if left is None:
                return
            trained = self._encoder.train(budget, left, weights)
            encoded = self._coarsest(trained, psnr_db, left)
            if encoded is not None:
                yield encoded
                return
            weights = self._encoder.after(trained)

    def _trained(
        self, size: float, training: TrainingSettings, psnr_db: float | None, number: int = 0
    ) -> Trained:
        """Train at ``size`` bytes, or for less if that has ``psnr_db``.

        Where weights settle together, they do so on coarser grids afterwards instead.
        """
        if self._encoder.rounds(size, training.seconds):
            training = replace(training, seconds=(1 - _AGAIN_SHARE) * training.seconds)
            psnr_db = None
        return self._encoder.train(size, training, psnr_db=psnr_db, number=number)

    def _coarsest(
        self, trained: Trained, psnr_db: float, training: TrainingSettings
    ) -> Encoded | None:
        """Smallest file of ``trained`` that reaches ``psnr_db``, or None if it cannot."""

        def finish(own: Trained) -> Encoded:
            return self._assembly.attempt(self._encoder.parts(own, own.quantiser))

        return coarsest(trained, psnr_db, _AGAIN_SHARE * training.seconds, finish)


def _goal_of(trained: Trained, psnr_db: float) -> float:
    """PSNR to train the next network for, which has ``psnr_db`` in the end."""
    return psnr_db + _AGAIN_DB if trained.rounds else psnr_db


def _sizing_seconds(training: TrainingSettings) -> float:
    """Seconds of ``training`` that tell at what size a network will have a quality."""
    most = max(_SIZING_SECONDS, _LATER_SIZING_SHARE * training.seconds)
    return min(_SIZING_SHARE * training.seconds, most)
