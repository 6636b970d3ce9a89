"""Blocks cover the volume, and their weights make one continuous field of them."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inrvis.container.header import LatticeHeader
from inrvis.decoder.blocks import Axis, Blocks


@st.composite
def axes(draw: st.DrawFn, spacing: int = 0) -> Axis:
    """Axes that a header may claim: overlaps of at least 1 and at most half a block."""
    voxels = draw(st.integers(1, 200))
    blocks = draw(st.integers(1, 12))
    side = -(-voxels // blocks)
    overlap = draw(st.integers(1, (side + 1) // 2)) if blocks > 1 else 0
    return Axis(voxels, blocks, overlap, spacing)


@settings(max_examples=200, deadline=None)
@given(axes(), st.lists(st.floats(0, 1), max_size=20))
def test_weights_sum_to_one_everywhere(axis: Axis, fractions: list[float]) -> None:
    positions = np.concatenate(
        [np.arange(axis.voxels), np.array(fractions) * (axis.voxels - 1)]
    ).astype(float)
    weights = np.array([axis.weight(b, positions) for b in range(axis.blocks)])
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(axis=0), 1, atol=1e-12)


@settings(max_examples=200, deadline=None)
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


@settings(max_examples=100, deadline=None)
@given(axes(), st.integers(1, 9), st.data())
def test_runs_find_every_block_with_weight(axis: Axis, stride: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, axis.voxels - 1))
    positions = np.arange(start, axis.voxels, stride)
    total = np.zeros(len(positions))
    for block, run, weights in axis.runs(positions):
        assert block in axis.near(positions)
        total[run] += weights
    np.testing.assert_allclose(total, 1, atol=1e-6)


@settings(max_examples=100, deadline=None)
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
    assert [made.flat(b) for b in made] == list(range(math.prod(blocks)))
    assert list(made) == [(x, y, z) for z, y, x in product(*map(range, reversed(blocks)))]


def test_coordinates_are_centred_and_of_one_unit() -> None:
    made = Blocks.of((64, 32, 1), LatticeHeader((2, 1, 1), 3, 0, 4))
    for axis in range(3):
        for block in range(made.axes[axis].blocks):
            first, last = made.axes[axis].domain(block)
            values = made.coordinates(axis, block, np.array([first, last]))
            assert values[0] == -values[1]
            assert np.abs(values).max() <= 1
