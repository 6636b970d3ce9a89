"""The reader in pvpython, without a picture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import inrvis
from inrvis.decoder.volume import Volume
from inrvis.grid import ImageGrid
from tests.paraview.conftest import GRID, Files, Outcome, Run

pytestmark = pytest.mark.paraview


@pytest.fixture(scope="module")
def seen(run: Run, files: Files) -> Outcome:
    return run("read.py", files.volume, files.later, files.without_time)


@pytest.fixture(scope="module")
def volume(files: Files) -> Iterator[Volume]:
    with inrvis.open(files.volume) as opened:
        yield opened


def assert_same(seen: Outcome, name: str, expected: dict[str, np.ndarray]) -> None:
    with np.load(seen.folder / f"{name}.npz") as arrays:
        assert sorted(arrays) == sorted(expected)
        for array, values in expected.items():
            assert arrays[array].dtype == values.dtype
            np.testing.assert_array_equal(arrays[array], values)


def geometry(grid: ImageGrid) -> dict[str, Any]:
    return {name: pytest.approx(values) for name, values in grid.to_json().items()}


def test_whole_volume_is_what_decode_gives(seen: Outcome, volume: Volume) -> None:
    expected = {name: volume.decode(name) for name in volume.arrays}
    assert np.ptp(expected["density"]) > 0
    assert_same(seen, "whole", expected)
    assert seen.result["scalars"] == "density"
    assert seen.result["offered"] == ["density", "speed"]


def test_geometry_is_that_of_the_source(seen: Outcome) -> None:
    # An extent that does not start at 0, anisotropic spacing and a rotation.
    assert seen.result["whole"] == GRID.to_json()


def test_information(seen: Outcome, volume: Volume) -> None:
    information = seen.result["information"]
    assert information["Model"].startswith("siren, ")
    assert information["Model"].endswith((" block", " blocks"))
    ratio = volume.header.original_bytes / volume.encoded_bytes
    assert information["CompressionRatio"] == pytest.approx(ratio)
    worst = min(array.metrics["psnr_db"] for array in volume.header.arrays)
    assert information["PSNR"] == pytest.approx(worst)
    assert information["DecodeDevice"] == volume.device.upper()


def test_only_the_part_asked_for_is_decoded(seen: Outcome, volume: Volume) -> None:
    extent = (5, 9, 0, 7, 6, 20)
    assert tuple(seen.result["asked for box"]) == extent
    assert seen.result["box"] == geometry(GRID.subgrid(extent))
    expected = {name: volume.decode(name, extent=extent) for name in volume.arrays}
    assert_same(seen, "box", expected)


def test_deselected_array_is_gone(seen: Outcome, volume: Volume) -> None:
    assert_same(seen, "deselected", {"speed": volume.decode("speed")})
    assert seen.result["deselected scalars"] == "speed"


def test_stride(seen: Outcome, volume: Volume) -> None:
    assert seen.result["strided"] == geometry(GRID.subgrid(stride=3))
    assert_same(seen, "strided", {name: volume.decode(name, stride=3) for name in volume.arrays})


def test_abort_leaves_nothing_and_the_next_run_is_whole(seen: Outcome) -> None:
    assert seen.result["aborted"] == []
    assert seen.result["after abort"] == ["density", "speed"]


def test_times(seen: Outcome) -> None:
    result = seen.result
    assert result["one time"] == {"steps": [2.5], "seen": [2.5] * 5}
    # Files are put into the order of their times; the step that began last is shown.
    assert result["stored times"] == {"steps": [2.5, 4.5], "seen": [2.5, 2.5, 2.5, 2.5, 4.5]}
    assert result["numbered"] == {"steps": [0, 1], "seen": [0, 1, 1, 1, 1]}
    assert result["no time"]["steps"] == []


def test_changed_file_is_read_again(seen: Outcome) -> None:
    assert seen.result["reloaded"] == 4.5


def test_standard_error_is_quiet(seen: Outcome) -> None:
    assert seen.errors.strip() == ""


# ---------------------------------------------------------------- errors


@pytest.fixture(scope="module")
def failed(run: Run, files: Files) -> Outcome:
    return run("fail.py", files.volume, files.cut_short, files.elsewhere)


@pytest.mark.parametrize(
    ("stage", "text"),
    [
        ("cut short", "cut_short.inr is not a complete .inr file"),
        ("missing", "/nowhere/to/be/found.inr cannot be read: No such file or directory"),
        ("another grid", "has another grid than"),
        ("stride", "Stride must be from 1 to 16; 16 is used instead of 99"),
    ],
)
def test_error_is_one_clear_line(failed: Outcome, stage: str, text: str) -> None:
    (line,) = failed.stage(stage)
    assert line.startswith("INR Reader: ")
    assert text in line


def test_nothing_comes_of_a_bad_file_and_a_good_one_opens_after_it(failed: Outcome) -> None:
    result = failed.result
    assert result["cut short"] == result["missing"] == result["another grid"] == 0
    assert result["good"] == GRID.number_of_points
    assert failed.stage("good") == []


def test_cuda_where_there_is_none(failed: Outcome) -> None:
    points, device = failed.result["cuda"]
    if device == "CUDA":
        pytest.skip("this machine has CUDA")
    (line,) = failed.stage("cuda")
    assert line.startswith("INR Reader: CUDA was asked for")
    assert points == 0
    assert failed.result["auto"] == GRID.number_of_points
    assert failed.stage("auto") == []


def test_stride_is_clamped(failed: Outcome) -> None:
    assert failed.result["stride"] == GRID.subgrid(stride=16).number_of_points
