"""Bare values without a header, x fastest."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from inrvis.errors import SourceError, UsageError
from inrvis.grid import ImageGrid
from inrvis.sources.files import ReadOptions, file_size
from inrvis.sources.image import Image

__all__ = ["read"]


def read(path: Path, options: ReadOptions) -> Image:
    """Read bare values; the array is named ``intensity``.

    Raises
    ------
    UsageError
        If `options` lack the dimensions or the type, or one of them is not valid.
    SourceError
        If the file's size is not exactly that of the values.
    """
    if options.dimensions is None or options.dtype is None:
        raise UsageError(
            f"{path} has no header; give its dimensions (nx ny nz) and its dtype, such as '<u2'"
        )
    grid = ImageGrid.from_dimensions(options.dimensions)
    try:
        dtype = np.dtype(options.dtype)
    except (TypeError, ValueError):
        dtype = np.dtype(object)
    if dtype.kind not in "biuf":
        raise UsageError(f"dtype '{options.dtype}' is not a number; give one such as 'u1' or '>f4'")
    expected, found = math.prod(grid.shape) * dtype.itemsize, file_size(path)
    if expected != found:
        raise SourceError(
            f"{path}: dimensions {grid.dimensions} of {dtype.name} need {expected} bytes, the file "
            f"has {found}; check dimensions and dtype"
        )
    return Image(grid, {"intensity": np.fromfile(path, dtype).reshape(grid.shape)})
