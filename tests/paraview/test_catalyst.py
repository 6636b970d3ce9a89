"""The example of a simulation under Catalyst: alone, on two ranks, and when it crashes."""

from __future__ import annotations

import csv
import importlib.util
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image as Picture

import inrvis
from inrvis.metrics import measure

pytestmark = pytest.mark.paraview

EXAMPLE = Path(__file__).parents[2] / "examples" / "catalyst"
RANKS = ("mpiexec", "--allow-run-as-root", "--oversubscribe", "-np", "2")
DIMENSIONS = (20, 18, 16)
WORDS = (
    *("--dimensions", *map(str, DIMENSIONS), "--spots", "1", "--before", "120", "--every", "10"),
    *("--ratio", "4", "--time-budget", "1"),
)


@dataclass(frozen=True)
class Simulated:
    status: int
    output: str
    folder: Path


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def simulate(environment: dict[str, str], folder: Path, *words: str, ranks: int = 1) -> Simulated:
    """Run the example as its README says."""
    start = (*RANKS, "/usr/bin/python3", "-m", "mpi4py") if ranks > 1 else ("/usr/bin/python3",)
    done = subprocess.run(
        [*start, str(EXAMPLE / "sim.py"), *WORDS, *words, "--output", str(folder)],
        env={**environment, "OMP_NUM_THREADS": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert "INR Writer" not in done.stderr, done.stderr
    return Simulated(done.returncode, done.stdout, folder)


def expected(step: int) -> np.ndarray:
    """Field v after as many solver steps, without Catalyst and on one rank."""
    solver = load("gray_scott")
    simulation = solver.GrayScott(solver.Domain(DIMENSIONS), spots=1)
    simulation.advance(step)
    values: np.ndarray = simulation.piece()[1]["v"]
    return values


def check_steps(folder: Path, steps: list[int]) -> None:
    """Every step is there, of the field that it should be, in the size that was asked for."""
    with inrvis.open(folder / "run.inr") as run:
        assert run.times == pytest.approx([0.8 * step for step in steps])
        assert run.grid.dimensions == DIMENSIONS
        for step, volume in zip(steps, run, strict=True):
            original, decoded = expected(step), volume.decode("v")
            found = measure(original, decoded).psnr_db
            # What the file says of itself is true: it was made of this very field.
            assert found == pytest.approx(volume.array("v").metrics["psnr_db"], abs=0.01)
            assert found > 5
    assert (folder / "run.inr").stat().st_size <= len(steps) * original.nbytes / 4


def test_a_run_and_its_pictures(
    environment: dict[str, str], display: dict[str, str], tmp_path: Path
) -> None:
    words = ("--steps", "2", "--files", "--pictures", "48", "--compare")
    done = simulate({**environment, **display}, tmp_path, *words)
    assert done.status == 0
    assert done.output.count("dB after") == 2
    assert "\nwarm start: " in done.output
    assert " dB, the warm start saved " in done.output
    check_steps(tmp_path, [120, 130])
    for number, step in enumerate((120, 130)):
        with (
            inrvis.open(tmp_path / f"v_{step:06d}.inr", time_index=0) as alone,
            inrvis.open(tmp_path / "run.inr", time_index=number) as together,
        ):
            assert alone.times == together.times
            assert alone.grid == together.grid
    with (tmp_path / "v.cdb" / "data.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["timestep"] for row in rows} == {"120", "130"}
    assert len(rows) == 2 * 4 * 3
    pixels = [np.asarray(Picture.open(tmp_path / "v.cdb" / row["FILE"])) for row in rows]
    assert all(p.shape == (48, 48, 3) for p in pixels)
    for picture in pixels:
        # All of the contour is in sight, from every side.
        shown = (picture != picture[0, 0]).any(axis=-1)
        assert shown.any()
        assert not shown[[0, -1]].any()
        assert not shown[:, [0, -1]].any()


def test_a_crash_on_two_ranks_leaves_every_finished_step(
    environment: dict[str, str], tmp_path: Path
) -> None:
    done = simulate(environment, tmp_path, "--steps", "9", "--crash-at", "2", ranks=2)
    # Killed, not ended.
    assert done.status != 0
    assert done.output.count("dB after") == 2
    # What two ranks computed is what one computes, to the last bit.
    check_steps(tmp_path, [120, 130])
