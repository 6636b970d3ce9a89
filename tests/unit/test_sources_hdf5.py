"""HDF5, written here by h5py: selection, geometry, and files that must not be trusted."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
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
from inrvis.sources import hdf5_file

VALUES = np.arange(120, dtype=np.float32).reshape(4, 5, 6)
GRID = ImageGrid.from_dimensions((6, 5, 4))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.h5"


@contextmanager
def written(path: Path) -> Iterator[Any]:
    with h5py.File(path, "w") as file:
        yield file


def save(path: Path, **datasets: Any) -> Path:
    with written(path) as file:
        for name, values in datasets.items():
            file[name.replace("__", "/")] = values
    return path


@pytest.mark.parametrize("dtype", ["<i2", ">i2", "u1", "<f4", ">f8", "<u8", ">f2", "?"])
@pytest.mark.parametrize(
    "storage", [{}, {"chunks": (2, 5, 3)}, {"compression": "gzip", "shuffle": True}]
)
def test_types_and_storage(path: Path, dtype: str, storage: dict[str, Any]) -> None:
    values = (VALUES > 60) if dtype == "?" else VALUES.astype(dtype)
    with written(path) as file:
        file.create_dataset("deep/er/density", data=values, **storage)
    image = sources.read(path)
    assert image.grid == GRID
    assert image.time is None
    read = image.arrays["density"]
    plain = {"?": "uint8", ">f2": "float32"}
    assert read.dtype == plain.get(dtype, np.dtype(dtype).newbyteorder("="))
    assert read.flags.c_contiguous
    np.testing.assert_array_equal(read, values)


@pytest.mark.parametrize("extension", ["h5", "hdf5", "he5", "nx", "nxs", "H5"])
def test_extensions(tmp_path: Path, extension: str) -> None:
    assert sources.read(save(tmp_path / f"a.{extension}", a=VALUES)).grid == GRID


@pytest.mark.parametrize(
    ("values", "shape"),
    [
        (VALUES, (4, 5, 6)),
        (VALUES[0], (1, 5, 6)),
        (np.stack([VALUES] * 3, axis=-1), (4, 5, 6, 3)),
        (VALUES[..., :1], (4, 5, 1)),
    ],
)
def test_shapes(path: Path, values: Any, shape: tuple[int, ...]) -> None:
    image = sources.read(save(path, a=values))
    np.testing.assert_array_equal(image.arrays["a"], values.reshape(shape))


def test_values_of_an_array_type_are_components(path: Path) -> None:
    with written(path) as file:
        dataset = file.create_dataset("v", shape=(4, 5, 6), dtype=np.dtype(("<i2", (3,))))
        dataset[...] = np.stack([VALUES] * 3, axis=-1).astype("<i2")
    assert sources.read(path).arrays["v"].shape == (4, 5, 6, 3)


def test_selected_datasets(path: Path) -> None:
    save(path, a=VALUES, g__b=VALUES + 1, g__c=VALUES[0], text="hello")
    for selector in ("/g/b", "g/b", "//g/./b/"):
        image = sources.read(f"{path}:{selector}")
        assert list(image.arrays) == ["b"]
        np.testing.assert_array_equal(image.arrays["b"], VALUES + 1)
    assert list(sources.read(path, arrays=["a"]).arrays) == ["a"]
    assert list(sources.read(path, arrays=["b", "a"]).arrays) == ["b", "a"]
    assert sources.read(f"{path}:/g/c").grid.dimensions == (6, 5, 1)
    with pytest.raises(ArrayNotFoundError, match="choose from: a, b, c"):
        sources.read(path, arrays=["d"])


def test_one_volume_is_found_among_slices_and_tables(path: Path) -> None:
    save(path, t=np.arange(6.0), points=np.zeros((100, 3)), name="x", n=3, volume=VALUES)
    assert list(sources.read(path).arrays) == ["volume"]


def test_several_candidates_are_listed(path: Path, refused: Any) -> None:
    save(path, **{f"d{i:03}": VALUES for i in range(300)})
    message = refused(path)
    assert "a.h5:/d000" in message
    assert "/d003 (4×5×6 float32)" in message
    assert "294 more" in message
    assert len(message) < 500


def test_groups(path: Path, refused: Any) -> None:
    save(path, g__a=VALUES, g__v=np.stack([VALUES] * 3, -1), g__slice=VALUES[0], h__deep__a=VALUES)
    with h5py.File(path, "a") as file:
        file["g/linked"] = h5py.SoftLink("/h/deep/a")
        file["g/outside"] = h5py.ExternalLink("b.h5", "/a")
        file["mixed/a"], file["mixed/b"] = VALUES, VALUES[:, :-1]
    image = sources.read(f"{path}:/g")
    assert sorted(image.arrays) == ["a", "linked", "v"]
    assert sources.read(f"{path}:/g", arrays=["v"]).arrays["v"].shape == (4, 5, 6, 3)
    assert "several datasets" in refused(f"{path}:/mixed")
    assert "choose from: /g/a" in refused(f"{path}:/h")


def test_the_root_as_a_group(path: Path) -> None:
    save(path, a=VALUES, b=VALUES + 1, g__c=VALUES[0])
    assert sorted(sources.read(f"{path}:/").arrays) == ["a", "b"]


def test_indices_of_leading_axes(path: Path, refused: Any) -> None:
    # A last axis of up to nine would hold components.
    series = np.arange(10 * 4 * 5 * 12, dtype=np.int32).reshape(10, 4, 5, 12)
    save(path, s=series, deep=np.stack([series, -series]), short=series[:2, 0])
    with h5py.File(path, "a") as file:
        file["s[1]"] = -series[1] - 1
    for step in (0, 9, -1, -10):
        read = sources.read(f"{path}:s[{step}]").arrays["s"]
        np.testing.assert_array_equal(read, series[step])
    np.testing.assert_array_equal(sources.read(f"{path}:/deep[1,-2]").arrays["deep"], -series[-2])
    np.testing.assert_array_equal(sources.read(f"{path}:/s[0,3]").arrays["s"], series[0, 3][None])
    # What exists under the full name is meant.
    assert sources.read(f"{path}:s[1]").arrays["s[1]"].max() < 0
    assert "axes (10, 4, 5, 12)" in refused(f"{path}:s[10]")
    assert "NAME[0]" in refused(f"{path}:s")
    assert "no numbers" in refused(f"{path}:s[0,0,0,0]")
    with h5py.File(path, "a") as file:
        del file["deep"], file["s[1]"]
    # Only one of the variables has an index 7.
    assert list(sources.read(f"{path}:[7]").arrays) == ["s"]


def test_soft_links_within_the_file(path: Path, refused: Any) -> None:
    save(path, g__a=VALUES)
    with h5py.File(path, "a") as file:
        file["absolute"] = h5py.SoftLink("/g/a")
        file["g/relative"] = h5py.SoftLink("a")
        file["group"] = h5py.SoftLink("./g/")
        file["dangling"] = h5py.SoftLink("/nowhere")
        file["loop"] = h5py.SoftLink("/loop")
        file["g/up"] = file["/"]
    for selector in ("absolute", "g/relative", "group/a", "group/up/g/up/g/a"):
        assert sources.read(f"{path}:{selector}").grid == GRID
    # A hard link in a circle is walked once.
    assert list(sources.read(path).arrays) == ["a"]
    assert "holds no 'dangling'" in refused(f"{path}:dangling")
    assert "circles" in refused(f"{path}:loop")


def test_missing_values(path: Path) -> None:
    values = VALUES.copy()
    values[0, 0, :2] = -999, 1e30
    save(path, f=values, i=values[:, :, 2:].astype(np.int16))
    with h5py.File(path, "a") as file:
        file["f"].attrs["_FillValue"] = np.float32([1e30])
        file["f"].attrs["missing_value"] = -999.0
        file["i"].attrs["_FillValue"] = np.int16(8)
    read = sources.read(f"{path}:f").arrays["f"]
    assert np.isnan(read[0, 0, :2]).all()
    assert np.isnan(read).sum() == 2
    whole = sources.read(f"{path}:i").arrays["i"]
    assert whole.dtype == np.int16
    assert 8 in whole
    with h5py.File(path, "a") as file:
        file["i"].attrs["scale_factor"] = 0.5
    scaled = sources.read(f"{path}:i").arrays["i"]
    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(scaled, np.where(whole == 8, np.nan, whole * np.float32(0.5)))


def test_dimension_scales(path: Path) -> None:
    save(path, a=VALUES, z=[0, 1, 5, 6], y=np.arange(9, -1, -2.0), x=np.arange(6) * 0.5 + 3)
    with h5py.File(path, "a") as file:
        for axis, name in enumerate("zyx"):
            file[name].make_scale(name)
            file["a"].dims[axis].attach_scale(file[name])
    grid = sources.read(path).grid
    assert grid.spacing == (0.5, 2, 1)
    assert grid.origin == (3, 9, 0)
    assert grid.direction == (1, 0, 0, 0, -1, 0, 0, 0, 1)
    assert sources.read(f"{path}:a[0]").grid.spacing == (0.5, 2, 1)


def test_scales_that_do_not_fit(path: Path) -> None:
    save(path, a=VALUES, wrong=np.arange(7.0), words=["a"] * 5)
    with h5py.File(path, "a") as file:
        for axis, name in enumerate(("wrong", "words")):
            file[name].make_scale(name)
            file["a"].dims[axis].attach_scale(file[name])
        file["a"].dims[2].label = "x"
    assert sources.read(path).grid == GRID


# openPMD


def mesh(path: Path, values: Any, labels: Any, *, scalar: bool, order: str = "C") -> Path:
    with written(path) as file:
        iteration = file.create_group("data/7")
        iteration.attrs.update({"time": 3.0, "dt": 1.0, "timeUnitSI": 1e-15})
        meshes = iteration.create_group("meshes")
        if scalar:
            record = component = meshes.create_dataset("rho", data=values)
        else:
            record = meshes.create_group("E")
            component = record.create_dataset("z", data=values)
        count = values.ndim
        record.attrs["gridSpacing"] = np.array([2.0, 3.0, 5.0])[:count]
        record.attrs["gridGlobalOffset"] = np.array([10.0, 20.0, 30.0])[:count]
        record.attrs["gridUnitSI"] = 0.1
        record.attrs["axisLabels"] = labels
        record.attrs["dataOrder"] = np.bytes_(order)
        component.attrs["position"] = np.array([0.5, 0.0, 0.0])[:count]
    return path


@pytest.mark.parametrize("scalar", [True, False])
@pytest.mark.parametrize("kind", ["S", "O"])
def test_openpmd_mesh(path: Path, scalar: bool, kind: str) -> None:
    labels = np.array(["x", "y", "z"], dtype="S1")
    labels = labels if kind == "S" else labels.astype(str).astype(object)
    image = sources.read(mesh(path, VALUES, labels, scalar=scalar))
    (read,) = image.arrays.values()
    np.testing.assert_array_equal(read, VALUES.T)
    assert image.grid.spacing == pytest.approx((0.2, 0.3, 0.5))
    assert image.grid.origin == pytest.approx((1.1, 2.0, 3.0))
    assert image.time == pytest.approx(3e-15)


def test_openpmd_orders(path: Path) -> None:
    image = sources.read(mesh(path, VALUES, list("zyx"), scalar=True))
    np.testing.assert_array_equal(image.arrays["rho"], VALUES)
    assert image.grid.spacing == pytest.approx((0.5, 0.3, 0.2))
    image = sources.read(mesh(path, VALUES, list("xyz"), scalar=True, order="F"))
    np.testing.assert_array_equal(image.arrays["rho"], VALUES)
    assert image.grid.spacing == pytest.approx((0.2, 0.3, 0.5))
    # Cylindrical modes have labels of their own.
    image = sources.read(mesh(path, VALUES, ["m", "r", "z"], scalar=True))
    np.testing.assert_array_equal(image.arrays["rho"], VALUES)


def test_openpmd_plane(path: Path) -> None:
    image = sources.read(mesh(path, VALUES[0], ["x", "z"], scalar=False))
    np.testing.assert_array_equal(image.arrays["z"], VALUES[0].T[:, None, :])
    assert image.grid.dimensions == (5, 1, 6)
    assert image.grid.spacing == pytest.approx((0.2, 1, 0.3))


@pytest.mark.parametrize("spacing", [[1.0, 1.0], [0.0, 1.0, 1.0], "wide", [np.nan] * 3])
def test_openpmd_that_is_none(path: Path, spacing: Any, refused: Any) -> None:
    mesh(path, VALUES, list("xyz"), scalar=True)
    with h5py.File(path, "a") as file:
        file["data/7/meshes/rho"].attrs["gridSpacing"] = spacing
    if isinstance(spacing, str) or len(spacing) != 3:
        assert sources.read(path).grid == GRID
    else:
        assert "header that is not valid" in refused(path)


# What must be refused


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (3.5, "scalar"),
        ("text", "text"),
        (np.array(["a", "b"], dtype="S1"), "text"),
        (np.zeros((4, 5, 6), dtype=[("a", "<f4"), ("b", "<i4")]), "compound"),
        (np.zeros((4, 5, 6), dtype=complex), "complex"),
        (np.zeros((4, 5, 6), dtype=np.longdouble), "longdouble|float128"),
        (np.zeros(5), "a (5 float64)"),
        (np.zeros((0, 3, 4)), "0×3×4"),
        (np.zeros((2, 3, 4, 10)), "2×3×4×10"),
        (h5py.Empty("f4"), "scalar"),
    ],
)
def test_datasets_that_are_no_images(path: Path, refused: Any, values: Any, reason: str) -> None:
    save(path, a=values)
    for selected in (path, f"{path}:a"):
        message = refused(selected)
        assert any(word in message for word in reason.split("|"))


def test_bad_paths(path: Path, refused: Any) -> None:
    save(path, g__a=VALUES, g__b=VALUES, **{"n\n\x1b": VALUES})
    with h5py.File(path, "a") as file:
        file["type"] = np.dtype("f4")
    for selector in ("/c", "g/a/b", "g/c", "a", "..", "type", "é\udcff", "x" * 5000, "g/a\0"):
        message = refused(f"{path}:{selector}")
        assert len(message) < 500
    assert "/g/a (4×5×6 float32)" in refused(f"{path}:/c")


def test_files_that_are_no_hdf5(path: Path, refused: Any) -> None:
    path.write_bytes(b"not HDF5 at all" * 100)
    assert "signature" in refused(path)
    save(path, a=VALUES)
    content = path.read_bytes()
    for keep in (9, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:keep])
        refused(path)


def test_an_empty_file(path: Path, refused: Any) -> None:
    save(path)
    assert "choose from: nothing" in refused(path)


def test_nothing_outside_the_file_is_read(tmp_path: Path, path: Path, refused: Any) -> None:
    save(tmp_path / "other.h5", a=VALUES)
    (tmp_path / "secret.raw").write_bytes(VALUES.tobytes())
    layout = h5py.VirtualLayout(shape=(4, 5, 6), dtype="f4")
    layout[...] = h5py.VirtualSource("other.h5", "a", shape=(4, 5, 6))
    with written(path) as file:
        file["link"] = h5py.ExternalLink("other.h5", "/a")
        file["indirect"] = h5py.SoftLink("/link")
        file["group/link"] = h5py.ExternalLink("other.h5", "/")
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset(
            "external", (4, 5, 6), "f4", external=[(str(tmp_path / "secret.raw"), 0, 480)]
        )
    assert "choose from: nothing" in refused(path)
    for selector in ("link", "indirect", "group/link/a"):
        assert "link to another file" in refused(f"{path}:{selector}")
    for selector in ("virtual", "external"):
        assert "values in other files" in refused(f"{path}:{selector}")


def test_no_virtual_dataset_is_probed(path: Path) -> None:
    """Asking for the shape of an unlimited one would wait for a pipe that nobody writes."""
    os.mkfifo(path.parent / "pipe.h5")
    layout = h5py.VirtualLayout(shape=(0, 5, 6), dtype="f4", maxshape=(None, 5, 6))
    source = h5py.VirtualSource("pipe.h5", "a", shape=(0, 5, 6), maxshape=(None, 5, 6))
    layout[: h5py.h5s.UNLIMITED, :, :] = source[: h5py.h5s.UNLIMITED, :, :]
    with written(path) as file:
        file.create_virtual_dataset("v", layout)
        file["a"] = VALUES
    assert list(sources.read(path).arrays) == ["a"]


def test_huge_claims_without_data(path: Path, watch: Callable[..., Any]) -> None:
    huge = (1 << 20, 1 << 20, 1 << 10)
    with written(path) as file:
        file.create_dataset("chunked", huge, "f8", chunks=(16, 16, 16), compression="gzip")
        file.create_dataset("contiguous", huge, "f8")
        file.create_dataset("touched", huge, "u1", chunks=(16, 16, 16))[0, 0, 0] = 1
        # One value needs the whole chunk in memory.
        shape = (1 << 14, 1 << 8, 1 << 8)
        wide = file.create_dataset(
            "wide", (1, 1, 1), "u1", maxshape=shape, chunks=shape, compression="gzip"
        )
        wide.id.write_direct_chunk((0, 0, 0), b"x" * 100)
    output = path.with_suffix(".inr")
    names = ("chunked", "contiguous", "touched", "wide", "nothing")
    done = watch(
        [["encode", f"{path}:{name}", "-o", output, "--ratio", 9, "--quiet"] for name in names]
        + [["encode", path, "-o", output, "--ratio", 9, "--quiet"]]
    )
    for outcome in done.outcomes:
        outcome.assert_one_line(3)
    assert not output.exists()
    assert done.peak_bytes < 1 << 30
    assert "was never written" in done.outcomes[0].errors


def test_too_many_objects(path: Path, refused: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    save(path, a=VALUES, g__b=VALUES, g__c=VALUES, g__d=VALUES)
    monkeypatch.setattr(hdf5_file, "_MOST_OBJECTS", 3)
    assert "choose a dataset by its path" in refused(path)
    assert "choose a dataset by its path" in refused(f"{path}:g")
    assert sources.read(f"{path}:a").grid == GRID


def test_filters_that_are_not_there(
    path: Path, refused: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with written(path) as file:
        file.create_dataset("a", data=VALUES, compression="gzip")
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda _: False)
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    assert "run: pip install hdf5plugin" in refused(path)


def test_large_attributes_are_left_alone(path: Path) -> None:
    with h5py.File(path, "w", libver="latest") as file:
        file["a"] = VALUES
        file["a"].attrs["gridSpacing"] = np.ones(100_000)
        file["a"].attrs["_FillValue"] = np.zeros(100_000)
    assert sources.read(path).arrays["a"][0, 0, 0] == 0


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_never_raise_anything_else(path: Path, data: Any) -> None:
    with written(path) as file:
        file.create_dataset("g/a", data=VALUES, chunks=(2, 5, 3), compression="gzip")
        file["g/a"].attrs["_FillValue"] = np.float32(3)
    content = bytearray(path.read_bytes())
    places = st.integers(0, len(content) - 1)
    for place, value in data.draw(
        st.lists(st.tuples(places, st.sampled_from([0, 1, 127, 255])), min_size=1, max_size=5)
    ):
        content[place] = value
    path.write_bytes(content)
    with suppress(SourceError):
        sources.read(path)
