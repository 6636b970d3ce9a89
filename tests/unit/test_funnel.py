"""Budgets are spent to the last parameter, and networks stay within theirs."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from inrvis.encoder.funnel import (
    AllocationRule,
    allocate,
    funnel,
    funnel_widths,
    parameter_count,
    width_classes,
)
from inrvis.encoder.octree import Box, Leaf
from inrvis.errors import UsageError

RULES: list[AllocationRule] = ["size_over_concentration", "size", "concentration", "equal"]


def leaf(voxels: int, concentration: float) -> Leaf:
    return Leaf(Box((0, 0, 0), (voxels, 1, 1)), concentration)


LEAVES = st.lists(
    st.builds(leaf, st.integers(1, 10**6), st.floats(1e-6, 1)), min_size=1, max_size=40
)


def part(leaf: Leaf, by: AllocationRule) -> float:
    return {
        "size_over_concentration": leaf.box.voxels / leaf.concentration,
        "size": leaf.box.voxels,
        "concentration": 1 / leaf.concentration,
        "equal": 1,
    }[by]


# ---------------------------------------------------------------- allocation


@settings(max_examples=200)
@given(LEAVES, st.sampled_from(RULES), st.integers(0, 300), st.integers(0, 10**7))
def test_the_sum_is_the_budget(
    leaves: list[Leaf], by: AllocationRule, smallest: int, spare: int
) -> None:
    budget = smallest * len(leaves) + spare
    counts = allocate(leaves, budget, by=by, smallest=smallest)
    assert sum(counts) == budget
    assert min(counts) >= smallest
    parts = np.array([part(leaf, by) for leaf in leaves])
    # A larger part never gets less.
    order = np.argsort(parts, kind="stable")
    ranked, given_to = parts[order], np.array(counts)[order]
    steps = np.diff(given_to)
    assert (steps[np.diff(ranked) > 0] >= 0).all()
    # Beyond the minimum, counts are in proportion up to the rounding.
    above = np.array(counts) > smallest + 1
    if above.any():
        ratio = (np.array(counts)[above] - 1) / parts[above]
        assert ratio.max() <= ((np.array(counts)[above] + 1) / parts[above]).min() * (1 + 1e-9)


@settings(max_examples=100)
@given(LEAVES, st.sampled_from(RULES), st.integers(0, 100), st.integers(0, 10**5))
def test_a_larger_budget_takes_from_no_block(
    leaves: list[Leaf], by: AllocationRule, smallest: int, spare: int
) -> None:
    budget = smallest * len(leaves) + spare
    before = allocate(leaves, budget, by=by, smallest=smallest)
    after = allocate(leaves, budget + len(leaves), by=by, smallest=smallest)
    # Largest remainders may move one parameter.
    assert all(b >= a - 1 for a, b in zip(before, after, strict=True))


def test_rules_of_the_paper() -> None:
    leaves = [leaf(100, 0.5), leaf(100, 0.25), leaf(400, 1.0)]
    assert allocate(leaves, 1000) == (200, 400, 400)
    assert allocate(leaves, 600, by="size") == (100, 100, 400)
    assert allocate(leaves, 700, by="concentration") == (200, 400, 100)
    assert allocate(leaves, 602, by="equal") == (201, 201, 200)


def test_the_minimum_comes_out_of_the_others() -> None:
    leaves = [leaf(1, 1.0), leaf(100, 1.0), leaf(300, 1.0)]
    assert allocate(leaves, 440, smallest=40) == (40, 100, 300)
    # Lifting the first pushes the second below the minimum.
    assert allocate(leaves, 400, smallest=95) == (95, 95, 210)
    assert allocate(leaves, 120, smallest=40) == (40, 40, 40)


def test_budgets_that_are_too_small() -> None:
    leaves = [leaf(8, 0.5)] * 10
    with pytest.raises(UsageError, match="at most 9 blocks"):
        allocate(leaves, 999, smallest=100)
    with pytest.raises(UsageError, match="lower ratio"):
        allocate(leaves, -5, smallest=0)
    with pytest.raises(UsageError, match="no blocks"):
        allocate([], 100)


def test_an_unknown_rule() -> None:
    by: Any = "luck"
    with pytest.raises(UsageError, match="unknown allocation 'luck'"):
        allocate([leaf(8, 0.5)], 100, by=by)


# ---------------------------------------------------------------- one network


def steps_of(widths: tuple[int, ...], layers: int = 7, ratio: float = 2.2) -> list[tuple[int, ...]]:
    """From the funnel as narrow as the last of ``widths`` to the next, layer by layer."""
    narrow, wide = (funnel(widths[-1] + more, layers, ratio) for more in (0, 1))
    return [wide[:n] + narrow[n:] for n in range(layers)]


@pytest.mark.parametrize("layers", [3, 5, 7])
@pytest.mark.parametrize("width", [1, 5, 40])
def test_count_of_one_width(width: int, layers: int) -> None:
    """The quadratic that the public configuration of the paper solves for its width."""
    expected = (layers - 2) * width**2 + (layers + 3 + 2 - 1) * width + 2
    assert parameter_count(funnel(width, layers, 1.0), 2) == expected


def test_count_by_hand() -> None:
    assert parameter_count((5, 2), 1) == (3 * 5 + 5) + (5 * 2 + 2) + (2 + 1)


def test_shape_of_the_funnel() -> None:
    assert funnel(10) == (22, 10, 10, 10, 10, 10)
    assert funnel(10, layers=3, ratio=0.5) == (5, 10)
    assert funnel(1, layers=3, ratio=0.1) == (1, 1)


@settings(max_examples=200)
@given(
    st.integers(1, 10**6), st.integers(1, 9), st.integers(3, 9), st.sampled_from([0.4, 1.0, 2.2])
)
def test_the_widest_network_that_fits(
    parameters: int, channels: int, layers: int, ratio: float
) -> None:
    if parameter_count(funnel(1, layers, ratio), channels) > parameters:
        with pytest.raises(UsageError, match="too few"):
            funnel_widths(parameters, channels, layers, ratio)
        return
    widths = funnel_widths(parameters, channels, layers, ratio)
    assert len(widths) == layers - 1
    steps = steps_of(widths, layers, ratio)
    counts = [parameter_count(step, channels) for step in steps]
    assert counts == sorted(counts)
    assert counts[-1] > parameters
    assert parameter_count(widths, channels) == max(c for c in counts if c <= parameters)
    assert widths in steps


@pytest.mark.parametrize("layers", [-1, 0, 1, 2])
def test_too_few_layers(layers: int) -> None:
    with pytest.raises(UsageError, match="no funnel"):
        funnel_widths(1000, 1, layers)
    with pytest.raises(UsageError, match="no funnel"):
        width_classes([1000], 1, layers)


@pytest.mark.parametrize(
    ("width", "layers", "ratio"),
    [(0, 7, 2.2), (4, 2, 2.2), (4, 7, 0.0), (4, 7, float("nan")), (4, 7, float("inf"))],
)
def test_shapes_that_are_no_funnel(width: int, layers: int, ratio: float) -> None:
    with pytest.raises(UsageError, match="no funnel"):
        funnel(width, layers, ratio)


def test_no_parameters() -> None:
    for parameters in (-1, 0, 20):
        with pytest.raises(UsageError, match="too few"):
            funnel_widths(parameters, 1)


# ---------------------------------------------------------------- classes of width


@settings(max_examples=150)
@given(
    st.lists(st.integers(60, 20000), min_size=1, max_size=60),
    st.integers(1, 4),
    st.integers(1, 8),
    st.sampled_from([1.0, 2.2]),
)
def test_classes_keep_the_budget(
    parameters: list[int], channels: int, most: int, ratio: float
) -> None:
    widths = width_classes(parameters, channels, ratio=ratio, most_classes=most)
    assert len(widths) == len(parameters)
    assert len(set(widths)) <= most
    counts = [parameter_count(w, channels) for w in widths]
    spare = sum(parameters) - sum(counts)
    assert spare >= 0
    # Nothing that is left would lift a block into the next class.
    ladder = sorted({parameter_count(w, channels) for w in widths})
    following = dict(pairwise(ladder))
    assert all(following[c] - c > spare for c in counts if c in following)
    for w in widths:
        assert w in steps_of(w, ratio=ratio)


@settings(max_examples=100)
@given(st.lists(st.integers(60, 20000), min_size=2, max_size=60), st.integers(1, 8))
def test_more_parameters_never_mean_a_narrower_network(parameters: list[int], most: int) -> None:
    assume(len(set(parameters)) > 1)
    widths = width_classes(parameters, 1, most_classes=most)
    given_to: dict[int, list[int]] = {}
    for p, w in zip(parameters, widths, strict=True):
        given_to.setdefault(p, []).append(parameter_count(w, 1))
    counts = [given_to[p] for p in sorted(given_to)]
    for fewer, more in pairwise(counts):
        assert min(fewer) <= min(more)
        assert max(fewer) <= max(more)


def test_classes_of_one_size_widen_together() -> None:
    """Two classes of small networks share a size; the better paid one must not stay behind."""
    parameters = [130, 177, 180, 191, 237, 289]
    widths = width_classes(parameters, 1, most_classes=5, step=1.1)
    counts = [parameter_count(w, 1) for w in widths]
    assert counts == sorted(counts)


def test_classes_spend_nearly_everything() -> None:
    rng = np.random.default_rng(0)
    leaves = [leaf(4096, c) for c in rng.uniform(0.1, 1, 50)]
    parameters = allocate(leaves, 40_000, smallest=100)
    widths = width_classes(parameters, 1)
    counts = [parameter_count(w, 1) for w in widths]
    assert 0.99 * 40_000 < sum(counts) <= 40_000
    assert len(set(widths)) <= 7
    # A block's network is within a class of what it was given.
    ratios = np.array(counts) / np.array(parameters)
    assert 0.6 < ratios.min() <= ratios.max() < 1.7


def test_one_block_gets_the_widest() -> None:
    assert width_classes([5000], 1) == (funnel_widths(5000, 1),)
    assert width_classes([], 1) == ()


def test_bad_classes() -> None:
    with pytest.raises(UsageError, match="too few"):
        width_classes([10_000, 10], 1)
    with pytest.raises(UsageError, match="no classes"):
        width_classes([1000], 1, most_classes=0)
    with pytest.raises(UsageError, match="no classes"):
        width_classes([1000], 1, step=1.0)
