"""The images of a database in an `.inr` file."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from inrvis.container.images_file import read_images
from inrvis.container.images_header import CodecHeader, ImageKind, ImagesHeader
from inrvis.decoder.covers import Masks, cover_of
from inrvis.decoder.image_graphs import SessionSettings
from inrvis.decoder.implicit import ImplicitPictures
from inrvis.decoder.pairs import PairPictures, pixels_of
from inrvis.decoder.sessions import Device
from inrvis.errors import ArrayNotFoundError, UsageError
from inrvis.parameters import (
    CIRCLE_DEG,
    Cell,
    CellTable,
    Parameter,
    find_cell,
    goes_round,
    nearest_cell,
    number,
)


@dataclass(frozen=True)
class View:
    """An image at chosen values of the parameters.

    Attributes
    ----------
    pixels : ndarray
        (height, width, 3 or 4) of uint8, or (height, width) of float32.
    values : mapping of str to str or float
        The values that are shown: texts of the table, and numbers between them.
    interpolated : bool
        Whether no image is stored there, so that a network made one up.
    """

    pixels: NDArray[Any]
    values: Mapping[str, str | float]
    interpolated: bool


class Images:
    """An open database of images; made by :func:`inrvis.open`.

    Attributes
    ----------
    header : ImagesHeader
        All that the file says of itself.
    device : {"cpu", "cuda"}
        The device that really decodes.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        device: Device = "auto",
        *,
        settings: SessionSettings | None = None,
        data: bytes | None = None,
    ) -> None:
        self.path = os.fspath(path)
        self._stored = read_images(path, data)
        self.header: ImagesHeader = self._stored.header
        self.encoded_bytes = self._stored.encoded_bytes
        self._masks = Masks(self._stored)
        self._pictures = self._opened(settings or SessionSettings(device))
        self.device: Literal["cpu", "cuda"] = self._pictures.device
        self._tables: dict[int, CellTable] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of what is cached; the file itself is already closed."""
        self._pictures.close()
        self._masks.close()

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """What the images depend on."""
        return self.header.parameters

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of images."""
        return self.header.columns

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Rows of the table."""
        return self._stored.tables.cells

    @property
    def count(self) -> int:
        """Number of distinct images."""
        return self.header.images

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Left and right image of each pair, as `Tables` has them; () without pairs."""
        return self._stored.tables.pairs

    @property
    def interpolates(self) -> bool:
        """Whether `view` can show images between the stored ones."""
        return self.header.codec.interpolates

    def kind(self, image: int) -> ImageKind:
        """Size and type of an image."""
        return self._stored.kind(self._check(image))

    def decode(self, image: int) -> NDArray[Any]:
        """Decode one image; at most its partner's latents are decoded beside it.

        Parameters
        ----------
        image : int
            Its number, from 0.

        Returns
        -------
        ndarray
            (height, width, 3 or 4) of uint8, or (height, width) of float32.

        Raises
        ------
        UsageError
            If there is no such image.
        ChecksumError
            If it decodes to other symbols than were written.
        """
        kind = self.kind(image)
        return self._finished(kind, self._pictures.channels(image), self._masks.planes(image))

    def image(self, column: str | None = None, **values: str | float) -> NDArray[Any]:
        """Decode the image at the given values of the parameters.

        Parameters
        ----------
        column : str, optional
            Which column of images; the first by default.
        **values
            Values by the parameters' names, as texts of the table or as numbers.

        Raises
        ------
        ArrayNotFoundError
            If no image is stored there, or there is no such column.
        UsageError
            If a name is no parameter.
        """
        position = self._column(column)
        cell = find_cell(self.parameters, self.cells, values)
        if cell.images[position] < 0:
            raise ArrayNotFoundError(
                f"{self.path} has no image of {self.columns[position]} at these values"
            )
        return self.decode(cell.images[position])

    def nearest(self, **numbers: str | float) -> Cell:
        """Return the stored cell nearest to the given values; errors as in `nearest_cell`."""
        return nearest_cell(self.parameters, self.cells, numbers)

    def view(self, column: str | None = None, **numbers: str | float) -> View:
        """Show the image at the given values of the parameters, stored or not.

        Parameters
        ----------
        column : str, optional
            Which column of images; the first by default.
        **numbers
            Values by the parameters' names. Numbers beyond a parameter's range are moved into
            it; what is not named is taken from the nearest stored cell.

        Returns
        -------
        View
            With `interpolated` where no image is stored there.

        Raises
        ------
        UsageError
            If a name is no parameter, or no image is stored there and the file's codec cannot
            make one.
        ArrayNotFoundError
            If there is no such column, or a text is none of the table's.
        """
        position = self._column(column)
        table = self._table(position)
        nearest = table.nearest(numbers)
        named = zip(self.parameters, nearest.values, strict=True)
        values: dict[str, str | float] = {p.name: p.values[i] for p, i in named}
        wanted: dict[str, float] = {}
        stored = True
        for parameter, index in zip(self.parameters, nearest.values, strict=True):
            if parameter.numbers is None:
                continue
            own = parameter.numbers[index]
            asked = number(str(numbers[parameter.name])) if parameter.name in numbers else own
            wanted[parameter.name] = own if asked is None else _within(parameter, asked)
            if not _same(parameter, own, wanted[parameter.name]):
                values[parameter.name] = wanted[parameter.name]
                stored = False
        if stored:
            return View(self.decode(nearest.images[position]), values, interpolated=False)
        if not isinstance(self._pictures, ImplicitPictures):
            raise UsageError(
                f"{self.path} shows stored images alone, as its codec {self.header.codec.name} "
                "does; take nearest(), or encode with e-nerv or hnerv"
            )
        channels = self._pictures.between(position, nearest, table.cells, wanted)
        kind = self.kind(nearest.images[position])
        colours = self.header.codec.colours
        known = channels[colours : colours + 1] >= 0.5 if kind.mask else None
        if known is not None and kind.mask == "partial":
            # The coverage tells what is clear, and nothing of what is opaque.
            known = np.concatenate([~known, np.zeros_like(known)])
        return View(self._finished(kind, channels, known), values, interpolated=True)

    def _finished(
        self, kind: ImageKind, channels: NDArray[np.float32], known: NDArray[np.bool_] | None
    ) -> NDArray[Any]:
        """Pixels of channels, and what is ``known`` of them by a mask."""
        codec = self.header.codec
        pixels = pixels_of(kind, channels, *(kind.limits or (codec.low, codec.high)))
        if known is None:
            return pixels
        if kind.mask == "alpha":
            pixels[..., 3] = np.where(known[0], 255, 0)
        elif kind.mask == "partial":
            clear, opaque = known
            pixels[..., 3] = np.where(opaque, 255, np.where(clear, 0, pixels[..., 3]))
        elif kind.mask == "nan":
            pixels[~known[0]] = np.nan
        if kind.background is not None:
            pixels[~cover_of(kind, known), :3] = kind.background
        return pixels

    def _opened(self, settings: SessionSettings) -> PairPictures | ImplicitPictures:
        codec = self.header.codec
        if isinstance(codec, CodecHeader):
            return PairPictures(self._stored, codec, self._masks, settings)
        return ImplicitPictures(self._stored, codec, settings)

    def _table(self, column: int) -> CellTable:
        if column not in self._tables:
            cells = [cell for cell in self.cells if cell.images[column] >= 0]
            self._tables[column] = CellTable(self.parameters, cells)
        return self._tables[column]

    def _column(self, name: str | None) -> int:
        if name is None:
            return 0
        if name not in self.columns:
            raise ArrayNotFoundError(
                f"{self.path} has no column {name!r}; it has {', '.join(self.columns)}"
            )
        return self.columns.index(name)

    def _check(self, image: int) -> int:
        if not 0 <= image < self.count:
            raise UsageError(f"{self.path} has images 0 to {self.count - 1}, and no {image}")
        return image


def _within(parameter: Parameter, value: float) -> float:
    """The number in the parameter's range that stands for ``value``."""
    numbers = parameter.numbers or (value,)
    if goes_round(parameter):
        return min(numbers) + (value - min(numbers)) % CIRCLE_DEG
    return min(max(value, min(numbers)), max(numbers))


def _same(parameter: Parameter, first: float, second: float) -> bool:
    close = math.isclose(first, second, rel_tol=1e-9, abs_tol=1e-12)
    if not goes_round(parameter):
        return close
    turned = abs(first - second) % CIRCLE_DEG
    return close or min(turned, CIRCLE_DEG - turned) < 1e-9
