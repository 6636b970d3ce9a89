"""The search for the estimate with which a file just has a PSNR."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inrvis.encoder.aim import Aim

GOAL, NEAR, ROUNDS = 40.0, 0.05, 6


def rounds_to(goal: float, found: Callable[[float], float], most: int = 30) -> int:
    """Rounds until a file has the goal, and hardly more."""
    aim = Aim(goal)
    for number in range(1, most + 1):
        quality = found(aim.psnr_db)
        if 0 <= quality - goal < NEAR:
            return number
        aim.learn(quality)
    pytest.fail("the search does not end")


@given(offset=st.floats(-2, 2), slope=st.floats(0.7, 1.5))
def test_an_estimate_that_is_off_by_a_line(offset: float, slope: float) -> None:
    assert rounds_to(GOAL, lambda db: GOAL + offset + slope * (db - GOAL)) <= ROUNDS


@given(floor=st.floats(0, 9), offset=st.floats(-1, 1))
def test_what_a_network_has_by_itself_is_a_floor(floor: float, offset: float) -> None:
    """Far below the floor every estimate ends alike, short of the goal."""
    alone = GOAL - 0.3

    def found(db: float) -> float:
        errors = 10 ** (-alone / 10), 10 ** (-(db + offset) / 10)
        return -10 * math.log10(min(errors)) if db < GOAL - floor else db + offset

    assert rounds_to(GOAL, found) <= 2 * ROUNDS


@given(lack=st.floats(0.02, 1), far=st.floats(1, 9))
def test_what_lacks_little_and_needs_much(lack: float, far: float) -> None:
    """On top of a network that is nearly good enough, only fine estimates change anything."""

    def found(db: float) -> float:
        return max(GOAL - lack, db - far)

    assert rounds_to(GOAL, found) <= ROUNDS + 3


def test_noise_about_the_goal() -> None:
    def found(db: float) -> float:
        return db + 0.7 + 0.04 * math.sin(1000 * db)

    assert rounds_to(GOAL, found) <= ROUNDS


def test_exact_arrays_do_not_run_away() -> None:
    aim = Aim(GOAL)
    for _ in range(5):
        aim.learn(math.inf)
    assert aim.psnr_db == pytest.approx(GOAL - 5 * 19.98)
