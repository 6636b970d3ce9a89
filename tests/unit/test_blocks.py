"""Blocks cover the volume, and their weights make one continuous field of them."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inrvis.container.header import BoxesHeader, LatticeHeader
from inrvis.decoder.blocks import Axis, Blocks, Boxes, blocks_of


@st.composite
def axes(draw: st.DrawFn, spacing: int = 0) -> Axis:
    """Axes that a header may claim: overlaps of at least 1 and at most half a block."""
    voxels = draw(st.integers(1, 200))
    blocks = draw(st.integers(1, 12))
    side = -(-voxels // blocks)
    overlap = draw(st.integers(1, (side + 1) // 2)) if blocks > 1 else 0
    return Axis(voxels, blocks, overlap, spacing)


@settings(max_examples=200)
@given(axes(), st.lists(st.floats(0, 1), max_size=20))
def test_weights_sum_to_one_everywhere(axis: Axis, fractions: list[float]) -> None:
    positions = np.concatenate(
        [np.arange(axis.voxels), np.array(fractions) * (axis.voxels - 1)]
    ).astype(float)
    weights = np.array([axis.weight(b, positions) for b in range(axis.blocks)])
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(axis=0), 1, atol=1e-12)


@settings(max_examples=200)
@given(axes())
def test_weight_lives_within_the_domain_and_is_continuous(axis: Axis) -> None:
    positions = np.linspace(0, axis.voxels - 1, 64 * axis.voxels - 63)
    for block in range(axis.blocks):
        weights = axis.weight(block, positions)
        first, last = axis.domain(block)
        assert 0 <= first <= last < axis.voxels
        outside = (positions < first) | (positions > last)
        assert not weights[outside].any()
        steepest = 1 / max(2 * axis.overlap - 1, 1)
        assert np.abs(np.diff(weights)).max(initial=0) <= steepest / 64 + 1e-12


@settings(max_examples=100)
@given(axes(), st.integers(1, 9), st.data())
def test_runs_find_every_block_with_weight(axis: Axis, stride: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, axis.voxels - 1))
    positions = np.arange(start, axis.voxels, stride)
    total = np.zeros(len(positions))
    for block, run, weights in axis.runs(positions):
        assert block in axis.near(positions)
        total[run] += weights
    np.testing.assert_allclose(total, 1, atol=1e-6)


@settings(max_examples=100)
@given(st.integers(1, 6).flatmap(lambda s: axes(spacing=s)))
def test_knots_interpolate_linear_fields_exactly(axis: Axis) -> None:
    for block in range(axis.blocks):
        first, last = axis.domain(block)
        positions = np.arange(first, last + 1)
        knots, weights = axis.interpolation(block, positions)
        assert (np.diff(knots) > 0).all()
        np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
        np.testing.assert_allclose(
            weights @ (first + knots * axis.spacing), positions, rtol=1e-6, atol=1e-4
        )


@pytest.mark.parametrize(
    ("dimensions", "blocks"), [((40, 30, 20), (2, 3, 1)), ((5, 1, 1), (4, 1, 1))]
)
def test_blocks_in_the_order_of_the_file(
    dimensions: tuple[int, int, int], blocks: tuple[int, int, int]
) -> None:
    made = Blocks.of(dimensions, LatticeHeader(blocks, 1, 0, 4))
    assert len(made) == math.prod(blocks)
    places = [(x, y, z) for z, y, x in product(*map(range, reversed(blocks)))]
    assert [made.at(block) for block in range(len(made))] == places


def test_coordinates_are_centred_and_of_one_unit() -> None:
    made = Blocks.of((64, 32, 1), LatticeHeader((2, 1, 1), 3, 0, 4))
    for axis in range(3):
        for block in range(made.axes[axis].blocks):
            first, last = made.axes[axis].domain(block)
            values = made.coordinates(axis, block, np.array([first, last]))
            assert values[0] == -values[1]
            assert np.abs(values).max() <= 1


@st.composite
def partitions(draw: st.DrawFn) -> Boxes:
    """Volumes cut in two again and again, anywhere: boxes that meet in T-junctions."""
    dimensions = tuple(draw(st.integers(1, 30)) for _ in range(3))
    boxes = [(0, 0, 0, *dimensions)]
    for _ in range(draw(st.integers(0, 7))):
        box = list(boxes.pop(draw(st.integers(0, len(boxes) - 1))))
        axis = draw(st.integers(0, 2))
        first = draw(st.integers(0, box[axis + 3]))
        other = list(box)
        other[axis], other[axis + 3] = box[axis] + first, box[axis + 3] - first
        box[axis + 3] = first
        boxes += [tuple(b) for b in (box, other) if min(b[3:]) > 0]
    header = BoxesHeader(tuple(boxes), draw(st.integers(0, 5)), 4)
    made = blocks_of(dimensions, header)
    assert isinstance(made, Boxes)
    return made


@settings(max_examples=100)
@given(partitions(), st.lists(st.tuples(*[st.floats(0, 1)] * 3), max_size=20))
def test_boxes_cover_every_position(boxes: Boxes, fractions: list[tuple[float, ...]]) -> None:
    last = np.array(boxes.dimensions) - 1
    corners = np.array(list(product(*((0, n) for n in last))), dtype=float)
    positions = np.concatenate([corners, np.array(fractions).reshape(-1, 3) * last])
    total = np.zeros(len(positions))
    for block, weight in boxes.near(positions):
        assert (weight >= 0).all()
        assert (weight <= 1).all()
        for axis, (first, end) in enumerate(boxes.domain(block)):
            along = positions[:, axis]
            # Without an overlap a box reaches half-way to the voxels beyond its own.
            reach = 0 if boxes.header.overlap else 0.5
            assert not weight[(along < first - reach) | (along > end + reach)].any()
            inside = along[(along >= first) & (along <= end)]
            assert np.abs(boxes.coordinates(axis, block, inside)).max(initial=0) <= 1
        total += weight
    assert (total > 0).all()


@settings(max_examples=100)
@given(partitions(), st.integers(1, 9), st.data())
def test_boxes_on_a_part_have_the_weights_of_its_points(
    boxes: Boxes, stride: int, data: st.DataObject
) -> None:
    starts = [data.draw(st.integers(0, n - 1)) for n in boxes.dimensions]
    along = [np.arange(s, n, stride) for s, n in zip(starts, boxes.dimensions, strict=True)]
    z, y, x = np.meshgrid(*reversed(along), indexing="ij")
    points = np.stack([x, y, z], axis=-1).reshape(-1, 3)
    total = np.zeros([len(a) for a in reversed(along)])
    for _, ((sx, wx), (sy, wy), (sz, wz)) in boxes.covering(along):
        total[sz, sy, sx] += wz[:, None, None] * wy[:, None] * wx
    expected = sum(weight for _, weight in boxes.near(points))
    np.testing.assert_allclose(total.ravel(), expected, atol=1e-6)


def test_weights_of_boxes_fall_off_linearly_and_never_jump() -> None:
    boxes = Boxes((20, 1, 1), BoxesHeader(((0, 0, 0, 8, 1, 1), (8, 0, 0, 12, 1, 1)), 2, 4))
    left, right = (boxes.weight(0, b, np.array([5, 6, 7, 8, 9, 10])) for b in (0, 1))
    np.testing.assert_allclose(left, [1, 1, 2 / 3, 1 / 3, 0, 0])
    np.testing.assert_allclose(right, [0, 0, 1 / 3, 2 / 3, 1, 1])
    fine = np.linspace(0, 19, 19 * 64 + 1)
    for block in (0, 1):
        assert np.abs(np.diff(boxes.weight(0, block, fine))).max() <= 1 / 3 / 64 + 1e-12
    assert boxes.domain(0) == [(0, 9), (0, 0), (0, 0)]
    assert boxes.coordinates(0, 1, np.array([6, 19])).tolist() == [-1, 1]
