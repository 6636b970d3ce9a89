"""Looks for networks of a size or of a quality, in the time that there is."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace

from inrvis.encoder.assembly import Assembly, Encoded, NetworkParts, worst
from inrvis.encoder.rounding import OVERHEAD_BYTES, Trained
from inrvis.encoder.settings import TrainingSettings
from inrvis.encoder.training import Trial
from inrvis.encoder.volume import VolumeEncoder, trial_of
from inrvis.errors import UsageError

# Share of the time for a short training where none of the trials of layouts has told anything, and
# for one that tells at what size a network will have a quality, which a minute does.
_TRIAL_SHARE, _SIZING_SHARE, _SIZING_SECONDS = 0.12, 0.2, 60.0
# Of long trainings such a share is enough. Where one tells a size far from its own, what twice the
# bytes bring, which lies between these on fields from noisy to smooth, is best measured there.
_LATER_SIZING_SHARE, _MOST_SIZINGS, _NEAR_SIZES = 0.08, 3, 1.5
_LEAST_SLOPE_DB, _MOST_SLOPE_DB = 1.5, 10.0
# What twice the seconds may bring, up to so many and beyond, in dB; and what is added for doubt.
# From 3 to 90 seconds, networks of three volumes gained 6 to 12 dB.
_DB_PER_TIME, _DB_PER_LATE_TIME, _LATE_SECONDS, _DOUBT_DB = 2.5, 1.0, 90.0, 1.0
# What twice the seconds bring at least, and twice the bytes of the weights about. Trainings of few
# steps gain more: engine_ct had 3.4 dB for each doubling from 275 to 824 steps, 2.5 from 350 to
# 1,000; from 1,000 to 3,000, and on headsq, mni152_t1 and tooth_ct_u16, it was 1.0 to 1.2.
_SURE_DB_PER_TIME, _DB_PER_DOUBLING = 1.0, 3.2
_ENOUGH_STEPS, _MOST_DB_PER_TIME = 900, 2.7
_MOST_ATTEMPTS = 4
# A network is tried where it may save this much of what layers take.
_CHALLENGE_SHARE = 0.9
# So far above the quality, another training of a smaller network is worth its time.
_MUCH_DB = 0.5
# Coded layers on top of a network bring so much quality for few bytes.
_NEARLY_DB = 1.5
# A network that would have to be so much larger than it may be is given up.
_MOST_HOPE = 1.3
_SMALLEST_BYTES = 720
# Of the most bytes that a named network may have: where the search begins.
_FIRST_SHARE = 0.25
# Trainings that go on from a start, each from where the last one ended: shares of a whole one.
_WARM_SHARES = (0.05, 0.1, 0.2, 0.4)
# A start's volume took about what the next one will; a little more room may be rounded away.
_WARM_ROOM = 1.1


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
        self._training, self._began = training, began

    def of_size(self, budget: int) -> Encoded:
        """Best file of at most ``budget`` bytes.

        Raises
        ------
        UsageError
            If no network is as small as that.
        """
        return self._of_size(budget, self._training)

    def better(self, budget: int, psnr_db: float) -> Iterator[Encoded]:
        """File of at most ``budget`` bytes, unless it will hardly have ``psnr_db``."""
        try:
            trial, training = self._try(budget, self._training)
            if _is_hopeful(psnr_db, trial, training):
                yield self._of_size(budget, training)
        except UsageError:
            # Too small for a network at all.
            return

    def _of_size(self, budget: int, training: TrainingSettings) -> Encoded:
        trained = self._encoder.train(budget, training)
        return self._assembly.finish(self._encoder.fit(trained, budget))

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
        tried, trial, training = self._try_from(max(_SMALLEST_BYTES, _FIRST_SHARE * most), most)
        size = _size_for(psnr_db, trial, training, tried)
        found, fitted = False, None
        for _ in range(_MOST_ATTEMPTS):
            left = self._remaining(training, first=fitted is None and not found)
            if left is None:
                break
            # Where a quality is out of reach, sizes must not run away.
            size = min(max(size, _SMALLEST_BYTES), most)
            try:
                trained = self._encoder.train(size, left, psnr_db=psnr_db)
            except UsageError:
                # What is smaller than the trial may be too small for a network of its kind.
                if found:
                    return
                if size >= tried:
                    raise
                size = tried
                continue
            encoded = self._coarsest(trained, psnr_db)
            if encoded is not None:
                yield encoded
                smaller = _size_with_less(encoded, psnr_db)
                if found or smaller is None:
                    return
                found, size = True, smaller
                continue
            if found:
                return
            fitted = self._encoder.fit(trained, int(size))
            best = self._assembly.finish(fitted)
            yield best
            if size >= most:
                break
            size *= max(1.3, 2 ** ((psnr_db - worst(best) + 0.3) / _DB_PER_DOUBLING))
        if fitted is not None:
            yield complete(fitted)

    def challenge(
        self, psnr_db: float, size: int, complete: Callable[[NetworkParts], Encoded]
    ) -> Iterator[Encoded]:
        """Files with a network that may have ``psnr_db`` in less than ``size`` bytes.

        What ``complete`` makes of a network that has not enough is one, too.
        """
        most = _CHALLENGE_SHARE * size
        for warm in self._warm(psnr_db, most):
            if len(warm.data) < size:
                yield warm
                return
        if most < _SMALLEST_BYTES:
            return
        try:
            trial, training = self._try(most, self._training)
            if not _is_hopeful(psnr_db, trial, training):
                return
            budget = min(most, _size_for(psnr_db, trial, training, most))
            budget, training = yield from self._sized(psnr_db, budget, most, training, complete)
            if budget > most * _MOST_HOPE:
                return
            for first in (True, False):
                left = self._remaining(training, first=first)
                if left is None:
                    return
                trained = self._encoder.train(min(budget, most), left, psnr_db=psnr_db)
                encoded = self._coarsest(trained, psnr_db)
                if encoded is None:
                    yield complete(self._encoder.parts(trained, trained.quantiser))
                    return
                yield encoded
                smaller = _size_with_less(encoded, psnr_db)
                if smaller is None:
                    return
                budget = smaller
        except UsageError:
            # Too small for a network at all.
            return

    def _sized(
        self,
        psnr_db: float,
        budget: float,
        most: float,
        training: TrainingSettings,
        complete: Callable[[NetworkParts], Encoded],
    ) -> Generator[Encoded, None, tuple[float, TrainingSettings]]:
        """Files of short trainings; the size that they tell for the rest, and that rest."""
        sizing = replace(training, seconds=_sizing_seconds(training))
        db_per_doubling, earlier = _DB_PER_DOUBLING, None
        for _ in range(_MOST_SIZINGS):
            training = replace(training, seconds=training.seconds - sizing.seconds)
            trained = self._encoder.train(budget, sizing)
            fitted = self._encoder.parts(trained, trained.quantiser)
            alone = self._assembly.finish(fitted)
            yield alone
            # What misses little is a candidate, too: a longer training of a smaller one may fail.
            if psnr_db - _NEARLY_DB <= worst(alone) < psnr_db:
                yield complete(fitted)
            trial = trial_of(trained, sizing)
            point = math.log2(budget - OVERHEAD_BYTES), trial.psnr_db
            if earlier is not None and point[0] != earlier[0]:
                slope = (point[1] - earlier[1]) / (point[0] - earlier[0])
                db_per_doubling = min(max(slope, _LEAST_SLOPE_DB), _MOST_SLOPE_DB)
            told = _size_for(
                psnr_db,
                trial,
                training,
                budget,
                db_per_time=_gain_after(trained.steps),
                db_per_doubling=db_per_doubling,
            )
            if told > most * _MOST_HOPE:
                return told, training
            earlier, before, budget = point, budget, min(told, most)
            if before / _NEAR_SIZES <= budget <= before * _NEAR_SIZES:
                break
        return budget, training

    def _try_from(self, size: float, most: float) -> tuple[float, Trial, TrainingSettings]:
        """As `_try`, at the first size from ``size`` to ``most`` that there is a network for."""
        while True:
            try:
                return size, *self._try(size, self._training)
            except UsageError:
                if size >= most:
                    raise
                size = min(1.5 * size, most)

    def _try(self, budget: float, training: TrainingSettings) -> tuple[Trial, TrainingSettings]:
        """What a short training at ``budget`` bytes reaches, and what is left of the time."""
        trial, left = self._encoder.prepare(budget, training)
        if trial is not None:
            return trial, left
        brief = replace(left, seconds=left.seconds * _TRIAL_SHARE)
        trained = self._encoder.train(budget, brief)
        left = replace(left, seconds=left.seconds * (1 - _TRIAL_SHARE))
        return trial_of(trained, brief), left

    def _warm(self, psnr_db: float, most: float = math.inf) -> Iterator[Encoded]:
        """Files of at most ``most`` bytes that go on from a start, until one has ``psnr_db``."""
        weights = self._encoder.start
        if weights is None:
            return
        budget = min(_WARM_ROOM * weights.encoded_bytes, most)
        for share in _WARM_SHARES:
            training = replace(self._training, seconds=share * self._training.seconds)
            left = self._remaining(training, first=share == _WARM_SHARES[0])
            if left is None:
                return
            trained = self._encoder.train(budget, left, weights)
            encoded = self._coarsest(trained, psnr_db)
            if encoded is not None:
                yield encoded
                return
            weights = self._encoder.after(trained)

    def _remaining(self, training: TrainingSettings, *, first: bool) -> TrainingSettings | None:
        """As much of ``training`` as the clock has left; None if that is too little."""
        if not self._training.clocked:
            return training
        left = self._training.seconds - (time.monotonic() - self._began)
        least = _TRIAL_SHARE * self._training.seconds
        # A first attempt there must be, even where all else took the time.
        if left < least and not first:
            return None
        return replace(training, seconds=min(training.seconds, max(left, least)))

    def _coarsest(self, trained: Trained, psnr_db: float) -> Encoded | None:
        """Smallest file of ``trained`` that reaches ``psnr_db``, or None if it cannot."""
        quantiser = trained.quantiser
        if quantiser is None:
            encoded = self._assembly.finish(self._encoder.parts(trained, None))
            return encoded if worst(encoded) >= psnr_db else None

        def at(scale: float) -> Encoded:
            return self._assembly.finish(self._encoder.parts(trained, quantiser.at(scale)))

        # Weights have settled on their own grid: a little off it they are worse than far finer.
        best = at(quantiser.scale)
        low, high = (1.0, 4.0) if worst(best) >= psnr_db else (0.25, 1.0)
        if low < 1:
            best = at(quantiser.scale / 4)
            if worst(best) < psnr_db:
                return None
        for _ in range(5):
            middle = math.sqrt(low * high)
            encoded = at(quantiser.scale * middle)
            if worst(encoded) >= psnr_db:
                low, best = middle, encoded
            else:
                high = middle
        return best


def _is_hopeful(psnr_db: float, trial: Trial, training: TrainingSettings) -> bool:
    """Whether ``training`` may have ``psnr_db`` at the size of a trial."""
    before, after = trial.seconds, max(training.seconds, trial.seconds)
    early = min(after, _LATE_SECONDS) / min(before, _LATE_SECONDS)
    late = max(after, _LATE_SECONDS) / max(before, _LATE_SECONDS)
    gain = _DB_PER_TIME * math.log2(early) + _DB_PER_LATE_TIME * math.log2(late)
    return trial.psnr_db + gain + _DOUBT_DB >= psnr_db


def _sizing_seconds(training: TrainingSettings) -> float:
    """Seconds of ``training`` that tell at what size a network will have a quality."""
    most = max(_SIZING_SECONDS, _LATER_SIZING_SHARE * training.seconds)
    return min(_SIZING_SHARE * training.seconds, most)


def _gain_after(steps: int) -> float:
    """What twice the time brings, in dB, after a training of so many steps."""
    early = max(0.0, math.log2(_ENOUGH_STEPS / steps))
    return min(_SURE_DB_PER_TIME + early, _MOST_DB_PER_TIME)


def _size_with_less(encoded: Encoded, psnr_db: float) -> float | None:
    """Bytes for another training, where a file is much better than asked; None where it is not."""
    surplus = worst(encoded) - psnr_db
    if surplus < _MUCH_DB or len(encoded.data) <= _SMALLEST_BYTES:
        return None
    return _size_with(-surplus, len(encoded.data))


def _size_for(
    psnr_db: float,
    trial: Trial,
    training: TrainingSettings,
    trial_bytes: float,
    *,
    db_per_time: float = _SURE_DB_PER_TIME,
    db_per_doubling: float = _DB_PER_DOUBLING,
) -> float:
    """Bytes at which ``training`` should have ``psnr_db``, by a trial at ``trial_bytes``."""
    gain = db_per_time * max(0.0, math.log2(training.seconds / trial.seconds))
    return _size_with(psnr_db - trial.psnr_db - gain, trial_bytes, db_per_doubling)


def _size_with(more_db: float, size: float, db_per_doubling: float = _DB_PER_DOUBLING) -> float:
    """Bytes of a file with so much more quality than one of ``size`` bytes."""
    factor = 2 ** (more_db / db_per_doubling)
    return float(max(_SMALLEST_BYTES, OVERHEAD_BYTES + factor * (size - OVERHEAD_BYTES)))
