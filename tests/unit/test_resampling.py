"""The continuous field at any points, its gradient, and grids of other resolutions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import inrvis
from inrvis.decoder.gradients import gradient
from inrvis.decoder.resampling import GridPoints, resample, sampling_grid
from inrvis.decoder.volume import Volume
from inrvis.errors import ArrayNotFoundError, UsageError
from inrvis.grid import ImageGrid
from inrvis.sources import Image

ANGLE = 0.3
ROTATED = (np.cos(ANGLE), -np.sin(ANGLE), 0, np.sin(ANGLE), np.cos(ANGLE), 0, 0, 0, 1)
GRID = ImageGrid((2, 17, -3, 10, 0, 11), (0.5, 2.0, 1.5), (3.0, -4.0, 5.0), ROTATED)
SLOPE = np.array([2.0, -0.75, 1.25])
BOUND = 1e-3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("resampling")


@pytest.fixture(scope="module")
def linear(folder: Path) -> Iterator[Volume]:
    """A linear scalar and vector in coded layers, so that the gradient is known."""
    world = GRID.index_to_world(corner_indices(GRID)).reshape(*GRID.shape, 3)
    scalar = world @ SLOPE + 7
    vector = np.stack([scalar, -2 * scalar], axis=-1)
    path = folder / "linear.inr"
    image = Image(GRID, {"scalar": scalar, "vector": vector})
    inrvis.encode(image, path, target=inrvis.MaxError(BOUND), model="none")
    with inrvis.open(path) as volume:
        yield volume


@pytest.fixture(scope="module")
def network(folder: Path) -> Iterator[Volume]:
    """A network, however well it fits: what is tested is its own field."""
    grid = replace(GRID, extent=(2, 33, -3, 26, 0, 27))
    world = grid.index_to_world(corner_indices(grid)).reshape(*grid.shape, 3)
    wave = np.sin(0.3 * world[..., 0]) * np.cos(0.08 * world[..., 1]) + 0.1 * world[..., 2]
    path = folder / "network.inr"
    inrvis.encode(
        Image(grid, {"wave": wave.astype(np.float32)}),
        path, target=inrvis.Ratio(20), model="siren", preset="fast", time_budget=4,
    )  # fmt: skip
    with inrvis.open(path) as volume:
        yield volume


def corner_indices(grid: ImageGrid) -> np.ndarray:
    x0, x1, y0, y1, z0, z1 = grid.extent
    z, y, x = np.mgrid[z0 : z1 + 1, y0 : y1 + 1, x0 : x1 + 1]
    return np.stack([x, y, z], axis=-1).reshape(-1, 3)


def inner_points(count: int, seed: int = 0) -> np.ndarray:
    low, high = np.array(GRID.extent[::2]), np.array(GRID.extent[1::2])
    where = np.random.default_rng(seed).uniform(low, high, (count, 3))
    return GRID.index_to_world(where)


# ---------------------------------------------------------------- gradients


def test_gradient_of_a_linear_field_is_its_slope_in_world_units(linear: Volume) -> None:
    # Within a cell the slope is a difference of two values that are each BOUND off at most.
    atol = 2 * BOUND * np.sqrt(3) / min(GRID.spacing)
    points = inner_points(500)
    np.testing.assert_allclose(
        gradient(linear, "scalar", points), np.tile(SLOPE, (500, 1)), atol=atol
    )
    both = gradient(linear, "vector", points)
    assert both.shape == (500, 2, 3)
    np.testing.assert_allclose(both[:, 1], np.tile(-2 * SLOPE, (500, 1)), atol=2 * atol)


def test_gradient_at_grid_points_is_the_central_difference(linear: Volume) -> None:
    inner = corner_indices(GRID).reshape(*GRID.shape, 3)[4:6, 4:6, 4:6].reshape(-1, 3)
    found = gradient(linear, "scalar", GRID.index_to_world(inner))
    step = np.array([1, 0, 0])
    values = [linear.sample("scalar", GRID.index_to_world(inner + s)) for s in (step, -step)]
    along = (values[0] - values[1]) / 2
    columns = np.array(GRID.direction).reshape(3, 3) * np.array(GRID.spacing)
    np.testing.assert_allclose(found @ columns[:, 0], along, atol=1e-6)


def test_gradient_integrates_to_the_difference_of_values(network: Volume) -> None:
    starts, ends = inner_points(8, 1), inner_points(8, 2)
    fraction = (np.arange(400) + 0.5) / 400
    for start, end in zip(starts, ends, strict=True):
        path = start + fraction[:, None] * (end - start)
        integral = (gradient(network, None, path) @ (end - start)).mean()
        first, last = network.sample(None, np.stack([start, end]))
        assert integral == pytest.approx(last - first, abs=2e-3)


def test_gradient_on_faces_and_outside(network: Volume) -> None:
    last = network.grid.extent[1::2]
    assert np.isfinite(gradient(network, None, GRID.index_to_world([last]))).all()
    beyond = GRID.index_to_world([[last[0] + 0.5, 0, 3]])
    assert np.isnan(gradient(network, None, beyond)).all()


def test_gradient_across_a_single_slice_is_zero(folder: Path) -> None:
    path = folder / "slice.inr"
    values = np.add.outer(np.arange(9.0), 2 * np.arange(8.0))[None]
    inrvis.encode(values, path, target=inrvis.MaxError(1e-3), model="none")
    with inrvis.open(path) as volume:
        found = gradient(volume, None, np.array([[3.3, 4.7, 0.0]]))
    np.testing.assert_allclose(found, [[2, 1, 0]], atol=5e-3)


@pytest.mark.parametrize("points", [np.zeros(3), np.zeros((2, 2))])
def test_gradient_refuses_other_shapes(linear: Volume, points: np.ndarray) -> None:
    with pytest.raises(UsageError, match="shape"):
        gradient(linear, None, points)


# ---------------------------------------------------------------- resampling


def test_resample_is_sample_and_gradient_at_every_point(
    linear: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inrvis.decoder.resampling._CHUNK", 64)
    points = np.concatenate([inner_points(150), [[1e6, 0, 0]]])
    fractions: list[float] = []
    found = resample(linear, points, gradients=True, progress=fractions.append)
    assert found is not None
    assert list(found.values) == list(found.gradients) == ["scalar", "vector"]
    np.testing.assert_array_equal(found.inside, [True] * 150 + [False])
    for name in linear.arrays:
        np.testing.assert_array_equal(found.values[name], linear.sample(name, points))
        np.testing.assert_array_equal(found.gradients[name], gradient(linear, name, points))
    assert np.isnan(found.values["scalar"][-1])
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1


def test_resample_on_the_own_grid_is_decoding(linear: Volume) -> None:
    found = resample(linear, GridPoints(GRID), arrays=["scalar"])
    assert found is not None
    assert not found.gradients
    np.testing.assert_allclose(
        found.values["scalar"].reshape(GRID.shape), linear.decode("scalar"), atol=1e-9
    )


def test_resample_stops(linear: Volume) -> None:
    assert resample(linear, inner_points(10), progress=lambda _: False) is None
    with pytest.raises(ArrayNotFoundError):
        resample(linear, inner_points(10), arrays=["nothing"])


@given(start=st.integers(0, 3000), count=st.integers(0, 3000))
def test_points_of_a_grid_are_those_of_its_indices(start: int, count: int) -> None:
    points = GridPoints(GRID)
    expected = GRID.index_to_world(corner_indices(GRID))
    assert len(points) == len(expected)
    part = slice(start, start + count)
    np.testing.assert_allclose(points[part], expected[part], rtol=0, atol=1e-12)


@given(st.tuples(*[st.integers(1, 40)] * 3))
def test_sampling_grid_spans_the_volume(dimensions: tuple[int, int, int]) -> None:
    grid = sampling_grid(GRID, dimensions)
    assert grid.dimensions == dimensions
    assert grid.direction == GRID.direction
    low, high = np.array(GRID.extent[::2], float), np.array(GRID.extent[1::2], float)
    ends = GRID.world_to_index(grid.index_to_world([[0, 0, 0], np.array(dimensions) - 1]))
    single = np.array(dimensions) == 1
    np.testing.assert_allclose(ends[0], np.where(single, (low + high) / 2, low), atol=1e-9)
    np.testing.assert_allclose(ends[1], np.where(single, (low + high) / 2, high), atol=1e-9)


def test_sampling_grid_in_a_box() -> None:
    grid = sampling_grid(GRID, (5, 1, 3), (0, 4, 2, 4, 1, 1))
    ends = grid.index_to_world([[0, 0, 0], [4, 0, 2]])
    np.testing.assert_allclose(ends[0], [0, 3, 1])
    np.testing.assert_allclose(ends[1][:2], [4, 3])
    for bad in ((1, 0, 0, 1, 0, 1), (0, np.nan, 0, 1, 0, 1), (0, 1)):
        with pytest.raises(UsageError, match="box"):
            sampling_grid(GRID, (2, 2, 2), bad)
    with pytest.raises(UsageError, match="positive"):
        sampling_grid(GRID, (0, 2, 2))
