"""Coded layers and masks: cut into chunks, read in part, sampled between voxels, left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest

import inrvis
from inrvis import residual
from inrvis.cli import main
from inrvis.decoder.layers import ChunkCache, Chunks, Layer, trilinear
from inrvis.decoder.volume import Volume
from inrvis.errors import FormatError, UsageError

pytestmark = pytest.mark.decode_only

Golden = Callable[[str], Path]
Edited = Callable[..., Path]
CODED = ("levels", "gaps", "layers")


@pytest.fixture(params=CODED)
def volume(request: pytest.FixtureRequest, golden: Golden) -> Iterator[Volume]:
    with inrvis.open(golden(request.param), device="cpu") as opened:
        yield opened


@pytest.mark.parametrize(
    ("dimensions", "counts", "sides"),
    [
        ((1, 1, 1), (1, 1, 1), (1, 1, 1)),
        ((256, 255, 1), (1, 1, 1), (256, 255, 1)),
        ((257, 20, 20), (2, 1, 1), (129, 20, 20)),
        ((300, 512, 513), (2, 2, 3), (150, 256, 171)),
        ((1, 76_801, 3), (1, 301, 1), (1, 256, 3)),
    ],
)
def test_chunks_cut_evenly(dimensions: Any, counts: Any, sides: Any) -> None:
    chunks = Chunks(dimensions)
    assert (chunks.counts, chunks.sides) == (counts, sides)
    order = list(chunks)
    assert [chunks.flat(chunk) for chunk in order] == list(range(np.prod(counts)))
    for axis in range(3):
        slices = sorted({(s := chunks.slices(chunk)[2 - axis]).start: s for chunk in order}.items())
        stop = 0
        for start, along in slices:
            assert start == stop
            assert 1 <= along.stop - start <= 256
            stop = along.stop
        assert stop == dimensions[axis]


class Fake:
    """A layer whose values are the numbers of its voxels."""

    def __init__(self, dimensions: tuple[int, int, int], capacity: int = 1 << 24) -> None:
        self.chunks, self.decoded = Chunks(dimensions), 0
        shape = tuple(reversed(dimensions))
        self.values = np.arange(np.prod(shape), dtype=np.int64).reshape(shape)
        self.cache = ChunkCache(capacity)
        streams = [str(number).encode() for number in range(len(list(self.chunks)))]
        self.layer = Layer(self.chunks, streams, self.decode, np.dtype(np.int64), self.cache)

    def decode(self, data: bytes, shape: tuple[int, int, int]) -> Any:
        self.decoded += 1
        values = self.values[self.chunks.slices(list(self.chunks)[int(data)])]
        assert values.shape == shape
        return values


def test_a_layer_puts_its_chunks_together() -> None:
    fake = Fake((300, 7, 258))
    for along in product(
        (np.arange(300), np.arange(0, 300, 149), np.array([299])),
        (np.arange(7), np.array([3, 5])),
        (np.arange(258), np.array([128, 129])),
    ):
        expected = fake.values[np.ix_(*reversed(along))]
        np.testing.assert_array_equal(fake.layer.box(along), expected)
    assert fake.decoded == 4
    points = np.random.default_rng(0).integers(0, (300, 7, 258), size=(500, 3))
    x, y, z = points.T
    np.testing.assert_array_equal(fake.layer.points(points), fake.values[z, y, x])
    assert fake.layer.points(np.zeros((0, 3), dtype=np.int64)).shape == (0,)


def test_a_read_decodes_the_chunks_that_it_needs() -> None:
    fake = Fake((300, 7, 258))
    fake.layer.box([np.arange(150), np.arange(7), np.arange(129, 258)])
    assert fake.decoded == 1
    fake.layer.points(np.array([[0, 0, 0], [149, 6, 128]]))
    assert fake.decoded == 2


def test_chunks_are_forgotten_but_one() -> None:
    fake = Fake((300, 7, 5), capacity=10)
    for _ in range(2):
        fake.layer.box([np.arange(150), np.arange(7), np.arange(5)])
    assert fake.decoded == 1
    fake.layer.box([np.arange(300), np.arange(7), np.arange(5)])
    assert fake.decoded == 2
    fake.layer.box([np.arange(150), np.arange(7), np.arange(5)])
    assert fake.decoded == 3
    fake.cache.clear()
    fake.layer.box([np.arange(150), np.arange(7), np.arange(5)])
    assert fake.decoded == 4


def test_threads_that_want_one_chunk_decode_it_once() -> None:
    fake, barrier = Fake((40, 40, 40)), Barrier(4)

    def read(z: int) -> Any:
        barrier.wait()
        return fake.layer.box([np.arange(40), np.arange(40), np.arange(z, z + 10)])

    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(read, range(0, 40, 10)))
    np.testing.assert_array_equal(np.concatenate(parts), fake.values)
    assert fake.decoded == 1


def test_a_failed_chunk_fails_again_and_breaks_nothing() -> None:
    fake = Fake((4, 4, 4))
    good, fake.layer._decode = fake.layer._decode, lambda *_: (_ for _ in ()).throw(MemoryError)
    for _ in range(2):
        with pytest.raises(FormatError, match="memory"):
            fake.layer.box([np.arange(4)] * 3)
    fake.layer._decode = good
    np.testing.assert_array_equal(fake.layer.box([np.arange(4)] * 3), fake.values)


def test_trilinear_weights() -> None:
    dimensions = (4, 3, 1)

    def plane(voxels: Any) -> Any:
        assert (voxels >= 0).all()
        assert (voxels < dimensions).all()
        x, y, _ = voxels.T
        values = 2.0 * x + 10.0 * y
        # Behind a corner without weight anything may be hidden.
        values[x == 3] = np.where(y[x == 3] == 0, np.nan, values[x == 3])
        return values

    positions = np.array([[0, 0, 0], [1.25, 1.5, 0], [3, 2, 0], [2, 0, 0], [2.5, 1, 0]])
    np.testing.assert_allclose(trilinear(plane, positions, dimensions), [0, 17.5, 26, 4, 15])
    assert np.isnan(trilinear(plane, np.array([[2.5, 0.5, 0]]), dimensions))[0]


@pytest.mark.parametrize("stride", [1, 2, 5, 300])
def test_a_part_is_a_part_of_the_whole(volume: Volume, golden: Golden, stride: int) -> None:
    grid, exact = volume.grid, not volume.header.models
    x0, x1, y0, y1, z0, z1 = grid.extent
    extents = [
        None,
        (x0 + 3, x1 - 1, y0 + 1, y1 - 2, z0, z1),
        (x1, x1, y0, y1, z1, z1),
        (x0 + 7, x0 + 9, y0 + 5, y1, z0 + 1, z1),
        ((x0 + x1) // 2 - 1, (x0 + x1) // 2 + 1, y0, y0, z0, z0),
    ]
    for name in volume.arrays:
        whole = volume.decode(name)
        for extent in extents:
            # A volume that was never read has nothing cached.
            with inrvis.open(volume.path, device="cpu") as fresh:
                part = fresh.decode(name, extent=extent, stride=stride)
            expected = whole[grid.slices(extent, stride)]
            assert part.dtype == expected.dtype
            if exact or expected.dtype.kind != "f":
                np.testing.assert_array_equal(part, expected)
            else:
                np.testing.assert_allclose(part, expected, rtol=1e-6)


def test_known_channels_give_what_networks_give(volume: Volume) -> None:
    known = volume.decode_from(volume.channels())
    for values, decoded in zip(known, volume.decode_arrays(volume.arrays), strict=True):
        assert values.dtype == decoded.dtype
        np.testing.assert_array_equal(values, decoded)


def test_the_base_is_what_the_network_says(golden: Golden, edited: Edited) -> None:
    def without(facts: Any) -> None:
        for array in facts["arrays"]:
            del array["residual"], array["precision"]

    path = edited("layers", header=without, raw={"residuals": None})
    with inrvis.open(path) as plain, inrvis.open(golden("layers")) as layered:
        for name in layered.arrays:
            base = layered.decode(name, layers="base")
            np.testing.assert_array_equal(base, plain.decode(name))
            assert np.abs(layered.decode(name) - base).max() > 10
        # Masks hold in a preview, too.
        assert (layered.decode("heat", layers="base") == 0).sum() > 10


def test_the_base_as_a_file(golden: Golden, tmp_path: Path) -> None:
    output = tmp_path / "base.npy"
    words = ["--array", "heat", "--layers", "base", "--quiet"]
    assert main(["decode", str(golden("layers")), "-o", str(output), *words]) == 0
    with inrvis.open(golden("layers")) as volume:
        np.testing.assert_array_equal(np.load(output), volume.decode("heat", layers="base"))


@pytest.mark.parametrize("name", ["levels", "gaps"])
def test_arrays_without_a_network_have_no_other_base(golden: Golden, name: str) -> None:
    with inrvis.open(golden(name)) as volume:
        for array in volume.arrays:
            base = volume.decode(array, layers="base")
            np.testing.assert_array_equal(base, volume.decode(array))


def test_layers_there_are_not(volume: Volume) -> None:
    with pytest.raises(UsageError, match="top"):
        volume.decode(layers="top")  # type: ignore[arg-type]


def world(volume: Volume, positions: Any) -> Any:
    return volume.grid.index_to_world(np.asarray(positions, float) + volume.grid.extent[::2])


def corners(values: Any, positions: Any) -> Any:
    """Values (n, 8) at the voxels around positions (n, 3), and their trilinear weights."""
    lower = np.minimum(np.floor(positions).astype(int), np.array(values.shape[2::-1]) - 2)
    found, weights = [], []
    for step in product((0, 1), repeat=3):
        x, y, z = (lower + step).T
        found.append(values[z, y, x].astype(float))
        weights.append(np.prod(1 - np.abs(positions - lower - step), axis=1))
    return np.stack(found, axis=1), np.stack(weights, axis=1)


@pytest.mark.parametrize(
    ("name", "array", "component"),
    [("gaps", "depth", 0), ("gaps", "wind", 0), ("gaps", "wind", 1), ("levels", "labels", 0)],
)
def test_samples_without_a_network_are_trilinear(
    golden: Golden, name: str, array: str, component: int
) -> None:
    with inrvis.open(golden(name)) as volume:
        last = np.array(volume.grid.dimensions) - 1
        positions = np.random.default_rng(1).uniform(0, last, size=(3000, 3))
        values = np.atleast_2d(volume.decode(array).T).T
        values = values.reshape(*volume.grid.shape, -1)[..., component]
        sampled = volume.sample(array, world(volume, positions)).reshape(len(positions), -1)
        found, weights = corners(values, positions)
    # Next to masked voxels what hides behind them counts, too.
    known = np.isfinite(found).all(axis=1) & (found != 1e6).all(axis=1)
    assert known.sum() > 500
    expected = (found * weights).sum(axis=1)[known]
    np.testing.assert_allclose(sampled[known, component], expected, rtol=1e-6)


def test_samples_are_what_no_number_is_where_the_nearest_voxel_is(golden: Golden) -> None:
    with inrvis.open(golden("gaps")) as volume:
        last = np.array(volume.grid.dimensions) - 1
        positions = np.random.default_rng(2).uniform(0, last, size=(3000, 3))
        x, y, z = np.rint(positions).astype(int).T
        depth, wind = volume.decode_arrays(["depth", "wind"])
        points = world(volume, positions)
        for values, sampled in (
            (depth[z, y, x], volume.sample("depth", points)),
            (wind[z, y, x], volume.sample("wind", points)),
        ):
            odd = ~np.isfinite(values)
            assert 100 < odd.sum() < odd.size - 100
            np.testing.assert_array_equal(sampled[odd], values[odd])
            assert np.isfinite(sampled[~odd]).all()


def test_samples_on_top_of_a_network(golden: Golden, edited: Edited) -> None:
    def open_ended(facts: Any) -> None:
        facts["masks"] = 0
        for array in facts["arrays"]:
            array.update(low=-30_000, high=30_000, exact=[])

    def base(facts: Any) -> None:
        open_ended(facts)
        for array in facts["arrays"]:
            del array["residual"], array["precision"]

    alone = edited("layers", header=base, raw={"residuals": None, "masks": None}, name="alone")
    both = edited("layers", header=open_ended, raw={"masks": None}, name="both")
    with inrvis.open(alone) as network, inrvis.open(both) as volume:
        last = np.array(volume.grid.dimensions) - 1
        positions = np.random.default_rng(3).uniform(0, last, size=(500, 3))
        points = world(volume, positions)
        difference = volume.decode("heat").astype(float) - network.decode("heat")
        found, weights = corners(difference, positions)
        expected = network.sample("heat", points) + (found * weights).sum(axis=1)
        np.testing.assert_allclose(volume.sample("heat", points), expected, atol=1e-3)


def test_samples_stay_within_the_range(golden: Golden, edited: Edited) -> None:
    def narrow(facts: Any) -> None:
        facts["arrays"][0].update(low=35.0, high=36.0)

    with inrvis.open(edited("gaps", header=narrow)) as volume:
        last = np.array(volume.grid.dimensions) - 1
        positions = np.random.default_rng(4).uniform(0, last, size=(300, 3))
        for values in (volume.sample("depth", world(volume, positions)), volume.decode("depth")):
            assert (np.nanmin(values), np.nanmax(values)) == (35, 36)


@pytest.mark.parametrize("codec", residual.CODECS)
@pytest.mark.parametrize(
    "record", [b"", b"\0" * 7, bytes(40), b"\xff" * 64, b"\x7f" * 403], ids=len
)
def test_a_stream_that_is_none(edited: Edited, codec: str, record: bytes) -> None:
    """Checksums are sound: only the coder can tell."""

    def rename(facts: Any) -> None:
        facts["arrays"][0]["residual"] = codec

    def replace(records: list[bytes]) -> None:
        records[0] = record

    path = edited("layers", header=rename, residuals=replace)
    with inrvis.open(path) as volume, pytest.raises(FormatError) as caught:
        volume.decode("height")
    assert "\n" not in str(caught.value)
    with inrvis.open(path) as volume:
        assert volume.decode("height", layers="base").any()


@pytest.mark.parametrize("record", [b"", b"\3abc", b"\1abc", b"\0abc", b"\2" + bytes(41)], ids=len)
def test_a_mask_that_is_none(edited: Edited, record: bytes) -> None:
    path = edited("layers", masks=lambda _: [record])
    with inrvis.open(path) as volume:
        assert volume.decode("height").any()
        with pytest.raises(FormatError):
            volume.decode("heat")
