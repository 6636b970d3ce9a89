"""Databases of images in a file: encode, open, decode; symbols that are the same everywhere."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import inrvis
from inrvis.bitstream.latents import LatentDecoder, LatentEncoder, latent_counts, scales
from inrvis.cli import main
from inrvis.container.images_file import read_images
from inrvis.decoder.image_graphs import SessionSettings
from inrvis.decoder.images import Images
from inrvis.encoder.images.encode import encode_images
from inrvis.encoder.images.model import Batch, laplace_bits
from inrvis.encoder.images.ops import TorchOps
from inrvis.encoder.images.pair_encoder import PairEncoder
from inrvis.encoder.images.report import ImagesReport
from inrvis.encoder.images.settings import (
    EXACT_SIZES,
    ExactSettings,
    ImageTraining,
    NervSettings,
    PaperSettings,
)
from inrvis.encoder.images.size import affordable, choose_size
from inrvis.encoder.images.spatial_model import SpatialModel
from inrvis.encoder.models.fcnr import PaperModel
from inrvis.encoder.models.fcnr_exact import ExactModel
from inrvis.encoder.models.fcnr_start import INTEGER_LAYERS
from inrvis.errors import ArrayNotFoundError, ChecksumError, UsageError
from inrvis.parameters import Cell, Parameter
from inrvis.sources.database import ImageDatabase
from inrvis.targets import Ratio
from tests.unit.small_databases import database, stored, view

SMALL = ExactSettings(channels=8, latents=6, hyperlatents=4, features=8, analysis=12)
SMALL_PAPER = PaperSettings(channels=8, latents=6)
BRIEF = ImageTraining(steps=12, batch=2, crop=32, rate=2e-3)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ImageDatabase, ImagesReport]:
    path = tmp_path_factory.mktemp("images") / "views.inr"
    source = database(("rgb", "alpha", "float"))
    report = encode_images(source, path, SMALL, BRIEF, device="cpu", seed=1, force=True)
    return path, source, report


def lively(encoder: PairEncoder) -> Any:
    """Return an untrained model whose latents are about as large as it expects."""
    model = encoder.make_model()
    if isinstance(model, ExactModel):
        # It starts so, but with networks that do next to nothing.
        generator = torch.Generator().manual_seed(0)
        for name in (*INTEGER_LAYERS, "d5", "e4"):
            weights = model.analysing if name == "e4" else model.stored
            weight = weights[f"{name}_w"].data
            weight += 0.004 * torch.randn(weight.shape, generator=generator)
        return model
    batch = [torch.from_numpy(encoder.pictures.channels(i)[None]) for i in range(2)]
    with torch.no_grad():
        ops = TorchOps(model.analysing)
        for names in (("e4",), ("a3",)):
            found = model.analyse(ops, *batch)
            if names != ("e4",):
                found = model.hyper_analyse(ops, *found)
            for name in model.analysing:
                if name.startswith(names) and "p" not in name:
                    model.analysing[name] *= 1.4 / float(found[0].std())
        for name in ("m1left", "m1right", "cz2", "h3left", "cy3"):
            model.stored[f"{name}_w"] *= 0.05
            bias = model.stored[f"{name}_b"]
            bias[len(bias) // 2 :] = 1
    return model


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("images") / "paper.inr"
    encoder = PairEncoder(database(), SMALL_PAPER, ImageTraining.paper(), device="cpu")
    model = lively(encoder)
    trainer = encoder.trainer(model)
    trainer.quantise()
    exported = encoder.export(trainer)
    path.write_bytes(encoder.pack(exported, encoder.code(model, exported), {}, 0))
    return path


def test_round_trip(made: tuple[Path, ImageDatabase, ImagesReport]) -> None:
    path, source, report = made
    assert report.encoded_bytes == path.stat().st_size
    assert report.images == len(source.images) == 26
    assert not path.with_name(f".{path.name}.checkpoint.npz").exists()
    with inrvis.open(path) as images:
        assert isinstance(images, Images)
        assert images.parameters == source.parameters
        assert images.columns == source.columns
        assert images.cells == source.cells
        qualities = []
        for number, image in enumerate(source.images):
            pixels, original = images.decode(number), image.load()
            assert pixels.dtype == original.dtype
            assert pixels.shape == original.shape
            if image.dtype == "float32":
                np.testing.assert_array_equal(np.isnan(pixels), np.isnan(original))
            elif image.channels == 4:
                np.testing.assert_array_equal(pixels[..., 3], original[..., 3])
            error = np.nan_to_num(pixels.astype(float) - original)
            known = np.isfinite(original)
            peak = 255 if image.dtype == "uint8" else 3.0
            square = (error[known] ** 2).mean()
            qualities.append(min(100, 10 * np.log10(peak**2 / square)))
        assert np.mean(qualities) == pytest.approx(report.psnr_db, abs=0.1)
        assert min(qualities) == pytest.approx(report.worst_psnr_db, abs=0.1)


def test_info_and_commands(
    made: tuple[Path, ImageDatabase, ImagesReport],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    path, _, report = made
    assert main(["info", str(path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["kind"] == "images"
    assert (facts["images"], facts["cells"]) == (26, 9)
    assert facts["encoded_bytes"] == report.encoded_bytes
    assert facts["bits_per_pixel"] == pytest.approx(report.bits_per_pixel)
    assert facts["psnr_db"] == pytest.approx(report.psnr_db, rel=1e-3)
    assert main(["info", str(path)]) == 0
    assert "phi (3 values)" in capsys.readouterr().out
    folder = tmp_path / "views.cdb"
    folder.mkdir()
    Image.fromarray(view(0, 0, "rgb")).save(folder / "a.png")
    (folder / "data.csv").write_text("phi,FILE\n0,a.png\n")
    output = str(tmp_path / "views.inr")
    assert main(["encode", str(folder), "-o", output, "--psnr", "40", "--quiet"]) == 2
    assert "--trade-off" in capsys.readouterr().err
    assert main(["encode", str(folder), "-o", output, "--quiet"]) == 2
    assert "too few images to gain" in capsys.readouterr().err
    command = ["encode", str(folder), "-o", output, "--force", "--steps", "2", "--size", "small"]
    assert main([*command, "--json", "--quiet", "--device", "cpu"]) == 0
    captured = capsys.readouterr()
    values = json.loads(captured.out)
    assert values["images"] == 1
    assert values["encoded_bytes"] == Path(output).stat().st_size
    assert "single images would be smaller" in captured.err


def test_random_access_is_decoding_in_order(
    made: tuple[Path, ImageDatabase, ImagesReport],
) -> None:
    path, source, _ = made
    with Images(path) as images:
        whole = [images.decode(i) for i in range(images.count)]
    for number in (25, 1):
        with Images(path) as images:
            np.testing.assert_array_equal(images.decode(number), whole[number])
    with Images(path) as images:
        np.testing.assert_array_equal(images.image("alpha", phi="-60", theta=45), whole[16])
        assert images.nearest(phi=80, theta=3) == source.cells[7]
        with pytest.raises(ArrayNotFoundError, match="no image"):
            images.image("rgb", phi=60, theta=45)
        with pytest.raises(ArrayNotFoundError, match="column"):
            images.image("depth", phi=60, theta=0)
        with pytest.raises(UsageError, match="0 to 25"):
            images.decode(26)


def test_a_left_image_needs_its_own_stream_alone(
    made: tuple[Path, ImageDatabase, ImagesReport],
) -> None:
    path, _, _ = made
    with Images(path) as images:
        left, right = images.pairs[0]
        expected = images.decode(left)
    with Images(path) as images:
        pictures = images._pictures
        streams = list(pictures._stored.streams)
        streams[right] = b"\0" * 8
        pictures._stored = replace(pictures._stored, streams=tuple(streams))
        np.testing.assert_array_equal(images.decode(left), expected)
        with pytest.raises(ChecksumError, match=f"image {right} is damaged"):
            images.decode(right)


def symbols(path: Path, settings: SessionSettings) -> list[int]:
    """Return checksums of all latents."""
    with Images(path, settings=settings) as images:
        return [
            zlib.crc32(images._pictures.latents(number).left.tobytes())
            ^ zlib.crc32(images._pictures.latents(number).right.tobytes())
            for number in range(images.count)
        ]


def test_symbols_are_the_same_with_other_threads_and_optimisations(
    made: tuple[Path, ImageDatabase, ImagesReport],
) -> None:
    path, _, _ = made
    first = symbols(path, SessionSettings("cpu", threads=1))
    assert symbols(path, SessionSettings("cpu", threads=2)) == first
    assert symbols(path, SessionSettings("cpu", threads=1, optimise=False)) == first


def integers_by_numpy(data: bytes, feeds: dict[str, Any]) -> Any:
    """Run a graph of an integer network in 64-bit integers, without ONNX Runtime."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load_from_string(data).graph
    known = {name: np.rint(a).astype(np.int64) for name, a in feeds.items()}
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    for node in graph.node:
        first = known[node.input[0]]
        attributes = {a.name: list(a.ints) or a.i for a in node.attribute}
        if node.op_type == "Conv":
            weight, bias = known[node.input[1]], known[node.input[2]]
            reach = attributes["pads"][0]
            padded = np.pad(first, ((0, 0), (0, 0), (reach, reach), (reach, reach)))
            windows = np.lib.stride_tricks.sliding_window_view(padded, weight.shape[2:], (2, 3))
            result = np.einsum("bchwij,ocij->bohw", windows, weight) + bias[:, None, None]
        elif node.op_type == "Mul":
            if node.input[1] in constants:
                assert constants[node.input[1]] == 2**-7
                result = first  # the Floor that follows divides
            else:
                result = first * known[node.input[1]]
        elif node.op_type == "Add":
            result = first + known[node.input[1]]
        elif node.op_type == "Floor":
            result = first // 128
        elif node.op_type == "Clip":
            low, high = (int(constants[name]) for name in node.input[1:])
            result = np.clip(first, low, high)
        elif node.op_type == "Concat":
            result = np.concatenate([known[name] for name in node.input], axis=1)
        else:
            assert node.op_type == "DepthToSpace"
            b, c, h, w = first.shape
            blocks = first.reshape(b, 2, 2, c // 4, h, w).transpose(0, 3, 4, 1, 5, 2)
            result = blocks.reshape(b, c // 4, 2 * h, 2 * w)
        known[node.output[0]] = result
    return known[graph.output[0].name]


def test_entropy_networks_are_those_of_integer_arithmetic(
    made: tuple[Path, ImageDatabase, ImagesReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _, _ = made
    data = read_images(path)
    compared = []

    def checked(networks: Any, role: str, graph: Any) -> Any:
        def run(feeds: Any, shape: Any, pixels: int) -> Any:
            result = graph(feeds, shape, pixels)
            own = {name: feeds[name] for name in graph.inputs}
            number = data.header.codec.graphs[role]
            expected = integers_by_numpy(data.graphs[number], {**data.weights, **own})
            np.testing.assert_array_equal(result, expected)
            compared.append(role)
            return result

        run.inputs = graph.inputs  # type: ignore[attr-defined]
        return run

    with Images(path, settings=SessionSettings("cpu")) as images:
        networks = images._pictures._networks
        for role, graph in networks._roles.items():
            if not role.startswith("synthesis"):
                networks._roles[role] = checked(networks, role, graph)
        for number in range(0, images.count, 5):
            images.decode(number)
    assert set(compared) == set(networks._roles) - {"synthesis_left", "synthesis_right"}


def test_other_probabilities_are_found_out(paper: Path) -> None:
    """Scales of a float network that are others here are an error, never a wrong picture."""
    with Images(paper) as images:
        expected = [images.decode(i) for i in range(images.count)]
        images.close()
        images._pictures._networks._edges = images._pictures._networks._edges * 1.05
        refused = []
        for number in range(images.count):
            try:
                np.testing.assert_array_equal(images.decode(number), expected[number])
            except ChecksumError as error:
                refused.append(str(error))
        assert refused
        assert all("cannot be decoded on this machine" in line for line in refused)


@pytest.mark.parametrize("attention", ["joint", "epipolar"])
@pytest.mark.parametrize("prior", ["parameters", "free"])
def test_graphs_compute_what_was_trained(attention: Any, prior: Any) -> None:
    import onnxruntime

    from inrvis.container.images_header import ROLES, SPATIAL_ROLES
    from inrvis.encoder.images.export import role_graph

    settings = replace(SMALL_PAPER, attention=attention, prior=prior)
    for model in (
        PaperModel(settings, 3, 32, torch.Generator().manual_seed(2)),
        ExactModel(
            replace(SMALL, attention=attention == "joint"), 3, 32, torch.Generator().manual_seed(2)
        ),
    ):
        random = torch.Generator().manual_seed(3)
        n, m = model.features, model.latents
        shapes = {
            "code": (1, 32, 1, 1),
            "prior": (1, 2 * model.hyperlatents, 2, 3),
            "z_left": (1, model.hyperlatents, 2, 3),
            "z_right": (1, model.hyperlatents, 2, 3),
            "y_left": (1, m, 8, 12),
            "y_right": (1, m, 8, 12),
            "features": (1, n, 8, 12),
            "near": (1, m, 8, 12),
            "near_left": (1, m, 8, 12),
            "size": (1, m, 8, 12),
            "count": (1, 1, 8, 12),
        }
        unit = 255 if model.exact else 1
        feeds = {
            name: torch.round(unit * torch.randn(shape, generator=random)).clamp(-255, 255)
            if model.exact
            else torch.randn(shape, generator=random)
            for name, shape in shapes.items()
        }
        ops = TorchOps(model.stored)
        both = ["left", "right"]
        with torch.no_grad():
            hyper = model.hyper(ops, feeds["z_left"], feeds["z_right"], both)
            pictures = model.synthesis(ops, feeds["y_left"], feeds["y_right"], both)
            expected = {
                "prior_left": model.prior(ops, feeds["code"], "left"),
                "prior_right": model.prior(ops, feeds["code"], "right"),
                "context_z": model.context_z(ops, feeds["prior"], feeds["z_left"]),
                "hyper_left": hyper["left"],
                "hyper_right": hyper["right"],
                "context_y": model.context_y(ops, feeds["y_left"], feeds["features"]),
                **{
                    f"spatial_{side}": model.spatial_context(ops, side, feeds)
                    for side in both
                    if isinstance(model, SpatialModel)
                },
                "synthesis_left": pictures["left"],
                "synthesis_right": pictures["right"],
            }
        assert set(expected) == set(ROLES) - (
            frozenset() if isinstance(model, SpatialModel) else SPATIAL_ROLES
        )
        for role, tensor in expected.items():
            data, _ = role_graph(model, role)
            session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
            own = {}
            for item in session.get_inputs():
                if item.name in feeds:
                    own[item.name] = feeds[item.name].numpy()
                else:
                    weight = model.stored[item.name].detach()
                    if item.name in model.integer_names:
                        bias = 16 if item.name.endswith("_b") else 1
                        weight = torch.round(weight * 128 * bias)
                    own[item.name] = weight.numpy()
            found = session.run(None, own)[0]
            wanted = tensor.detach().numpy()
            exact = model.exact and not role.startswith("synthesis")
            tolerance = 0 if exact else 2e-4 * np.abs(wanted).max()
            np.testing.assert_allclose(found, wanted, atol=tolerance, rtol=0)


def test_size_of_the_published_networks() -> None:
    model = PaperModel(PaperSettings(), 3, 48, torch.Generator().manual_seed(0))
    decoder = sum(p.numel() for p in model.stored.values())
    assert (decoder, sum(p.numel() for p in model.parameters())) == (13_645_254, 21_651_270)


@pytest.mark.parametrize("codec", [SMALL, SMALL_PAPER], ids=["exact", "paper"])
def test_streams_take_the_bits_that_the_model_says(codec: Any) -> None:
    """Within 0.5 %, for latents that are about as large as the model expects."""
    random = np.random.default_rng(6)
    noise = random.integers(0, 256, (2, 512, 640, 3), dtype=np.uint8)
    source = ImageDatabase(
        (Parameter("time", ("0", "1")),),
        ("FILE",),
        (Cell((0,), (0,)), Cell((1,), (1,))),
        tuple(map(stored, noise)),
    )
    encoder = PairEncoder(source, codec, BRIEF, device="cpu", seed=4)
    model = encoder.make_model() if codec is SMALL else lively(encoder)
    trainer = encoder.trainer(model)
    exported = encoder.export(trainer)
    coded = encoder.code(model, exported)
    actual = 8 * sum(len(record) for record in coded.records)
    assert actual > 20_000
    assert actual == pytest.approx(coded.estimated_bits, rel=5e-3)
    # The same from torch: scales as they are and not as tables, weights as they were.
    batch = [torch.from_numpy(encoder.pictures.channels(i)[None]) for i in range(2)]
    codes = [torch.from_numpy(encoder.codes(i, model.exact)) for i in range(2)]
    with torch.no_grad():
        found = model(Batch(*batch, *codes), None, rounded=True)
        bits = float(found.left_bits + found.right_bits)
    assert actual == pytest.approx(bits, rel=5e-3)


def test_tables_are_laplace_distributions() -> None:
    widths = scales()
    for index in (0, 60, 100, 130, 175):
        counts = latent_counts(index)
        reach = (len(counts) - 2) // 2
        k = torch.arange(-reach, reach + 1, dtype=torch.float64)
        bits = laplace_bits(k, torch.tensor(widths[index])).numpy()
        expected = 2.0**-bits
        np.testing.assert_allclose(counts[:-1] / 2**20, expected, atol=2e-6, rtol=1e-4)
    assert np.all(np.diff(widths) > 0)


def test_latents_round_trip_with_outliers() -> None:
    random = np.random.default_rng(5)
    tables = random.integers(0, 176, (3, 40, 30))
    values = np.rint(random.laplace(size=tables.shape) * scales()[tables]).astype(np.int64)
    values[0, 0, :3] = (2**31 - 1, -(2**31), 70_000)
    encoder = LatentEncoder()
    encoder.put(values, tables)
    encoder.put(values[:, ::-1], tables)
    decoder = LatentDecoder(encoder.finish())
    np.testing.assert_array_equal(decoder.take(tables), values)
    np.testing.assert_array_equal(decoder.take(tables), values[:, ::-1])


def test_small_databases_are_refused(tmp_path: Path) -> None:
    flat = tuple(stored(np.full((40, 40, 3), k, dtype=np.uint8)) for k in range(4))
    source = ImageDatabase(
        (Parameter("time", ("0", "1", "2", "3")),),
        ("FILE",),
        tuple(Cell((k,), (k,)) for k in range(4)),
        flat,
    )
    with pytest.raises(UsageError, match=r"too few images to gain.*stills take"):
        encode_images(source, tmp_path / "x.inr", device="cpu")
    assert not list(tmp_path.iterdir())


class StopError(Exception):
    """Stands for a kill."""


def test_training_goes_on_where_it_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from inrvis.encoder.images import trainer as module

    monkeypatch.setattr(module, "_SAVE_SECONDS", -1.0)  # after every step
    source = database()
    settings = replace(BRIEF, steps=6)
    options: dict[str, Any] = {"device": "cpu", "seed": 7, "force": True}
    whole, resumed = tmp_path / "whole.inr", tmp_path / "resumed.inr"
    encode_images(source, whole, SMALL, settings, **options)

    def kill(progress: Any) -> None:
        if progress.fraction >= 0.5:
            raise StopError

    with pytest.raises(StopError):
        encode_images(source, resumed, SMALL, settings, **options, report=kill)
    kept = tmp_path / ".resumed.inr.checkpoint.npz"
    assert kept.exists()
    assert not resumed.exists()
    steps = []
    encode_images(
        source, resumed, SMALL, settings, **options, report=lambda p: steps.append(p.fraction)
    )
    assert steps[0] == 0.5  # not from the beginning
    assert resumed.read_bytes() == whole.read_bytes()
    assert not kept.exists()
    # What is cut off, or of another training, is not gone on from.
    with pytest.raises(StopError):
        encode_images(source, resumed, SMALL, settings, **options, report=kill)
    kept.write_bytes(kept.read_bytes()[:1000])
    resumed.unlink()
    encode_images(source, resumed, SMALL, settings, **options)
    assert resumed.read_bytes() == whole.read_bytes()


def test_images_without_a_partner_and_soft_alpha(tmp_path: Path) -> None:
    soft = [stored(view(p, 0, "soft", (33, 64))) for p in (0.0, 90.0, 180.0)]
    source = ImageDatabase(
        (Parameter("phi", ("0", "90", "180")), Parameter("field", ("p", "rho"))),
        ("FILE",),
        (*(Cell((k, 0), (k,)) for k in range(3)), Cell((0, 1), (0,))),
        tuple(soft),
    )
    path = tmp_path / "soft.inr"
    training = replace(BRIEF, steps=3, pairing="sorted")
    encode_images(source, path, SMALL, training, device="cpu", force=True)
    with Images(path) as images:
        assert images.pairs == ((0, 1), (2, -1))
        assert [images.decode(k).shape for k in range(3)] == [(33, 64, 4)] * 3
        assert images.header.kinds[0].mask == "partial"
        for number, image in enumerate(soft):
            alpha, found = image.load()[..., 3], images.decode(number)[..., 3]
            for value in (0, 255):
                np.testing.assert_array_equal(found[alpha == value], value)
        np.testing.assert_array_equal(images.image(phi=0, field="rho"), images.decode(0))


def test_columns_of_floats_have_ranges_of_their_own(tmp_path: Path) -> None:
    """A few thousandths of the larger one's range would be all that the smaller one has."""
    images = [view(p, 0, "float") for p in (0.0, 90.0)]
    images += [(1e5 * image).astype(np.float32) for image in images]
    source = ImageDatabase(
        (Parameter("phi", ("0", "90")),),
        ("small", "big"),
        tuple(Cell((k,), (k, k + 2)) for k in range(2)),
        tuple(stored(image) for image in images),
    )
    for codec in (SMALL, NervSettings(target=Ratio(5))):
        path = tmp_path / "views.inr"
        encode_images(source, path, codec, replace(BRIEF, steps=3), device="cpu", force=True)
        with Images(path) as opened:
            for number, image in enumerate(images):
                decoded, known = opened.decode(number), np.isfinite(image)
                np.testing.assert_array_equal(np.isfinite(decoded), known)
                assert image[known].min() <= decoded[known].min()
                assert decoded[known].max() <= image[known].max() * (1 + 1e-6)


def test_size_is_what_the_database_can_pay_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, medium, large = EXACT_SIZES.values()
    encoder = PairEncoder(database(), None, BRIEF, device="cpu")
    assert affordable(encoder) == [small]
    assert choose_size(encoder, tmp_path / "x.inr", 1e9) == small
    pixels = property(lambda _: 100_000_000)
    monkeypatch.setattr(PairEncoder, "total_pixels", pixels)
    assert affordable(encoder) == [small, medium]
    # An interrupted training goes on in its size, without new trials.
    encoder.use(medium)
    kept = encoder.checkpoint(tmp_path / "x.inr")
    np.savez(kept.path, fingerprint=np.array(kept.fingerprint))
    assert choose_size(encoder, tmp_path / "x.inr", 1e9) == medium
    pixels = property(lambda _: 10**10)
    monkeypatch.setattr(PairEncoder, "total_pixels", pixels)
    assert affordable(encoder) == [small, medium, large]


@pytest.mark.parametrize("name", ["fcnr", "ecsic"])
def test_published_networks_train_and_decode(name: str, tmp_path: Path) -> None:
    """The paper's recipe on a subset, float32 weights, pairs on the sphere; all images coded."""
    codec = replace(PaperSettings.named(name), channels=8, latents=6, float_weights=True)
    training = replace(ImageTraining.paper(pairing="sphere"), steps=3)
    assert (training.batch, training.crop, training.every_view, training.every_time) == (1, 0, 2, 3)
    path = tmp_path / "views.inr"
    report = encode_images(database(), path, codec, training, device="cpu", force=True)
    assert (report.model, report.steps) == (name, 3)
    with Images(path) as images:
        assert not images.header.codec.exact
        assert images.count == 8
        errors = [
            np.abs(images.decode(k).astype(float) - image.load()).max()
            for k, image in enumerate(database().images)
        ]
    assert max(errors) == report.max_abs_error
