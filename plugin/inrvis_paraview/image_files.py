"""The file of an image reader, opened when needed and again when it changed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from numpy.typing import NDArray

from inrvis.container.series_file import read_kind
from inrvis.decoder.sessions import Device
from inrvis.errors import FormatError, InrvisError, UsageError
from inrvis.parameters import CellTable

if TYPE_CHECKING:
    from inrvis.decoder.images import Images, View


Pixels: TypeAlias = NDArray[Any]

_RECENT_IMAGES = 4


def holds_images(path: str) -> bool:
    """Whether a file is a database of images; False for any other, sound or not."""
    try:
        return read_kind(path) == "images"
    except (InrvisError, OSError):
        return False


class ImageFile:
    """Keeps one database open, until another path, device or content is asked for."""

    def __init__(self) -> None:
        self._key: tuple[str, Device, int, int] | None = None
        self._images: Images | None = None
        self._tables: dict[int, CellTable] = {}
        self._sizes: dict[int, tuple[int, int]] = {}
        self._pixels: OrderedDict[int, Pixels] = OrderedDict()
        self._view: tuple[Any, View] | None = None

    def open(self, path: str, device: Device) -> Images:
        """The open database.

        Raises
        ------
        UsageError
            If there is no path, or the device is not available.
        FormatError
            If the file cannot be read.
        """
        # A reader of either kind is asked about every file; only one of images needs all this.
        from inrvis.decoder.images import Images

        if not path:
            raise UsageError("no file is chosen; set FileName")
        try:
            stat = Path(path).stat()
        except (OSError, ValueError) as error:
            raise FormatError(f"{path} cannot be read: {error}; check the path") from error
        key = (path, device, stat.st_mtime_ns, stat.st_size)
        if self._images is None or key != self._key:
            self.close()
            if (kind := read_kind(path)) != "images":
                raise UsageError(f"{path} holds a {kind} and no images; open it with INR Reader")
            self._images, self._key = Images(path, device), key
        return self._images

    def table(self, images: Images, column: int) -> CellTable:
        """The cells of the open database that have an image in a column."""
        if column not in self._tables:
            cells = [cell for cell in images.cells if cell.images[column] >= 0]
            self._tables[column] = CellTable(images.parameters, cells)
        return self._tables[column]

    def largest(self, images: Images, column: int) -> tuple[int, int]:
        """Width and height that no image of a column exceeds."""
        if column not in self._sizes:
            numbers = {cell.images[column] for cell in self.table(images, column).cells}
            kinds = [images.kind(number) for number in numbers]
            self._sizes[column] = max(k.width for k in kinds), max(k.height for k in kinds)
        return self._sizes[column]

    def decode(self, images: Images, number: int) -> Pixels:
        """Pixels of an image, which stay for the next request: ghosts, another part, a way back."""
        if number not in self._pixels:
            self._pixels[number] = images.decode(number)
        self._pixels.move_to_end(number)
        if len(self._pixels) > _RECENT_IMAGES:
            self._pixels.popitem(last=False)
        return self._pixels[number]

    def view(self, images: Images, column: int, values: Mapping[str, str | float]) -> View:
        """An image at values between the stored ones; the last one stays."""
        key = (column, tuple(values.items()))
        if self._view is None or self._view[0] != key:
            self._view = key, images.view(images.columns[column], **values)
        return self._view[1]

    def close(self) -> None:
        """Let go of the file."""
        if self._images is not None:
            self._images.close()
        self._images, self._key = None, None
        self._tables.clear()
        self._sizes.clear()
        self._pixels.clear()
        self._view = None
