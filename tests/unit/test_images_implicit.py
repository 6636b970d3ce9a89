"""Databases of images as one network: encode, decode, views between the stored ones, damage."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import inrvis
from inrvis.cli import main
from inrvis.container.images_header import ImageKind
from inrvis.container.implicit_header import ImplicitHeader
from inrvis.container.sections import deflate, inflate, read_sections
from inrvis.decoder.codes import grid_of, waves_of
from inrvis.decoder.images import Images
from inrvis.decoder.implicit import ImplicitNetwork
from inrvis.decoder.neighbours import around
from inrvis.encoder.images.encode import encode_images
from inrvis.encoder.images.implicit_encoder import ImplicitEncoder
from inrvis.encoder.images.ops import TorchOps
from inrvis.encoder.images.report import ImagesReport
from inrvis.encoder.images.settings import ExactSettings, ImageTraining, NervSettings
from inrvis.encoder.models.nerv import NervModel, NervShape, ViewBatch
from inrvis.errors import ArrayNotFoundError, ChecksumError, FormatError, UsageError
from inrvis.parameters import Cell, Parameter
from inrvis.sources.database import ImageDatabase
from inrvis.targets import BitRate, Ratio
from tests.unit.small_databases import changed_file, database, stored, view

E_NERV = NervSettings("e-nerv", Ratio(6), width=8, stride=16)
H_NERV = NervSettings("hnerv", Ratio(6), width=8, stride=16, embedding=2)
BRIEF = ImageTraining(steps=8, batch=2, crop=0, rate=3e-3, clip=1.0)
CPU: dict[str, Any] = {"device": "cpu", "force": True}
Made = tuple[Path, ImageDatabase, ImagesReport]


@pytest.fixture(scope="module", params=[E_NERV, H_NERV], ids=["e-nerv", "hnerv"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    path = tmp_path_factory.mktemp("images") / "views.inr"
    source = database(("rgb", "alpha", "float"))
    return path, source, encode_images(source, path, request.param, BRIEF, seed=1, **CPU)


def test_round_trip(made: Made) -> None:
    path, source, report = made
    assert report.encoded_bytes == path.stat().st_size <= report.original_bytes / 6
    assert (report.images, report.pairs) == (len(source.images), 0)
    assert not path.with_name(f".{path.name}.checkpoint.npz").exists()
    with inrvis.open(path) as images:
        assert isinstance(images, Images)
        assert (images.parameters, images.columns, images.cells) == (
            source.parameters,
            source.columns,
            source.cells,
        )
        assert images.pairs == ()
        qualities = []
        for number, image in enumerate(source.images):
            pixels, original = images.decode(number), image.load()
            assert (pixels.dtype, pixels.shape) == (original.dtype, original.shape)
            if image.dtype == "float32":
                np.testing.assert_array_equal(np.isnan(pixels), np.isnan(original))
            elif image.channels == 4:
                np.testing.assert_array_equal(pixels[..., 3], original[..., 3])
            known = np.isfinite(original)
            square = np.mean((pixels.astype(float) - original)[known] ** 2)
            peak = 255 if image.dtype == "uint8" else 3.0
            qualities.append(10 * np.log10(peak**2 / square))
        assert np.mean(qualities) == pytest.approx(report.psnr_db, abs=0.1)
        assert images.header.metrics["psnr_db"] == pytest.approx(report.psnr_db, rel=1e-3)


def test_views_between_the_stored_ones_are_called_interpolated(made: Made) -> None:
    path, _, _ = made
    with Images(path) as images:
        assert images.interpolates
        met = images.view("alpha", phi=60, theta="0")
        assert not met.interpolated
        assert met.values == {"phi": "60", "theta": "0"}
        np.testing.assert_array_equal(met.pixels, images.image("alpha", phi=60, theta=0))
        between = images.view("alpha", phi=0, theta=10)
        assert between.interpolated
        assert between.values == {"phi": 0.0, "theta": 10.0}
        assert between.pixels.shape == (37, 45, 4)
        assert set(np.unique(between.pixels[..., 3])) <= {0, 255}
        near = images.decode(images.nearest(phi=0, theta=10).images[1])
        assert (between.pixels != near).any()
        floats = images.view("float", phi=-100)
        assert floats.pixels.dtype == np.float32
        assert floats.values["theta"] == "-45"
        # Where a cell is missing, the network fills the gap.
        assert images.view("rgb", phi=60, theta=45).interpolated
        # Beyond the range is the last value, and azimuths go round.
        assert images.view("rgb", phi=-180, theta=80).values == {"phi": "-180", "theta": "45"}
        assert not images.view("rgb", phi=180, theta=0).interpolated
        turned = images.view("rgb", phi=200, theta=0)
        assert turned.values["phi"] == pytest.approx(-160)
        same = images.view("rgb", phi=-160, theta=0)
        np.testing.assert_array_equal(turned.pixels, same.pixels)
        with pytest.raises(ArrayNotFoundError, match="column"):
            images.view("depth", phi=0)
        with pytest.raises(UsageError, match="no parameter 'psi'"):
            images.view("rgb", psi=0)


def test_info_says_what_is_between(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    path, _, report = made
    assert main(["info", str(path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["between_stored"] == "interpolated"
    assert (facts["model"], facts["pairs"], facts["arithmetic"]) == (report.model, 0, "none")
    assert facts["encoding"]["target"] == "compression ratio 6"
    assert main(["info", str(path)]) == 0
    assert "interpolated by the network" in capsys.readouterr().out


def test_files_of_pairs_show_stored_images_alone(tmp_path: Path) -> None:
    small = ExactSettings(channels=8, latents=6, hyperlatents=4, features=8, analysis=12)
    path = tmp_path / "pairs.inr"
    training = ImageTraining(steps=1, batch=1, crop=32)
    encode_images(database(), path, small, training, **CPU)
    with Images(path) as images:
        assert not images.interpolates
        met = images.view(phi=60, theta=0)
        assert not met.interpolated
        with pytest.raises(UsageError, match=r"shows stored images alone.*nearest\(\)"):
            images.view(phi=50, theta=0)


def tiny(settings: NervSettings) -> tuple[ImageDatabase, NervSettings]:
    return database(("rgb",), ("0", "30")), replace(settings, width=6)


@pytest.mark.parametrize("settings", [E_NERV, H_NERV], ids=["e-nerv", "hnerv"])
def test_equal_seeds_and_resumed_trainings_give_equal_files(
    settings: NervSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from inrvis.encoder.images import trainer as module

    monkeypatch.setattr(module, "_SAVE_SECONDS", -1.0)  # after every step
    source, codec = tiny(settings)
    training = replace(BRIEF, steps=6)
    paths = [tmp_path / f"{name}.inr" for name in ("whole", "resumed", "other")]
    encode_images(source, paths[0], codec, training, seed=7, **CPU)

    class StopError(Exception):
        """Stands for a kill."""

    def kill(progress: Any) -> None:
        if progress.fraction >= 0.5:
            raise StopError

    with pytest.raises(StopError):
        encode_images(source, paths[1], codec, training, seed=7, report=kill, **CPU)
    assert paths[1].with_name(".resumed.inr.checkpoint.npz").exists()
    assert not paths[1].exists()
    steps: list[float] = []
    encode_images(
        source,
        paths[1],
        codec,
        training,
        seed=7,
        report=lambda p: steps.append(p.fraction),
        **CPU,
    )
    assert steps[0] == 0.5  # not from the beginning
    assert paths[0].read_bytes() == paths[1].read_bytes()
    encode_images(source, paths[2], codec, training, seed=8, **CPU)
    assert paths[0].read_bytes() != paths[2].read_bytes()


def test_training_learns_the_images(tmp_path: Path) -> None:
    """Better than the best single colour of each image."""
    pixels = [view(phi, 0, "rgb", (16, 16)) for phi in (0.0, 40.0, 80.0)]
    source = ImageDatabase(
        (Parameter("phi", ("0", "40", "80")),),
        ("FILE",),
        tuple(Cell((k,), (k,)) for k in range(3)),
        tuple(stored(p) for p in pixels),
    )
    codec = NervSettings("e-nerv", BitRate(60), width=12, stride=8)
    training = replace(BRIEF, steps=80, batch=3)
    report = encode_images(source, tmp_path / "x.inr", codec, training, **CPU)
    flat = [10 * np.log10(255**2 / p.reshape(-1, 3).var(axis=0).mean()) for p in pixels]
    assert report.psnr_db > np.mean(flat) + 3


def test_the_foreground_counts_more() -> None:
    source = database(("rgb", "float"))
    losses = []
    for weight in (1.0, 9.0):
        encoder = ImplicitEncoder(
            source, replace(E_NERV, foreground=weight), BRIEF, device="cpu", seed=3
        )
        trainer = encoder.trainer(encoder.make_model())
        with torch.no_grad():
            losses.append([trainer._measure([place], None, None) for place in encoder.places()])
            output = trainer.model(_batch(encoder, trainer, 0))
    plain, weighted = ([float(total) for total, _ in own] for own in losses)
    assert [float(e) for _, e in losses[0]] == [float(e) for _, e in losses[1]]
    assert any(not math.isclose(a, b, rel_tol=1e-3) for a, b in zip(plain, weighted, strict=True))
    # By hand, for the first image: what differs from the commonest colour counts nine times.
    pixels = source.images[0].load()
    colours, counts = np.unique(pixels[::4, ::4].reshape(-1, 3), axis=0, return_counts=True)
    shown = (pixels != colours[counts.argmax()]).any(axis=2)
    squares = (output[0, :3, :37, :45].numpy() * 255 - pixels.transpose(2, 0, 1)) ** 2
    weights = np.where(shown, 9.0, 1.0)
    covered = (output[0, 3, :37, :45].numpy() - 1) ** 2 * 255**2
    by_hand = (squares * weights).mean() / weights.mean() + covered.mean()
    assert weighted[0] == pytest.approx(by_hand, rel=1e-4)


def _batch(encoder: ImplicitEncoder, trainer: Any, image: int) -> ViewBatch:
    header, kind = trainer._header, encoder.pictures.facts.kinds[image]
    pixels = encoder.pictures.channels(image, None, header.stride)
    code = waves_of(header, encoder.places()[image].values)
    return ViewBatch(*map(torch.from_numpy, (pixels[None], code, grid_of(header, kind))))


@pytest.mark.parametrize("name", ["e-nerv", "hnerv"])
def test_graphs_compute_what_was_trained(name: str) -> None:
    embedding = 3 if name == "hnerv" else 0
    shape = NervShape(name, 7, 16, 4, 9, 13, embedding)
    random = torch.Generator().manual_seed(2)
    model = NervModel(shape, 3, random)
    data, names = model.graph()
    header = ImplicitHeader(
        "n",
        4,
        coverage=True,
        stride=16,
        codes=((0.0, 0.5),),
        waves=((1.0, 2.0, 3.0, 4.0),),
        grid=(1.0, 1.5, 2.0),
        embedding=None,
        low=0,
        high=1,
        tensors=(),
    )
    weights = {key: model.stored[key].detach().numpy() for key in names}
    network = ImplicitNetwork(header, [data], weights)
    kind = ImageKind(21, 40, 3, "uint8")
    mixed = torch.randn(1, 3, 2, 3, generator=random) if embedding else None
    found = network.picture(kind, [1.2], None if mixed is None else mixed.numpy())
    code, grid = (torch.from_numpy(a) for a in (waves_of(header, [1.2]), grid_of(header, kind)))
    with torch.no_grad():
        wanted = model.view(TorchOps(model.stored), code, grid, mixed)[0, :, :21, :40].numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())


# ---------------------------------------------------------------- neighbours


def grid_cells(*sizes: int) -> list[Cell]:
    return [Cell(index, (number,)) for number, index in enumerate(np.ndindex(*sizes))]


def test_corners_of_a_grid_are_mixed_linearly() -> None:
    axes = (Parameter("phi", ("-180", "-90", "0", "90")), Parameter("time", ("0", "1", "3")))
    cells = grid_cells(4, 3)
    found = {c.values: w for c, w in around(axes, cells, {"phi": 0.0, "time": 1.5})}
    assert found == {(2, 1): pytest.approx(0.75), (2, 2): pytest.approx(0.25)}
    # Past the last azimuth comes the first.
    found = {c.values: w for c, w in around(axes, cells, {"phi": 157.5, "time": 0.5})}
    quarter, rest = pytest.approx(0.125), pytest.approx(0.375)
    assert found == {(3, 0): quarter, (3, 1): quarter, (0, 0): rest, (0, 1): rest}


def test_scattered_cells_are_mixed_by_distance() -> None:
    axes = (Parameter("theta", tuple(map(str, range(8)))), Parameter("phi", tuple("01234567")))
    cells = [Cell((k, (3 * k) % 8), (k,)) for k in range(8)]
    found = around(axes, cells, {"theta": 1.2, "phi": 3.1})
    assert len(found) == 4
    assert sum(w for _, w in found) == pytest.approx(1)
    assert max(found, key=lambda pair: pair[1])[0].values == (1, 3)
    alone = around(axes, cells[:1], {"theta": 5.0, "phi": 5.0})
    assert [(c.values, w) for c, w in alone] == [((0, 0), 1.0)]


def test_embeddings_between_are_means_of_stored_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, codec = tiny(H_NERV)
    path = tmp_path / "x.inr"
    encode_images(source, path, codec, replace(BRIEF, steps=2), **CPU)
    with Images(path) as images:
        pictures: Any = images._pictures
        seen: list[Any] = []
        real = pictures._network.picture

        def picture(kind: Any, values: Any, embedding: Any = None) -> Any:
            seen.append(embedding)
            return real(kind, values, embedding)

        monkeypatch.setattr(pictures._network, "picture", picture)
        assert images.view(phi=10, theta=0).interpolated
        cells = [images.nearest(phi=phi, theta=0) for phi in (0, 30)]
        first, second = (pictures._embedding(cell.images[0]) for cell in cells)
        np.testing.assert_allclose(seen[0], (2 * first + second) / 3, rtol=1e-6)


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("codec", "training", "message"),
    [
        (NervSettings(target=Ratio(1e5)), BRIEF, r"leaves \d+ bytes, and e-nerv needs"),
        (E_NERV, replace(BRIEF, every_view=2), "leave out --every-view"),
    ],
)
def test_what_cannot_be_is_refused(codec: Any, training: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        encode_images(database(), tmp_path / "x.inr", codec, training, **CPU)
    assert not list(tmp_path.iterdir())


def test_a_database_too_small_to_gain_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="too few images to gain"):
        encode_images(database(), tmp_path / "x.inr", E_NERV, BRIEF, device="cpu")


@pytest.mark.parametrize(
    "bad",
    [{"name": "nerv"}, {"stride": 12}, {"embedding": 0}, {"foreground": 0.0}, {"width": -1}],
    ids=lambda bad: next(iter(bad)),
)
def test_settings(bad: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        NervSettings(**bad)


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    folder = tmp_path / "views.cdb"
    folder.mkdir()
    for k in range(2):
        Image.fromarray(view(90 * k, 0, "rgb")).save(folder / f"{k}.png")
    (folder / "data.csv").write_text("phi,FILE\n0,0.png\n90,1.png\n")
    output = str(tmp_path / "views.inr")
    command = ["encode", str(folder), "-o", output, "--quiet", "--device", "cpu", "--force"]
    for option in (["--trade-off", "0.1"], ["--psnr", "30"], ["--channels", "9"]):
        assert main([*command, "--codec", "e-nerv", *option]) == 2
        assert f"has no {option[0]}" in capsys.readouterr().err
    assert main([*command, "--foreground", "3"]) == 2
    assert "the codec exact has no --foreground" in capsys.readouterr().err
    network = ["--codec", "hnerv", "--embedding", "1", "--foreground", "3", "--ratio", "1.2"]
    assert main([*command, *network, "--steps", "1", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert (values["model"], values["images"]) == ("hnerv", 2)
    assert values["compression_ratio"] >= 1.2
    out = tmp_path / "out.cdb"
    assert main(["decode", output, "-o", str(out), "--quiet"]) == 0
    with Images(output) as images:
        np.testing.assert_array_equal(
            np.asarray(Image.open(next(out.rglob("*.png")))).shape, (37, 45, 3)
        )
        assert images.header.encoding["foreground"] == 3


@pytest.fixture(scope="module")
def sections(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    path = tmp_path_factory.mktemp("images") / "x.inr"
    source = database(("rgb", "alpha"), ("0", "30"))
    codec = replace(H_NERV, target=Ratio(1), width=4)
    encode_images(source, path, codec, replace(BRIEF, steps=1, batch=1), **CPU)
    return read_sections(path)


@pytest.fixture
def opened(sections: dict[str, bytes], tmp_path: Path) -> Callable[..., list[Any]]:
    """Return a function that decodes all images of the file with changed sections."""

    def run(**changed: bytes | None) -> list[Any]:
        with Images(changed_file(sections, tmp_path, **changed)) as images:
            return [
                *(images.decode(k) for k in range(images.count)),
                images.view("alpha", phi=11, theta=3).pixels,
            ]

    return run


CODECS: dict[str, dict[str, Any]] = {
    "family": {"family": "oracles"},
    "of_pairs": {"family": "pairs"},
    "channels": {"channels": 9},
    "few_channels": {"channels": 3},
    "no_coverage": {"coverage": 0},
    "stride": {"stride": 24},
    "small_stride": {"stride": 4},
    "other_stride": {"stride": 32},
    "codes": {"codes": []},
    "waves": {"waves": [[1.0]]},
    "many_waves": {"waves": [[1.0] * 65, [1.0], []]},
    "wild_waves": {"waves": [[1e9], [1.0], []]},
    "infinite_waves": {"waves": [[1e400], [1.0], []]},
    "grid": {"grid": [1.0] * 65},
    "grid_text": {"grid": "1"},
    "step": {"embedding": {"step": 0, "offsets": [0, 0], "tables": [0, 0]}},
    "tables": {"embedding": {"step": 1, "offsets": [0, 0], "tables": [0, 176]}},
    "no_offsets": {"embedding": {"step": 1, "tables": [0, 0]}},
    "one_table": {"embedding": {"step": 1, "offsets": [0], "tables": [100]}},
    "many_tables": {"embedding": {"step": 1, "offsets": [0] * 65, "tables": [0] * 65}},
    "no_tables": {"embedding": {"step": 1, "offsets": [], "tables": []}},
    "embedding": {"embedding": 3},
    "range": {"low": 2.0},
    "no_tensors": {"tensors": []},
    "tensor_name": {"tensors": [["grid", [1], 1.0, 0]]},
}


@pytest.mark.parametrize("edit", CODECS.values(), ids=CODECS)
def test_headers(
    edit: dict[str, Any], sections: dict[str, bytes], opened: Callable[..., list[Any]]
) -> None:
    header = json.loads(inflate(sections["header"], "header"))
    header["codec"].update(edit)
    with pytest.raises(FormatError) as caught:
        opened(header=deflate(json.dumps(header).encode()))
    assert str(caught.value)
    assert "\n" not in str(caught.value)


def test_damaged_sections(sections: dict[str, bytes], opened: Callable[..., list[Any]]) -> None:
    assert len(opened()) == 12
    header = json.loads(inflate(sections["header"], "header"))
    header["codec"].pop("embedding")
    with pytest.raises(FormatError):
        opened(header=deflate(json.dumps(header).encode()))
    header = json.loads(inflate(sections["header"], "header"))
    with pytest.raises(FormatError):
        opened(header=deflate(json.dumps({**header, "pairs": 1}).encode()))
    for name in ("latents", "graphs", "weights", "tables", "masks"):
        with pytest.raises(FormatError):
            opened(**{name: None})
    latents = bytearray(sections["latents"])
    latents[-2] ^= 0x40
    with pytest.raises(ChecksumError, match="damaged"):
        opened(latents=bytes(latents))
    random = np.random.default_rng(4)
    with pytest.raises(FormatError):
        opened(weights=sections["weights"][:-4])
    for name in ("latents", "tables", "graphs"):
        for place in random.integers(0, len(sections[name]), 3):
            changed = bytearray(sections[name])
            changed[place] ^= 1 << int(random.integers(8))
            with pytest.raises(FormatError):
                opened(**{name: bytes(changed)})


# ---------------------------------------------------------------- the benchmark of views between


def test_views_that_are_left_out_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand, on a file whose network is replaced by a constant."""
    from benchmarks.image_between import every_second, measure, neighbours, psnr_db

    phis = tuple(map(str, range(0, 360, 60)))
    pixels = [np.full((16, 16, 3), 20 * k, dtype=np.uint8) for k in range(6)]
    source = ImageDatabase(
        (Parameter("phi", phis),),
        ("FILE",),
        tuple(Cell((k,), (k,)) for k in range(6)),
        tuple(map(stored, pixels)),
    )
    kept = every_second(source, 0)
    assert kept.parameters[0].values == ("0", "120", "240")
    assert [int(image.load()[0, 0, 0]) for image in kept.images] == [0, 40, 80]
    assert neighbours(source, 0, source.cells[5]) == [0, 4]
    path = tmp_path / "x.inr"
    codec = NervSettings("e-nerv", BitRate(90), width=4, stride=8)
    encode_images(kept, path, codec, replace(BRIEF, steps=1, batch=1), **CPU)
    constant = np.full((3, 16, 16), 40 / 255, dtype=np.float32)
    monkeypatch.setattr(ImplicitNetwork, "picture", lambda *_: constant)
    found = measure(source, 0, path)
    assert found["left_out"] == 3
    by_hand = [psnr_db(pixels[k], np.full_like(pixels[k], 40)) for k in (1, 3, 5)]
    assert found["interpolated_psnr_db"] == pytest.approx(np.mean(by_hand))
    # Views at 60 and 180 degrees lie in the middle of their neighbours, the last does not.
    assert found["mean_psnr_db"] == pytest.approx((200 + psnr_db(pixels[5], pixels[2])) / 3)
