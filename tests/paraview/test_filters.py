"""The filters in pvpython and on ranks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import inrvis
from inrvis import sources
from inrvis.comparison import error_field
from inrvis.decoder.gradients import gradient
from inrvis.decoder.resampling import GridPoints, resample, sampling_grid
from inrvis.grid import ImageGrid
from inrvis.metrics import measure
from inrvis.sources import Image
from inrvis.writers import write_image
from tests.paraview.conftest import GRID, Outcome, Run

pytestmark = pytest.mark.paraview

x, y, z = np.meshgrid(*(np.linspace(0, 1, n) for n in GRID.dimensions), indexing="ij")
DENSITY = (100 * np.sin(5 * x + 3 * y) * np.cos(4 * z)).T.astype(np.float32)
LABEL = (20 * (x + y * z)).T.astype(np.uint8)
MPI = ("mpiexec", "--allow-run-as-root", "--oversubscribe", "-np", "2", "pvbatch", "--sym")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("filters") / "source.vti"
    write_image(Image(GRID, {"density": DENSITY, "label": LABEL}, time=2.5), path)
    return path


@pytest.fixture(scope="module")
def encoded(source: Path) -> Path:
    path = source.with_suffix(".inr")
    inrvis.encode(source, path, target=inrvis.MaxError(0.5), model="none")
    return path


def geometry(grid: ImageGrid) -> dict[str, Any]:
    return {name: pytest.approx(values) for name, values in grid.to_json().items()}


def saved(outcome: Outcome, name: str) -> dict[str, np.ndarray]:
    with np.load(outcome.folder / f"{name}.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def filtered(run: Run, source: Path, encoded: Path) -> Outcome:
    return run("filters.py", source, encoded)


# ---------------------------------------------------------------- Neural Compress


def test_compress_hands_on_what_a_file_decodes_to(filtered: Outcome, tmp_path: Path) -> None:
    path = tmp_path / "same.inr"
    image = Image(GRID, {"density": DENSITY, "label": LABEL}, time=2.5)
    report = inrvis.encode(image, path, target=inrvis.MaxError(0.5), model="none")
    seen = saved(filtered, "bound")
    with inrvis.open(path) as volume:
        for name in volume.arrays:
            np.testing.assert_array_equal(seen[name], volume.decode(name))
    assert filtered.result["bound"] == GRID.to_json()
    information = filtered.result["bound information"]
    assert information == {
        "ChosenModel": report.model,
        "PSNR": pytest.approx(report.psnr_db),
        "MaximumError": pytest.approx(report.max_abs_error),
        "CompressionRatio": pytest.approx(report.compression_ratio),
        "EncodedBytes": report.encoded_bytes,
    }


def test_compress_gives_errors_and_measures(filtered: Outcome) -> None:
    seen, fields = saved(filtered, "bound"), filtered.result["fields"]
    assert list(seen) == ["density", "label", "density_error", "label_error"]
    assert fields["array"] == ["density", "label"]
    for i, (name, original) in enumerate((("density", DENSITY), ("label", LABEL))):
        error = seen[name].astype(float) - original.astype(float)
        np.testing.assert_allclose(seen[f"{name}_error"], error, atol=1e-5)
        assert 0 < np.abs(error).max() <= 0.5 or name == "label"
        for key, value in vars(measure(original, seen[name])).items():
            assert fields[key][i] == pytest.approx(value)


def test_compress_encodes_once_for_all_parts(filtered: Outcome) -> None:
    whole, box = saved(filtered, "bound"), saved(filtered, "box")
    part = GRID.slices((5, 9, 0, 7, 6, 20))
    for name, values in box.items():
        np.testing.assert_array_equal(values, whole[name][part])
    assert filtered.result["encodings of one setting"] == 1


def test_compress_tells_of_errors_in_one_line(filtered: Outcome) -> None:
    assert filtered.stage("bound") == []
    (line,) = filtered.stage("bad value")
    assert line == "Neural Compress: maximum error -1.0 is not a positive finite number"
    assert filtered.result["bad value"] == 0
    (line,) = filtered.stage("out of range")
    assert "Target must be from 0 to 4, not 99" in line
    (line,) = filtered.stage("cells")
    assert "use Cell Data to Point Data first" in line


def test_compress_stops_and_does_not_start_again_by_itself(filtered: Outcome) -> None:
    (line,) = filtered.stage("stopped")
    assert line == "Neural Compress: stopped; nothing was written"
    assert filtered.result["stopped"] == 0
    assert filtered.result["encodings after the stop"] == 0
    assert filtered.result["again"]["PSNR"] >= 40


# ---------------------------------------------------------------- Neural Resample


def test_resample_on_a_grid(filtered: Outcome, encoded: Path) -> None:
    seen = saved(filtered, "grid")
    grid = sampling_grid(GRID, (9, 10, 11))
    assert filtered.result["grid"] == geometry(grid)
    with inrvis.open(encoded) as volume:
        expected = resample(volume, GridPoints(grid))
    assert expected is not None
    for name, values in expected.values.items():
        np.testing.assert_allclose(seen[name].ravel(), values, atol=1e-4)
    assert seen["vtkValidPointMask"].all()


def test_resample_in_a_part_of_a_box(filtered: Outcome, encoded: Path) -> None:
    seen = saved(filtered, "part")
    grid = sampling_grid(GRID, (9, 10, 11), (0, 20, 10, 30, 40, 50)).subgrid((2, 5, 0, 9, 3, 3))
    assert filtered.result["part of a box"] == geometry(grid)
    points = GridPoints(grid)[:]
    with inrvis.open(encoded) as volume:
        expected = volume.sample("density", points).reshape(grid.shape)
    np.testing.assert_allclose(seen["density"], expected, atol=1e-4)
    np.testing.assert_array_equal(seen["vtkValidPointMask"], ~np.isnan(expected))
    assert 0 < np.isnan(expected).sum() < expected.size


@pytest.mark.parametrize(
    ("name", "kind"),
    [("sphere", "vtkPolyData"), ("image", "vtkImageData"), ("points", "vtkStructuredGrid")],
)
def test_resample_at_the_points_of_a_mesh(
    filtered: Outcome, encoded: Path, name: str, kind: str
) -> None:
    seen = saved(filtered, name)
    assert filtered.result[name] == kind
    with inrvis.open(encoded) as volume:
        for array in volume.arrays:
            expected = volume.sample(array, seen["points"])
            np.testing.assert_allclose(seen[array], expected, atol=1e-3)
            if name == "sphere":
                slopes = gradient(volume, array, seen["points"])
                np.testing.assert_allclose(seen[f"{array}_gradient"], slopes, atol=1e-2)
    assert seen["vtkValidPointMask"].sum() > 0
    # Arrays of the mesh itself, such as the normals of a sphere, stay behind.
    assert filtered.result["image arrays"] == ["density", "label", "vtkValidPointMask"]


def test_resample_at_the_points_of_several_meshes(filtered: Outcome) -> None:
    assert filtered.result["group"] == "vtkMultiBlockDataSet"
    assert filtered.result["group arrays"] == ["density", "label", "vtkValidPointMask"]
    assert filtered.result["group sizes"] == [50, 9261]


def test_resample_decodes_nothing(filtered: Outcome) -> None:
    assert filtered.result["decoded for sampling"] == []


def test_resample_tells_of_errors_in_one_line(filtered: Outcome) -> None:
    for name in ("resample", "sphere", "image", "points", "group"):
        assert filtered.stage(name) == []
    (line,) = filtered.stage("no reader")
    assert line.startswith("Neural Resample: the input must be an INR Reader")
    (line,) = filtered.stage("no points")
    assert "dimensions (0, 3, 3) are not three positive integers" in line
    (line,) = filtered.stage("stopped sampling")
    assert line == "Neural Resample: stopped; nothing was sampled"
    assert filtered.result["stopped sampling"] == 0


# ---------------------------------------------------------------- Compare


def test_compare(filtered: Outcome, encoded: Path) -> None:
    seen, metrics = saved(filtered, "errors"), filtered.result["metrics"]
    assert filtered.stage("compare") == []
    assert filtered.result["errors"] == GRID.to_json()
    assert metrics["array"] == ["density", "label"]
    with inrvis.open(encoded) as volume:
        for i, (name, original) in enumerate((("density", DENSITY), ("label", LABEL))):
            decoded = volume.decode(name)
            np.testing.assert_array_equal(seen[f"{name}_error"], error_field(original, decoded))
            for key, value in vars(measure(original, decoded)).items():
                assert metrics[key][i] == pytest.approx(value)


def test_compare_refuses_other_dimensions(filtered: Outcome) -> None:
    (line,) = filtered.stage("other dimensions")
    assert "they cannot be compared" in line


# ---------------------------------------------------------------- ranks


def test_ranks_share_one_encoding(run: Run, encoded: Path) -> None:
    from vtkmodules.vtkImagingCore import vtkRTAnalyticSource

    outcome = run("filters_ranks.py", encoded, program=MPI)
    wavelet = vtkRTAnalyticSource()
    wavelet.SetWholeExtent(-9, 9, -8, 8, -7, 7)
    wavelet.Update()
    original = sources.from_vtk(wavelet.GetOutput())
    (values,) = original.arrays.values()
    union = np.full_like(values, np.nan)
    for result in outcome.results:
        own, wider = (ImageGrid.from_json(result[name]) for name in ("piece", "ghosts"))
        assert own.number_of_points < wider.number_of_points < original.grid.number_of_points
        for name, grid in (("piece", own), ("ghosts", wider)):
            seen = saved(outcome, f"{name}{result['rank']}")
            part = original.grid.slices(grid.extent)
            np.testing.assert_allclose(
                seen["RTData_error"], seen["RTData"] - values[part], atol=1e-4
            )
            union[part] = seen["RTData"]
        assert result["errors"] == result["piece"]
    # One encoding of the whole, not one for each rank.
    assert measure(values, union).psnr_db == pytest.approx(outcome.results[0]["psnr_db"], abs=1e-3)
    assert outcome.results[0]["psnr_db"] == outcome.results[1]["psnr_db"] >= 50
    # The table of Compare is that of the whole, and there is one.
    rows = [row for result in outcome.results for row in result["rows"]]
    assert rows == [pytest.approx(outcome.results[0]["psnr_db"])]
    grid = sampling_grid(GRID, (9, 10, 11))
    sampled = np.zeros(grid.shape)
    for result in outcome.results:
        part = grid.slices(result["grid"]["extent"])
        sampled[part] = saved(outcome, f"grid{result['rank']}")["density"]
    with inrvis.open(encoded) as volume:
        expected = volume.sample("density", GridPoints(grid)[:]).reshape(grid.shape)
    np.testing.assert_allclose(sampled, expected, atol=1e-4)
