"""The grid against VTK's definition and against plain numpy slicing."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from inrvis.errors import ExtentError, FormatError, UsageError
from inrvis.grid import ImageGrid

pytestmark = pytest.mark.decode_only

ROTATED = (0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)
GRID = ImageGrid((5, 14, 2, 8, 0, 5), (0.5, 1.0, 2.0), (1.0, 2.0, 3.0), ROTATED)


def test_sizes() -> None:
    assert GRID.dimensions == (10, 7, 6)
    assert GRID.shape == (6, 7, 10)
    assert GRID.number_of_points == 420
    assert ImageGrid.from_dimensions((10, 7, 6)).extent == (0, 9, 0, 6, 0, 5)


def test_values_become_plain_tuples_and_grids_are_hashable() -> None:
    grid = ImageGrid(np.arange(6), [1, 2, 3], np.zeros(3), np.eye(3).ravel())  # type: ignore[arg-type]
    assert grid.extent == (0, 1, 2, 3, 4, 5)
    assert grid.spacing == (1.0, 2.0, 3.0)
    assert all(type(value) is int for value in grid.extent)
    assert hash(grid) == hash(ImageGrid((0, 1, 2, 3, 4, 5), (1, 2, 3)))


def test_points_lie_where_vtk_puts_them() -> None:
    model = pytest.importorskip("vtkmodules.vtkCommonDataModel", reason="VTK is not installed")
    image = model.vtkImageData()
    image.SetExtent(GRID.extent)
    image.SetSpacing(GRID.spacing)
    image.SetOrigin(GRID.origin)
    image.SetDirectionMatrix(GRID.direction)
    x, y, z = np.meshgrid(np.arange(5, 15), np.arange(2, 9), np.arange(6), indexing="ij")
    ijk = np.stack([x, y, z], axis=-1).transpose(2, 1, 0, 3).reshape(-1, 3)
    expected = [image.GetPoint(i) for i in range(image.GetNumberOfPoints())]
    np.testing.assert_allclose(GRID.index_to_world(ijk), expected, atol=1e-12)


def test_world_to_index_inverts() -> None:
    ijk = np.array([[5.0, 2.0, 0.0], [7.25, 3.5, 1.75]])
    np.testing.assert_allclose(GRID.world_to_index(GRID.index_to_world(ijk)), ijk)


def test_from_axes_takes_steps_apart() -> None:
    grid = ImageGrid.from_axes((2, 3, 4), [[0, 2, 0], [-3, 0, 0], [0, 0, 4]], (1, 2, 3))
    assert grid.spacing == (2.0, 3.0, 4.0)
    np.testing.assert_allclose(
        grid.index_to_world(np.eye(3)) - grid.origin, [[0, 2, 0], [-3, 0, 0], [0, 0, 4]]
    )


@pytest.mark.parametrize("axes", [np.zeros((3, 3)), np.ones((3, 3)), np.diag([1.0, math.nan, 1.0])])
def test_from_axes_refuses(axes: Any) -> None:
    with pytest.raises(UsageError):
        ImageGrid.from_axes((2, 2, 2), axes, (0, 0, 0))


@pytest.mark.parametrize("points", [[1, 2, 3], [[1, 2]], np.zeros((2, 2, 3))])
def test_points_need_three_columns(points: Any) -> None:
    with pytest.raises(UsageError, match=r"\(n, 3\)"):
        GRID.index_to_world(points)
    with pytest.raises(UsageError, match=r"\(n, 3\)"):
        GRID.world_to_index(points)


@pytest.mark.parametrize(
    "extent",
    [
        (0, -1, 0, 1, 0, 1),
        (0, 1, 0, 1),
        (0, 1.5, 0, 1, 0, 1),
        "abcdef",
        None,
        (0, 2**31, 0, 1, 0, 1),
    ],
)
def test_bad_extents(extent: Any) -> None:
    with pytest.raises(ExtentError) as caught:
        ImageGrid(extent)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("spacing", (1, 0, 1)),
        ("spacing", (1, math.nan, 1)),
        ("spacing", (1, 1)),
        ("origin", (0, 0, math.inf)),
        ("origin", "000"),
        ("origin", 3),
        ("direction", (1, 0, 0, 0, 1, 0, 0, 1, 0)),
        ("direction", (1, 0, 0, 0, 1, 0, 0, 0)),
    ],
)
def test_bad_geometry(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=name):
        ImageGrid((0, 1, 0, 1, 0, 1), **{name: value})


@pytest.mark.parametrize("dimensions", [(0, 1, 1), (1, 1), (1.5, 1, 1), 4])
def test_bad_dimensions(dimensions: Any) -> None:
    with pytest.raises(UsageError, match="dimensions"):
        ImageGrid.from_dimensions(dimensions)


def test_check_extent_says_what_is_allowed() -> None:
    assert GRID.check_extent([5, 6, 2, 2, 0, 0]) == (5, 6, 2, 2, 0, 0)
    with pytest.raises(ExtentError, match=r"outside the grid along y.*from 2 to 8"):
        GRID.check_extent((5, 6, 1, 2, 0, 0))
    with pytest.raises(ExtentError, match="inverted along z"):
        GRID.check_extent((5, 6, 2, 2, 3, 1))


def test_stride_1_keeps_indices_and_origin() -> None:
    part = GRID.subgrid((6, 12, 2, 8, 1, 5))
    assert part.extent == (6, 12, 2, 8, 1, 5)
    assert part.origin == GRID.origin
    assert GRID.subgrid() == GRID


def test_a_stride_counts_indices_anew_from_the_start_of_the_whole() -> None:
    whole = GRID.subgrid(stride=2)
    assert whole.extent == (0, 4, 0, 3, 0, 2)
    np.testing.assert_allclose(whole.origin, GRID.index_to_world([[5, 2, 0]])[0])
    aligned = GRID.subgrid((7, 12, 4, 8, 2, 5), stride=2)
    assert aligned.extent == (1, 3, 1, 3, 1, 2)
    assert aligned.origin == whole.origin
    between = GRID.subgrid((6, 12, 2, 8, 0, 5), stride=2)
    assert between.extent == (0, 3, 0, 3, 0, 2)
    np.testing.assert_allclose(between.origin, GRID.index_to_world([[6, 2, 0]])[0])


def test_source_extent_takes_a_strided_request_back() -> None:
    assert GRID.source_extent((1, 3, 0, 2, 1, 2), stride=2) == (7, 11, 2, 6, 2, 4)
    assert GRID.source_extent(GRID.extent) == GRID.extent
    with pytest.raises(ExtentError):
        GRID.source_extent((0, 5, 0, 3, 0, 2), stride=2)


@pytest.mark.parametrize("stride", [0, -1, 1.5, "2", True])
def test_bad_strides(stride: Any) -> None:
    with pytest.raises(UsageError, match="stride"):
        GRID.subgrid(stride=stride)
    with pytest.raises(UsageError, match="stride"):
        GRID.slices(stride=stride)


def test_json_round_trip() -> None:
    text = json.dumps(GRID.to_json())
    assert ImageGrid.from_json(json.loads(text)) == GRID


@pytest.mark.parametrize(
    "change",
    [
        {"extent": [0, 1]},
        {"extent": [0, 1, 0, 1, 1, 0]},
        {"extent": [0, True, 0, 1, 0, 1]},
        {"extent": "0 1 0 1 0 1"},
        {"spacing": [1, 1, 0]},
        {"spacing": [1, 1, None]},
        {"origin": [0, 0, math.nan]},
        {"direction": [0] * 9},
        {"direction": None},
    ],
)
def test_malformed_json(change: dict[str, Any]) -> None:
    with pytest.raises(FormatError) as caught:
        ImageGrid.from_json({**GRID.to_json(), **change})
    assert "damaged" in str(caught.value)


@pytest.mark.parametrize("data", [None, [], {}, "x"])
def test_json_of_another_kind(data: Any) -> None:
    with pytest.raises(FormatError):
        ImageGrid.from_json(data)
