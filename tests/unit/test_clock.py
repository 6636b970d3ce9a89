"""What the clock leaves for trainings, and that it is not asked where steps are counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from inrvis.encoder import clock
from inrvis.encoder.clock import Clock
from inrvis.encoder.settings import TrainingSettings

Made = Callable[..., Clock]
ALL = TrainingSettings(seconds=100.0, clocked=True)


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Made:
    """A clock after so many seconds."""

    def make(spent: float, training: TrainingSettings = ALL) -> Clock:
        monkeypatch.setattr(clock.time, "monotonic", lambda: 5000.0 + spent)
        return Clock(training, 5000.0)

    return make


@pytest.mark.parametrize(
    ("spent", "asked", "left", "needed"),
    [
        (0.0, 100.0, 100.0, 100.0),
        (30.0, 100.0, 70.0, 70.0),
        (30.0, 20.0, 20.0, 20.0),
        (85.0, 20.0, 15.0, 15.0),
        (90.0, 20.0, None, 12.0),
        (90.0, 5.0, 5.0, 5.0),
        (97.0, 5.0, None, 5.0),
        (300.0, 100.0, None, 12.0),
    ],
)
def test_trainings_are_cut_to_what_is_left(
    at: Made, spent: float, asked: float, left: float | None, needed: float
) -> None:
    own = at(spent)
    training = replace(ALL, seconds=asked)
    found = own.left(training)
    assert (found and found.seconds) == left
    assert own.needed(training).seconds == needed
    if asked == ALL.seconds:
        assert own.left() == found


def test_counted_steps_know_no_clock(at: Made) -> None:
    counted = replace(ALL, clocked=False)
    own = at(1e6, counted)
    assert own.left() == own.needed() == counted
