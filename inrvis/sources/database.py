"""Databases of images as readers give them: a table of parameters, and the images it names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from inrvis.parameters import Cell, Parameter

__all__ = ["Cell", "ImageDatabase", "Parameter", "Pixels", "StoredImage"]

Pixels: TypeAlias = NDArray[Any]
PixelType: TypeAlias = Literal["uint8", "float32"]


@dataclass(frozen=True)
class StoredImage:
    """One image of a database, read when it is asked for.

    Attributes
    ----------
    height, width : int
        Its size in pixels.
    channels : int
        3 (RGB) or 4 (RGBA) of uint8, 1 of float32.
    dtype : {"uint8", "float32"}
        Type of its values.
    load : callable
        Reads it: (height, width, channels) of uint8, or (height, width) of float32, rows from
        the top. Raises SourceError if the file is damaged.
    """

    height: int
    width: int
    channels: int
    dtype: PixelType
    load: Callable[[], Pixels]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of what `load` returns."""
        size = (self.height, self.width)
        return size if self.dtype == "float32" else (*size, self.channels)

    @property
    def nbytes(self) -> int:
        """Bytes of the pixels in their own type."""
        return int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class ImageDatabase:
    """A table of parameters with the images that it names.

    Attributes
    ----------
    parameters : tuple of Parameter
        What the images depend on.
    columns : tuple of str
        Names of the columns of files.
    cells : tuple of Cell
        The rows, in the order of the table.
    images : tuple of StoredImage
        The distinct images: equal files are there once.
    """

    parameters: tuple[Parameter, ...]
    columns: tuple[str, ...]
    cells: tuple[Cell, ...]
    images: tuple[StoredImage, ...]

    def first_places(self) -> dict[int, tuple[Cell, int]]:
        """First cell that names each image, and the column in which it does."""
        found: dict[int, tuple[Cell, int]] = {}
        for cell in self.cells:
            for column, image in enumerate(cell.images):
                if image >= 0:
                    found.setdefault(image, (cell, column))
        return found
