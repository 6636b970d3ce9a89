"""OpenVDB, written here by its own module; and what the worker does where there is none."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inrvis import sources
from inrvis.errors import ArrayNotFoundError
from inrvis.grid import ImageGrid
from inrvis.sources import openvdb

MODULE = next((name for name in openvdb.MODULES if importlib.util.find_spec(name)), None)
VALUES = np.arange(1, 25, dtype=np.float32).reshape(2, 3, 4)  # (x, y, z)
MATRIX = [[0, 2.0, 0, 0], [3.0, 0, 0, 0], [0, 0, -1.0, 0], [1.0, 2.0, 3.0, 1.0]]


@pytest.fixture
def vdb() -> Any:
    if MODULE is None:
        pytest.skip("OpenVDB's Python module is not installed (python3-openvdb)")
    return importlib.import_module(MODULE)


def grid_of(
    kind: Any, name: str, values: Any, first: Any = (0, 0, 0), transform: Any = None, **options: Any
) -> Any:
    grid = kind(**options)
    grid.name = name
    grid.copyFromArray(values, ijk=first)
    if transform is not None:
        grid.transform = transform
    return grid


@pytest.fixture
def path(tmp_path: Path, vdb: Any) -> Path:
    """Return a file with grids of three types, in different boxes, under one transform."""
    turned = vdb.createLinearTransform(MATRIX)
    vectors = np.stack([VALUES, VALUES * 2, -VALUES], axis=-1)
    empty = vdb.FloatGrid()
    empty.name, empty.transform = "empty", turned
    grids = [
        grid_of(vdb.FloatGrid, "density", VALUES, (5, 6, 7), turned, background=0.5),
        grid_of(vdb.BoolGrid, "inside", VALUES > 3, (-4, 6, 7), turned),
        grid_of(vdb.Vec3SGrid, "velocity", vectors, (5, 6, 0), turned),
        empty,
    ]
    vdb.write(str(tmp_path / "a.vdb"), grids)
    return tmp_path / "a.vdb"


def test_one_grid(path: Path) -> None:
    image = sources.read(f"{path}:density")
    np.testing.assert_array_equal(image.arrays["density"], VALUES.T)
    assert image.arrays["density"].dtype == np.float32
    assert image.arrays["density"].flags.writeable
    assert image.grid.dimensions == (2, 3, 4)
    assert image.grid.spacing == (2, 3, 1)
    assert image.grid.direction == (0, 1, 0, 1, 0, 0, 0, 0, -1)
    # Index (i, j, k) of the file lies at (3 j + 1, 2 i + 2, 3 - k).
    assert image.grid.origin == (19, 12, -4)


def test_all_grids_share_the_box_around_them(path: Path) -> None:
    image = sources.read(path)
    assert image.grid.dimensions == (11, 3, 11)
    assert image.grid.index_to_world([[9, 0, 7]])[0].tolist() == [19, 12, -4]
    density = image.arrays["density"]
    np.testing.assert_array_equal(density[7:11, :, 9:11], VALUES.T)
    assert (density == 0.5).sum() == density.size - VALUES.size
    inside = image.arrays["inside"]
    assert inside.dtype == np.uint8
    np.testing.assert_array_equal(inside[7:11, :, :2], VALUES.T > 3)
    assert inside.sum() == (VALUES > 3).sum()
    velocity = image.arrays["velocity"]
    assert velocity.shape == (11, 3, 11, 3)
    np.testing.assert_array_equal(velocity[:4, :, 9:11, 1], VALUES.T * 2)
    assert not image.arrays["empty"].any()


def test_wanted_grids(path: Path, refused: Any) -> None:
    image = sources.read(path, arrays=["velocity", "density"])
    assert list(image.arrays) == ["velocity", "density"]
    assert image.grid.dimensions == (2, 3, 11)
    with pytest.raises(ArrayNotFoundError, match="'q'; choose from: density, empty, inside"):
        sources.read(path, arrays=["q", "density"])
    assert "no grid 'q'; choose from: density" in refused(f"{path}:q")
    assert "no grid 'density[0]'" in refused(f"{path}:density[0]")
    assert "no active voxel" in refused(f"{path}:empty")


def test_grids_of_different_transforms(tmp_path: Path, vdb: Any, refused: Any) -> None:
    grids = [
        grid_of(vdb.FloatGrid, "a", VALUES),
        grid_of(vdb.FloatGrid, "b", VALUES, (0, 0, 2), vdb.createLinearTransform(0.5)),
    ]
    vdb.write(str(tmp_path / "a.vdb"), grids)
    assert "FILE.vdb:NAME" in refused(tmp_path / "a.vdb")
    grid = sources.read(f"{tmp_path / 'a.vdb'}:b").grid
    assert grid == ImageGrid.from_dimensions((2, 3, 4), (0.5, 0.5, 0.5), (0, 0, 1))


def test_level_set(tmp_path: Path, vdb: Any) -> None:
    """The inside of a level set is not active, and holds the background's negative."""
    sphere = vdb.createLevelSetSphere(10.0, voxelSize=1.0)
    vdb.write(str(tmp_path / "a.vdb"), [sphere])
    image = sources.read(tmp_path / "a.vdb")
    (values,) = image.arrays.values()
    assert values[tuple(count // 2 for count in values.shape)] == -sphere.background
    assert values[0, 0, 0] == sphere.background
    points = np.argwhere(np.ones(values.shape))[:, ::-1]
    distance = np.linalg.norm(image.grid.index_to_world(points), axis=1) - 10
    limit = sphere.background
    np.testing.assert_allclose(values.ravel(), np.clip(distance, -limit, limit), atol=0.1)


def test_frustum_and_a_grid_without_a_name(tmp_path: Path, vdb: Any) -> None:
    grid = grid_of(vdb.FloatGrid, "", VALUES, (1, 2, 3))
    grid.transform = vdb.createFrustumTransform((0, 0, 0), (10, 10, 10), 0.5, 2)
    vdb.write(str(tmp_path / "a.vdb"), [grid])
    image = sources.read(tmp_path / "a.vdb")
    np.testing.assert_array_equal(image.arrays["intensity"], VALUES.T)
    assert image.grid == ImageGrid.from_dimensions((2, 3, 4), origin=(1, 2, 3))


def test_large_tiles(tmp_path: Path, vdb: Any) -> None:
    grid = vdb.FloatGrid()
    grid.fill((0, 0, 0), (63, 63, 63), 3.0)
    vdb.write(str(tmp_path / "a.vdb"), [grid])
    (values,) = sources.read(tmp_path / "a.vdb").arrays.values()
    assert values.shape == (64, 64, 64)
    assert (values == 3).all()


def test_a_box_that_fills_no_machine(tmp_path: Path, vdb: Any, refused: Any) -> None:
    grid = vdb.FloatGrid()
    for first in (0, 10**6):
        grid.copyFromArray(VALUES, ijk=(first,) * 3)
    vdb.write(str(tmp_path / "a.vdb"), [grid])
    assert "claims" in refused(tmp_path / "a.vdb")


@pytest.mark.parametrize("keep", [0.02, 0.3, 0.9])
def test_truncated(path: Path, keep: float, refused: Any) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    assert "OpenVDB cannot read" in refused(path)


def test_a_file_of_another_format(tmp_path: Path, vdb: Any, refused: Any) -> None:
    (tmp_path / "a.vdb").write_bytes(b"nonsense" * 100)
    assert "not a VDB file" in refused(tmp_path / "a.vdb")


def test_a_library_that_ends_the_process(
    tmp_path: Path, refused: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenVDB meets some damaged files with abort()."""
    (tmp_path / "aborting.py").write_text("import os; os.abort()", encoding="utf-8")
    (tmp_path / "a.vdb").write_bytes(b"x")
    monkeypatch.setattr(openvdb, "MODULES", ("aborting",))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    assert "the file is damaged" in refused(tmp_path / "a.vdb")


def test_no_library(tmp_path: Path, refused: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.vdb").write_bytes(b"x")
    monkeypatch.setattr(openvdb, "MODULES", ("absent_openvdb",))
    assert "run: apt-get install python3-openvdb" in refused(tmp_path / "a.vdb")


def test_pvpython_names_another_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/usr/bin/vtkpython")
    interpreter = Path(openvdb._interpreter())
    assert interpreter.name == f"python3.{sys.version_info.minor}"
    assert interpreter.is_file()
