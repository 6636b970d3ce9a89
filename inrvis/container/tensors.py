"""Weight tensors as headers name them: one by one, or, where they are layers, in a few bytes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

from inrvis.bitstream import NUMBER_OF_TABLES
from inrvis.errors import FormatError

# In place of a table: the integers are the bits of float32 values, uncoded.
RAW_TABLE = NUMBER_OF_TABLES
# Coordinates, which go into a first layer.
_INPUTS = 3
# Digits are the characters from # to ~ but for the backslash, which JSON would escape.
_FIRST, _LEFT_OUT, _BASE = ord("#"), ord("\\"), 91
# A step has three decimal digits of its own, so many exponents, and two digits of the text.
_MANTISSAS, _EXPONENTS = 900, 9
# Tables of these widths have a digit, in both families; the last digit stands for RAW_TABLE.
_FAMILY = NUMBER_OF_TABLES // 2
WIDTHS = (*range(0, 16, 4), *range(16, 98, 2))
_RAW_DIGIT = 2 * len(WIDTHS)
_CHARACTERS, _MOST_CHARACTERS = 3, 1024


@dataclass(frozen=True)
class TensorHeader:
    """A quantised weight tensor: ``step * integer``, its integers coded with ``table``."""

    name: str
    shape: tuple[int, ...]
    step: float
    table: int

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    def to_json(self) -> list[Any]:
        """Name, shape, step and table; `header_parser.parse_tensor` undoes it."""
        return [self.name, list(self.shape), self.step, self.table]


def tensors_to_json(
    trunk: Sequence[TensorHeader], head: Sequence[TensorHeader], blocks: int
) -> dict[str, Any]:
    """Fields that tell the tensors of a network of so many blocks.

    They are short for layers one after the other whose steps have three decimal digits.
    """
    return _as_layers(tuple(trunk), tuple(head), blocks) or {
        key: [tensor.to_json() for tensor in own] for key, own in (("trunk", trunk), ("head", head))
    }


def _as_layers(
    trunk: tuple[TensorHeader, ...], head: tuple[TensorHeader, ...], blocks: int
) -> dict[str, Any] | None:
    steps = [_digits(tensor) for tensor in (*trunk, *head)]
    text = "".join(steps)
    if not all(steps) or len(trunk) % 2 or len(head) % 2 or len(text) > _MOST_CHARACTERS:
        return None
    rows = [[t.shape[-2] for t in tensors[::2]] for tensors in (trunk, head)]
    if layers(rows[0], rows[1], text, blocks) != (trunk, head):
        return None
    return {"trunk": rows[0], "head": rows[1], "steps": text}


def layers(
    trunk: Sequence[int], head: Sequence[int], text: str, blocks: int
) -> tuple[tuple[TensorHeader, ...], tuple[TensorHeader, ...]]:
    """Tensors of layers of so many outputs each, their steps and tables in ``text``.

    Raises
    ------
    FormatError
        If the text is not one of so many layers.
    """
    number = 2 * (len(trunk) + len(head))
    if len(text) != _CHARACTERS * number:
        raise FormatError("the file's header is malformed: model.steps")
    values = iter([_value(character) for character in text])
    columns = pairwise(chain([_INPUTS], trunk, head))
    found = []
    for prefix, rows, axes in (("w", trunk, (blocks,)), ("h", head, ())):
        own: list[TensorHeader] = []
        for index in range(len(rows)):
            inputs, outputs = next(columns)
            for suffix, width in (("", inputs), ("b", 1)):
                shape = (*axes, outputs, width)
                own.append(
                    TensorHeader(f"{prefix}{index}{suffix}", shape, *_step_and_table(values))
                )
        found.append(tuple(own))
    return found[0], found[1]


def _digits(tensor: TensorHeader) -> str:
    """Step and table as text; empty where they have none."""
    mantissa, exponent = f"{tensor.step:.2e}".split("e")
    number = _MANTISSAS * -int(exponent) + round(100 * float(mantissa)) - 100
    family, width = divmod(tensor.table, _FAMILY)
    if tensor.table == RAW_TABLE:
        table = _RAW_DIGIT
    elif width not in WIDTHS:
        return ""
    else:
        table = len(WIDTHS) * family + WIDTHS.index(width)
    if not 0 <= number < _MANTISSAS * _EXPONENTS or _step(number) != tensor.step:
        return ""
    return "".join(map(_character, (*divmod(number, _BASE), table)))


def _step_and_table(values: Iterator[int]) -> tuple[float, int]:
    high, low, table = next(values), next(values), next(values)
    number = _BASE * high + low
    if number >= _MANTISSAS * _EXPONENTS:
        raise FormatError("the file's header is malformed: model.steps")
    if table == _RAW_DIGIT:
        return _step(number), RAW_TABLE
    family, index = divmod(table, len(WIDTHS))
    return _step(number), _FAMILY * family + WIDTHS[index]


def _step(number: int) -> float:
    exponent, mantissa = divmod(number, _MANTISSAS)
    return float(f"{100 + mantissa}e-{2 + exponent}")


def _character(value: int) -> str:
    code = _FIRST + value
    return chr(code + (code >= _LEFT_OUT))


def _value(character: str) -> int:
    code = ord(character)
    value = code - _FIRST - (code > _LEFT_OUT)
    if code == _LEFT_OUT or not 0 <= value < _BASE:
        raise FormatError("the file's header is malformed: model.steps")
    return value
