"""The reader of image databases in pvpython, and the flip book of the examples."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from inrvis.decoder.images import Images
from inrvis.encoder.images.encode import encode_images
from inrvis.encoder.images.settings import ExactSettings, ImageTraining, NervSettings
from inrvis.parameters import Cell, Parameter, find_cell
from inrvis.sources import cinema
from inrvis.sources.database import ImageDatabase, Pixels, StoredImage
from inrvis.targets import Ratio
from tests.paraview.conftest import Outcome, Run

pytestmark = pytest.mark.paraview

HEIGHT, WIDTH = 37, 45
PARAMETERS = (
    Parameter("phi", ("000.00", "120.00", "240.00")),
    Parameter("producer", ("PNG1", "REC1")),
    Parameter("theta", ("-30",)),
    Parameter("time", ("0", "0.5", "1")),
)


def _stored(azimuth: int, time: int, floating: bool) -> StoredImage:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    distance = np.hypot(x - 12 - 8 * azimuth, y - 12 - 4 * time)
    if floating:
        values = np.where(distance < 10, distance, np.nan).astype(np.float32)
        return StoredImage(HEIGHT, WIDTH, 1, "float32", lambda: values)
    shade = np.clip(255 - 20 * distance, 0, 255)
    colours = np.stack([shade, shade / 2 + y, np.full(shape=shade.shape, fill_value=60.0)], -1)
    pixels = colours.clip(0, 255).astype(np.uint8)
    return StoredImage(HEIGHT, WIDTH, 3, "uint8", lambda: pixels)


def database() -> ImageDatabase:
    """As ParaView exports it: one producer's images in one column, the other's in the next."""
    images, cells = [], []
    for time in range(3):
        for azimuth in range(3):
            for producer in range(2):
                row = (len(images), -1) if producer == 0 else (-1, len(images))
                images.append(_stored(azimuth, time, floating=producer == 1))
                cells.append(Cell((azimuth, producer, 0, time), row))
    return ImageDatabase(PARAMETERS, ("FILE_png", "FILE_vtk"), tuple(cells), tuple(images))


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("views") / "views.inr"
    small = ExactSettings(channels=8, latents=6, hyperlatents=4, features=8, analysis=12)
    training = ImageTraining(steps=4, batch=2, crop=32)
    encode_images(database(), path, small, training, device="cpu", force=True)
    return path


@pytest.fixture(scope="module")
def network(views: Path) -> Path:
    """The same as one network, which gives images between the stored ones."""
    path = views.with_name("network.inr")
    codec = NervSettings("e-nerv", Ratio(4), width=8, stride=16)
    training = replace(ImageTraining.implicit(), steps=8)
    encode_images(database(), path, codec, training, device="cpu", force=True)
    return path


@pytest.fixture(scope="module")
def seen(
    run: Run, views: Path, network: Path, repository: Path, display: dict[str, str]
) -> Outcome:
    volume = repository / "tests" / "golden" / "format1_direct.inr"
    damaged = views.with_name("damaged.inr")
    damaged.write_bytes(views.read_bytes()[: views.stat().st_size // 2])
    return run("images.py", views, damaged, volume, network, also=display)


@pytest.fixture(scope="module")
def graphical(environment: dict[str, str], display: dict[str, str]) -> dict[str, str]:
    return {**environment, **display}


@pytest.fixture(scope="module")
def images(views: Path) -> Iterator[Images]:
    with Images(views) as opened:
        yield opened


def expected(images: Images, column: int, **values: str) -> Pixels:
    cell = find_cell(images.parameters, images.cells, values)
    pixels = images.decode(cell.images[column])
    return pixels if pixels.ndim == 3 else pixels[..., np.newaxis]


def assert_shown(seen: Outcome, name: str, pixels: Pixels) -> None:
    # VTK counts rows from the bottom.
    found = np.load(seen.folder / f"{name}.npy")[::-1]
    assert found.dtype == pixels.dtype
    np.testing.assert_array_equal(found, pixels)


def test_each_kind_of_file_opens_in_its_reader(seen: Outcome) -> None:
    assert seen.result["reader"] == ["INRImageReader", "INRReader"]


def test_what_is_stored_is_offered(seen: Outcome) -> None:
    assert seen.result["offered"] == {
        "Column": ["FILE_png", "FILE_vtk"],
        "TimeParameter": ["time", "none", "phi", "theta"],
        "Parameter1": ["phi=000.00", "phi=120.00", "phi=240.00"],
        "Parameter2": ["producer=PNG1", "producer=REC1"],
        "Parameter3": ["time follows the time"],
        "Parameter4": [],
    }
    assert seen.result["times"] == [0.0, 0.5, 1.0]


def test_an_image_is_the_one_at_the_chosen_values(seen: Outcome, images: Images) -> None:
    chosen = {
        "first": {"phi": "000.00", "time": "0"},
        "exact": {"phi": "120.00", "time": "1"},
        "nearest": {"phi": "240.00", "time": "0.5"},
        "turned": {"phi": "120.00", "time": "1"},
        "untimed_image": {"phi": "000.00", "time": "1"},
    }
    for name, values in chosen.items():
        assert_shown(seen, name, expected(images, 0, producer="PNG1", **values))
        text = f"phi={values['phi']}, producer=PNG1, theta=-30, time={values['time']}"
        assert seen.result[name] == [text, "Pixels", 1]


def test_floats_of_another_column_keep_their_gaps(seen: Outcome, images: Images) -> None:
    pixels = expected(images, 1, phi="240.00", producer="REC1", time="0")
    assert np.isnan(pixels).any()
    assert_shown(seen, "float", pixels)
    assert seen.result["floating"] == "float"


def test_any_parameter_may_be_the_time(seen: Outcome) -> None:
    times = ["time=0", "time=0.5", "time=1"]
    assert seen.result["turning"] == [[0.0, 120.0, 240.0], ["phi follows the time"], times]
    assert seen.result["untimed"] == []


def test_a_part_is_decoded_where_a_part_is_asked_for(seen: Outcome, images: Images) -> None:
    whole = expected(images, 0, phi="000.00", producer="PNG1", time="0")[::-1]
    np.testing.assert_array_equal(np.load(seen.folder / "subset.npy"), whole[5:10, 3:13])


def test_information(seen: Outcome, images: Images) -> None:
    model, ratio, psnr, device = seen.result["information"]
    assert model.endswith("18 images")
    original = sum(images.kind(k).nbytes for k in range(images.count))
    assert ratio == pytest.approx(original / images.encoded_bytes)
    assert psnr == pytest.approx(images.header.metrics["psnr_db"])
    assert device == images.device.upper()


def test_an_image_between_the_stored_ones_is_called_interpolated(
    seen: Outcome, network: Path, images: Images
) -> None:
    text = "phi={}, producer=PNG1, theta=-30, time={}"
    assert seen.result["cannot"] == [text.format("120.00", "0"), "Pixels", 1, 0]
    assert_shown(seen, "cannot", expected(images, 0, phi="120.00", producer="PNG1", time="0"))
    with Images(network) as made:
        near = expected(made, 0, phi="120.00", producer="PNG1", time="0")
        assert seen.result["Nearest"] == [text.format("120.00", "0"), "Pixels", 1, 0]
        assert_shown(seen, "Nearest", near)
        # At a time between the steps, too, if ParaView asks for one.
        view = made.view("FILE_png", phi=100, producer="PNG1", time=0.25)
        assert (view.interpolated, view.values["time"]) == (True, 0.25)
        line = text.format("100", "0.25") + " (interpolated)"
        assert seen.result["Interpolated"] == [line, "Pixels", 1, 1]
        assert_shown(seen, "Interpolated", view.pixels)
        assert (view.pixels != near).any()
        assert seen.result["met"] == [text.format("120.00", "0.5"), "Pixels", 1, 0]
        assert_shown(seen, "met", expected(made, 0, phi="120.00", producer="PNG1", time="0.5"))


def test_a_view_shows_the_pixels_as_they_are(seen: Outcome, images: Images) -> None:
    assert seen.result["representation"] == "Slice"
    picture = np.asarray(Pillow.open(seen.folder / "picture.png").convert("RGB"))
    pixels = expected(images, 0, phi="000.00", producer="PNG1", time="0")
    # ParaView stretches the image by half a pixel, so parts are compared, not pixels.
    np.testing.assert_allclose(_quarters(picture), _quarters(pixels), atol=8)


def test_a_state_file_brings_the_choices_back(seen: Outcome, images: Images) -> None:
    assert_shown(seen, "restored", expected(images, 0, phi="240.00", producer="PNG1", time="0.5"))
    assert seen.stage("state") == []


def _quarters(pixels: Pixels) -> Pixels:
    """Mean colours of the four quarters."""
    halves = np.array_split(pixels[2:-2, 2:-2].astype(float), 2)
    return np.array([q.mean(axis=(0, 1)) for half in halves for q in np.array_split(half, 2, 1)])


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        ("column", "there is no column 'FILE_jpg'; Column may be FILE_png, FILE_vtk"),
        ("value", "Parameter2 is producer, which is never 'nobody'; it offers PNG1, REC1"),
        ("time", "'producer' cannot be the time"),
        ("damaged", "INR Image Reader: "),
        ("none", "no file is chosen; set FileName"),
        ("volume", "holds a volume and no images; open it with INR Reader"),
    ],
)
def test_errors_are_one_line(seen: Outcome, stage: str, words: str) -> None:
    (line,) = seen.stage(stage)
    assert words in line


def test_the_program_goes_on_after_errors(seen: Outcome) -> None:
    assert seen.stage("good") == []
    assert seen.result["good"] == HEIGHT * WIDTH
    assert not seen.result["shown after an error"]
    assert [seen.result[name] for name in ("damaged", "none", "volume")] == [0, 0, 0]


def test_two_ranks_share_an_image(
    run: Run, views: Path, images: Images, display: dict[str, str]
) -> None:
    program = ("mpiexec", "--allow-run-as-root", "--oversubscribe", "-np", "2", "pvbatch", "--sym")
    outcome = run("images_ranks.py", views, program=program, also=display)
    pixels = expected(images, 0, phi="240.00", producer="PNG1", time="0.5")[::-1]
    seen = np.zeros(pixels.shape[:2], bool)
    for result in outcome.results:
        x0, x1, y0, y1, _, _ = result["piece"]
        part = np.load(outcome.folder / f"piece{result['rank']}.npy")
        whole = pixels[y0 : y1 + 1, x0 : x1 + 1]
        np.testing.assert_array_equal(part.reshape(whole.shape), whole)
        assert result["with ghosts"] != result["piece"]
        seen[y0 : y1 + 1, x0 : x1 + 1] = True
    assert len(outcome.results) == 2
    assert seen.all()


def test_the_flip_book_turns_through_all_azimuths(
    views: Path, images: Images, graphical: dict[str, str], repository: Path, tmp_path: Path
) -> None:
    script = repository / "examples" / "turntable" / "flip_book.py"
    done = subprocess.run(
        ["pvpython", script, views, tmp_path, "producer=PNG1", "time=0.6"],
        env=graphical,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("turn.")]
    assert lines == [
        f"turn.000{i}.png: phi={phi}, producer=PNG1, theta=-30, time=0.5"
        for i, phi in enumerate(PARAMETERS[0].values)
    ], done.stderr
    for i, phi in enumerate(PARAMETERS[0].values):
        picture = np.asarray(Pillow.open(tmp_path / f"turn.000{i}.png"))
        pixels = expected(images, 0, phi=phi, producer="PNG1", time="0.5")
        np.testing.assert_array_equal(picture, pixels)


def test_what_save_extracts_writes_is_a_database(
    graphical: dict[str, str], repository: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "export.cdb"
    done = subprocess.run(
        ["pvpython", repository / "examples" / "turntable" / "export.py", folder],
        env=graphical,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    database = cinema.read(folder)
    parameters = {parameter.name: parameter for parameter in database.parameters}
    assert parameters["phi"].values[:3] == ("000.00", "030.00", "060.00")
    assert parameters["theta"].values == ("000.00", "090.00", "180.00", "270.00")
    assert len(database.cells) == 48
    assert {image.shape for image in database.images} == {(160, 192, 3)}
