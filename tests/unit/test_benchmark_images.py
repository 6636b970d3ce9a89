"""The codecs of the image benchmark, the order of views, and how results are compared."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from benchmarks import image_database, image_render
from benchmarks.image_database import compare, psnr_at, rate_at, view_order
from benchmarks.image_peers import ImagePeer, Rgb, Still, image_peers
from benchmarks.image_quality import Quality, background, psnr_db
from inrvis.errors import UsageError
from inrvis.parameters import Cell, Parameter, sort_values
from inrvis.sources import cinema, cinema_writer
from inrvis.sources.database import ImageDatabase

BACKGROUND = (82, 87, 110)


def views(count: int = 5, height: int = 70, width: int = 91) -> list[Rgb]:
    """A shaded disc that moves from view to view, in front of one colour."""
    y, x = np.mgrid[:height, :width]
    images = []
    for number in range(count):
        distance = np.hypot(x - 30 - 2 * number, y - 35) / 25
        shade = np.clip(1 - distance**2, 0, 1)[..., None]
        colours = shade * np.array([220, 180, 90]) + 30
        image = np.where((distance < 1)[..., None], colours, np.array(BACKGROUND))
        images.append(np.rint(image).astype(np.uint8))
    return images


def quality(images: list[Rgb], decoded: list[Rgb]) -> float:
    return (
        psnr_db(
            float(
                sum(((a.astype(int) - b) ** 2).sum() for a, b in zip(images, decoded, strict=True))
            ),
            sum(image.size for image in images),
        )
        or math.inf
    )


@pytest.mark.parametrize("peer", image_peers(), ids=lambda peer: peer.label)
def test_a_peer_gives_back_the_images_it_was_given(peer: ImagePeer) -> None:
    if reason := peer.missing():
        pytest.skip(reason)
    images = views()
    coarse, fine = (peer.encode(images, peer.settings[i]) for i in (0, -1))
    assert coarse.nbytes < fine.nbytes
    decoded = list(peer.decode(fine))
    assert [image.shape for image in decoded] == [image.shape for image in images]
    assert quality(images, decoded) > max(27.0, quality(images, list(peer.decode(coarse))))
    for number in (4, 0, 3):
        np.testing.assert_array_equal(peer.access(fine, number), decoded[number])


def test_a_group_holds_what_it_says_and_counts_all_its_bytes() -> None:
    (peer,) = image_peers(["webp"])
    assert isinstance(peer, Still)
    stream = peer.encode(views(3), 75)
    assert len(stream.groups) == 3
    assert stream.nbytes == sum(len(peer.encode_image(image, 75)) for image in views(3))
    with pytest.raises(UsageError, match="mpeg2"):
        image_peers(["mpeg2"])


def test_the_foreground_is_what_is_not_background() -> None:
    images = views(2)
    assert background(images) == BACKGROUND
    measured = Quality(BACKGROUND)
    original, decoded = images[0], images[0].copy()
    inside = (original != np.array(BACKGROUND)).any(axis=2)
    decoded[~inside] += 3
    measured.add(original, decoded)
    record = measured.record()
    assert record["foreground_psnr_db"] is None
    assert record["psnr_db"] == pytest.approx(10 * math.log10(255**2 / (9 * (~inside).mean())))
    assert record["foreground_share"] == pytest.approx(inside.mean())
    assert record["lpips"] is None


def test_similarity_of_equal_images_is_one() -> None:
    measured = Quality(BACKGROUND)
    for image in views(2):
        measured.add(image, image)
    record = measured.record()
    assert record["ssim"] == pytest.approx(1)
    assert record["foreground_ssim"] == pytest.approx(1)
    assert record["psnr_db"] is None


def database(*counts: int) -> ImageDatabase:
    names = ("time", "theta", "phi")
    parameters = tuple(
        Parameter(n, tuple(str(i) for i in range(c))) for n, c in zip(names, counts, strict=True)
    )
    cells = tuple(
        Cell(tuple(int(i) for i in index), (number,))
        for number, index in enumerate(np.ndindex(*counts))
    )
    return ImageDatabase(parameters, ("FILE",), cells, ())


@pytest.mark.parametrize("counts", [(2, 3, 5), (3, 3, 4), (1, 4, 4), (2, 2, 2)])
def test_neighbours_on_the_path_differ_by_one_step(counts: tuple[int, int, int]) -> None:
    views_in = database(*counts)
    order = view_order(views_in, 0)
    assert sorted(order) == list(range(len(views_in.cells)))
    steps = [
        np.abs(np.subtract(views_in.cells[a].values, views_in.cells[b].values)).sum()
        for a, b in pairwise(order)
    ]
    assert set(steps) == {1}


def test_a_parameter_that_runs_fastest() -> None:
    views_in = database(3, 2, 4)
    order = view_order(views_in, 0, "time")
    assert sorted(order) == list(range(len(views_in.cells)))
    for start in range(0, 24, 3):
        cells = [views_in.cells[number].values for number in order[start : start + 3]]
        assert len({cell[1:] for cell in cells}) == 1
        assert [abs(a[0] - b[0]) for a, b in pairwise(cells)] == [1, 1]


def test_scattered_views_are_visited_by_nearness() -> None:
    directions = image_render.geodesic_views(42)
    degrees = [image_render.angles(direction) for direction in directions]
    texts = [(f"{phi:.3f}", f"{theta:.3f}") for phi, theta in degrees]
    phis, thetas = (sort_values(t[axis] for t in texts) for axis in (0, 1))
    parameters = (Parameter("time", ("0", "1")), Parameter("phi", phis), Parameter("theta", thetas))
    cells = tuple(
        Cell((time, phis.index(phi), thetas.index(theta)), (time * 42 + view,))
        for time in range(2)
        for view, (phi, theta) in enumerate(texts)
    )
    order = view_order(ImageDatabase(parameters, ("FILE",), cells, ()), 0)
    assert sorted(order) == list(range(84))
    assert {number // 42 for number in order[:42]} == {0}
    cosines = [float(directions[a % 42] @ directions[b % 42]) for a, b in pairwise(order)]
    # Neighbours on this sphere are 32 or 36 degrees apart.
    assert np.median(cosines) > np.cos(np.radians(37))


def test_the_tornado_has_its_published_values() -> None:
    field = image_render.tornado(32, 0)
    magnitude = np.linalg.norm(field, axis=3)
    assert magnitude.min() == pytest.approx(0.029840, abs=1e-6)
    assert magnitude.max() == pytest.approx(0.313126, abs=1e-6)
    np.testing.assert_allclose(field[16, 16, 16], [0.036926, -0.199787, 0.008468], atol=1e-6)


@pytest.mark.parametrize("count", [12, 42, 162, 812])
def test_views_are_spread_evenly(count: int) -> None:
    directions = image_render.geodesic_views(count)
    assert directions.shape == (count, 3)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1)
    np.testing.assert_allclose(directions.sum(axis=0), 0, atol=1e-9)
    cosines = directions @ directions.T - 2 * np.eye(count)
    nearest = np.degrees(np.arccos(cosines.max(axis=1)))
    assert nearest.max() < 1.4 * nearest.min()
    with pytest.raises(ValueError, match="no number of views"):
        image_render.geodesic_views(count + 1)


def test_a_table_of_renderings_is_a_database(tmp_path: Path) -> None:
    directions = image_render.geodesic_views(12)
    for view in range(12):
        path = tmp_path / image_render.image_name(view, 0)
        path.parent.mkdir(parents=True, exist_ok=True)
        Pillow.fromarray(np.full((4, 4, 3), view, np.uint8)).save(path)
    image_render.write_table(tmp_path, directions, np.array([0.0]))
    read = cinema.read(tmp_path)
    assert [p.name for p in read.parameters] == ["time", "phi", "theta"]
    assert len(read.images) == 12


def test_rates_are_compared_at_equal_quality() -> None:
    theirs = [
        {"codec": "avif", "psnr_db": 30.0, "bits_per_pixel": 0.1},
        {"codec": "avif", "psnr_db": 40.0, "bits_per_pixel": 0.4},
    ]
    assert rate_at(theirs, 35.0) == pytest.approx(0.2)
    assert rate_at(theirs, 41.0) is None
    assert psnr_at(theirs, 0.2) == pytest.approx(35.0)
    ours = {"codec": "inrvis", "psnr_db": 35.0, "bits_per_pixel": 0.1, "images_in_file": 3}
    (row,) = compare({"records": [*theirs, ours]})
    assert row["rate_ratio"] == {"avif": pytest.approx(0.5)}
    assert row["psnr_gain_db"] == {"avif": pytest.approx(5.0)}
    far = {**ours, "psnr_db": 50.0}
    assert compare({"records": [*theirs, far]})[0]["rate_ratio"] == {"avif": None}


def test_a_run_goes_on_where_the_last_one_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(image_database, "CROPS", tmp_path / "crops")
    images, folder = views(3), tmp_path / "disc.cdb"
    cells = tuple(Cell((i,), (i,)) for i in range(3))
    parameter = Parameter("phi", ("0", "10", "20"))
    cinema_writer.write(folder, (parameter,), ("FILE",), cells, lambda number: images[number])
    results = tmp_path / "results.json"
    arguments = [str(folder), "--peers", "webp", "--results", str(results), "--minutes"]
    assert image_database.main([*arguments, "1e-9"]) == 3
    assert image_database.main([*arguments, "5"]) == 0
    record = json.loads(results.read_text())
    entry = record["results"]["disc"]
    assert [r["setting"] for r in entry["records"]] == [1, 10, 40, 75, 92]
    assert entry["images"] == 3
    assert record["provenance"]["command"]
    assert len(list((tmp_path / "crops" / "disc").iterdir())) == 6
    capsys.readouterr()
    assert image_database.main([*arguments, "5"]) == 0
    assert not capsys.readouterr().out
