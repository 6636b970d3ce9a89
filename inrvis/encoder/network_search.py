"""Looks for networks of a size or of a quality, in the time that there is."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from inrvis.encoder.assembly import Assembly, Encoded, NetworkParts, worst
from inrvis.encoder.settings import TrainingSettings
from inrvis.encoder.volume import Trained, Trial, VolumeEncoder
from inrvis.errors import UsageError

# Share of the time for a short training that tells what a long one will reach, where none of the
# trials of blocks has told already.
_TRIAL_SHARE = 0.12
# What a long training may reach more than a trial of so many steps, and the part of it that it
# mostly does: measured on five volumes.
_DEFICIT_DB, _DEFICIT_DB_STEPS, _MOST_DEFICIT_DB = 1.0, 1500.0, 9.0
_LIKELY = 0.7
# How many dB a doubling of the bytes is taken to bring before anything is measured.
_DB_PER_DOUBLING = 2.2
_MOST_ATTEMPTS = 4
# A network is tried where it may save this much of what layers take.
_CHALLENGE_SHARE = 0.9
_SMALLEST_BYTES = 2000
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
            if trial.psnr_db + _deficit_db(trial.steps) >= psnr_db:
                yield self._of_size(budget, training)
        except UsageError:
            # Too small for a network at all.
            return

    def _of_size(self, budget: int, training: TrainingSettings) -> Encoded:
        trained = self._encoder.train(budget, training)
        return self._assembly.finish(self._encoder.fit(trained, budget))

    def of_quality(self, psnr_db: float, original_bytes: int) -> Iterator[Encoded]:
        """Files with a network alone, larger and larger until one has ``psnr_db``.

        Without a start the first is as large as a short training tells. None is larger than
        ``original_bytes``.
        """
        for warm in self._warm(psnr_db):
            yield warm
            return
        size = max(_SMALLEST_BYTES, original_bytes / 100)
        trial, training = self._try(size, self._training)
        size *= self._factor(psnr_db, trial)
        for attempt in range(_MOST_ATTEMPTS):
            left = self._remaining(training, first=attempt == 0)
            if left is None:
                return
            # Where a quality is out of reach, sizes must not run away.
            size = min(max(size, _SMALLEST_BYTES), original_bytes)
            trained = self._encoder.train(size, left, psnr_db=psnr_db)
            encoded = self._coarsest(trained, psnr_db)
            if encoded is not None:
                yield encoded
                return
            best = self._assembly.finish(self._encoder.fit(trained, int(size)))
            yield best
            size *= max(1.3, 2 ** ((psnr_db - worst(best) + 0.3) / _DB_PER_DOUBLING))

    def challenge(
        self, psnr_db: float, size: int, complete: Callable[[NetworkParts], Encoded]
    ) -> Iterator[Encoded]:
        """Files with a network that may have ``psnr_db`` in less than ``size`` bytes.

        What ``complete`` makes of a network that has not enough is one, too.
        """
        budget = _CHALLENGE_SHARE * size
        for warm in self._warm(psnr_db, budget):
            if len(warm.data) < size:
                yield warm
                return
        if budget < _SMALLEST_BYTES:
            return
        try:
            trial, training = self._try(budget, self._training)
            if trial.psnr_db + _deficit_db(trial.steps) < psnr_db:
                return
            budget *= min(1.0, self._factor(psnr_db, trial))
            budget = max(budget, _SMALLEST_BYTES)
            left = self._remaining(training, first=True)
            if left is None:
                return
            trained = self._encoder.train(budget, left, psnr_db=psnr_db)
            encoded = self._coarsest(trained, psnr_db)
            if encoded is not None:
                yield encoded
                return
            fitted = self._encoder.fit(trained, int(budget))
        except UsageError:
            # Too small for a network at all.
            return
        yield complete(fitted)

    def _try(self, budget: float, training: TrainingSettings) -> tuple[Trial, TrainingSettings]:
        """What a short training at ``budget`` bytes reaches, and what is left of the time."""
        trial, left = self._encoder.prepare(budget, training)
        if trial is not None:
            return trial, left
        brief = replace(left, seconds=left.seconds * _TRIAL_SHARE)
        trial = self._encoder.trial(self._encoder.train(budget, brief))
        return trial, replace(left, seconds=left.seconds * (1 - _TRIAL_SHARE))

    def _factor(self, psnr_db: float, trial: Trial) -> float:
        """How many times as large as a trial's a file of ``psnr_db`` may be."""
        missing = psnr_db - trial.psnr_db - _LIKELY * _deficit_db(trial.steps)
        return float(2 ** (missing / _DB_PER_DOUBLING))

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


def _deficit_db(steps: int) -> float:
    return min(_DEFICIT_DB + _DEFICIT_DB_STEPS / max(steps, 1), _MOST_DEFICIT_DB)
