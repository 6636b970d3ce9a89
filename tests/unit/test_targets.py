"""Targets: what is accepted, and the budget of bytes that a rate sets."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from inrvis.errors import UsageError
from inrvis.targets import BitRate, MaxError, Psnr, Ratio, byte_budget

pytestmark = pytest.mark.decode_only


@pytest.mark.parametrize("kind", [Ratio, Psnr, BitRate, MaxError])
@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan, None, "200", True, 10**400])
def test_only_positive_finite_numbers(kind: Any, value: Any) -> None:
    with pytest.raises(UsageError, match="not a positive finite number"):
        kind(value)


def test_numbers_of_any_kind_become_floats() -> None:
    assert Ratio(np.int64(200)) == Ratio(200.0)
    assert type(Ratio(200).value) is float


@pytest.mark.parametrize(
    ("target", "budget"),
    [
        (Ratio(200), 500),
        (Ratio(300), 333),
        (BitRate(0.5), 6250),
        (BitRate(0.00001), 0),
        (Psnr(40), None),
        (MaxError(0.1), None),
    ],
)
def test_byte_budget(target: Any, budget: int | None) -> None:
    assert byte_budget(target, original_bytes=100_000, n_values=100_000) == budget


def test_the_ratio_counts_bytes_and_the_bit_rate_values() -> None:
    assert byte_budget(Ratio(100), original_bytes=800, n_values=100) == 8
    assert byte_budget(BitRate(8), original_bytes=800, n_values=100) == 100


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (Ratio(200), "compression ratio 200"),
        (Psnr(40.5), "PSNR 40.5 dB"),
        (BitRate(0.5), "0.5 bits per value"),
        (MaxError(0.01), "maximum error 0.01"),
        (MaxError(0.01, relative=True), "maximum error 0.01 of the range"),
    ],
)
def test_describe(target: Any, text: str) -> None:
    assert target.describe() == text
