"""What the networks are told of an image's parameters."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from inrvis.container.images_header import CodecHeader
from inrvis.parameters import Cell, Parameter

# FCNR's base of frequencies (section 3) is 5 / 4.
_RISE, _FALL = 5, 4
_HALF_PERIOD = 1 << 16
_AMPLITUDE = 255


def code_of(
    codec: CodecHeader, parameters: tuple[Parameter, ...], cell: Cell
) -> NDArray[np.float32]:
    """Code of a cell's parameters, shape (1, 2 · levels · parameters, 1, 1).

    Each parameter makes two waves, a quarter of a period apart, of each of `code_levels`
    frequencies: sine and cosine, or, where arithmetic is exact, triangles of integers up to 255.
    """
    waves: list[float] = []
    for parameter, index, (offset, scale) in zip(parameters, cell.values, codec.codes, strict=True):
        numbers = parameter.numbers
        value = float(index) if numbers is None else numbers[index]
        position = min(max((value - offset) * scale, -1e6), 1e6)
        for level in range(codec.code_levels):
            if codec.exact:
                waves += _triangles(position, level)
            else:
                angle = (_RISE / _FALL) ** level * math.pi * position
                waves += [math.sin(angle), math.cos(angle)]
    return np.array(waves, dtype=np.float32).reshape(1, -1, 1, 1)


def _triangles(position: float, level: int) -> list[float]:
    # One product in double precision and integers from there on: the same on every machine.
    fixed = round(min(max(position, 0.0), 1.0) * _HALF_PERIOD)
    phase = fixed * _RISE**level // _FALL**level
    return [float(_triangle(phase + 3 * _HALF_PERIOD // 2)), float(_triangle(phase))]


def _triangle(phase: int) -> int:
    distance = abs(phase % (2 * _HALF_PERIOD) - _HALF_PERIOD)
    return distance * 2 * _AMPLITUDE // _HALF_PERIOD - _AMPLITUDE
