"""Measures against their definitions, scikit-image, and the awkward values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from inrvis import metrics
from inrvis.errors import UsageError

RNG = np.random.default_rng(0)
VOLUME = RNG.random((9, 10, 11)).astype(np.float32)
NOISY = VOLUME + RNG.normal(0, 0.05, VOLUME.shape).astype(np.float32)


def plain_psnr(original: np.ndarray, decoded: np.ndarray) -> float:
    a, b = original.astype(np.float64), decoded.astype(np.float64)
    return float(20 * np.log10(np.ptp(a)) - 10 * np.log10(np.mean((a - b) ** 2)))


def test_definitions() -> None:
    difference = NOISY.astype(float) - VOLUME
    assert metrics.psnr_db(VOLUME, NOISY) == pytest.approx(plain_psnr(VOLUME, NOISY))
    assert metrics.max_abs_error(VOLUME, NOISY) == np.abs(difference).max()
    assert metrics.nrmse(VOLUME, NOISY) == pytest.approx(
        np.sqrt(np.mean(difference**2)) / np.ptp(VOLUME.astype(float))
    )


def test_measure_is_the_four_functions() -> None:
    assert metrics.measure(VOLUME, NOISY) == metrics.Metrics(
        psnr_db=metrics.psnr_db(VOLUME, NOISY),
        max_abs_error=metrics.max_abs_error(VOLUME, NOISY),
        nrmse=metrics.nrmse(VOLUME, NOISY),
        ssim=metrics.ssim(VOLUME, NOISY),
    )


def test_identical() -> None:
    assert metrics.measure(VOLUME, VOLUME.copy()) == metrics.Metrics(math.inf, 0.0, 0.0, 1.0)


def test_small_unsigned_integers_do_not_wrap() -> None:
    low, high = np.zeros((2, 2, 2), np.uint8), np.full((2, 2, 2), 255, np.uint8)
    assert metrics.max_abs_error(low, high) == 255
    assert metrics.max_abs_error(high, low) == 255


def test_constant_original_has_the_peak_1() -> None:
    flat = np.full((3, 3, 3), 7, np.int16)
    assert metrics.measure(flat, flat) == metrics.Metrics(math.inf, 0.0, 0.0, 1.0)
    assert metrics.psnr_db(flat, flat + 10) == pytest.approx(-20)
    assert metrics.nrmse(flat, flat + 10) == pytest.approx(10)


def test_nan_of_the_original_is_left_out() -> None:
    original, decoded = VOLUME.copy(), NOISY.copy()
    original[0], decoded[0] = math.nan, 1e9
    assert metrics.psnr_db(original, decoded) == pytest.approx(plain_psnr(VOLUME[1:], NOISY[1:]))
    assert 0 < metrics.ssim(original, decoded) < 1
    decoded[0] = math.nan
    kept = metrics.measure(original, np.where(np.isnan(original), math.nan, original))
    assert kept == metrics.Metrics(math.inf, 0.0, 0.0, 1.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_an_infinite_error(bad: float) -> None:
    decoded = VOLUME.copy()
    decoded[1, 2, 3] = bad
    assert metrics.measure(VOLUME, decoded) == metrics.Metrics(-math.inf, math.inf, math.inf, 0.0)


def test_infinities_that_were_kept_are_no_error() -> None:
    original = VOLUME.copy()
    original[0, 0, :2] = math.inf, -math.inf
    assert metrics.measure(original, original) == metrics.Metrics(math.inf, 0.0, 0.0, 1.0)
    assert metrics.max_abs_error(original, -original) == math.inf
    # Nor do they count as voxels without an error.
    original, decoded = VOLUME.copy(), NOISY.copy()
    original[0] = decoded[0] = math.inf
    assert metrics.psnr_db(original, decoded) == pytest.approx(plain_psnr(VOLUME[1:], NOISY[1:]))


@pytest.mark.parametrize("offset", [1e4, 1e9, -1e12])
def test_ssim_of_an_offset_that_drowns_the_range(offset: float) -> None:
    a, b = VOLUME.astype(float), NOISY.astype(float)
    peak = np.ptp(a)
    assert metrics.ssim(a + offset * peak, b + offset * peak) == pytest.approx(
        metrics.ssim(a - a.min(), b - a.min()), abs=1e-3
    )


def test_only_nan() -> None:
    nothing = np.full((2, 2, 2), math.nan)
    assert metrics.measure(nothing, nothing) == metrics.Metrics(math.inf, 0.0, 0.0, 1.0)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_tiny_and_huge_data_keep_their_psnr(scale: float) -> None:
    a, b = VOLUME.astype(float), NOISY.astype(float)
    assert metrics.psnr_db(a * scale, b * scale) == pytest.approx(metrics.psnr_db(a, b))


def test_chunks_and_memory_layout_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = metrics.measure(VOLUME, NOISY)
    monkeypatch.setattr(metrics, "_CHUNK_VALUES", 150)
    parts = metrics.measure(VOLUME, np.asfortranarray(NOISY))
    assert parts.max_abs_error == whole.max_abs_error
    assert parts.psnr_db == pytest.approx(whole.psnr_db)
    assert parts.ssim == pytest.approx(whole.ssim)


def test_ssim_is_that_of_scikit_image() -> None:
    skimage = pytest.importorskip("skimage.metrics")
    for shape, window in (((9, 10, 11), 7), ((1, 10, 11), 7), ((4, 10, 11), 3), ((9, 10, 2), 1)):
        a, b = (v[: shape[0], : shape[1], : shape[2]].astype(float) for v in (VOLUME, NOISY))
        expected = skimage.structural_similarity(
            a.squeeze(),
            b.squeeze(),
            win_size=window,
            data_range=np.ptp(a),
            use_sample_covariance=window > 1,
        )
        assert metrics.ssim(a, b) == pytest.approx(expected, rel=1e-9)


def test_ssim_of_a_single_value() -> None:
    one = np.ones((1, 1, 1))
    assert metrics.ssim(one, one) == 1
    assert metrics.ssim(one, -one) < 1


def test_vector_fields() -> None:
    a, b = np.stack([VOLUME, VOLUME * 2], -1), np.stack([NOISY, VOLUME * 2], -1)
    assert metrics.psnr_db(a, b) == pytest.approx(plain_psnr(a, b))
    assert metrics.ssim(a, b) < metrics.ssim(a, a) == 1


@pytest.mark.parametrize(
    ("original", "decoded"),
    [
        (VOLUME, VOLUME[1:]),
        (VOLUME, VOLUME.astype(complex)),
        (VOLUME.astype(object), VOLUME),
    ],
)
def test_what_cannot_be_compared(original: Any, decoded: Any) -> None:
    with pytest.raises(UsageError):
        metrics.measure(original, decoded)


def test_ssim_needs_a_volume() -> None:
    with pytest.raises(UsageError, match="SSIM needs the shape"):
        metrics.ssim(VOLUME[0], VOLUME[0])


def test_rates() -> None:
    assert metrics.bits_per_value(100, 1600) == 0.5
    assert metrics.compression_ratio(1000, 5) == 200
    with pytest.raises(UsageError):
        metrics.bits_per_value(100, 0)
    with pytest.raises(UsageError):
        metrics.compression_ratio(100, 0)


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_errors_of_wide_integers_are_exact(dtype: str) -> None:
    limits = np.iinfo(dtype)
    original = np.array([2**60, 2**60, limits.max, limits.min], dtype=dtype).reshape(1, 2, 2)
    decoded = original.copy()
    decoded.flat[1] = 2**60 + 1
    assert metrics.max_abs_error(original, decoded) == 1
    assert metrics.max_abs_error(decoded, original) == 1
    assert metrics.psnr_db(original, decoded) > 300
    decoded.flat[2], decoded.flat[3] = limits.min, limits.max
    assert metrics.max_abs_error(original, decoded) == float(limits.max) - float(limits.min)
