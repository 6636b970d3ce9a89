"""How large networks below a residual are made."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from inrvis.encoder.assembly import LayerParts, NetworkParts
from inrvis.encoder.bases import Based, bases
from inrvis.encoder.settings import TrainingSettings
from inrvis.encoder.sizes import SMALLEST_BYTES
from inrvis.errors import UsageError

TIME = TrainingSettings(seconds=100.0)
# Of it, in which is chosen how networks are made.
PREPARING = 8.0


def run(
    alone: int, total: Callable[[int, float], int], *, named: bool = False
) -> tuple[list[tuple[int, float]], list[Based]]:
    """Budgets and seconds of all trainings, and what came of them.

    ``total`` tells the bytes of the file with a network of some bytes after some seconds.
    """
    calls: list[tuple[int, float]] = []

    def make(budget: int, training: TrainingSettings) -> Based:
        size = total(budget, training.seconds)
        calls.append((budget, training.seconds))
        return NetworkParts(steps=size), LayerParts(())

    def size_of(based: Based) -> int:
        return based[0].steps

    def prepare(_: int, training: TrainingSettings) -> TrainingSettings:
        return replace(training, seconds=training.seconds - PREPARING)

    began = time.monotonic()
    found = list(bases(alone, TIME, prepare, make, size_of, began=began, named=named))
    return calls, found


def refuse(*_: Any) -> int:
    raise UsageError("too small")


def test_the_best_of_several_sizes_gets_the_rest_of_the_time() -> None:
    calls, found = run(100_000, lambda budget, _: budget + 2 * abs(budget - 12_000) + 20_000)
    assert [budget for budget, _ in calls] == [12_000, 36_000, 4_000, 12_000]
    assert sum(seconds for _, seconds in calls) == pytest.approx(TIME.seconds - PREPARING)
    assert calls[-1][1] > 50
    assert len(found) == 4


def test_a_network_that_leaves_little_is_made_smaller() -> None:
    calls, _ = run(100_000, lambda budget, _: budget + 500)
    assert [budget for budget, _ in calls] == [12_000, 4_000, 1_333, SMALLEST_BYTES, SMALLEST_BYTES]


def test_what_cannot_help_ends_early() -> None:
    calls, _ = run(100_000, lambda budget, _: 130_000 + budget)
    assert len(calls) == 1
    assert calls[0][1] < 0.2 * TIME.seconds


def test_networks_need_some_bytes() -> None:
    assert run(500, lambda budget, _: budget) == ([], [])
    calls, _ = run(2_000, lambda budget, _: budget)
    assert {budget for budget, _ in calls} == {SMALLEST_BYTES}


def test_a_named_network_is_made_whatever_it_takes() -> None:
    calls, found = run(500, lambda budget, _: 9_000 + budget, named=True)
    assert calls
    assert found
    # A kind of network that needs more bytes than layers take.
    calls, found = run(500, lambda b, s: 9_000 if b >= 6_000 else refuse(b, s), named=True)
    assert found
    assert {budget for budget, _ in calls} == {6_000}
    with pytest.raises(UsageError, match="too small"):
        run(500, refuse, named=True)
    assert run(50_000, refuse) == ([], [])
