"""Backgrounds that masks restore, so that networks give only what covers them."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import inrvis
from inrvis.cli import main
from inrvis.container.images_file import read_images
from inrvis.container.images_header import ImageKind, parse_images_header
from inrvis.container.sections import join, read_sections, split
from inrvis.decoder.covers import cover_of, covered_blocks
from inrvis.decoder.image_graphs import SessionSettings
from inrvis.decoder.images import Images
from inrvis.encoder.images.backgrounds import cut_out
from inrvis.encoder.images.encode import encode_images
from inrvis.encoder.images.filling import filled, inner
from inrvis.encoder.images.pair_encoder import PairEncoder
from inrvis.encoder.images.pictures import Facts, Pictures, look_at
from inrvis.encoder.images.settings import ExactSettings, ImageTraining
from inrvis.errors import FormatError, InrvisError
from inrvis.parameters import Cell, Parameter
from inrvis.sources.database import ImageDatabase
from tests.unit.small_databases import changed_file, stored

SMALL = ExactSettings(channels=8, latents=12, hyperlatents=4, features=8, analysis=12, covers=True)
BRIEF = ImageTraining(steps=20, batch=2, crop=64, rate=2e-3)
BACKGROUND = (82, 87, 110)
SIZE = (96, 120)


def ball(angle: float, *, channels: int = 3, alpha: str = "opaque") -> Any:
    """Return a shaded ball with a smooth rim before a background."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(float)
    away = np.hypot(y - 48, x - 60 - 25 * math.cos(angle))
    opacity = np.clip(24.5 - away, 0, 1)[..., None]
    front = np.stack([200 - 3 * away, 120 - y / 2, 60 + x / 2], axis=-1)
    if alpha == "opaque" or channels == 3:
        pixels = opacity * front + (1 - opacity) * np.array(BACKGROUND)
        over = np.full_like(opacity, 255)
    else:
        cut = opacity > 0 if alpha == "hard" else opacity
        pixels = np.where(opacity > 0, front, np.array(BACKGROUND))
        over = 255.0 * cut
    values = np.rint(np.concatenate([pixels, over], axis=-1)[..., :channels])
    return np.clip(values, 0, 255).astype(np.uint8)


def depths(angle: float) -> Any:
    """Return a column of floats with NaN around the ball."""
    away = ball(angle)[..., 0].astype(np.float32)
    cover = (ball(angle) != np.array(BACKGROUND)).any(axis=2)
    return np.where(cover, away, np.nan).astype(np.float32)


def database(*columns: Any) -> ImageDatabase:
    """Return six views with the columns that the functions make."""
    views = range(6)
    images = tuple(stored(column(0.5 * i)) for i in views for column in columns)
    count = len(columns)
    cells = tuple(Cell((i,), tuple(range(count * i, count * (i + 1)))) for i in views)
    phis = tuple(str(60 * i) for i in views)
    names = tuple(f"FILE_{k}" for k in range(count))
    return ImageDatabase((Parameter("phi", phis),), names, cells, images)


def encoded(source: ImageDatabase, path: Path, codec: ExactSettings = SMALL) -> Images:
    encode_images(source, path, codec, BRIEF, device="cpu", seed=1, force=True)
    images = inrvis.open(path)
    assert isinstance(images, Images)
    return images


@pytest.mark.parametrize("channels", [3, 4])
def test_backgrounds_are_exact(channels: int, tmp_path: Path) -> None:
    source = database(lambda angle: ball(angle, channels=channels))
    with encoded(source, tmp_path / "views.inr") as images:
        assert images.kind(0).mask == "background"
        assert images.kind(0).background == BACKGROUND
        for number, original in enumerate(source.images):
            pixels = images.decode(number)
            behind = (original.load()[..., :3] == np.array(BACKGROUND)).all(axis=2)
            assert 0.3 < behind.mean() < 0.95
            np.testing.assert_array_equal(pixels[behind], original.load()[behind])
            assert (pixels[~behind, :3] != np.array(BACKGROUND)).any()
            if channels == 4:
                assert (pixels[..., 3] == 255).all()


@pytest.mark.parametrize("alpha", ["hard", "soft"])
def test_colours_under_a_clear_alpha_are_exact(alpha: str, tmp_path: Path) -> None:
    source = database(lambda angle: ball(angle, channels=4, alpha=alpha))
    with encoded(source, tmp_path / "views.inr") as images:
        assert images.kind(0).mask == {"hard": "alpha", "soft": "partial"}[alpha]
        assert images.kind(0).background == BACKGROUND
        for number, original in enumerate(source.images):
            pixels, wanted = images.decode(number), original.load()
            clear = wanted[..., 3] == 0
            np.testing.assert_array_equal(pixels[clear], wanted[clear])
            assert (pixels[wanted[..., 3] == 255, 3] == 255).all()


def test_columns_of_all_sorts_share_the_networks(tmp_path: Path) -> None:
    def noise(angle: float) -> Any:
        random = np.random.default_rng(round(10 * angle))
        return random.integers(0, 255, (*SIZE, 3), dtype=np.uint8)

    source = database(ball, depths, noise)
    with encoded(source, tmp_path / "views.inr") as images:
        assert [images.kind(i).mask for i in range(3)] == ["background", "nan", ""]
        for number in range(3):
            wanted = source.images[number].load()
            assert images.decode(number).shape == wanted.shape
        np.testing.assert_array_equal(np.isnan(images.decode(1)), np.isnan(source.images[1].load()))


def test_nothing_is_coded_where_nothing_is(tmp_path: Path) -> None:
    """Of an image that is all background there is nothing but a checksum."""
    source = database(lambda angle: ball(angle) if angle else np.full_like(ball(0), BACKGROUND))
    with encoded(source, tmp_path / "views.inr") as images:
        sizes = [len(s) for s in read_images(tmp_path / "views.inr").streams]
        assert sizes[0] <= 8 < min(sizes[1:])
        assert (images.decode(0) == np.array(BACKGROUND)).all()


def test_files_decode_alike_with_other_threads_and_optimisations(tmp_path: Path) -> None:
    path = tmp_path / "views.inr"
    encoded(database(ball), path).close()
    results = []
    for settings in (
        SessionSettings("cpu", threads=1),
        SessionSettings("cpu", threads=2),
        SessionSettings("cpu", threads=1, optimise=False),
    ):
        with Images(path, settings=settings) as images:
            # In another order, from the right image of a pair to the left one.
            results.append([images.decode(i) for i in reversed(range(images.count))])
    for other in results[1:]:
        for first, second in zip(results[0], other, strict=True):
            np.testing.assert_allclose(first.astype(int), second.astype(int), atol=1)


def test_it_is_better_than_coding_the_background(tmp_path: Path) -> None:
    source = database(ball)
    sizes, qualities = [], []
    for covers in (False, True):
        path = tmp_path / f"{covers}.inr"
        codec = replace(SMALL, covers=covers)
        report = encode_images(source, path, codec, BRIEF, device="cpu", seed=1, force=True)
        sizes.append(report.stream_bytes)
        qualities.append(report.psnr_db)
    assert sizes[1] < 0.7 * sizes[0]
    assert qualities[1] > qualities[0]


def cut(source: ImageDatabase, wanted: bool | None) -> Facts | None:
    return cut_out(Pictures(source, look_at(source)), [0] * len(source.images), wanted=wanted)


def test_whether_it_pays_is_found_out() -> None:
    """A rim that is seen pays for its mask, specks of another colour do not."""

    def balls(angle: float) -> Any:
        return np.tile(ball(angle), (3, 3, 1))

    def speckled(angle: float) -> Any:
        random = np.random.default_rng(round(10 * angle))
        specks = random.random((*SIZE, 1)) < 0.3
        return np.where(specks, [81, 87, 110], BACKGROUND).astype(np.uint8)

    for column, expected in ((balls, True), (speckled, False)):
        source = database(column)
        facts = cut(source, None)
        assert (facts is not None) == expected
        assert cut(source, False) is None
        assert cut(source, True) is not None
    encoder = PairEncoder(database(balls), None, BRIEF, device="cpu")
    assert encoder.settings().covers  # type: ignore[union-attr]


def test_colours_that_vary_behind_a_clear_alpha_are_coded() -> None:
    def striped(angle: float) -> Any:
        pixels = ball(angle, channels=4, alpha="hard")
        pixels[::2, :, 0] += (pixels[::2, :, 3] == 0).astype(np.uint8)
        return pixels

    source = database(striped)
    assert cut(source, True) is None


def test_a_choice_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, path = tmp_path / "views.cdb", tmp_path / "views.inr"
    with encoded(database(ball), path):
        pass
    assert main(["decode", str(path), "-o", str(folder)]) == 0
    for choice, mask in (("on", "background"), ("off", "")):
        other = tmp_path / f"{choice}.inr"
        words = ["encode", str(folder), "-o", str(other), "--steps", "2", "--size", "small"]
        assert main([*words, "--force", "--quiet", "--covers", choice]) == 0
        with inrvis.open(other) as images:
            assert isinstance(images, Images)
            assert images.kind(0).mask == mask
    capsys.readouterr()
    words = ["encode", str(folder), "-o", str(path), "--codec", "fcnr", "--covers", "on"]
    assert main(words) == 2
    assert "has no --covers" in capsys.readouterr().err


def test_headers_that_make_no_sense(tmp_path: Path) -> None:
    path = tmp_path / "views.inr"
    with encoded(database(ball), path) as images:
        header = images.header
    sound = header.to_json()
    assert parse_images_header(json.dumps(sound).encode()) == header
    rows: list[list[Any]] = [
        [96, 120, 3, "uint8", "background"],
        [96, 120, 3, "uint8", "background", 1, 2],
        [96, 120, 3, "uint8", "background", 1, 2, 256],
        [96, 120, 3, "uint8", "background", 1, 2, 3, 4],
        [96, 120, 3, "uint8", "", 1, 2, 3],
        [96, 120, 1, "float32", "nan", 1, 2, 3],
        [96, 120, 1, "float32", "background", 1, 2, 3],
    ]
    for row in rows:
        with pytest.raises(FormatError):
            parse_images_header(json.dumps({**sound, "kinds": [row]}).encode())
    codec = {**sound["codec"], "covers": 2}
    with pytest.raises(FormatError):
        parse_images_header(json.dumps({**sound, "codec": codec}).encode())


def test_blocks_and_covers() -> None:
    kind = ImageKind(40, 50, 3, "uint8", "background", background=BACKGROUND)
    planes = np.zeros((1, 40, 50), dtype=bool)
    planes[0, 39, 49] = True
    cover = cover_of(kind, planes)
    large, small = (covered_blocks(kind, cover, stride) for stride in (32, 8))
    assert large.shape == (2, 2)
    assert small.shape == (8, 8)
    assert np.argwhere(large).tolist() == [[1, 1]]
    assert np.argwhere(small).tolist() == [[4, 6]]
    assert cover_of(replace(kind, mask="", background=None), None).all()
    assert cover_of(replace(kind, mask="alpha", background=None), planes).all()


@given(
    known=hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=20)),
    seed=st.integers(0, 9),
)
def test_filling_keeps_what_is_known(known: Any, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (*known.shape, 3), dtype=np.uint8)
    found = filled(pixels, known)
    np.testing.assert_array_equal(found[known], pixels[known])
    if known.any():
        low, high = pixels[known].min(axis=0), pixels[known].max(axis=0)
        assert (found >= low).all()
        assert (found <= high).all()


def test_pixels_of_the_rim_are_no_part_of_the_inside() -> None:
    cover = np.zeros((20, 20), dtype=bool)
    cover[4:12, 4:12] = True
    cover[16, :] = True
    found = inner(cover)
    assert found[5:11, 5:11].all()
    assert not found[4, 4:12].any()
    # A line has no inside.
    assert found[16].all()


def test_the_mixture_of_the_rim_starts_near_the_truth() -> None:
    encoder = PairEncoder(database(ball), SMALL, BRIEF, device="cpu")
    trainer = encoder.trainer(encoder.make_model())
    batch = trainer.draw()
    with torch.no_grad():
        outcome = trainer.model(batch, rounded=True)
    error = (outcome.left - batch.left).square().mean()
    assert -10 * math.log10(float(error)) > 25


def decoded(path: Path) -> list[Any]:
    with Images(path) as images:
        return [images.decode(number) for number in range(images.count)]


@pytest.mark.parametrize("change", ["gone", "short", "other"])
def test_tables_of_outlines_that_are_damaged(change: str, tmp_path: Path) -> None:
    golden = Path(__file__).parents[1] / "golden" / "format1_covers.inr"
    sections = read_sections(golden)
    changed = {"gone": None, "short": sections["outlines"][:-5], "other": sections["masks"]}
    path = changed_file(sections, tmp_path, outlines=changed[change])
    with pytest.raises(InrvisError):
        decoded(path)


def test_masks_that_are_damaged(tmp_path: Path) -> None:
    """Damage that checksums do not see is an error, or another mask; never a crash."""
    golden = Path(__file__).parents[1] / "golden" / "format1_covers.inr"
    sections = read_sections(golden)
    masks = split(sections["masks"], "masks")
    random = np.random.default_rng(2)
    for _ in range(12):
        own = [bytearray(mask) for mask in masks]
        own[0][int(random.integers(len(own[0])))] ^= 1 << int(random.integers(8))
        path = changed_file(sections, tmp_path, masks=join([bytes(mask) for mask in own]))
        try:
            assert decoded(path)[0].shape == (40, 50, 4)
        except InrvisError as error:
            assert "damaged" in str(error)  # noqa: PT017
