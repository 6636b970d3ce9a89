"""Which stored images lie around given values of the parameters, and how much each counts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from inrvis.parameters import CIRCLE_DEG, Cell, Parameter, goes_round

# Cells that scattered views are mixed from.
_SCATTERED = 4
# More parameters than these between their values would make too many corners.
_MOST_AXES = 8
Neighbours = list[tuple[Cell, float]]


def around(
    parameters: Sequence[Parameter], cells: Sequence[Cell], wanted: Mapping[str, float]
) -> Neighbours:
    """Cells around a place, with weights that sum to 1.

    Where the cells are a grid, its corners around the place are mixed linearly along each
    parameter; else the four nearest cells, by the inverse of the squared distance.

    Parameters
    ----------
    parameters : sequence of Parameter
        Parameters of the database.
    cells : sequence of Cell
        At least one; all at the same texts.
    wanted : mapping of str to float
        Numbers within the range of each parameter of numbers, all of them.
    """
    table = np.array([cell.values for cell in cells]).reshape(len(cells), len(parameters))
    sides: list[list[tuple[int, float]]] = []
    for axis, parameter in enumerate(parameters):
        if parameter.name in wanted:
            indices = sorted(set(table[:, axis].tolist()))
            sides.append(_bracket(parameter, indices, wanted[parameter.name]))
        else:
            sides.append([(int(table[0, axis]), 1.0)])
    if sum(len(side) > 1 for side in sides) <= _MOST_AXES:
        places = {cell.values: cell for cell in reversed(cells)}
        corners = [
            (places.get(tuple(i for i, _ in corner)), math.prod(w for _, w in corner))
            for corner in itertools.product(*sides)
        ]
        found = [(cell, weight) for cell, weight in corners if cell is not None]
        if len(found) == len(corners):
            return found
    return _scattered(parameters, cells, table, wanted)


def _bracket(parameter: Parameter, indices: list[int], value: float) -> list[tuple[int, float]]:
    """Indices of the values on both sides of a number, and their weights."""
    numbers = parameter.numbers or ()
    own = sorted((numbers[i], i) for i in indices)
    if goes_round(parameter):
        own = [(own[-1][0] - CIRCLE_DEG, own[-1][1]), *own, (own[0][0] + CIRCLE_DEG, own[0][1])]
    if value <= own[0][0] or value >= own[-1][0]:
        return [(own[0][1] if value <= own[0][0] else own[-1][1], 1.0)]
    (low, first), (high, second) = next(
        pair for pair in itertools.pairwise(own) if pair[0][0] <= value <= pair[1][0]
    )
    part = (value - low) / (high - low)
    return [side for side in ((first, 1 - part), (second, part)) if side[1] > 0]


def _scattered(
    parameters: Sequence[Parameter],
    cells: Sequence[Cell],
    table: np.ndarray[tuple[int, int], np.dtype[np.int64]],
    wanted: Mapping[str, float],
) -> Neighbours:
    squares = np.zeros(len(cells))
    for axis, parameter in enumerate(parameters):
        numbers = parameter.numbers
        if numbers is None or parameter.name not in wanted:
            continue
        away = np.abs(np.array(numbers)[table[:, axis]] - wanted[parameter.name])
        if goes_round(parameter):
            away = np.minimum(away % CIRCLE_DEG, -away % CIRCLE_DEG)
        squares += (away / (max(numbers) - min(numbers) or 1.0)) ** 2
    nearest = np.argsort(squares, kind="stable")[:_SCATTERED]
    weights = 1 / np.maximum(squares[nearest], 1e-12)
    return [(cells[i], float(w)) for i, w in zip(nearest, weights / weights.sum(), strict=True)]
