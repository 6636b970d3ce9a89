"""Errors and measures of decoded images."""

from __future__ import annotations

import numpy as np
import pytest

from inrvis.comparison import common_arrays, compare, error_field
from inrvis.errors import UsageError
from inrvis.metrics import measure
from inrvis.sources.image import Image, from_array

RANDOM = np.random.default_rng(0)


def test_errors_are_decoded_minus_original_without_wrapping() -> None:
    original, decoded = np.array([0, 255, 7], np.uint8), np.array([255, 0, 7], np.uint8)
    error = error_field(original, decoded)
    assert error.dtype == np.float32
    np.testing.assert_array_equal(error, [255, -255, 0])
    wide = error_field(np.array([2**31 - 1], np.int32), np.array([-(2**31)], np.int32))
    assert wide.dtype == np.float64
    assert wide[0] == 1 - 2.0**32


def test_what_is_kept_exactly_has_no_error() -> None:
    original = np.array([np.nan, np.inf, -np.inf, np.nan, 1], np.float32)
    decoded = np.array([np.nan, np.inf, -np.inf, 1, np.nan], np.float32)
    error = error_field(original, decoded)
    np.testing.assert_array_equal(error, [0, 0, 0, np.nan, np.nan])


def test_arrays_are_matched_by_name_and_components() -> None:
    values = RANDOM.random((4, 5, 6))
    image = from_array(values)
    original = Image(image.grid, {"a": values, "b": values, "c": np.stack([values] * 2, -1)})
    decoded = Image(image.grid, {"b": values + 0.1, "a": values, "c": values, "a_error": values})
    assert common_arrays(original, decoded) == ["a", "b"]
    found = compare(original, decoded)
    assert found == {"a": measure(values, values), "b": measure(values, values + 0.1)}


def test_what_cannot_be_compared_is_one_clear_line() -> None:
    image = from_array(RANDOM.random((4, 5, 6)), name="a")
    with pytest.raises(UsageError, match=r"dimensions \(6, 5, 4\).*\(5, 5, 4\)"):
        compare(image, from_array(RANDOM.random((4, 5, 5))))
    with pytest.raises(UsageError, match="the original has 'a', the decoded image 'b'"):
        compare(image, Image(image.grid, {"b": image.arrays["a"]}))
