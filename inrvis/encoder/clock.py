"""What the clock leaves of the time for trainings."""

from __future__ import annotations

import time
from dataclasses import replace

from inrvis.encoder.settings import TrainingSettings

# No training is worth beginning in a smaller share of all the time.
_LEAST_SHARE = 0.12


class Clock:
    """Cuts trainings to the time that there is, where their time is measured.

    Parameters
    ----------
    training : TrainingSettings
        Time for all trainings together.
    began : float
        Monotonic time at which that time began to count.
    """

    def __init__(self, training: TrainingSettings, began: float) -> None:
        self._training, self._began = training, began

    def left(self, training: TrainingSettings | None = None) -> TrainingSettings | None:
        """As much of a ``training``, or of all, as there is time for; None if too little is."""
        training = training or self._training
        if self._training.clocked and self._seconds < self._least(training):
            return None
        return self.needed(training)

    def needed(self, training: TrainingSettings | None = None) -> TrainingSettings:
        """As `left`, for a training that there must be: a little even if all else took the time."""
        training = training or self._training
        if not self._training.clocked:
            return training
        seconds = max(self._seconds, self._least(training))
        return replace(training, seconds=min(training.seconds, seconds))

    def _least(self, training: TrainingSettings) -> float:
        return min(_LEAST_SHARE * self._training.seconds, training.seconds)

    @property
    def _seconds(self) -> float:
        return self._training.seconds - (time.monotonic() - self._began)
