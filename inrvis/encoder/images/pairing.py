"""Which images are coded together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrvis.container.images_file import Pair
from inrvis.encoder.images.settings import Pairing
from inrvis.parameters import Parameter
from inrvis.sources.database import ImageDatabase

_POLAR = ("theta", "elevation")
_AZIMUTH = ("phi", "azimuth")
# Distances of all pairs of larger groups would not fit into memory.
_MOST_COMPARED = 3000


@dataclass(frozen=True)
class Views:
    """Images that differ in their view alone, in the paper's order: by theta, then by phi.

    Attributes
    ----------
    images : tuple of int
        Their numbers.
    directions : ndarray, shape (n, 3)
        Unit vectors of their views; without views, points on a line in order.
    """

    images: tuple[int, ...]
    directions: NDArray[np.float64]

    def every(self, step: int) -> Views:
        """Every ``step``-th view."""
        return Views(self.images[::step], self.directions[::step])


def groups_of(database: ImageDatabase) -> list[Views]:
    """Groups of images of one size, column and time: whatever is not a view is equal.

    A database without views is one group for each size and column, in the order of its
    parameters.
    """
    parameters = database.parameters
    names = [p.name.lower() for p in parameters]
    views = [i for i, name in enumerate(names) if name in (*_POLAR, *_AZIMUTH)]
    # By theta first, whatever the order of the table's columns.
    views.sort(key=lambda i: names[i] not in _POLAR)
    order = views or list(range(len(parameters)))
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
        result.append(Views(images, _directions([p for p, _ in members], order, parameters)))
    return result


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


def pairs_of(groups: Sequence[Views], pairing: Pairing) -> tuple[Pair, ...]:
    """Pairs of all groups; what is left over is alone, with -1 for a partner."""
    pairs: list[Pair] = []
    for group in groups:
        chosen = _nearest(group) if pairing == "sphere" else _sorted(group)
        pairs += chosen
        paired = {image for pair in chosen for image in pair}
        pairs += [(image, -1) for image in group.images if image not in paired]
    return tuple(pairs)


def _sorted(group: Views) -> list[Pair]:
    images = group.images
    return [(images[i], images[i + 1]) for i in range(0, len(images) - 1, 2)]


def _nearest(group: Views) -> list[Pair]:
    """Greedy matching, the closest pair first; the earlier image of the order is the left one."""
    number = len(group.images)
    if number > _MOST_COMPARED:
        half = number // 2
        parts = (slice(0, half), slice(half, None))
        return [
            pair for p in parts for pair in _nearest(Views(group.images[p], group.directions[p]))
        ]
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
