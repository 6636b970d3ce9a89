"""The shared volumes, each against the description beside it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inrvis import sources
from inrvis.sources import openvdb

pytestmark = pytest.mark.shared
FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data"
VOLUMES = sorted(path.stem for path in (FOLDER / "volumes").glob("*.json"))


@pytest.fixture(scope="module")
def data() -> Path:
    if not FOLDER.is_dir():
        pytest.skip(f"shared data is absent: {FOLDER}")
    return FOLDER


def described(data: Path, name: str) -> Any:
    return json.loads((data / "volumes" / f"{name}.json").read_text(encoding="utf-8"))


def test_there_are_volumes(data: Path) -> None:
    assert VOLUMES


@pytest.mark.parametrize("name", VOLUMES)
def test_volume(data: Path, name: str) -> None:
    pytest.importorskip("vtkmodules", reason="VTK is not installed")
    description = described(data, name)
    image = sources.read(data / "volumes" / f"{name}.vti")
    assert image.grid.dimensions == tuple(description["dims_xyz"])
    assert image.grid.spacing == pytest.approx(description["spacing_xyz"])
    assert image.grid.origin == pytest.approx(description["origin_xyz"])
    assert set(image.arrays) == set(description["arrays"])
    assert sum(v.nbytes for v in image.arrays.values()) == description["uncompressed_bytes"]
    for key, expected in description["arrays"].items():
        values = image.arrays[key]
        assert values.dtype == expected["dtype"]
        assert values.ndim == (4 if expected["components"] > 1 else 3)
        low, high = expected["value_range"]
        assert np.nanmin(values) == pytest.approx(low)
        assert np.nanmax(values) == pytest.approx(high)
        if values.dtype.kind == "f":
            nan_fraction = np.isnan(values).mean()
            assert nan_fraction == pytest.approx(expected["nan_fraction"], abs=1e-4)


@pytest.mark.parametrize(
    ("file", "options", "volume"),
    [
        ("tooth.nhdr", {}, "tooth_ct_u16"),
        ("tooth.raw", {"dimensions": (103, 94, 161), "dtype": ">u2"}, "tooth_ct_u16"),
        ("brain1_image.nrrd", {}, "mri_brain1_int16"),
        ("mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz", {}, "mni152_t1"),
        ("neghip.slc", {}, "neghip"),
        (
            "vorticity.128x128x41.f32",
            {"dimensions": (128, 128, 41), "dtype": "<f4"},
            "vorticity_f32",
        ),
    ],
)
def test_first_formats_hold_the_same_values(
    data: Path, file: str, options: dict[str, Any], volume: str
) -> None:
    pytest.importorskip("vtkmodules", reason="VTK is not installed")
    first = sources.read(data / "other" / file, **options)
    vti = sources.read(data / "volumes" / f"{volume}.vti")
    (values,) = vti.arrays.values()
    assert first.grid.dimensions == vti.grid.dimensions
    assert first.grid.spacing == pytest.approx(vti.grid.spacing)
    assert first.arrays["intensity"].dtype == values.dtype
    np.testing.assert_array_equal(first.arrays["intensity"], values)


def test_geometry_of_the_first_formats(data: Path) -> None:
    brain = sources.read(data / "other" / "brain1_image.nrrd").grid
    assert brain.origin == pytest.approx((-99.609375, 99.609375, -78))
    assert brain.direction == (1, 0, 0, 0, -1, 0, 0, 0, 1)
    name = "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
    assert sources.read(data / "other" / name).grid.origin == (-98, -134, -72)


def test_openpmd_mesh(data: Path) -> None:
    """The solenoid's axis is z; the mesh is stored with x slowest, as its labels say."""
    pytest.importorskip("vtkmodules", reason="VTK is not installed")
    image = sources.read(f"{data / 'other' / 'example-femm-3d.h5'}:/data/1/meshes/B")
    assert image.grid.spacing == pytest.approx((0.05, 0.05, 0.125))
    assert image.grid.origin == pytest.approx((-1.15, -1.15, -0.375))
    field = sources.read(data / "volumes" / "femm_bfield_vec_f64.vti").arrays["B"]
    for component, name in enumerate("xyz"):
        # The VTI has the axes in the order of storage.
        np.testing.assert_array_equal(image.arrays[name], field[..., component].T)
    np.testing.assert_allclose(image.arrays["z"], image.arrays["z"][:, ::-1, ::-1], atol=1e-12)


def test_openvdb(data: Path) -> None:
    pytest.importorskip("vtkmodules", reason="VTK is not installed")
    if not any(importlib.util.find_spec(name) for name in openvdb.MODULES):
        pytest.skip("OpenVDB's Python module is not installed (python3-openvdb)")
    image = sources.read(data / "other" / "smoke.vdb")
    vti = sources.read(data / "volumes" / "smoke_vdb.vti")
    first = np.rint(vti.grid.world_to_index([image.grid.origin])[0]).astype(int)
    nx, ny, nz = image.grid.dimensions
    x, y, z = first.tolist()
    box = vti.arrays["density"][z : z + nz, y : y + ny, x : x + nx]
    np.testing.assert_array_equal(image.arrays["density"], box)
    assert np.count_nonzero(box) == np.count_nonzero(vti.arrays["density"])
