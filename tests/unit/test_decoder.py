"""Reads: parts equal the whole, cost and memory follow what is asked for, and errors are clear."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import inrvis
from inrvis.decoder.network import Network
from inrvis.decoder.tiles import TileCache
from inrvis.decoder.volume import Volume
from inrvis.errors import ArrayNotFoundError, DeviceError, ExtentError, UsageError

pytestmark = pytest.mark.decode_only

Golden = Callable[[str], Path]
Edited = Callable[..., Path]
NETWORKS = ("direct", "blocks", "knots", "boxes")


@pytest.fixture(params=NETWORKS)
def volume(request: pytest.FixtureRequest, golden: Golden) -> Iterator[Volume]:
    with inrvis.open(golden(request.param), device="cpu") as opened:
        yield opened


def resized(extent: list[int]) -> Callable[[Any], None]:
    """Return an edit of a header that changes the extent alone."""

    def change(facts: Any) -> None:
        facts["grid"]["extent"] = extent

    return change


def assert_same(part: np.ndarray, whole: np.ndarray) -> None:
    """Equal up to float32's last bits, which the shape of a product may change."""
    assert part.dtype == whole.dtype
    assert part.shape == whole.shape
    if part.dtype.kind == "f":
        span = max(float(np.ptp(whole)), 1.0)
        np.testing.assert_allclose(part, whole, rtol=1e-6, atol=1e-6 * span)
    else:
        assert np.abs(part.astype(float) - whole.astype(float)).max(initial=0) <= 1


@pytest.mark.parametrize("stride", [1, 2, 3, 5, 100])
def test_a_part_is_a_part_of_the_whole(volume: Volume, stride: int) -> None:
    grid = volume.grid
    x0, x1, y0, y1, z0, z1 = grid.extent
    extents = [
        None,
        (x0 + 3, x1 - 1, y0 + 2, y1 - 2, z0, z1),
        (x1, x1, y0, y1, z1, z1),
        (x0, x0, y1, y1, z0, z0),
        (x0 + 7, x0 + 9, y0 + 5, y1, z0, z1),
    ]
    for name in volume.arrays:
        whole = volume.decode(name)
        for extent in extents:
            part = volume.decode(name, extent=extent, stride=stride)
            assert_same(part, whole[grid.slices(extent, stride)])
            assert part.shape[:3] == grid.subgrid(extent, stride).shape


def test_several_tiles_join(edited: Edited) -> None:
    with inrvis.open(edited("blocks", header=resized([-5, 134, 0, 69, 10, 43]))) as volume:
        whole = volume.decode()
        assert whole.shape == (34, 70, 140)
        for extent in [(0, 100, 20, 50, 12, 40), (-5, -5, 0, 69, 43, 43), (58, 60, 31, 33, 15, 29)]:
            for stride in (1, 4):
                part = volume.decode(extent=extent, stride=stride)
                assert_same(part, whole[volume.grid.slices(extent, stride)])


def test_arrays_together_equal_arrays_alone(golden: Golden) -> None:
    with inrvis.open(golden("direct")) as volume:
        velocity, density = volume.decode_arrays(["velocity", "density"])
    with inrvis.open(golden("direct")) as volume:
        np.testing.assert_array_equal(volume.decode("density"), density)
        np.testing.assert_array_equal(volume.decode("velocity"), velocity)
    assert velocity.shape == (9, 11, 13, 3)
    assert (density.dtype, velocity.dtype) == (np.uint8, np.float32)


def test_integers_are_rounded_and_clamped(edited: Edited) -> None:
    def narrow(facts: Any) -> None:
        facts["arrays"][0].update(low=30.0, high=60.0)

    with inrvis.open(edited(header=narrow)) as volume:
        values = volume.decode("density")
        assert values.dtype == np.uint8
        assert (values.min(), values.max()) == (30, 60)
        grid = volume.grid
        z, y, x = np.indices(grid.shape)
        indices = np.stack([x, y, z], axis=-1).reshape(-1, 3) + grid.extent[::2]
        exact = volume.sample("density", grid.index_to_world(indices))
        off = np.abs(exact - values.ravel())
        assert off.max() <= 0.5 + 1e-3
        assert off.max() > 0.3


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        ("int8", -128.0, 127.0),
        ("uint32", 0.0, 2.0**32 - 1),
        ("int64", -(2.0**63), 2.0**63),
        ("uint64", 0.0, 2.0**64),
    ],
)
def test_clamping_at_the_ends_of_a_type(
    edited: Edited, dtype: str, low: float, high: float
) -> None:
    def wide(facts: Any) -> None:
        facts["arrays"][0].update(dtype=dtype, low=low, high=high, offset=[0.0], scale=[1e30])

    with inrvis.open(edited("blocks", header=wide)) as volume:
        values = volume.decode()
    limits = np.iinfo(dtype)
    assert values.dtype == np.dtype(dtype)
    assert float(values.max()) == pytest.approx(float(limits.max), rel=1e-12)
    assert int(values.min()) == limits.min
    # Nothing wraps around: all the values are at one of the ends.
    assert set(np.unique(values).tolist()) <= {int(values.min()), int(values.max()), 0}


def test_samples_at_grid_points_are_the_decoded_values(volume: Volume) -> None:
    grid = volume.grid
    z, y, x = np.indices(grid.shape)
    indices = np.stack([x, y, z], axis=-1).reshape(-1, 3) + grid.extent[::2]
    points = grid.index_to_world(indices)
    for name in volume.arrays:
        decoded = volume.decode(name).astype(float)
        sampled = volume.sample(name, points).reshape(decoded.shape)
        integer = volume.array(name).dtype.startswith(("int", "uint"))
        slack = 0.5 * integer + 1e-5 * np.ptp(decoded)
        assert np.abs(sampled - decoded).max() <= slack


def test_samples_outside_are_nan(volume: Volume) -> None:
    grid, name = volume.grid, volume.arrays[-1]
    x0, x1, y0, y1, z0, z1 = grid.extent
    inside = [[x0, y0, z0], [x1, y1, z1]]
    outside = [[x0 - 0.01, y0, z0], [x1, y1 + 0.01, z1], [x0, y0, z1 + 1], [np.nan, y0, z0]]
    outside.append([np.inf, y0, z0])
    with np.errstate(invalid="ignore"):
        values = volume.sample(name, grid.index_to_world(np.array(inside + outside, dtype=float)))
    values = values.reshape(len(values), -1)
    assert np.isfinite(values[:2]).all()
    assert np.isnan(values[2:]).all()
    assert volume.sample(name, np.zeros((0, 3))).shape[0] == 0
    for shape in ((3,), (4, 2), (2, 2, 3)):
        with pytest.raises(UsageError, match="points"):
            volume.sample(name, np.zeros(shape))


def test_the_field_is_continuous_across_faces(golden: Golden) -> None:
    with inrvis.open(golden("blocks")) as volume:
        grid = volume.grid
        x = np.linspace(0, 18, 400)
        step = np.array([1e-4, 1e-4, 0.0])
        points = np.stack([x, x * 15 / 18, np.full_like(x, 1.5)], axis=-1)
        low, high = (
            volume.sample(None, grid.index_to_world(np.clip(p, 0, (18, 15, 4))))
            for p in (points - step / 2, points + step / 2)
        )
        assert np.abs(high - low).max() < 1e-2 * np.ptp(low)


class Counter:
    """Counts the positions at which trunks are evaluated."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        original = Network._run_trunk

        def counted(network: Network, *arguments: Any) -> Any:
            self.count += arguments[-1].shape[1]
            return original(network, *arguments)

        monkeypatch.setattr(Network, "_run_trunk", counted)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_read_costs_what_is_asked_for(
    golden: Golden, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    counter = Counter(monkeypatch)
    with inrvis.open(golden(name)) as volume:
        x0, _, y0, _, z0, _ = volume.grid.extent
        volume.decode(extent=(x0, x0, y0, y0, z0, z0))
        assert counter.count <= 8
        counter.count = 0
        values = volume.decode(stride=4)
        models = volume.header.models
        assert counter.count <= sum(m.number_of_blocks for m in models) * values.size
        counter.count = 0
        volume.decode()
        # Overlaps are evaluated by every block that reaches there.
        assert counter.count <= 2 * len(models) * volume.grid.number_of_points
        counter.count = 0
        volume.decode(volume.arrays[0])
        assert counter.count == 0
        volume.sample(None, volume.grid.index_to_world([[x0, y0, z0]]))
        assert counter.count <= 8


def test_a_corner_of_a_large_volume_costs_a_corner(
    edited: Edited, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = Counter(monkeypatch)
    with inrvis.open(edited("blocks", header=resized([0, 2047, 0, 2047, 0, 2047]))) as volume:
        volume.decode(extent=(0, 15, 0, 15, 0, 15))
        assert counter.count == 16**3
        counter.count = 0
        volume.decode(stride=512)
        assert counter.count <= 4 * 4**3


def test_the_cache_forgets_the_oldest() -> None:
    cache, tile = TileCache(250), np.zeros(100, np.uint8)
    for key in "abc":
        cache.put(key, tile)
        cache.get("a")
    assert cache.get("a") is not None
    assert cache.get("b") is None
    assert cache.get("c") is not None
    cache.put("huge", np.zeros(300, np.uint8))
    assert cache.get("huge") is None
    cache.clear()
    assert cache.get("a") is None


def test_what_a_reader_changes_does_not_change_the_next_read(golden: Golden) -> None:
    with inrvis.open(golden("direct")) as volume:
        first = volume.decode("density")
        kept = first.copy()
        first[:] = 0
        np.testing.assert_array_equal(volume.decode("density"), kept)


def large(edited: Edited) -> Path:
    return edited("blocks", header=resized([0, 255, 0, 255, 0, 127]))


def test_progress_rises_to_one_and_false_stops(
    edited: Edited, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter, seen = Counter(monkeypatch), []
    with inrvis.open(edited("blocks", header=resized([0, 127, 0, 63, 0, 31]))) as volume:
        volume.decode(progress=seen.append)
        assert seen == sorted(seen)
        assert seen[-1] == 1
    counter.count = 0
    with inrvis.open(large(edited)) as volume:
        values = volume.decode(progress=lambda _: False)
        assert values.shape == volume.grid.shape
        assert counter.count < volume.grid.number_of_points / 2


def test_what_progress_raises_ends_the_decoding(
    edited: Edited, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = Counter(monkeypatch)

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    with inrvis.open(large(edited)) as volume:
        with pytest.raises(KeyboardInterrupt):
            volume.decode(progress=interrupt)
        assert counter.count < volume.grid.number_of_points / 2


def test_wrong_requests(volume: Volume) -> None:
    x0, x1, y0, y1, z0, z1 = volume.grid.extent
    with pytest.raises(ArrayNotFoundError, match=volume.arrays[0]):
        volume.decode("nothing")
    with pytest.raises(ArrayNotFoundError):
        volume.sample("nothing", np.zeros((1, 3)))
    for extent in [(x0, x1 + 1, y0, y1, z0, z1), (x1, x0, y0, y1, z0, z1), (0, 1), (0.5,) * 6]:
        with pytest.raises(ExtentError):
            volume.decode(extent=extent)
    for stride in (0, -1, 1.5, "2"):
        with pytest.raises(UsageError, match="stride"):
            volume.decode(stride=stride)  # type: ignore[arg-type]


def test_devices(golden: Golden) -> None:
    import onnxruntime

    with pytest.raises(UsageError, match="bogus"):
        inrvis.open(golden("direct"), device="bogus")  # type: ignore[arg-type]
    with inrvis.open(golden("direct"), device="cpu") as volume:
        assert volume.device == "cpu"
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        with pytest.raises(DeviceError, match="CUDA"):
            inrvis.open(golden("direct"), device="cuda")
        with inrvis.open(golden("direct"), device="auto") as volume:
            assert volume.device == "cpu"


MEASURE = """
import sys
import inrvis

def peak():
    with open("/proc/self/status") as file:
        return next(int(l.split()[1]) for l in file if l.startswith("VmHWM")) << 10

with inrvis.open(sys.argv[1], device="cpu") as volume:
    volume.decode(extent=(0, 7, 0, 7, 0, 7))
    before = peak()
    values = volume.decode()
    print(peak() - before, values.nbytes, values.shape)
"""


def test_memory_is_bounded_by_the_output(edited: Edited) -> None:
    path = edited("knots", header=float_to_uint8)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, path], capture_output=True, text=True, check=True
    )
    rise, size = (int(word) for word in done.stdout.split()[:2])
    assert size == 320 * 320 * 320
    assert rise < size + (256 << 20)


def float_to_uint8(facts: Any) -> None:
    facts["grid"]["extent"] = [0, 319] * 3
    facts["arrays"][0].update(dtype="uint8", low=0.0, high=255.0, offset=[128.0], scale=[90.0])
