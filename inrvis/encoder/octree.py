"""Partition of a volume into blocks of concentrated spectrum (SCI, Yang et al. 2023).

A network of sines fits a block well whose spectrum has few large coefficients. Of all partitions
that an octree allows, SCI takes the one whose blocks have the most concentrated spectra, with a
limit on their number: equations 7 to 12 of the paper.

Where the paper is open, or cannot be meant as printed:

- Equation 7 divides a side by ``2**(N (l - 1))``, which is how often the *volume* is divided; a
  side is halved once a level.
- Equation 8 weighs a block by ``1 / 2**(n l)``. All blocks of a level being of one size there,
  this is the block's part of the volume but for the constant ``2**n``, which moves no optimum.
  The number of voxels is that weight here: the same where every axis halves evenly, and still
  the average over voxels where sides are odd or an axis is too short to be cut. ``2**(n l)``
  itself would charge a split of fewer than eight children for children that it does not have.
- The number of levels and the smallest block are not given; see `PartitionSettings`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrvis.encoder.spectrum import spectrum_concentration
from inrvis.errors import SourceError, UsageError

__all__ = [
    "Box",
    "Leaf",
    "Node",
    "PartitionSettings",
    "equidistant",
    "grow",
    "mean_concentration",
    "partition",
    "prune",
    "whole",
]

Triple = tuple[int, int, int]
Array = NDArray[Any]

# Six full levels hold 37,449 nodes. Each costs a transform, so a tree far beyond that is a
# mistake in the settings rather than a wish.
_MOST_NODES = 100_000


@dataclass(frozen=True)
class Box:
    """A box of voxels.

    Attributes
    ----------
    start, size : tuple of 3 int
        First voxel, and voxels along each axis, in the order (x, y, z).
    """

    start: Triple
    size: Triple

    @property
    def voxels(self) -> int:
        """Number of voxels."""
        return math.prod(self.size)

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """The box as an index of arrays of shape (nz, ny, nx, ...)."""
        x, y, z = (
            slice(first, first + side) for first, side in zip(self.start, self.size, strict=True)
        )
        return z, y, x


@dataclass(frozen=True)
class Leaf:
    """A block of a partition.

    Attributes
    ----------
    box : Box
        Its voxels.
    concentration : float
        D of equation 9, in (0, 1]: the mean over the channels.
    """

    box: Box
    concentration: float


@dataclass(frozen=True)
class Node:
    """A node of the octree: a possible block, and the smaller ones that could replace it."""

    leaf: Leaf
    children: tuple[Node, ...] = ()


@dataclass(frozen=True)
class PartitionSettings:
    """How a volume is partitioned.

    Attributes
    ----------
    most_blocks : int
        Blocks at most (``a_max`` of equation 11).
    levels : int
        Levels of the tree, the root among them (L of equation 10); 1 leaves the volume whole.
    largest : int
        Coefficients that count as the peak of a spectrum (M of equation 9).
    remove_mean : bool
        Whether the coefficient of frequency zero is left out of the spectrum. The paper keeps it,
        and so adding a constant to the values changes its partition.
    smallest_side : int
        Voxels below which no side is halved.

    Raises
    ------
    UsageError
        If a number is below 1.
    """

    # The paper's values. 50 blocks are exactly seven splits of a node into eight.
    most_blocks: int = 50
    largest: int = 1
    # Every level costs one more transform of the volume, and a fifth would spend four of the
    # seven splits to reach eight blocks of 1/4096 of the volume.
    levels: int = 4
    # As in the paper. D has no amplitude: faint noise is as spread as strong noise. Only a mean far
    # from zero makes faint noise cheap, and where the background is near zero nothing does.
    remove_mean: bool = False
    # 16**3 voxels of 16 bits at ratio 64 are 32 parameters in fp32, already less than a network
    # of seven layers needs. A smaller block could only be paid for by its neighbours.
    smallest_side: int = 16

    def __post_init__(self) -> None:
        for name in ("most_blocks", "levels", "largest", "smallest_side"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, not {getattr(self, name)}")


def partition(values: Array, settings: PartitionSettings | None = None) -> tuple[Leaf, ...]:
    """Partition of the most concentrated spectra: the exact optimum of equations 8 to 12.

    Parameters
    ----------
    values : ndarray, shape (nz, ny, nx) or (nz, ny, nx, channels)
        Values of any real type, all finite. Without `PartitionSettings.remove_mean` the result
        depends on their offset: pass them in the unit of the source.
    settings : PartitionSettings, optional
        Limits of the tree; the paper's by default.

    Returns
    -------
    tuple of Leaf
        Blocks that hold every voxel exactly once, sorted by their first voxel, x fastest. Of
        equally good partitions, one of the fewest blocks.

    Raises
    ------
    SourceError
        If the shape is not one of the two, or a value is not finite.
    UsageError
        If the tree of these settings has more nodes than can be examined.

    Notes
    -----
    Needs about three copies of the volume in fp32 (fp64 for int32, int64 and float64).
    """
    settings = settings or PartitionSettings()
    channels = _channels(values)
    box = _box_of(channels)
    _check_nodes(box.size, settings)
    return prune(grow(box, settings, partial(_measure, channels, settings)), settings.most_blocks)


def equidistant(values: Array, settings: PartitionSettings | None = None) -> tuple[Leaf, ...]:
    """Blocks of one size: the paper's comparison "EP".

    Parameters
    ----------
    values, settings
        As for `partition`; `PartitionSettings.levels` is not used.

    Returns
    -------
    tuple of Leaf
        As close to ``most_blocks`` blocks, and as close to cubes, as whole numbers of blocks
        along each axis allow; sorted by their first voxel, x fastest.

    Raises
    ------
    SourceError
        As for `partition`.
    """
    settings = settings or PartitionSettings()
    channels = _channels(values)
    size = _box_of(channels).size
    most = settings.most_blocks

    def badness(counts: Triple) -> tuple[float, Triple]:
        sides = [n / c for n, c in zip(size, counts, strict=True) if n > 1]
        shape = math.log(max(sides) / min(sides)) if sides else 0.0
        return 2 * math.log(most / math.prod(counts)) + shape, counts

    highest = [min(most, max(1, n // settings.smallest_side)) for n in size]
    # One block fewer along z costs twice as much as the better shape can gain.
    candidates = (
        (x, y, min(highest[2], most // (x * y)))
        for x, y in product(range(1, highest[0] + 1), range(1, highest[1] + 1))
        if x * y <= most
    )
    counts = min(candidates, key=badness)
    spans = [
        list(pairwise(n * i // count for i in range(count + 1)))
        for n, count in zip(size, counts, strict=True)
    ]
    return _sorted(_measure(channels, settings, box) for box in _boxes(spans))


def whole(values: Array, settings: PartitionSettings | None = None) -> tuple[Leaf, ...]:
    """One block: the paper's comparison "NP". Parameters and errors as for `partition`."""
    channels = _channels(values)
    return (_measure(channels, settings or PartitionSettings(), _box_of(channels)),)


def mean_concentration(leaves: tuple[Leaf, ...]) -> float:
    """Mean of D over the voxels of a partition: what equation 8 maximises."""
    total = sum(leaf.box.voxels for leaf in leaves)
    return sum(leaf.box.voxels * leaf.concentration for leaf in leaves) / total


# ---------------------------------------------------------------- the tree


def grow(
    box: Box, settings: PartitionSettings, measure: Callable[[Box], Leaf], level: int = 1
) -> Node:
    """Octree below ``box``, every node measured.

    Parameters
    ----------
    box : Box
        The root of this tree.
    settings : PartitionSettings
        Levels, and the smallest side.
    measure : callable
        Gives the concentration of a box.
    level : int
        Level of ``box``; the root of the whole tree is 1.
    """
    leaf = measure(box)
    # No child is better than 1, so a block that has reached it is never worth a split.
    if level >= settings.levels or leaf.concentration >= 1:
        return Node(leaf)
    parts = _halves(box, settings.smallest_side)
    if len(parts) == 1:
        return Node(leaf)
    return Node(leaf, tuple(grow(part, settings, measure, level + 1) for part in parts))


def _halves(box: Box, smallest_side: int) -> list[Box]:
    """Cut every axis whose halves are long enough."""
    spans = []
    for first, side in zip(box.start, box.size, strict=True):
        half, end = side // 2, first + side
        cut = half >= smallest_side
        spans.append([(first, first + half), (first + half, end)] if cut else [(first, end)])
    return _boxes(spans)


def _boxes(spans: list[list[tuple[int, int]]]) -> list[Box]:
    """All boxes between the (first, end) of the x, y and z axes."""
    return [
        Box((x[0], y[0], z[0]), (x[1] - x[0], y[1] - y[0], z[1] - z[0]))
        for x, y, z in product(*spans)
    ]


def _check_nodes(size: Triple, settings: PartitionSettings) -> None:
    nodes = 0
    finest = [max(1, n // settings.smallest_side) for n in size]
    for level in range(settings.levels):
        blocks = [min(2**level, most) for most in finest]
        nodes += math.prod(blocks)
        if nodes > _MOST_NODES:
            raise UsageError(
                f"a tree of {settings.levels} levels with sides down to {settings.smallest_side} "
                f"has more than {_MOST_NODES} blocks here: use fewer levels or a larger side"
            )
        if blocks == finest:
            break


# ---------------------------------------------------------------- the optimum


@dataclass(frozen=True)
class _Plan:
    """The best prunings of a subtree.

    ``totals[k]`` is the highest sum of voxels times concentration with exactly k leaves, and
    ``-inf`` where no pruning has k; ``taken[c][k]`` are the leaves of child c if the children up
    to c have k together.
    """

    node: Node
    totals: NDArray[np.float64]
    children: tuple[_Plan, ...] = ()
    taken: tuple[NDArray[np.int64], ...] = ()

    def leaves(self, number: int) -> Iterator[Leaf]:
        """Leaves of the best pruning with ``number`` of them."""
        # A split has two children at least, so one leaf is always the node itself.
        if number == 1:
            yield self.node.leaf
            return
        for child, taken in zip(reversed(self.children), reversed(self.taken), strict=True):
            share = int(taken[number])
            yield from child.leaves(share)
            number -= share


def prune(root: Node, most_blocks: int) -> tuple[Leaf, ...]:
    """Best partition that the tree below ``root`` allows.

    The program of equations 8 to 12 needs no solver. Equation 12, one chosen node on every path
    from the root, says that the chosen nodes are the leaves of a pruned tree. A subtree adds to
    the total and to the number of blocks, and to nothing else; so its best total for every number
    of leaves is all that its parent needs, and the children's combine by a convolution in
    (max, +).

    Parameters
    ----------
    root : Node
        The tree.
    most_blocks : int
        Leaves at most.

    Returns
    -------
    tuple of Leaf
        Sorted by their first voxel, x fastest. Of equally good ones, one of the fewest leaves.
    """
    plan = _solve(root, most_blocks)
    # Voxels as weights are whole numbers, so sums over constant blocks are exact and tie; the
    # first of equals is the one of the fewest leaves.
    return _sorted(plan.leaves(int(np.argmax(plan.totals))))


def _solve(node: Node, most: int) -> _Plan:
    own = np.array([-np.inf, node.leaf.box.voxels * node.leaf.concentration])
    if not node.children or most < len(node.children):
        return _Plan(node, own)
    # Each of the other children takes one leaf at least.
    children = tuple(_solve(child, most - len(node.children) + 1) for child in node.children)
    totals, taken = np.zeros(1), []
    for child in children:
        totals, share = _combine(totals, child.totals, most)
        taken.append(share)
    totals[1] = own[1]
    return _Plan(node, totals, children, tuple(taken))


def _combine(
    first: NDArray[np.float64], second: NDArray[np.float64], most: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Best sums for every total number of leaves, and how many of them are the second's."""
    length = min(len(first) + len(second) - 1, most + 1)
    totals = np.full(length, -np.inf)
    taken = np.zeros(length, dtype=np.int64)
    for number in range(1, len(second)):
        sums = first[: length - number] + second[number]
        reached = slice(number, number + len(sums))
        better = sums > totals[reached]
        totals[reached][better] = sums[better]
        taken[reached][better] = number
    return totals, taken


# ---------------------------------------------------------------- values


def _channels(values: Array) -> Array:
    """View the values with an axis of channels."""
    channels = values[..., None] if values.ndim == 3 else values
    if channels.ndim != 4 or not channels.size:
        raise SourceError(
            f"values of shape {values.shape} are no volume: pass (nz, ny, nx), or "
            "(nz, ny, nx, channels), with no axis of length 0"
        )
    return channels


def _box_of(channels: Array) -> Box:
    z, y, x = channels.shape[:3]
    return Box((0, 0, 0), (x, y, z))


def _measure(channels: Array, settings: PartitionSettings, box: Box) -> Leaf:
    block = channels[box.slices]
    parts = [
        spectrum_concentration(
            block[..., channel], largest=settings.largest, remove_mean=settings.remove_mean
        )
        for channel in range(block.shape[-1])
    ]
    return Leaf(box, sum(parts) / len(parts))


def _sorted(leaves: Iterator[Leaf]) -> tuple[Leaf, ...]:
    return tuple(sorted(leaves, key=lambda leaf: leaf.box.start[::-1]))
