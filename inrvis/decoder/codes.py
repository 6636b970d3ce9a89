"""What the networks are told of an image's parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inrvis.container.images_header import CodecHeader, ImageKind
from inrvis.container.implicit_header import ImplicitHeader
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


def waves_of(header: ImplicitHeader, values: Sequence[float]) -> NDArray[np.float32]:
    """Code of values of parameters, shape (1, 1 + 2 · waves, 1, 1).

    Parameters
    ----------
    header : ImplicitHeader
        The codec.
    values : sequence of float
        For each of its codes the number, or the index of a text.
    """
    waves: list[float] = []
    for value, (offset, scale), own in zip(values, header.codes, header.waves, strict=True):
        position = min(max((value - offset) * scale, -1e6), 1e6)
        for frequency in own:
            angle = math.pi * frequency * position
            waves += [math.sin(angle), math.cos(angle)]
    # Where no parameter changes there are no waves, and a network wants an input all the same.
    return np.array([1.0, *waves], dtype=np.float32).reshape(1, -1, 1, 1)


def grid_of(header: ImplicitHeader, kind: ImageKind) -> NDArray[np.float32]:
    """Waves of the places of the first map's cells, (1, 1 + 4 · frequencies, rows, columns).

    Places are parts of the image's height and width, so that images of all sizes share them.
    """
    rows, columns = (side // header.stride for side in kind.padded_to(header.stride))
    y = (np.arange(rows) + 0.5) * header.stride / kind.height
    x = (np.arange(columns) + 0.5) * header.stride / kind.width
    maps = np.ones((1, 1 + 4 * len(header.grid), rows, columns), dtype=np.float32)
    for k, frequency in enumerate(header.grid):
        angles = math.pi * frequency * y[:, None], math.pi * frequency * x[None]
        own = [wave(angle) for wave in (np.sin, np.cos) for angle in angles]
        for place, values in enumerate(own, start=1 + 4 * k):
            maps[0, place] = values
    return maps
