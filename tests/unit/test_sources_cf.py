"""Missing and packed values, and coordinates, as the CF conventions have them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inrvis.sources import cf

finite = st.floats(-1e6, 1e6, allow_nan=False)


def unpack(values: Any, **attributes: Any) -> Any:
    return cf.unpack(np.array(values), attributes.get)


@given(
    origin=finite,
    step=st.floats(1e-3, 1e3).flatmap(lambda x: st.sampled_from([x, -x])),
    count=st.integers(2, 200),
)
def test_regular_coordinates(origin: float, step: float, count: int) -> None:
    found_step, found_origin = cf.regular(origin + step * np.arange(count))
    assert found_step == pytest.approx(step, rel=1e-6)
    assert found_origin == origin


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([5.0], (1, 5)),
        ([], (1, 0)),
        ([1.0, 1.0, 1.0], (1, 0)),
        ([0.0, 1.0, np.nan], (1, 0)),
        ([0.0, 1.0, 2.0009], (2.0009 / 2, 0)),
        ([0.0, 1.0, 2.01], (1, 0)),
        ([1000, 850, 500], (1, 0)),
        ([60, 50, 40], (-10, 60)),
    ],
)
def test_coordinates(values: list[float], expected: tuple[float, float]) -> None:
    assert cf.regular(np.array(values)) == pytest.approx(expected)


def test_coordinates_of_a_coarse_type() -> None:
    """Neighbours in float32 at 360 degrees are 3e-5 apart, a hundredth of a fine step."""
    fine = np.arange(0, 360, 1 / 240).astype(np.float32)
    assert cf.regular(fine)[0] == pytest.approx(1 / 240, rel=1e-5)


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8"])
def test_missing_floats_become_nan(dtype: str) -> None:
    values = np.array([1, -999, 1e20, np.nan, 5], dtype)
    read = cf.unpack(values, {"_FillValue": values[2], "missing_value": [-999.0, 7]}.get)
    assert read.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(read, np.array([1, np.nan, np.nan, np.nan, 5], read.dtype))


def test_missing_values_of_a_type_that_cannot_hold_them() -> None:
    np.testing.assert_array_equal(unpack([1, 2], _FillValue=1e30, scale_factor=2.0), [2, 4])
    np.testing.assert_array_equal(unpack([1.0, 2.0], missing_value="none"), [1, 2])


def test_integers_keep_their_type() -> None:
    read = unpack(np.array([1, -999], np.int16), _FillValue=np.int16(-999), scale_factor=1.0)
    assert read.dtype == np.int16
    assert read.tolist() == [1, -999]
    assert unpack([True, False], scale_factor=2.0).dtype == bool


@given(
    stored=st.lists(st.integers(-32767, 32767), min_size=1, max_size=50),
    scale=st.floats(1e-4, 1e4),
    offset=finite,
)
def test_packed_integers(stored: list[int], scale: float, offset: float) -> None:
    """Every step of the packing survives, and only the fill value is lost."""
    values = np.array([*stored, -32768], np.int16)
    read = unpack(values, scale_factor=scale, add_offset=offset, _FillValue=np.int16(-32768))
    assert read.dtype in (np.float32, np.float64)
    assert np.isnan(read).tolist() == [False] * len(stored) + [True]
    again = np.rint((read[:-1].astype(float) - offset) / scale)
    np.testing.assert_array_equal(again, stored)


def test_types_of_packed_integers() -> None:
    assert unpack(np.array([1], np.uint8), scale_factor=0.5).dtype == np.float32
    assert unpack(np.array([1], np.int16), scale_factor=1e-6, add_offset=1e3).dtype == np.float64
    assert unpack(np.array([1], np.int32), scale_factor=0.5).dtype == np.float64
    assert unpack(np.array([1], np.float16), scale_factor=0.5).dtype == np.float32
    assert unpack(np.array([1], np.float32), scale_factor=0.5).dtype == np.float32


@pytest.mark.parametrize("dtype", ["<i2", ">i2"])
def test_unsigned_integers_of_formats_without_them(dtype: str) -> None:
    values = np.array([-1, 5], dtype)
    read = cf.unpack(values, {"_Unsigned": "true"}.get)
    assert read.dtype == np.uint16
    assert read.tolist() == [65535, 5]
    packed = {"_Unsigned": "true", "_FillValue": np.int16(-1), "scale_factor": 2.0}
    np.testing.assert_array_equal(cf.unpack(values, packed.get), [np.nan, 10])


@pytest.mark.parametrize("scale", [np.nan, np.inf, "two", [1.0, 2.0], b"x", None])
def test_scales_that_are_none(scale: Any) -> None:
    assert unpack([1.0, 2.0], scale_factor=scale).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        ("Time", {}),
        ("step", {"units": "hours since 1900-01-01"}),
        ("step", {"units": b"days since 0"}),
        ("step", {"axis": "T"}),
        ("step", {"standard_name": np.array([b"time"])}),
    ],
)
def test_time(name: str, attributes: dict[str, Any]) -> None:
    assert cf.is_time(name, attributes.get)
    assert not cf.is_time("lev", {"units": "m", "axis": 3}.get)
