"""What holds for every grid, sub-extent and stride."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from inrvis.grid import Extent, ImageGrid

ROTATED = (0.0, -1.0, 0.0, 0.6, 0.0, -0.8, 0.8, 0.0, 0.6)


@st.composite
def grids(draw: st.DrawFn) -> ImageGrid:
    bounds: list[int] = []
    for _ in range(3):
        first = draw(st.integers(-5, 5))
        bounds += [first, first + draw(st.integers(0, 6))]
    number = st.floats(-8, 8, width=16)
    spacing = draw(st.tuples(*[st.floats(0.125, 8, width=16)] * 3))
    origin = draw(st.tuples(number, number, number))
    x0, x1, y0, y1, z0, z1 = bounds
    return ImageGrid((x0, x1, y0, y1, z0, z1), spacing, origin, ROTATED)


@st.composite
def grids_and_parts(draw: st.DrawFn) -> tuple[ImageGrid, Extent]:
    grid = draw(grids())
    part: list[int] = []
    for low, high in zip(grid.extent[::2], grid.extent[1::2], strict=True):
        first = draw(st.integers(low, high))
        part += [first, draw(st.integers(first, high))]
    x0, x1, y0, y1, z0, z1 = part
    return grid, (x0, x1, y0, y1, z0, z1)


def positions(grid: ImageGrid) -> np.ndarray:
    """World coordinates as an array of shape (nz, ny, nx, 3)."""
    x0, x1, y0, y1, z0, z1 = grid.extent
    z, y, x = np.meshgrid(
        np.arange(z0, z1 + 1), np.arange(y0, y1 + 1), np.arange(x0, x1 + 1), indexing="ij"
    )
    ijk = np.stack([x, y, z], axis=-1)
    return grid.index_to_world(ijk.reshape(-1, 3)).reshape(ijk.shape)


@given(grids_and_parts(), st.integers(1, 4))
def test_slices_and_subgrid_speak_of_the_same_points(
    case: tuple[ImageGrid, Extent], stride: int
) -> None:
    grid, part = case
    cut = positions(grid)[grid.slices(part, stride)]
    sub = grid.subgrid(part, stride)
    assert sub.shape == cut.shape[:3]
    np.testing.assert_allclose(positions(sub), cut, atol=1e-9)


@given(grids(), st.integers(1, 4), st.data())
def test_pieces_of_a_strided_read_share_its_indices(
    grid: ImageGrid, stride: int, data: st.DataObject
) -> None:
    whole = grid.subgrid(stride=stride)
    piece: list[int] = []
    for low, high in zip(whole.extent[::2], whole.extent[1::2], strict=True):
        first = data.draw(st.integers(low, high))
        piece += [first, data.draw(st.integers(first, high))]
    part = grid.subgrid(grid.source_extent(piece, stride), stride)
    assert part.extent == tuple(piece)
    assert part.origin == whole.origin


@given(grids())
def test_index_and_world_are_inverse(grid: ImageGrid) -> None:
    ijk = np.array([grid.extent[::2], grid.extent[1::2]], dtype=float)
    np.testing.assert_allclose(grid.world_to_index(grid.index_to_world(ijk)), ijk, atol=1e-6)


@given(grids())
def test_json_is_exact(grid: ImageGrid) -> None:
    assert ImageGrid.from_json(json.loads(json.dumps(grid.to_json()))) == grid
