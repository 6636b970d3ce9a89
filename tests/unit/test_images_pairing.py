"""Which images of a database are coded together, and left images with several partners."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import inrvis
from inrvis.cli import main
from inrvis.decoder.images import Images
from inrvis.encoder.images.encode import encode_images
from inrvis.encoder.images.pair_encoder import PairEncoder
from inrvis.encoder.images.pairing import groups_of, paired, pairs_of
from inrvis.encoder.images.partners import choose_pairing
from inrvis.encoder.images.pictures import Pictures, look_at
from inrvis.encoder.images.settings import ExactSettings, ImageTraining
from inrvis.errors import FormatError, UsageError
from inrvis.parameters import Cell, Parameter
from inrvis.sources import cinema_writer
from inrvis.sources.database import ImageDatabase
from tests.unit.small_databases import THETAS, database, stored, view

SMALL = ExactSettings(channels=8, latents=6, hyperlatents=4, features=8, analysis=12)
BRIEF = ImageTraining(steps=8, batch=2, crop=32, rate=2e-3, pairing="time")


def series(times: int, turn_deg: float = 8.0, thetas: tuple[str, ...] = THETAS) -> ImageDatabase:
    """Return a ball that moves with time, seen from several sides."""
    images, cells = [], []
    for k in range(times):
        for i, theta in enumerate(thetas):
            cells.append(Cell((k, i), (len(images),)))
            images.append(stored(view(turn_deg * k, float(theta), "rgb")))
    steps = Parameter("time", tuple(str(k) for k in range(times)))
    return ImageDatabase(
        (steps, Parameter("theta", thetas)), ("FILE",), tuple(cells), tuple(images)
    )


def test_pairs_in_order_and_on_the_sphere() -> None:
    phis = tuple(str(p) for p in range(-180, 180, 24))  # 15: rows end in the middle of pairs
    source = database(("rgb",), phis)
    groups = groups_of(source)
    assert [len(g.images) for g in groups] == [44]
    ordered, near = pairs_of(groups, "sorted"), pairs_of(groups, "sphere")
    place = {image: i for i, image in enumerate(groups[0].images)}
    assert [tuple(place[i] for i in pair) for pair in ordered] == [
        (2 * k, 2 * k + 1) for k in range(22)
    ]

    def length(pairs: Any) -> float:
        d = groups[0].directions
        return float(sum(np.linalg.norm(d[place[a]] - d[place[b]]) for a, b in pairs))

    assert sorted(i for pair in near for i in pair) == sorted(place)
    assert length(near) < length(ordered)
    alone = pairs_of([replace(groups[0], images=groups[0].images[:5])], "sorted")
    assert alone[-1] == (groups[0].images[4], -1)


@pytest.mark.parametrize("times", range(2, 9))
def test_neighbours_share_a_partner(times: int) -> None:
    source = series(times)
    pairs = paired(source, "time", reach=1)
    rights = [right for _, right in pairs]
    lefts = Counter(left for left, _ in pairs)
    assert sorted([*lefts, *rights]) == list(range(len(source.images)))
    for left, right in pairs:
        (time, theta), (other, same) = source.cells[left].values, source.cells[right].values
        assert theta == same
        # An image that is left over joins three others.
        assert abs(time - other) <= (2 if times % 3 == 1 else 1)
    assert max(lefts.values()) <= 3
    assert len(lefts) == len(THETAS) * round(times / 3)


def test_pairs_along_a_parameter_without_sharing() -> None:
    source = series(5)
    pairs = paired(source, "time")
    # The last of the five steps has its views for partners, of which there are three.
    assert len([pair for pair in pairs if pair[1] >= 0]) == 3 * 2 + 1
    assert Counter(i for pair in pairs for i in pair if i >= 0) == Counter(range(15))
    assert pairs[-1][1] == -1
    part = paired(source, "time", reach=1, every_view=2, every_time=2)
    assert {source.cells[left].values[1] for left, _ in part} == {0, 2}
    assert len(part) == 2 * 2


@pytest.mark.parametrize("reach", [2, 3, 4])
def test_a_longer_reach(reach: int) -> None:
    source = series(2 * reach + 1 + 10)
    pairs = paired(source, "time", reach=reach)
    assert len({left for left, _ in pairs}) == len(THETAS) * round(1 + 10 / (2 * reach + 1))
    away = [source.cells[a].values[0] - source.cells[b].values[0] for a, b in pairs]
    assert set(map(abs, away)) <= set(range(1, reach + 2))
    assert max(away) - min(away) >= reach


def chosen(source: ImageDatabase, wanted: str = "auto", **changes: bool) -> tuple[str, int]:
    pictures = Pictures(source, look_at(source))
    options = {"shared": True, "covers": False, **changes}
    return choose_pairing(source, pictures, wanted, 0.01, **options)


def test_the_partners_that_are_most_alike_are_chosen() -> None:
    close = tuple(str(t) for t in range(0, 20, 5))
    assert chosen(series(4, 120.0, close))[0] == "theta"
    assert chosen(series(6, 2.0))[0] == "time"
    assert chosen(series(6, 2.0), shared=False) == ("time", 0)
    # What hardly changes reaches further.
    assert chosen(series(12, 0.2), "time")[1] > chosen(series(12, 30.0), "time")[1]
    for wanted in ("sorted", "sphere"):
        assert chosen(series(6, 2.0), wanted) == (wanted, 0)
    encoder = PairEncoder(series(6, 2.0), SMALL, ImageTraining(), device="cpu")
    assert len({left for left, _ in encoder.pairs}) < len(encoder.pairs)
    joint = replace(SMALL, attention=True)
    encoder = PairEncoder(series(6, 2.0), joint, ImageTraining(), device="cpu")
    assert encoder.pairs == paired(encoder.database, "time")


def test_images_with_a_shared_partner_decode_in_any_order(tmp_path: Path) -> None:
    source, path = series(7), tmp_path / "views.inr"
    report = encode_images(source, path, SMALL, BRIEF, device="cpu", force=True)
    with inrvis.open(path) as images:
        assert isinstance(images, Images)
        assert len(images.pairs) == report.pairs > len({left for left, _ in images.pairs})
        assert images.header.encoding["pairing"] == "time"
        first = [images.decode(k) for k in range(images.count)]
        order = np.random.default_rng(3).permutation(np.repeat(np.arange(images.count), 3))
        for k in order.tolist():
            np.testing.assert_array_equal(images.decode(k), first[k])
    for k in range(0, len(source.images), 4):
        with Images(path) as images:
            np.testing.assert_array_equal(images.decode(k), first[k])


def test_a_left_image_that_needs_its_partner_has_one(tmp_path: Path) -> None:
    """With attention each image of a pair sees the other: nothing tells which, of several."""
    encoder = PairEncoder(series(3), replace(SMALL, attention=True), ImageTraining(), device="cpu")
    encoder.pairs = paired(encoder.database, "time", reach=1)
    model = encoder.make_model()
    exported = encoder.export(encoder.trainer(model))
    path = tmp_path / "joint.inr"
    path.write_bytes(encoder.pack(exported, encoder.code(model, exported), {}, 0))
    with pytest.raises(FormatError, match="several partners"):
        inrvis.open(path)


def test_unknown_pairings_are_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match="auto, sorted, sphere, time, theta"):
        paired(series(2), "hour")
    folder, source = tmp_path / "x.cdb", series(2)
    cinema_writer.write(
        folder,
        source.parameters,
        source.columns,
        source.cells,
        lambda number: source.images[number].load(),
    )
    command = ["encode", str(folder), "-o", str(tmp_path / "x.inr")]
    assert main([*command, "--pairing", "hour", "--quiet"]) == 2
    error = capsys.readouterr().err
    assert "hour" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "x.inr").exists()
