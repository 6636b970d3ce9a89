"""The wavelet transform of coded layers: its inverse, and the choice of axes to halve."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inrvis.residual import wavelet
from inrvis.residual.transform import forward, inverse, plan_splits, splits

SHAPES = st.tuples(*[st.integers(1, 20)] * 3)


def noise(shape: tuple[int, ...], dtype: Any = np.float64) -> Any:
    return np.random.default_rng(0).normal(size=shape).astype(dtype)


@given(shape=SHAPES, rougher=st.sampled_from([1.0, 1.4, 2.0, np.inf]))
@settings(max_examples=40)
def test_the_inverse_gives_the_values_back(shape: tuple[int, int, int], rougher: float) -> None:
    values = noise(shape)
    plan = plan_splits(values, rougher)
    np.testing.assert_allclose(inverse(forward(values, plan), plan), values, atol=1e-10)


@pytest.mark.parametrize("rougher", [1.4, 2.0, np.inf])
@pytest.mark.parametrize("value", [0.0, 7.0, 1e-40, 4e37])
def test_values_that_do_not_vary_have_a_plan(value: float, rougher: float) -> None:
    plan = plan_splits(np.full((12, 15, 17), value, np.float32), rougher)
    assert plan
    assert all(plan)


@pytest.mark.parametrize("factor", [1e-40, 1e-30, 1e30])
def test_values_whose_squares_are_no_numbers_have_a_plan(factor: float) -> None:
    with np.errstate(over="ignore"):
        plan_splits((noise((12, 15, 17)) * factor).astype(np.float32), np.inf)


def test_an_axis_of_thick_slices_is_halved_later() -> None:
    z, y, x = np.meshgrid(np.arange(8) * 8.0, np.arange(64), np.arange(64), indexing="ij")
    plan = plan_splits(np.sin(x / 20) + np.cos(y / 20) + np.sin(z / 20))
    assert plan[0] == 3  # y and x
    assert 7 in plan


def test_energy_is_nearly_kept() -> None:
    values = noise((16, 16, 16))
    coefficients = forward(values, plan_splits(values))
    assert np.square(coefficients).sum() == pytest.approx(np.square(values).sum(), rel=0.2)


def test_every_step_halves_what_the_plan_says() -> None:
    first, second = splits((9, 6, 5), (7, 2))
    assert (first.before, first.after) == ((9, 6, 5), (5, 3, 3))
    assert (second.before, second.after) == ((5, 3, 3), (5, 2, 3))


def test_coefficients_are_worth_their_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """At one error, streams are smaller than with every coefficient rounded to the nearest."""
    z, y, x = np.indices((24, 30, 36)) / 6.0
    noise = np.random.default_rng(4).normal(0, 0.05, z.shape)
    values = (np.sin(x) * np.cos(y + z) + noise).astype(np.float32)
    encoder = wavelet.WaveletEncoder(values)

    def curve() -> tuple[list[float], list[float]]:
        bits, errors = [], []
        for step in (0.1, 0.15, 0.25, 0.4):
            data = encoder.encode(step)
            decoded = wavelet.decode(data, values.shape, values.dtype)
            bits.append(math.log(len(data)))
            errors.append(math.log(float(np.square(decoded - values).mean())))
        return errors, bits

    errors, bits = curve()
    monkeypatch.setattr(wavelet, "_ERROR_PER_BIT", 0.0)
    nearest = np.interp(errors[1:3], *curve())
    assert (np.array(bits[1:3]) < nearest - math.log(1.02)).all()
