"""The images of a database in an `.inr` file."""

from __future__ import annotations

import os
from collections import OrderedDict
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from inrvis.bitstream.masks import decode_mask
from inrvis.container.images_file import cells_of_images, read_images
from inrvis.container.images_header import ImageKind, ImagesHeader
from inrvis.decoder.codes import code_of
from inrvis.decoder.image_graphs import SessionSettings
from inrvis.decoder.pairs import Latents, Side, StreamSource, networks_of, pixels_of
from inrvis.decoder.sessions import Device
from inrvis.errors import ArrayNotFoundError, UsageError
from inrvis.parameters import Cell, Parameter, find_cell, nearest_cell

# Pairs whose latents stay: to show the second image of a pair costs its synthesis alone.
_RECENT_PAIRS = 4


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
        self._networks = networks_of(self._stored, settings or SessionSettings(device))
        self.device: Literal["cpu", "cuda"] = self._networks.device
        tables = self._stored.tables
        self._cells_of = cells_of_images(tables, self.header.images)
        self._pairs = {image: pair for pair in tables.pairs for image in pair if image >= 0}
        self._recent: OrderedDict[tuple[int, bool], Latents] = OrderedDict()

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
        self._recent.clear()

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
        """Left and right image of each pair; the right one is -1 for an image alone."""
        return self._stored.tables.pairs

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
        left, _ = self._pairs[image]
        channels = self._networks.picture(kind, self._latents(image), right=image != left)
        codec = self.header.codec
        pixels = pixels_of(kind, channels, codec.low, codec.high)
        if kind.mask:
            # Both kinds of masks are of what is there: opaque pixels, and numbers.
            shape = (1, kind.height, kind.width)
            known = decode_mask(self._stored.masks[image], shape)[0]
            if kind.mask == "alpha":
                pixels[..., 3] = np.where(known, 255, 0)
            else:
                pixels[~known] = np.nan
        return pixels

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

    def _side(self, image: int) -> tuple[Side, StreamSource]:
        codec = self.header.codec
        source = StreamSource(self._stored.streams[image], image, exact=codec.exact)
        cell = self.cells[int(self._cells_of[image])]
        return Side(code_of(codec, self.parameters, cell), source), source

    def _latents(self, image: int) -> Latents:
        left, right = self._pairs[image]
        want_right = image == right
        for key in ((left, True), (left, want_right)):
            if key in self._recent:
                self._recent.move_to_end(key)
                return self._recent[key]
        left_side, left_source = self._side(left)
        right_side, right_source = self._side(right) if right >= 0 else (None, None)
        latents = self._networks.latents(
            self._stored.kind(left), left_side, right_side, want_right=want_right
        )
        left_source.finish()
        if right_source is not None and (want_right or self._networks.joint):
            right_source.finish()
        self._recent[left, want_right] = latents
        if len(self._recent) > _RECENT_PAIRS:
            self._recent.popitem(last=False)
        return latents
