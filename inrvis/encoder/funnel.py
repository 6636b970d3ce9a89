"""Parameters of each block's network, and the widths of its layers (SCI, Yang et al. 2023).

"Layers" are linear maps, biases included: seven of them have six hidden widths. The first is
``ratio`` times as wide as the others (``fr`` of equation 13), which gives the network a funnel's
shape: many frequencies at the mouth, few neurons where weights grow with the square.
"""

from __future__ import annotations

import bisect
import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Literal

from inrvis.encoder.octree import Leaf
from inrvis.errors import UsageError

__all__ = [
    "AllocationRule",
    "allocate",
    "funnel",
    "funnel_widths",
    "parameter_count",
    "width_classes",
]

AllocationRule = Literal["size_over_concentration", "size", "concentration", "equal"]
Widths = tuple[int, ...]

# The paper's network.
_LAYERS, _RATIO = 7, 2.2
_COORDINATES = 3


def allocate(
    leaves: Sequence[Leaf],
    parameters: int,
    *,
    by: AllocationRule = "size_over_concentration",
    smallest: int = 1,
) -> tuple[int, ...]:
    """Share out parameters among blocks.

    Parameters
    ----------
    leaves : sequence of Leaf
        The blocks.
    parameters : int
        Parameters of all blocks together.
    by : {"size_over_concentration", "size", "concentration", "equal"}
        What a block's part is proportional to: ``|x| / D``, as in the paper; or, as in its
        Table 2, ``|x|``, ``1 / D``, or the same for all.
    smallest : int
        Parameters that every block gets at least; the others share what is left.

    Returns
    -------
    tuple of int
        Parameters of each block. They sum to ``parameters`` exactly, and a block of a larger part
        never gets fewer.

    Raises
    ------
    UsageError
        If there are no blocks, the budget does not give every block its ``smallest``, or ``by``
        is unknown.
    """
    if not leaves:
        raise UsageError("there are no blocks to share parameters among")
    if smallest < 0 or parameters < smallest * len(leaves):
        raise UsageError(
            f"{len(leaves)} blocks of {smallest} parameters or more do not fit into {parameters}: "
            f"ask for a lower ratio or for at most {max(parameters, 0) // max(smallest, 1)} blocks"
        )
    # Exact fractions: the sum cannot miss the budget by a rounding.
    parts = [Fraction(_part(leaf, by)) for leaf in leaves]
    free = set(range(len(parts)))
    while True:
        rest = parameters - smallest * (len(parts) - len(free))
        total = sum(parts[i] for i in free)
        # The budget covers the minimum of all, so the largest part always stays.
        short = {i for i in free if parts[i] * rest < smallest * total}
        if not short:
            break
        free -= short
    shares = [
        parts[i] * rest / total if i in free else Fraction(smallest) for i in range(len(parts))
    ]
    counts = [math.floor(share) for share in shares]
    by_remainder = sorted(range(len(parts)), key=lambda i: (counts[i] - shares[i], i))
    for i in by_remainder[: parameters - sum(counts)]:
        counts[i] += 1
    return tuple(counts)


def _part(leaf: Leaf, by: AllocationRule) -> float:
    match by:
        case "size_over_concentration":
            return leaf.box.voxels / leaf.concentration
        case "size":
            return float(leaf.box.voxels)
        case "concentration":
            # "By D" of Table 2 is proportional to 1/D: the text says so of rows 6 and 7, and a
            # part that grew with D would starve the blocks that are hard.
            return 1 / leaf.concentration
        case "equal":
            return 1.0
    raise UsageError(
        f"unknown allocation {by!r}: choose size_over_concentration, size, concentration or equal"
    )


def parameter_count(widths: Sequence[int], channels: int) -> int:
    """Weights and biases of a network from three coordinates to ``channels`` values."""
    return sum((n + 1) * m for n, m in pairwise((_COORDINATES, *widths, channels)))


def funnel(width: int, layers: int = _LAYERS, ratio: float = _RATIO) -> Widths:
    """Hidden widths of a funnel whose narrow part is ``width`` wide.

    Parameters
    ----------
    width : int
        Neurons of every hidden layer but the first.
    layers : int
        Linear layers, the output among them: 3 or more.
    ratio : float
        First width over the others; 1 for a network of one width.

    Returns
    -------
    tuple of int, length ``layers - 1``
        The first is the nearest integer to ``ratio * width``, and 1 at least.

    Raises
    ------
    UsageError
        If a number is out of range.
    """
    if width < 1 or layers < 3 or not 0 < ratio < math.inf:
        raise UsageError(
            f"no funnel has width {width}, {layers} layers and ratio {ratio}: it takes a width of "
            "1, 3 layers and a positive ratio"
        )
    return (max(1, round(ratio * width)), *[width] * (layers - 2))


def _between(size: int, layers: int, ratio: float) -> Widths:
    """Funnels in order of size, and between two of them those that widen layer by layer.

    A whole width more is a third of the parameters of a small network. So the layers widen one by
    one, the first of them first: the shape stays a funnel.
    """
    width, widened = divmod(size, layers - 1)
    return funnel(width + 1, layers, ratio)[:widened] + funnel(width, layers, ratio)[widened:]


def _largest_size(parameters: int, channels: int, layers: int, ratio: float) -> int:
    """Size, for `_between`, of the largest network of at most ``parameters``."""

    def count(size: int) -> int:
        return parameter_count(_between(size, layers, ratio), channels)

    least = parameter_count(funnel(1, layers, ratio), channels)
    if parameters < least:
        raise UsageError(
            f"{parameters} parameters are too few for a network of {layers} layers, which takes "
            f"{least}: use fewer blocks or layers, or a lower ratio"
        )
    # No layer has more neurons than the network has parameters.
    sizes = range(layers - 1, parameters * (layers - 1))
    return sizes[bisect.bisect_right(sizes, parameters, key=count) - 1]


def funnel_widths(
    parameters: int, channels: int, layers: int = _LAYERS, ratio: float = _RATIO
) -> Widths:
    """Hidden widths of the widest funnel of at most ``parameters`` weights and biases.

    Parameters
    ----------
    parameters : int
        Parameters at most. What the widths leave of them is less than it takes to widen one more
        layer.
    channels : int
        Outputs.
    layers, ratio
        As for `funnel`.

    Returns
    -------
    tuple of int, length ``layers - 1``
        Those of `funnel`, but that the first few layers may already have the widths of the next
        wider one.

    Raises
    ------
    UsageError
        If not even the narrowest funnel fits.
    """
    return _between(_largest_size(parameters, channels, layers, ratio), layers, ratio)


def width_classes(
    parameters: Sequence[int],
    channels: int,
    layers: int = _LAYERS,
    ratio: float = _RATIO,
    *,
    most_classes: int = 8,
    step: float = 1.5,
) -> tuple[Widths, ...]:
    """Widths for many blocks of which only a few differ, so that blocks train in batches.

    Blocks whose parameters are within a factor of ``step`` share one width, and together spend
    what they were given together. What integers leave over first widens whole classes, then lifts
    single blocks into the next class, or out of the widest one by one layer.

    Parameters
    ----------
    parameters : sequence of int
        Parameters given to each block, as from `allocate`.
    channels : int
        Outputs.
    layers, ratio
        As for `funnel`.
    most_classes : int
        Different widths at most; with more blocks apart, ``step`` grows.
    step : float
        Factor in parameters between classes, above 1.

    Returns
    -------
    tuple of tuple of int
        Hidden widths of each block. Their parameters sum to at most ``sum(parameters)``; what
        remains is less than any single block needs to reach the next class.

    Raises
    ------
    UsageError
        If a block has too few parameters for any network, or an option is out of range.
    """
    if most_classes < 1 or not 1 < step < math.inf:
        raise UsageError(f"no classes: {most_classes} of them, a factor of {step} apart")
    if not parameters:
        return ()

    def count(size: int) -> int:
        return parameter_count(_between(size, layers, ratio), channels)

    # Raises for a block below the smallest network, which the mean of its class would hide.
    _largest_size(min(parameters), channels, layers, ratio)
    span = math.log(max(parameters) / min(parameters))
    classes = min(most_classes, math.ceil(span / math.log(step)) or 1)
    member = [
        min(classes - 1, int(classes * math.log(p / min(parameters)) / span)) if span else 0
        for p in parameters
    ]
    given: Counter[int] = Counter()
    for group, p in zip(member, parameters, strict=True):
        given[group] += p
    members = Counter(member)
    size = {
        group: _largest_size(given[group] // members[group], channels, layers, ratio)
        for group in members
    }
    chosen = [size[group] for group in member]
    spare = sum(parameters) - sum(map(count, chosen))

    # The largest first: there one step more changes the shares least.
    for old in sorted(set(chosen), reverse=True):
        cost = chosen.count(old) * (count(old + 1) - count(old))
        if cost <= spare:
            chosen = [old + 1 if other == old else other for other in chosen]
            spare -= cost
    ladder = sorted(set(chosen))
    if len(ladder) < most_classes:
        ladder.append(ladder[-1] + 1)
    following = dict(pairwise(ladder))
    while True:
        fitting = [
            i
            for i, old in enumerate(chosen)
            if old in following and count(following[old]) - count(old) <= spare
        ]
        if not fitting:
            return tuple(_between(final, layers, ratio) for final in chosen)
        # The block that ends up the least above what it was given.
        lifted = max(fitting, key=lambda i: (parameters[i] / count(following[chosen[i]]), -i))
        spare -= count(following[chosen[lifted]]) - count(chosen[lifted])
        chosen[lifted] = following[chosen[lifted]]
