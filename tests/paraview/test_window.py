"""ParaView's window, under a virtual display."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.paraview.conftest import GRID, SCRIPTS, Files, Outcome, Run

pytestmark = [pytest.mark.paraview, pytest.mark.gui]


@pytest.fixture(scope="module")
def window(
    run: Run, files: Files, display: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Outcome:
    """Show the volume; one start in many fails in the X window, so there is a second try."""
    paraview = ("paraview", "--dr", f"--script={SCRIPTS / 'window.py'}")
    seen = None
    for _ in range(2):
        folder = tmp_path_factory.mktemp("window")
        also = {
            **display,
            "TEST_FOLDER": str(folder),
            "TEST_FILES": f"{files.cut_short}:{files.volume}",
        }
        seen = run("grab.py", *paraview, program=(sys.executable,), also=also, folder=folder)
        if seen.result["alive"]:
            break
    assert seen is not None
    return seen


def test_window_shows_the_volume(window: Outcome) -> None:
    assert window.result["alive"], window.errors
    assert window.result["points"] == GRID.number_of_points
    assert window.result["contour"] > 0
    model, ratio, psnr_db = window.result["information"]
    assert model.startswith("siren")
    assert ratio > 1
    assert psnr_db > 0
    left, right = _halves(window.folder / "window.png")
    assert left > 50, "the properties panel is blank"
    assert right > 50, "the view is blank"


def test_bad_file_is_one_clear_line(window: Outcome) -> None:
    (line,) = (text for text in window.errors.splitlines() if "INR Reader" in text)
    assert "cut_short.inr is not a complete .inr file" in line
    assert "ERR|" not in window.errors


def _halves(path: Path) -> list[int]:
    """Count the colours of the left third and of the rest."""
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    width, height = picture.size
    boxes = ((0, 0, width // 3, height), (width // 3, 0, width, height))
    return [len(picture.crop(box).getcolors(maxcolors=1 << 24) or ()) for box in boxes]
