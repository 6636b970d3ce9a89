"""`inrvis decode` of a database of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import inrvis.cli
from inrvis.decoder.images import Images
from inrvis.parameters import Cell, Parameter
from inrvis.sources import cinema
from inrvis.sources.database import ImageDatabase, StoredImage

torch = pytest.importorskip("torch")

from inrvis.encoder.images.encode import encode_images  # noqa: E402
from inrvis.encoder.images.settings import ExactSettings, ImageTraining  # noqa: E402


def _stored(colour: int, channels: int) -> StoredImage:
    y, x = np.mgrid[:33, :41]
    plane = (x * 5 + y + colour) % 256
    if channels == 1:
        pixels = np.where(x > 3, plane, np.nan).astype(np.float32)
        return StoredImage(33, 41, 1, "float32", lambda: pixels)
    coloured = np.stack([plane] * 3, -1).astype(np.uint8)
    return StoredImage(33, 41, 3, "uint8", lambda: coloured)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("images") / "views.inr"
    parameters = (Parameter("phi", ("000.00", "120.00")), Parameter("producer", ("P", "R")))
    # One cell has no image at all, and one image stands in two cells.
    cells = (
        Cell((0, 0), (0, -1)),
        Cell((1, 0), (1, -1)),
        Cell((0, 1), (0, 2)),
        Cell((1, 1), (-1, -1)),
    )
    images = (_stored(0, 3), _stored(90, 3), _stored(0, 1))
    database = ImageDatabase(parameters, ("FILE_png", "FILE_vtk"), cells, images)
    small = ExactSettings(channels=8, latents=6, hyperlatents=4, features=8, analysis=12)
    training = ImageTraining(steps=2, batch=1, crop=32)
    encode_images(database, path, small, training, device="cpu", force=True)
    return path


def test_a_file_becomes_a_database_of_what_it_decodes_to(file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out.cdb"
    assert inrvis.cli.main(["decode", str(file), "-o", str(folder), "--quiet"]) == 0
    database = cinema.read(folder)
    with Images(file) as images:
        assert database.parameters == images.parameters
        assert database.columns == images.columns
        assert [c.values for c in database.cells] == [c.values for c in images.cells]
        for cell, stored in zip(database.cells, images.cells, strict=True):
            for number, original in zip(cell.images, stored.images, strict=True):
                assert (number < 0) == (original < 0)
                if number >= 0:
                    pixels = database.images[number].load()
                    np.testing.assert_array_equal(pixels, images.decode(original))
    lines = (folder / "data.csv").read_text().splitlines()
    assert lines[0] == "phi,producer,FILE_png,FILE_vtk"
    assert lines[4] == "120.00,R,,"


def test_one_column_of_several(file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out.cdb"
    arguments = ["decode", str(file), "-o", str(folder), "--quiet", "--array", "FILE_vtk"]
    assert inrvis.cli.main(arguments) == 0
    assert cinema.read(folder).columns == ("FILE_vtk",)
    assert len(cinema.read(folder).images) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--array", "depth"], "it has FILE_png, FILE_vtk"),
        (["--stride", "2"], "leave them out"),
    ],
)
def test_wrong_options_are_one_line_and_leave_nothing(
    file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    folder = tmp_path / "out.cdb"
    assert inrvis.cli.main(["decode", str(file), "-o", str(folder), "--quiet", *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "keep.txt").write_text("mine")
    assert inrvis.cli.main(["decode", str(file), "-o", str(tmp_path), "--quiet"]) == 3
    assert "exists" in capsys.readouterr().err
    assert (tmp_path / "keep.txt").read_text() == "mine"


def test_commands_of_volumes_say_what_they_are_for(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (
        ["compare", str(tmp_path / "o.cdb"), str(file)],
        ["decode", str(file), "-o", str(tmp_path / "o.vti"), "--quiet"],
        ["decode", str(file), "-o", str(tmp_path / "o.cdb"), "--layers", "base", "--quiet"],
    ):
        assert inrvis.cli.main(words) == 2
        assert "holds images" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
