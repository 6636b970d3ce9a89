"""The filters in pvpython and on ranks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import inrvis
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


def saved(outcome: Outcome, name: str) -> dict[str, np.ndarray]:
    with np.load(outcome.folder / f"{name}.npz") as arrays:
        return dict(arrays)


# ---------------------------------------------------------------- Neural Compress


@pytest.fixture(scope="module")
def compressed(run: Run, source: Path) -> Outcome:
    return run("compress.py", source)


def test_compress_hands_on_what_a_file_decodes_to(compressed: Outcome, tmp_path: Path) -> None:
    path = tmp_path / "same.inr"
    image = Image(GRID, {"density": DENSITY, "label": LABEL}, time=2.5)
    report = inrvis.encode(image, path, target=inrvis.MaxError(0.5), model="none")
    seen = saved(compressed, "bound")
    with inrvis.open(path) as volume:
        for name in volume.arrays:
            np.testing.assert_array_equal(seen[name], volume.decode(name))
    assert compressed.result["bound"] == GRID.to_json()
    information = compressed.result["bound information"]
    assert information == {
        "ChosenModel": report.model,
        "PSNR": pytest.approx(report.psnr_db),
        "MaximumError": pytest.approx(report.max_abs_error),
        "CompressionRatio": pytest.approx(report.compression_ratio),
        "EncodedBytes": report.encoded_bytes,
    }


def test_compress_gives_errors_and_measures(compressed: Outcome) -> None:
    seen, fields = saved(compressed, "bound"), compressed.result["fields"]
    assert list(seen) == ["density", "label", "density_error", "label_error"]
    assert fields["array"] == ["density", "label"]
    for i, (name, original) in enumerate((("density", DENSITY), ("label", LABEL))):
        error = seen[name].astype(float) - original.astype(float)
        np.testing.assert_allclose(seen[f"{name}_error"], error, atol=1e-5)
        assert 0 < np.abs(error).max() <= 0.5 or name == "label"
        for key, value in vars(measure(original, seen[name])).items():
            assert fields[key][i] == pytest.approx(value)


def test_compress_encodes_once_for_all_parts(compressed: Outcome) -> None:
    whole, box = saved(compressed, "bound"), saved(compressed, "box")
    part = GRID.slices((5, 9, 0, 7, 6, 20))
    for name, values in box.items():
        np.testing.assert_array_equal(values, whole[name][part])
    assert compressed.result["encodings of one setting"] == 1


def test_compress_tells_of_errors_in_one_line(compressed: Outcome) -> None:
    assert compressed.stage("bound") == []
    (line,) = compressed.stage("bad value")
    assert line == "Neural Compress: maximum error -1.0 is not a positive finite number"
    assert compressed.result["bad value"] == 0
    (line,) = compressed.stage("out of range")
    assert "Target must be from 0 to 4, not 99" in line
    (line,) = compressed.stage("cells")
    assert "use Cell Data to Point Data first" in line


def test_compress_stops_and_does_not_start_again_by_itself(compressed: Outcome) -> None:
    (line,) = compressed.stage("stopped")
    assert line == "Neural Compress: stopped; nothing was written"
    assert compressed.result["stopped"] == 0
    assert compressed.result["encodings after the stop"] == 0
    assert compressed.result["again"]["PSNR"] >= 40


def test_ranks_compress_one_image(run: Run) -> None:
    from vtkmodules.vtkImagingCore import vtkRTAnalyticSource

    from inrvis import sources

    outcome = run("compress_ranks.py", program=MPI)
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
    # One encoding of the whole, not one for each rank.
    assert measure(values, union).psnr_db == pytest.approx(outcome.results[0]["psnr_db"], abs=1e-3)
    assert outcome.results[0]["psnr_db"] == outcome.results[1]["psnr_db"] >= 50
