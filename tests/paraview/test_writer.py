"""Files that ParaView's own programs write through the plugin."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import inrvis
from inrvis import sources
from inrvis.sources import Image
from inrvis.writers import write_image
from tests.paraview.conftest import GRID as LARGER
from tests.paraview.conftest import Outcome, Run

pytestmark = pytest.mark.paraview

# A part of the usual grid: encoding is what takes the time here.
GRID = LARGER.subgrid((3, 14, -2, 7, 5, 12))
x, y, z = np.meshgrid(*(np.linspace(0, 1, n) for n in GRID.dimensions), indexing="ij")
DENSITY = (100 * np.sin(5 * x + 3 * y) * np.cos(4 * z)).T.astype(np.float32)
LABEL = (20 * (x + y * z)).T.astype(np.uint8)


@pytest.fixture(scope="module")
def written(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    path = tmp_path_factory.mktemp("write") / "source.vti"
    write_image(Image(GRID, {"density": DENSITY, "label": LABEL}, time=2.5), path)
    return run("write.py", path)


def test_every_target_makes_a_file(written: Outcome) -> None:
    names = {"bound.inr", "share.inr", "psnr.inr", "network.inr"}
    assert names < set(written.result["files"])
    for name in names:
        with inrvis.open(written.folder / name) as volume:
            assert volume.grid == GRID
            assert volume.arrays == ("density", "label")
            assert volume.decode("label").dtype == np.uint8


def test_bounds_hold(written: Outcome) -> None:
    for name, bounds in (("bound", (0.25, 0.25)), ("share", (0.01 * 200, 0.01 * 40))):
        with inrvis.open(written.folder / f"{name}.inr") as volume:
            for array, values, bound in zip(volume.arrays, (DENSITY, LABEL), bounds, strict=True):
                error = np.abs(volume.decode(array).astype(float) - values.astype(float))
                assert error.max() <= bound


def test_a_bad_value_is_one_line_and_no_file(written: Outcome) -> None:
    (line,) = written.stage("refused")
    assert "PSNR -1.0 is not a positive finite number" in line
    assert "refused.inr" not in written.result["files"]


def test_extracts_are_a_file_a_step(written: Outcome) -> None:
    extracts = [name for name in written.result["files"] if name.startswith("extracts/")]
    assert "extracts/wave_000.inr" in extracts
    with inrvis.open(written.folder / extracts[0]) as volume:
        assert volume.grid.dimensions == (13, 11, 9)
        assert volume.array().metrics["psnr_db"] >= 50


def test_ranks_write_one_file(run: Run) -> None:
    program = ("mpiexec", "--allow-run-as-root", "--oversubscribe", "-np", "2", "pvbatch")
    outcome = run("write_ranks.py", program=program)
    assert outcome.result["files"] == ["pieces.inr"]
    from vtkmodules.vtkImagingCore import vtkRTAnalyticSource

    wavelet = vtkRTAnalyticSource()
    wavelet.SetWholeExtent(-9, 9, -8, 8, -7, 7)
    wavelet.Update()
    original = sources.from_vtk(wavelet.GetOutput())
    with inrvis.open(Path(outcome.folder) / "pieces.inr") as volume:
        assert volume.grid == original.grid
        (values,) = original.arrays.values()
        assert np.abs(volume.decode() - values).max() <= 0.5
