"""Parameters of an image database, and how a cell is found by their values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from inrvis.errors import ArrayNotFoundError, UsageError

__all__ = [
    "CIRCLE_DEG",
    "Cell",
    "CellTable",
    "Parameter",
    "find_cell",
    "goes_round",
    "nearest_cell",
    "number",
    "sort_values",
    "time_parameter",
]

# Azimuths go round: 350 degrees are near 10. A table says so by reaching round most of a circle.
CIRCLE_DEG = 360.0
_AZIMUTHS = ("phi", "azimuth")
# More than any sum of squared parts of ranges.
_FAR = 1e6
# Names of the parameter that is time, the best first.
_TIMES = ("time", "t", "timestep", "time_step", "step")


@dataclass(frozen=True)
class Parameter:
    """One parameter of a database, such as phi or time, with the values that it takes.

    Attributes
    ----------
    name : str
        As the table's header has it.
    values : tuple of str
        The distinct values, as texts of the table; ascending where all are numbers.
    """

    name: str
    values: tuple[str, ...]

    @property
    def numbers(self) -> tuple[float, ...] | None:
        """The values as finite numbers; None if one is not."""
        numbers = tuple(number(value) for value in self.values)
        return tuple(n for n in numbers if n is not None) if None not in numbers else None


@dataclass(frozen=True)
class Cell:
    """One row of a database's table.

    Attributes
    ----------
    values : tuple of int
        For each parameter, the index into its values.
    images : tuple of int
        For each column of files, the number of the image; -1 where there is none.
    """

    values: tuple[int, ...]
    images: tuple[int, ...]


def number(text: str) -> float | None:
    """The finite number that a text says; None where it says none."""
    try:
        value = float(text)
    except ValueError:
        return None
    # Python reads "1_0" as 10; no table means that.
    return value if math.isfinite(value) and "_" not in text else None


def sort_values(values: Iterable[str]) -> tuple[str, ...]:
    """Distinct values in the order of `Parameter.values`: by number, otherwise as they came."""
    distinct = tuple(dict.fromkeys(values))
    numbers = {value: number(value) for value in distinct}
    if any(n is None for n in numbers.values()):
        return distinct
    return tuple(sorted(distinct, key=lambda value: (numbers[value], value)))


def time_parameter(parameters: Sequence[Parameter]) -> Parameter | None:
    """The parameter that is time, by its name; None where none is, or its values are texts."""
    named = {p.name.lower(): p for p in reversed(parameters) if p.numbers}
    return next((named[name] for name in _TIMES if name in named), None)


def goes_round(parameter: Parameter) -> bool:
    """Whether a parameter is an azimuth in degrees whose values reach round most of a circle."""
    numbers = parameter.numbers or (0.0,)
    extent = max(numbers) - min(numbers)
    return parameter.name.lower() in _AZIMUTHS and extent > CIRCLE_DEG / 2


def find_cell(
    parameters: Sequence[Parameter], cells: Sequence[Cell], wanted: Mapping[str, str | float]
) -> Cell:
    """The cell at the given values; the first one where several have them.

    Parameters
    ----------
    parameters : sequence of Parameter
        Parameters of the database.
    cells : sequence of Cell
        Its cells.
    wanted : mapping of str to str or float
        Values by name, as texts of the table or as numbers. What is not named may be anything.

    Raises
    ------
    UsageError
        If a name is no parameter.
    ArrayNotFoundError
        If no cell has these values.
    """
    choices: dict[int, set[int]] = {}
    for name, value in wanted.items():
        position, parameter = _parameter(parameters, name)
        choices[position] = set(_indices(parameter, value))
        if not choices[position]:
            raise ArrayNotFoundError(
                f"{name} is never {value}; it takes {_listing(parameter.values)}"
            )
    for cell in cells:
        if all(cell.values[position] in choice for position, choice in choices.items()):
            return cell
    asked = ", ".join(f"{name}={value}" for name, value in wanted.items())
    raise ArrayNotFoundError(f"the database has no image at {asked or 'any values'}")


def nearest_cell(
    parameters: Sequence[Parameter], cells: Sequence[Cell], wanted: Mapping[str, str | float]
) -> Cell:
    """The cell nearest to the given values.

    Differences of numbers count as parts of the parameter's range and are summed as squares;
    phi and azimuth are taken round the circle. A value that is not a number must be one of the
    table's own. The first of equally near cells is taken.

    Parameters
    ----------
    parameters, cells
        As in `find_cell`.
    wanted : mapping of str to str or float
        Values by name. What is not named may be anything.

    Raises
    ------
    UsageError
        If a name is no parameter.
    ArrayNotFoundError
        If there is no cell to choose from.
    """
    return CellTable(parameters, cells).nearest(wanted)


class CellTable:
    """Cells that are searched again and again.

    Parameters
    ----------
    parameters : sequence of Parameter
        Parameters of the database.
    cells : sequence of Cell
        Some of its cells.
    """

    def __init__(self, parameters: Sequence[Parameter], cells: Sequence[Cell]) -> None:
        self.parameters, self.cells = tuple(parameters), tuple(cells)
        indices = [cell.values for cell in self.cells]
        self._indices = np.array(indices, np.int64).reshape(len(self.cells), len(self.parameters))

    def nearest(self, wanted: Mapping[str, str | float], *, lenient: bool = False) -> Cell:
        """The cell nearest to the given values; parameters and errors as in `nearest_cell`.

        Where `lenient`, a text that no cell has beside the others counts as very far, and is no
        error.
        """
        far = _FAR if lenient else math.inf
        distances = np.zeros(len(self.cells))
        for name, value in wanted.items():
            position, parameter = _parameter(self.parameters, name)
            own = np.array(_distances(parameter, value, far))
            distances += own[self._indices[:, position]]
        nearest = int(np.argmin(distances)) if self.cells else -1
        if nearest < 0 or not np.isfinite(distances[nearest]):
            asked = ", ".join(f"{name}={value}" for name, value in wanted.items())
            raise ArrayNotFoundError(f"the database has no image near {asked or 'any values'}")
        return self.cells[nearest]


def _parameter(parameters: Sequence[Parameter], name: str) -> tuple[int, Parameter]:
    for position, parameter in enumerate(parameters):
        if parameter.name == name:
            return position, parameter
    names = _listing([p.name for p in parameters])
    raise UsageError(f"the database has no parameter {name!r}; it has {names or 'none'}")


def _indices(parameter: Parameter, value: str | float) -> list[int]:
    text = value if isinstance(value, str) else None
    exact = [i for i, v in enumerate(parameter.values) if v == text]
    wanted = number(str(value))
    if exact or wanted is None:
        return exact
    return [
        i
        for i, n in enumerate(number(v) for v in parameter.values)
        if n is not None and math.isclose(n, wanted, rel_tol=1e-9, abs_tol=1e-12)
    ]


def _distances(parameter: Parameter, value: str | float, far: float) -> list[float]:
    numbers, wanted = parameter.numbers, number(str(value))
    if numbers is None or wanted is None:
        same = set(_indices(parameter, value))
        return [0.0 if i in same else far for i in range(len(parameter.values))]
    extent = max(numbers) - min(numbers) or 1.0
    differences = [abs(n - wanted) for n in numbers]
    if goes_round(parameter):
        differences = [_around(d) for d in differences]
    return [(d / extent) ** 2 for d in differences]


def _around(difference: float) -> float:
    rest = difference % CIRCLE_DEG
    return min(rest, CIRCLE_DEG - rest)


def _listing(names: Sequence[str], most: int = 12) -> str:
    shown = ", ".join(names[:most])
    return f"{shown}, …" if len(names) > most else shown
