"""Time steps in one file: ParaView's times, and extractors that make such files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import inrvis
from inrvis.encoder.rate_control import encode_to_target
from inrvis.encoder.settings import TrainingSettings
from inrvis.sources import Image
from tests.paraview.conftest import GRID, Outcome, Run

pytestmark = pytest.mark.paraview

BOUND = inrvis.MaxError(0.01)
TIMES = (0.0, 0.5, 1.5)
# So near to the first step that its network is a good beginning.
CLOSE = 0.1


def image(time: float) -> Image:
    x, y, _ = np.meshgrid(*(np.linspace(0, 1, n) for n in GRID.dimensions), indexing="ij")
    return Image(GRID, {"speed": np.sin(3 * x + 2 * y + time).T.astype(np.float32)}, time)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("series")
    names = ("run", "later", "longer", "other", "trained", "close")
    made = {name: folder / f"{name}.inr" for name in names}
    inrvis.encode([image(t) for t in TIMES], made["run"], target=BOUND, model="none")
    inrvis.encode(image(2.5), made["later"], target=BOUND, model="none")
    made["longer"].write_bytes(made["run"].read_bytes())
    inrvis.encode(image(4.0), made["longer"], target=BOUND, model="none", mode="append")
    inrvis.encode([image(7.0)], made["other"], target=BOUND, model="none")
    encode_to_target(
        image(0.0), made["trained"], inrvis.Ratio(4), TrainingSettings(seconds=1.5),
        model="siren", device="cpu", mode="append",
    )  # fmt: skip
    inrvis.encode([image(CLOSE)], made["close"], target=BOUND, model="none")
    return made


@pytest.fixture(scope="module")
def seen(run: Run, files: dict[str, Path]) -> Outcome:
    return run("series.py", *files.values())


def test_steps_of_a_file_are_time_steps(seen: Outcome, files: dict[str, Path]) -> None:
    result = seen.result
    assert result["times"] == list(TIMES)
    assert result["model"] == "interpolation"
    # The step that began last is shown.
    for asked, shown in ((1.5, 1.5), (0.0, 0.0), (0.9, 0.5)):
        assert result[f"at {asked}"] == shown
        with inrvis.open(files["run"], time_index=TIMES.index(shown)) as step:
            values = np.load(seen.folder / f"at {asked}.npz")["speed"]
            np.testing.assert_array_equal(values, step.decode())


def test_files_of_one_and_of_many_steps_mix(seen: Outcome) -> None:
    assert seen.result["mixed"] == [*TIMES, 2.5]
    assert seen.result["twice"] == [0, 1, 2, 3, 4, 5]


def test_a_file_that_changes_under_an_open_pipeline(seen: Outcome) -> None:
    result = seen.result
    # One that has only grown still has the steps that were there.
    assert result["still"] == GRID.number_of_points
    assert result["longer"] == [*TIMES, 4.0]
    assert seen.stage("longer") == []
    (line,) = seen.stage("other")
    assert "holds other time steps than before; use Reload Files" in line
    assert (result["other"], result["reloaded"]) == (0, 7.0)


def test_an_extractor_makes_one_file_grow(seen: Outcome) -> None:
    assert seen.stage("one") == []
    written = seen.result["written"]
    assert written == ["cold/run.inr", "numbered/run_000.inr", "one/run.inr", "warm/run.inr"]
    for name in ("numbered/run_000.inr", "one/run.inr"):
        with inrvis.open(seen.folder / name) as series:
            assert series.times == TIMES
            assert series.grid == GRID
            for step in series:
                error = np.abs(step.decode() - image(step.times[0]).arrays["speed"])
                assert error.max() <= 0.02


def test_an_extractor_goes_on_from_the_last_step(seen: Outcome) -> None:
    found = {}
    for name in ("cold", "warm"):
        with inrvis.open(seen.folder / name / "run.inr") as series:
            assert series.times == (0.0, CLOSE)
            found[name] = float(series[1].array("speed").metrics["psnr_db"])
    # A second is too short for a new network on any machine.
    assert found["warm"] > found["cold"] + 3
