"""NetCDF: classic files written by scipy, NetCDF-4 by h5py, and both by netCDF4 where it is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inrvis import sources
from inrvis.container.hdf5 import h5py
from inrvis.errors import ArrayNotFoundError, SourceError
from inrvis.grid import ImageGrid

scipy_io = pytest.importorskip("scipy.io", reason="scipy is not installed")

RNG = np.random.default_rng(0)
SIZES = {"time": 3, "lev": 4, "lat": 5, "lon": 7}
COORDINATES = {
    "time": np.array([10.0, 16.0, 22.0]),
    "lev": np.array([1000.0, 850.0, 500.0, 100.0]),
    "lat": np.linspace(60.0, 40.0, 5),
    "lon": np.arange(7) * 2.5,
}
UNITS = {"time": "hours since 2000-01-01", "lev": "hPa", "lat": "degrees_north"}
SPACE = ("lev", "lat", "lon")
TEMPERATURE = RNG.random((3, 4, 5, 7)).astype(np.float32)
WIND = RNG.integers(-1000, 1000, (3, 4, 5, 7)).astype(np.int16)
PRESSURE = RNG.random((3, 5, 7))
MASK = RNG.integers(-3, 3, (4, 5, 7)).astype(np.int8)
GRID = ImageGrid.from_axes((7, 5, 4), np.diag([2.5, -5, 1]), (0, 60, 0))

# Name, dimensions, values, attributes of a variable.
Variables = list[tuple[str, tuple[str, ...], Any, dict[str, Any]]]


def variables() -> Variables:
    temperature, wind = TEMPERATURE.copy(), WIND.copy()
    temperature[0, 0, 0, 0], temperature[0, 0, 0, 1] = -999, 9.969209968386869e36
    wind[1, 2, 3, 4] = -32768
    packing = {"scale_factor": 0.01, "add_offset": 5.0, "_FillValue": np.int16(-32768)}
    return [
        ("T", ("time", *SPACE), temperature, {"_FillValue": np.float32(-999)}),
        ("U", ("time", *SPACE), wind, packing),
        ("ps", ("time", "lat", "lon"), PRESSURE, {}),
        ("mask", SPACE, MASK, {}),
    ]


def save_classic(path: Path, content: Variables, version: int = 1) -> Path:
    with scipy_io.netcdf_file(path, "w", version=version) as file:
        for name, size in SIZES.items():
            file.createDimension(name, None if name == "time" else size)
        axes = [(n, (n,), v, {"units": UNITS.get(n, "1")}) for n, v in COORDINATES.items()]
        for name, dimensions, values, attributes in [*axes, *content]:
            stored = file.createVariable(name, values.dtype, dimensions)
            stored[:] = values
            for key, value in attributes.items():
                setattr(stored, key, value)
    return path


def save_netcdf4(path: Path, content: Variables, group: str = "/") -> Path:
    with h5py.File(path, "w") as file:
        for name, values in COORDINATES.items():
            file[name] = values
            file[name].make_scale(name)
            file[name].attrs["units"] = UNITS.get(name, "1")
        for name, dimensions, values, attributes in content:
            stored = file.require_group(group).create_dataset(name, data=values)
            stored.attrs.update(attributes)
            for axis, dimension in enumerate(dimensions):
                stored.dims[axis].attach_scale(file[dimension])
    return path


def save_with_netcdf4(path: Path, content: Variables, kind: str = "NETCDF4") -> Path:
    library = pytest.importorskip("netCDF4", reason="netCDF4 is not installed")
    with library.Dataset(str(path), "w", format=kind) as file:
        for name, size in SIZES.items():
            file.createDimension(name, None if name == "time" else size)
        axes = [(n, (n,), v, {"units": UNITS.get(n, "1")}) for n, v in COORDINATES.items()]
        for name, dimensions, values, given in [*axes, *content]:
            attributes = dict(given)
            fill = attributes.pop("_FillValue", None)
            stored = file.createVariable(name, values.dtype, dimensions, fill_value=fill)
            stored.set_auto_maskandscale(False)
            stored[:] = values
            stored.setncatts(attributes)
    return path


def cdf2(path: Path, content: Variables) -> Path:
    return save_classic(path, content, version=2)


def cdf5(path: Path, content: Variables) -> Path:
    return save_with_netcdf4(path, content, "NETCDF3_64BIT_DATA")


WRITERS = [save_classic, cdf2, cdf5, save_netcdf4, save_with_netcdf4]
Writer = Callable[[Path, Variables], Path]


@pytest.fixture(params=WRITERS, ids=lambda writer: writer.__name__)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return the same content in each format."""
    written: Path = request.param(tmp_path / "a.nc", variables())
    return written


def expected_temperature(step: int) -> Any:
    values = TEMPERATURE[step].copy()
    if step == 0:
        values[0, 0, :2] = np.nan
    return values


def test_all_variables_of_the_largest_grid(path: Path) -> None:
    image = sources.read(path)
    # scipy writes them in an order of its own.
    assert sorted(image.arrays) == ["T", "U", "mask"]
    assert image.grid == GRID
    assert image.time == 10
    np.testing.assert_array_equal(image.arrays["T"], expected_temperature(0))
    np.testing.assert_allclose(image.arrays["U"], WIND[0] * 0.01 + 5, atol=2e-6)
    np.testing.assert_array_equal(image.arrays["mask"], MASK)
    assert [image.arrays[n].dtype for n in ("T", "U", "mask")] == ["f4", "f4", "i1"]


@pytest.mark.parametrize(("index", "step"), [("", 0), ("[0]", 0), ("[2]", 2), ("[-2]", 1)])
def test_steps_of_a_variable(path: Path, index: str, step: int) -> None:
    image = sources.read(f"{path}:T{index}")
    np.testing.assert_array_equal(image.arrays["T"], expected_temperature(step))
    assert image.grid == GRID
    assert image.time == COORDINATES["time"][step]


def test_a_step_of_all_variables(path: Path) -> None:
    image = sources.read(f"{path}:[1]")
    assert list(image.arrays) == ["T", "U"]
    assert image.time == 16
    assert np.isnan(image.arrays["U"]).sum() == 1
    assert np.isnan(image.arrays["U"][2, 3, 4])


def test_slices_and_volumes_through_time(path: Path) -> None:
    volume = sources.read(f"{path}:ps")
    np.testing.assert_array_equal(volume.arrays["ps"], PRESSURE)
    # Hours have no scale that fits degrees.
    assert volume.grid.spacing == (2.5, 5, 1)
    assert volume.grid.origin == (0, 60, 0)
    assert volume.time is None
    piece = sources.read(f"{path}:ps[-1]")
    np.testing.assert_array_equal(piece.arrays["ps"], PRESSURE[-1:])
    assert piece.time == 22
    level = sources.read(f"{path}:T[2,3]")
    np.testing.assert_array_equal(level.arrays["T"], TEMPERATURE[2, 3][None])


def test_wanted_arrays(path: Path, refused: Any) -> None:
    assert list(sources.read(path, arrays=["ps"]).arrays) == ["ps"]
    assert list(sources.read(path, arrays=["mask", "T"]).arrays) == ["mask", "T"]
    assert "not on one grid" in refused(path, arrays=["ps", "T"])
    with pytest.raises(ArrayNotFoundError, match="'q'; choose from: "):
        sources.read(path, arrays=["q"])


def test_names_that_are_not_there(path: Path, refused: Any) -> None:
    assert "holds no 'q'" in refused(f"{path}:q")
    assert "T (3×4×5×7 float32)" in refused(f"{path}:q[1]")
    assert "lat (5 float64)" in refused(f"{path}:lat")
    assert "index [3] is outside" in refused(f"{path}:T[3]")
    refused(f"{path}:T[0,0,0,0]")
    refused(f"{path}:group/T")


def test_truncated(path: Path, refused: Any) -> None:
    content = path.read_bytes()
    for keep in (0.01, 0.3, 0.9):
        path.write_bytes(content[: int(len(content) * keep)])
        refused(path)


@pytest.mark.parametrize("writer", [save_classic, save_netcdf4])
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_never_raise_anything_else(writer: Writer, tmp_path: Path, data: Any) -> None:
    path = writer(tmp_path / "a.nc", variables()[:2])
    content = bytearray(path.read_bytes())
    places = st.integers(0, min(len(content), 3000) - 1)
    for place, value in data.draw(
        st.lists(st.tuples(places, st.sampled_from([0, 1, 127, 255])), min_size=1, max_size=5)
    ):
        content[place] = value
    path.write_bytes(content)
    with suppress(SourceError):
        sources.read(path)


@pytest.mark.parametrize("extension", ["nc", "nc4", "cdf"])
@pytest.mark.parametrize("writer", [save_classic, save_netcdf4])
def test_extensions(tmp_path: Path, writer: Writer, extension: str) -> None:
    assert sources.read(writer(tmp_path / f"a.{extension}", variables())).grid == GRID


def test_netcdf4_with_the_extension_of_hdf5(tmp_path: Path) -> None:
    path = save_netcdf4(tmp_path / "a.h5", variables())
    image = sources.read(f"{path}:/T[2]")
    np.testing.assert_array_equal(image.arrays["T"], TEMPERATURE[2])
    assert image.grid == GRID
    assert image.time == 22


def test_groups(tmp_path: Path) -> None:
    path = save_netcdf4(tmp_path / "a.nc", variables(), "forecast/member")
    assert sources.read(path).grid == GRID
    assert list(sources.read(f"{path}:forecast/member/U").arrays) == ["U"]
    assert sorted(sources.read(f"{path}:/forecast/member").arrays) == ["T", "U", "mask"]


def test_groups_that_repeat_a_name(tmp_path: Path, refused: Any) -> None:
    path = save_netcdf4(tmp_path / "a.nc", variables(), "a")
    with h5py.File(path, "a") as file:
        file.copy("a", "b")
    assert "several variables of one name" in refused(path)


def test_the_grid_with_most_values_is_the_largest(tmp_path: Path) -> None:
    """A staggered axis makes one variable larger than the many."""
    content = [(name, SPACE, MASK, {}) for name in ("a", "b")]
    path = save_classic(tmp_path / "a.nc", content)
    with scipy_io.netcdf_file(path, "a") as file:
        file.createDimension("lon_edge", 8)
        file.createVariable("u", "f4", ("lev", "lat", "lon_edge"))[:] = 0
        file.createVariable("hours", "f8", ("time", "lat", "lon"))[:] = PRESSURE
    assert list(sources.read(path).arrays) == ["a", "b"]


def test_two_dimensions_are_a_slice(tmp_path: Path) -> None:
    path = save_classic(tmp_path / "a.nc", [("z", ("lat", "lon"), PRESSURE[0], {})])
    image = sources.read(path)
    assert image.grid == ImageGrid.from_axes((7, 5, 1), np.diag([2.5, -5, 1]), (0, 60, 0))


def test_unsigned_bytes(tmp_path: Path) -> None:
    path = save_classic(tmp_path / "a.nc", [("m", SPACE, MASK, {"_Unsigned": "true"})])
    np.testing.assert_array_equal(sources.read(path).arrays["m"], MASK.view(np.uint8))


def test_files_without_an_image(tmp_path: Path, refused: Any) -> None:
    assert "time (3 float64)" in refused(save_classic(tmp_path / "a.nc", []))
    text = np.full((4, 5, 7), b"x", dtype="S1")
    assert "text" in refused(save_classic(tmp_path / "a.nc", [("c", SPACE, text, {})]))


def test_files_of_another_format(tmp_path: Path, refused: Any) -> None:
    path = tmp_path / "a.nc"
    for content in (b"nonsense" * 10, b"CDF\x03" + bytes(100), b"CDF", b"\x0e\x03\x13\x01" * 10):
        path.write_bytes(content)
        assert "not a NetCDF file" in refused(path)


@pytest.mark.parametrize("dtype", ["i1", ">i2", ">f8"])
@pytest.mark.parametrize("names", ["a", "ab"])
def test_records_that_end_within_a_word(tmp_path: Path, names: str, dtype: str) -> None:
    """Records are padded to words, unless they hold a single variable."""
    values = np.arange(45).reshape(3, 3, 5).astype(dtype)
    with scipy_io.netcdf_file(tmp_path / "a.nc", "w") as file:
        for name, size in {"t": None, "y": 3, "x": 5}.items():
            file.createDimension(name, size)
        for name in names:
            file.createVariable(name, dtype, ("t", "y", "x"))[:] = values
    content = (tmp_path / "a.nc").read_bytes()
    # A file written as a stream does not know its number of records.
    for start in (content[:8], content[:4] + b"\xff" * 4):
        (tmp_path / "a.nc").write_bytes(start + content[8:])
        image = sources.read(tmp_path / "a.nc")
        for name in names:
            np.testing.assert_array_equal(image.arrays[name], values)


def cdf5_bytes(dtype: Any, code: int, values: Any) -> bytes:
    """Return a file with the one variable "v", as the specification of CDF-5 has it."""

    def words(*numbers: int) -> bytes:
        return b"".join(number.to_bytes(8, "big") for number in numbers)

    tag, name = (
        (lambda n: n.to_bytes(4, "big")),
        lambda text: words(len(text)) + text.ljust(4, b"\0"),
    )
    header = b"CDF\x05" + words(0)
    header += (
        tag(10)
        + words(3)
        + b"".join(
            name(n) + words(size) for n, size in zip((b"z", b"y", b"x"), values.shape, strict=True)
        )
    )
    header += tag(0) + words(0)
    header += tag(11) + words(1) + name(b"v") + words(3, 0, 1, 2) + tag(0) + words(0)
    header += tag(code) + words(values.nbytes)
    return (
        header + words(len(header) + 8) + values.astype(np.dtype(dtype).newbyteorder(">")).tobytes()
    )


CODES = {"i1": 1, "i2": 3, "i4": 4, "f4": 5, "f8": 6, "u1": 7, "u2": 8, "u4": 9, "i8": 10, "u8": 11}


@pytest.mark.parametrize(("dtype", "code"), list(CODES.items()))
def test_cdf5_types(tmp_path: Path, refused: Any, dtype: str, code: int) -> None:
    path = tmp_path / "a.nc"
    content = cdf5_bytes(dtype, code, MASK.astype(dtype))
    path.write_bytes(content)
    values = sources.read(path).arrays["v"]
    assert values.dtype == dtype
    np.testing.assert_array_equal(values, MASK.astype(dtype))
    path.write_bytes(content[:-1])
    assert "ends before the values of 'v'" in refused(path)
    for size in range(4, len(content) - MASK.size * values.itemsize, 3):
        path.write_bytes(content[:size])
        refused(path)


def test_classic_that_claims_too_much(tmp_path: Path, refused: Any) -> None:
    path = save_classic(tmp_path / "a.nc", [("m", SPACE, MASK, {})])
    content = path.read_bytes()
    for place in (4, content.index(b"lev\0") + 4, 12):  # records, length of an axis, axes
        path.write_bytes(content[:place] + b"\x7f\xff\xff\xff" + content[place + 4 :])
        refused(path)
