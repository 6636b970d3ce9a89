"""Values for voxels that have none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import inrvis
from inrvis.encoder.fill import fill_smoothly
from inrvis.targets import MaxError, Psnr


@given(
    shape=st.tuples(*[st.integers(1, 12)] * 3),
    dtype=st.sampled_from(["uint8", "int64", "float32", "float64"]),
    share=st.floats(0.05, 0.95),
    seed=st.integers(0, 99),
)
@settings(max_examples=60)
def test_known_values_stay_and_others_lie_between(
    shape: tuple[int, int, int], dtype: str, share: float, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    values = (generator.normal(size=shape) * 50 + 100).astype(dtype)
    hidden = generator.random(shape) < share
    hidden[0, 0, 0] = False
    before = values.copy()
    filled = fill_smoothly(values, hidden)
    np.testing.assert_array_equal(values, before)
    assert filled.dtype == values.dtype
    np.testing.assert_array_equal(filled[~hidden], values[~hidden])
    known = values[~hidden]
    assert known.min() <= filled.min()
    assert filled.max() <= known.max()


@pytest.mark.parametrize("value", [7.0, 1e-300, 1e300])
def test_what_is_constant_stays_constant(value: float) -> None:
    values = np.full((5, 6, 7), value)
    hidden = np.zeros(values.shape, bool)
    hidden[1:4, 2:, 3:] = True
    values[hidden] = np.nan
    np.testing.assert_allclose(fill_smoothly(values, hidden), value, rtol=1e-12)


def test_a_gap_in_a_slope_is_bridged() -> None:
    values = np.broadcast_to(np.arange(32.0), (16, 16, 32)).copy()
    hidden = np.zeros(values.shape, bool)
    hidden[4:12, 4:12, 8:24] = True
    filled = fill_smoothly(np.where(hidden, np.nan, values), hidden)
    assert np.abs(filled - values).max() < 4
    assert np.abs(np.diff(filled, axis=2)).max() < 3


def test_integers_stay_integers() -> None:
    values = np.random.default_rng(0).integers(0, 9, (6, 7, 8)).astype(np.float32)
    hidden = values > 5
    filled = fill_smoothly(np.where(hidden, np.nan, values), hidden)
    np.testing.assert_array_equal(filled, np.rint(filled))


@pytest.mark.parametrize(("target", "share"), [(MaxError(1e-3), 0.75), (Psnr(50), 0.95)])
def test_a_gap_costs_little(field: Any, tmp_path: Path, target: Any, share: float) -> None:
    """Land in an ocean: fewer values to code, and hardly a byte for those that are none."""
    whole = field((20, 32, 40), "float32")
    whole += np.random.default_rng(0).normal(scale=0.05, size=whole.shape).astype(np.float32)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in whole.shape), indexing="ij")
    land = x + 0.3 * np.sin(4 * y) + 0.1 * z > 0
    masked = np.where(land, np.float32(np.nan), whole)
    sizes = []
    for values in (whole, masked):
        report = inrvis.encode(values, tmp_path / "f.inr", target=target, model="none")
        assert report.target_met
        sizes.append(report.encoded_bytes)
    assert sizes[1] < share * sizes[0]
    with inrvis.open(tmp_path / "f.inr", device="cpu") as volume:
        np.testing.assert_array_equal(np.isnan(volume.decode()), land)
