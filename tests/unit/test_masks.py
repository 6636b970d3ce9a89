"""Which voxels a network is trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from inrvis.encoder.masks import (
    MaskSettings,
    active_voxels,
    background_value,
    bounding_box,
    dilate,
    training_mask,
)
from inrvis.errors import UsageError

MASKS = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=3, max_dims=3, max_side=8))


def blob(dtype: str, background: float, value: float = 90) -> Any:
    """Return a box of ``value`` in a background, 6 × 7 × 8 voxels."""
    values = np.full((6, 7, 8), background, dtype=dtype)
    values[2:4, 1:5, 3:6] = value
    return values


INSIDE = blob("uint8", 0) > 0


@pytest.mark.parametrize(
    ("dtype", "background"),
    [("uint8", 0), ("uint8", 255), ("int16", -1024), ("float32", 0.15), ("float64", 1e30)],
)
def test_the_background_need_not_be_zero(dtype: str, background: float) -> None:
    values = blob(dtype, background)
    assert background_value(values) == (values[0, 0, 0].item(),)
    np.testing.assert_array_equal(training_mask({"a": values}, MaskSettings("avm")), INSIDE)


@pytest.mark.parametrize("background", [2**63 - 1, -(2**63)])
def test_large_integers_keep_their_last_digit(background: int) -> None:
    values = blob("int64", background)
    values[2, 1, 3] = background + (1 if background < 0 else -1)
    assert background_value(values) == (background,)
    np.testing.assert_array_equal(training_mask({"a": values}, MaskSettings("avm")), INSIDE)


def test_the_object_may_touch_some_faces() -> None:
    values = np.zeros((10, 10, 10))
    values[:5, 2:8, 2:8] = np.random.default_rng(0).random((5, 6, 6)) + 1
    assert background_value(values) == (0,)


def test_noise_has_no_background() -> None:
    values = np.random.default_rng(0).normal(size=(8, 9, 10))
    assert background_value(values) == (None,)
    assert training_mask({"a": values}, MaskSettings("avm")).all()


def test_a_frequent_value_inside_is_no_background() -> None:
    values = np.random.default_rng(0).normal(size=(12, 12, 12))
    values[1:-1, 1:-1, 1:-1] = 0
    assert background_value(values) == (None,)


def test_a_thin_shell_is_no_background() -> None:
    values = np.random.default_rng(0).normal(size=(130, 130, 130)).astype(np.float32)
    for axis in range(3):
        np.moveaxis(values, axis, 0)[[0, -1]] = 0
    assert background_value(values) == (None,)


def test_nan_counts_for_nothing() -> None:
    values = blob("float32", 5)
    values[:, 4:] = np.nan
    values[2, 2, 3] = np.nan
    assert background_value(values) == (5,)
    expected = INSIDE & ~np.isnan(values)
    np.testing.assert_array_equal(training_mask({"a": values}, MaskSettings("avm")), expected)
    assert background_value(np.full((3, 4, 5), np.nan)) == (None,)
    assert training_mask({"a": np.full((3, 4, 5), np.nan)}, MaskSettings("avm")).all()


def test_values_without_a_background_are_active_where_they_are_finite() -> None:
    values = np.random.default_rng(0).normal(size=(8, 9, 10))
    values[3] = np.nan
    np.testing.assert_array_equal(
        training_mask({"a": values}, MaskSettings("avm")), np.isfinite(values)
    )


def test_vectors_have_a_background_for_each_component() -> None:
    values = np.stack([blob("float32", 0), blob("float32", -3), blob("float32", 7)], axis=-1)
    values[0, 0, 0, 1] = 1
    assert background_value(values) == (0, -3, 7)
    expected = INSIDE.copy()
    expected[0, 0, 0] = True
    np.testing.assert_array_equal(training_mask({"v": values}, MaskSettings("avm")), expected)


def test_a_voxel_is_active_in_any_array() -> None:
    density, temperature = blob("float32", 0), blob("uint16", 300)
    temperature[5, 6, 7] = 301
    mask = training_mask({"density": density, "temperature": temperature}, MaskSettings("avm"))
    expected = INSIDE.copy()
    expected[5, 6, 7] = True
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_the_threshold_is_a_fraction_of_the_range(dtype: str) -> None:
    values = blob(dtype, 100, 200)
    values[1, 1, 1], values[1, 1, 2], values[1, 1, 3], values[1, 1, 4] = 109, 112, 91, 0
    values[5, 6, 7] = 88
    found = active_voxels({"a": values}, 0.05, {"a": (100,)})  # the range is 200
    expected = INSIDE.copy()
    expected[1, 1, [2, 4]] = expected[5, 6, 7] = True
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("value", [0, 7])
@pytest.mark.parametrize("kind", ["all", "bbx", "avm"])
@pytest.mark.parametrize("shape", [(4, 5, 6), (1, 5, 6), (1, 1, 6), (1, 1, 1)])
def test_nothing_but_background_is_trained_whole(
    shape: tuple[int, int, int], kind: Any, value: int
) -> None:
    values = np.full(shape, value, dtype=np.int16)
    assert background_value(values) == (value,)
    mask = training_mask({"a": values}, MaskSettings(kind, dilations=2))
    assert mask.shape == shape
    assert mask.dtype == np.bool_
    assert mask.all()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slice_has_a_boundary(axis: int) -> None:
    values = blob("float32", 4).take([3], axis=axis)
    inside = INSIDE.take([3], axis=axis)
    assert background_value(values) == (4,)
    np.testing.assert_array_equal(training_mask({"a": values}, MaskSettings("avm")), inside)


def test_the_box_holds_the_active_voxels_and_no_more() -> None:
    values = blob("float32", 0)
    values[2, 1, 3] = 0  # a corner missing from the box is in the box
    box = training_mask({"a": values}, MaskSettings("bbx", dilations=3))
    np.testing.assert_array_equal(box, INSIDE)
    assert bounding_box(values > 0) == (slice(2, 4), slice(1, 5), slice(3, 6))
    assert bounding_box(values > 1000) == (slice(0, 6), slice(0, 7), slice(0, 8))


def test_all_means_all() -> None:
    assert training_mask({"a": blob("uint8", 0)}, MaskSettings()).all()


@settings(max_examples=60)
@given(MASKS, st.integers(0, 12))
def test_dilation_is_by_26_neighbours(mask: Any, times: int) -> None:
    expected = mask
    if times:  # zero iterations mean "until nothing changes" there
        expected = ndimage.binary_dilation(mask, np.ones((3, 3, 3)), iterations=times)
    grown = dilate(mask, times)
    assert grown.dtype == np.bool_
    np.testing.assert_array_equal(grown, expected)


def test_endless_dilation_fills_the_box() -> None:
    mask = np.zeros((5, 6, 7), dtype=np.bool_)
    mask[0, 0, 0] = True
    assert dilate(mask, 10**9).all()
    mask[0, 0, 0] = False
    assert not dilate(mask, 10**9).any()


def test_the_halo_of_the_training_mask() -> None:
    values = blob("float32", 0)
    halo = training_mask({"a": values}, MaskSettings("avm", dilations=1))
    expected = np.zeros_like(INSIDE)
    expected[1:5, 0:6, 2:7] = True
    np.testing.assert_array_equal(halo, expected)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "sphere"},
        {"dilations": -1},
        {"threshold": -0.1},
        {"threshold": 1.0},
        {"threshold": float("nan")},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        MaskSettings(**wrong)


def test_settings_are_frozen() -> None:
    with pytest.raises(AttributeError):
        MaskSettings().dilations = 3  # type: ignore[misc]
