"""Which images are coded together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrvis.container.images_file import Pair
from inrvis.errors import UsageError
from inrvis.parameters import Parameter
from inrvis.sources.database import ImageDatabase

_POLAR = ("theta", "elevation")
_AZIMUTH = ("phi", "azimuth")
# Distances of all pairs of larger groups would not fit into memory.
_MOST_COMPARED = 3000


@dataclass(frozen=True)
class Neighbours:
    """Images that differ in their view alone, or in one other parameter alone.

    Attributes
    ----------
    images : tuple of int
        Their numbers: views in the paper's order, by theta, then by phi; else by the parameter.
    directions : ndarray, shape (n, 3)
        Unit vectors of their views; without views, points on a line in order.
    """

    images: tuple[int, ...]
    directions: NDArray[np.float64]

    def every(self, step: int) -> Neighbours:
        """Every ``step``-th image."""
        return self.part(slice(None, None, step))

    def only(self, images: Collection[int]) -> Neighbours:
        """Those that are among ``images``."""
        own = [i for i, image in enumerate(self.images) if image in images]
        return Neighbours(tuple(self.images[i] for i in own), self.directions[own])

    def part(self, which: slice) -> Neighbours:
        """Those at some places of the order."""
        return Neighbours(self.images[which], self.directions[which])


def groups_of(database: ImageDatabase, along: str = "") -> list[Neighbours]:
    """Groups of images of one size and column that differ in one thing.

    Parameters
    ----------
    database : ImageDatabase
        The images.
    along : str
        The parameter that differs. By default the view; a database without views is then one
        group for each size and column, in the order of its parameters.
    """
    parameters = database.parameters
    order = [i for i, p in enumerate(parameters) if p.name == along] or _views(parameters)
    groups: dict[Any, list[tuple[tuple[int, ...], int]]] = defaultdict(list)
    for image, (cell, column) in database.first_places().items():
        stored = database.images[image]
        rest = tuple(v for i, v in enumerate(cell.values) if i not in order)
        key = (column, stored.height, stored.width, rest)
        groups[key].append((tuple(cell.values[i] for i in order), image))
    result = []
    for key in sorted(groups):
        members = sorted(groups[key])
        images = tuple(image for _, image in members)
        result.append(Neighbours(images, _directions([p for p, _ in members], order, parameters)))
    return result


def _views(parameters: Sequence[Parameter]) -> list[int]:
    """Parameters that make up the view, theta first whatever the table's order; all without."""
    names = [p.name.lower() for p in parameters]
    views = [i for i, name in enumerate(names) if name in (*_POLAR, *_AZIMUTH)]
    views.sort(key=lambda i: names[i] not in _POLAR)
    return views or list(range(len(parameters)))


def _directions(
    places: Sequence[tuple[int, ...]], order: Sequence[int], parameters: Sequence[Parameter]
) -> NDArray[np.float64]:
    angles = {"polar": np.zeros(len(places)), "azimuth": np.zeros(len(places))}
    for axis, i in enumerate(order):
        name, numbers = parameters[i].name.lower(), parameters[i].numbers
        if name not in (*_POLAR, *_AZIMUTH) or numbers is None:
            line = np.arange(len(places), dtype=np.float64)
            return np.stack([line, 0 * line, 0 * line], axis=1)
        values = np.array([numbers[place[axis]] for place in places])
        if name in _POLAR:
            # Elevations reach from -90 to 90 degrees, polar angles from 0 to 180.
            angles["polar"] = np.radians(values if min(numbers) < 0 else 90 - values)
        else:
            angles["azimuth"] = np.radians(values)
    elevation, azimuth = angles["polar"], angles["azimuth"]
    flat = np.cos(elevation)
    return np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)], axis=1)


def pairs_of(groups: Sequence[Neighbours], pairing: str) -> tuple[Pair, ...]:
    """Pairs of all groups; what is left over is alone, with -1 for a partner."""
    pairs: list[Pair] = []
    for group in groups:
        chosen = _nearest(group) if pairing == "sphere" else _sorted(group)
        pairs += chosen
        pairs += [(image, -1) for image in _left_over(group, chosen)]
    return tuple(pairs)


def _left_over(group: Neighbours, pairs: Sequence[Pair]) -> list[int]:
    """Images of a group without a partner."""
    partners = {image for pair in pairs for image in pair}
    return [image for image in group.images if image not in partners]


def paired(
    database: ImageDatabase,
    pairing: str,
    *,
    reach: int = 0,
    every_view: int = 1,
    every_time: int = 1,
) -> tuple[Pair, ...]:
    """Pairs of a database, or of a part of it to train on.

    Parameters
    ----------
    database : ImageDatabase
        The images.
    pairing : str
        "sorted" and "sphere" for views, or the name of a parameter: neighbours along that.
    reach : int
        Along a parameter, how far the partners of one left image may lie on either side of it; 0
        for one partner each.
    every_view, every_time : int
        Take every n-th view and time, or pair where time is what its images differ in.

    Raises
    ------
    UsageError
        If nothing is called so.
    """
    if pairing in ("sorted", "sphere"):
        groups = [g.every(every_view) for g in groups_of(database)[::every_time]]
        return pairs_of(groups, pairing)
    if pairing not in varying(database):
        known = ", ".join(["auto", "sorted", "sphere", *varying(database)])
        raise UsageError(f"nothing to pair by is called {pairing!r}: choose one of {known}")
    pairs: list[Pair] = []
    alone: set[int] = set()
    for group in groups_of(database, pairing)[::every_view]:
        own = _around(group, reach) if reach else _sorted(group)
        pairs += own[::every_time]
        alone.update(_left_over(group, own))
    # What has no neighbour has a view beside it.
    rest = [group.only(alone) for group in groups_of(database)]
    return (*pairs, *pairs_of(rest, "sorted"))


def varying(database: ImageDatabase) -> list[str]:
    """Parameters with several values."""
    return [p.name for p in database.parameters if len(p.values) > 1]


def _sorted(group: Neighbours) -> list[Pair]:
    images = group.images
    return [(images[i], images[i + 1]) for i in range(0, len(images) - 1, 2)]


def _around(group: Neighbours, reach: int) -> list[Pair]:
    """Runs of neighbours, as many as there would be of full length; the middle one is the left."""
    runs = max(1, round(len(group.images) / (2 * reach + 1)))
    pairs = []
    for places in np.array_split(np.arange(len(group.images)), runs):
        run = [group.images[place] for place in places]
        left = run[len(run) // 2]
        pairs += [(left, image) for image in run if image != left]
    return pairs


def _nearest(group: Neighbours) -> list[Pair]:
    """Greedy matching, the closest pair first; the earlier image of the order is the left one."""
    number = len(group.images)
    if number > _MOST_COMPARED:
        half = number // 2
        parts = (slice(0, half), slice(half, None))
        return [pair for part in parts for pair in _nearest(group.part(part))]
    first, second = np.triu_indices(number, 1)
    distance = np.linalg.norm(group.directions[first] - group.directions[second], axis=1)
    free = np.ones(number, dtype=bool)
    pairs = []
    for k in np.argsort(distance.round(9), kind="stable"):
        i, j = int(first[k]), int(second[k])
        if free[i] and free[j]:
            free[i] = free[j] = False
            pairs.append((i, j))
    return [(group.images[i], group.images[j]) for i, j in sorted(pairs)]
