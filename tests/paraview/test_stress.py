"""The plugin under stress: many cycles, damaged and changing files, senseless values."""

from __future__ import annotations

import pytest

from tests.paraview.conftest import GRID, Files, Outcome, Run

pytestmark = pytest.mark.paraview

WHOLE = GRID.number_of_points


@pytest.fixture(scope="module")
def stressed(run: Run, files: Files) -> Outcome:
    return run("stress.py", files.volume, files.later, files.damaged, files.cut_short)


@pytest.mark.parametrize("what", ["cycles", "steps"])
def test_neither_memory_nor_files_grow(stressed: Outcome, what: str) -> None:
    (before, files_before), (after, files_after) = stressed.result[what][-2:]
    # A reader that stayed would hold 1.8 MB: 270 MB in 150 cycles.
    assert after - before < 8
    assert files_after == files_before
    assert stressed.stage(what) == []
    if what == "steps":
        assert stressed.result["steps"][0] == 100


def test_a_corrupt_file_in_a_series_is_one_line_and_the_others_stay(stressed: Outcome) -> None:
    result = stressed.result
    times, seen = result["damaged"]
    assert times == [0, 1, 2]
    assert [points for points, _ in seen] == [WHOLE, 0, WHOLE, 0, WHOLE]
    # A filter behind the reader keeps what it has, and says nothing.
    assert all(points > 0 for _, points in seen)
    assert [points for points, _ in result["damaged first"]] == [0, WHOLE]
    for stage in ("damaged", "damaged first"):
        (line,) = stressed.stage(stage)
        assert line.startswith("INR Reader: ")
        assert "damaged.inr" in line


def test_a_file_without_a_header_is_left_out_of_a_series(stressed: Outcome) -> None:
    seen, times = stressed.result["cut short"]
    assert times == [2.5, 4.5]
    assert [points for points, _ in seen] == [WHOLE, WHOLE]
    (line,) = stressed.stage("cut short")
    assert "cut_short.inr is not a complete .inr file" in line
    assert line.endswith("; the other files are shown")
    # It keeps its number where files are numbered, as does one that is not there.
    seen, times = stressed.result["cut short and numbered"]
    assert times == [0, 2, 4]
    assert [points for points, _ in seen] == [WHOLE, WHOLE, WHOLE]
    cut_short, nowhere = stressed.stage("cut short and numbered")
    assert "cut_short.inr" in cut_short
    assert "nowhere.inr cannot be read: No such file" in nowhere


def test_a_file_that_vanishes_is_one_line_and_may_come_back(stressed: Outcome) -> None:
    (line,) = stressed.stage("vanished")
    assert "vanishing.inr cannot be read: No such file" in line
    result = stressed.result
    assert result["slice of what is there"] == WHOLE
    assert result["vanished"] == 0
    assert result["came back"] == GRID.subgrid(stride=2).number_of_points


def test_reading_while_another_process_writes(stressed: Outcome) -> None:
    result = stressed.result
    assert result["written"] == [result["expected"]]
    # A file whose time is another one by the time it is decoded is told of; nothing else is.
    assert all("use Reload Files" in line for line in stressed.stage("written"))
    assert stressed.stage("written at last") == []
    assert result["written at last"] == result["expected"]


def test_two_readers_of_one_file(stressed: Outcome) -> None:
    assert stressed.result["two readers"]
    assert stressed.stage("two readers") == []


def test_values_out_of_range_are_told_and_put_right(stressed: Outcome) -> None:
    lines = stressed.stage("out of range")
    assert len(lines) == 5
    assert sum("Stride must be from 1 to 16" in line for line in lines) == 3
    assert stressed.result["out of range"] == GRID.subgrid(stride=16).number_of_points
    points, arrays = stressed.result["no array"]
    assert points > 0
    assert arrays == []


def test_values_that_are_none_are_refused_in_one_line(stressed: Outcome) -> None:
    lines = stressed.stage("not a number")
    assert len(lines) == 5
    assert sum("is not a positive finite number" in line for line in lines) == 3
    assert sum("not three positive integers" in line for line in lines) == 1
    assert sum("are not a box" in line for line in lines) == 1
