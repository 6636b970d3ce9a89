"""MetaImage, with the values in the same file (``.mha``) or beside it (``.mhd``).

Read here and not by VTK, whose reader drops the direction matrix and takes a truncated file for a
whole one.
"""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from inrvis.errors import SourceError
from inrvis.grid import ImageGrid
from inrvis.sources.files import DEFLATE_RATIO, ReadOptions, check_claim, file_size, header_geometry
from inrvis.sources.image import Image, from_array

__all__ = ["read"]

_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
_LONGEST_LINE = 4096
_MOST_LINES = 1000


def read(path: Path, options: ReadOptions) -> Image:  # noqa: ARG001  (readers share a signature)
    """Read a MetaImage; its array is named ``intensity``.

    ``Offset`` becomes the origin, ``ElementSpacing`` the spacing, and the rows of
    ``TransformMatrix`` the directions of the axes. Values may be plain or zlib-compressed.
    """
    with path.open("rb") as stream:
        header = _header(path, stream)
        values_start = stream.tell()
    sizes = [int(word) for word in header["DimSize"].split()]
    if len(sizes) not in (2, 3) or min(sizes) < 1:
        raise SourceError(f"{path} has DimSize {header['DimSize']}; give a slice or a volume")
    name = header["ElementType"].removesuffix("_ARRAY")
    if name not in _TYPES:
        raise SourceError(f"{path} has ElementType {name}; convert it to a number type")
    if _flag(header, "BinaryData", default=True) is False:
        raise SourceError(f"{path} holds its values as text; write it with BinaryData = True")
    big_endian = _flag(header, "BinaryDataByteOrderMSB", "ElementByteOrderMSB")
    dtype = np.dtype(_TYPES[name]).newbyteorder(">" if big_endian else "<")
    components = int(header.get("ElementNumberOfChannels", 1))

    data_path, start = _values_at(path, header, values_start)
    compressed = _flag(header, "CompressedData")
    n_bytes = math.prod(sizes) * components * dtype.itemsize
    available = file_size(data_path)
    if start < 0:
        start = available - n_bytes
    limit = max(0, available - start) * (DEFLATE_RATIO if compressed else 1)
    check_claim(path, n_bytes, limit if start >= 0 else available)
    with data_path.open("rb") as stream:
        stream.seek(start)
        content = _inflate(stream, n_bytes) if compressed else stream.read(n_bytes)
    if len(content) != n_bytes:
        raise SourceError(
            f"{path} needs {n_bytes} bytes of values, {data_path} has {len(content)}; "
            "it is truncated"
        )

    dimensions = [*sizes, 1][:3]
    shape = (*reversed(dimensions), *([components] if components > 1 else []))
    values = np.frombuffer(bytearray(content), dtype).reshape(shape)
    with header_geometry(path):
        grid = ImageGrid.from_dimensions(dimensions, *_geometry(header, len(sizes)))
    return Image(grid, from_array(values).arrays)


def _header(path: Path, stream: IO[bytes]) -> dict[str, str]:
    """Keys and values up to ``ElementDataFile``, which ends the header."""
    header: dict[str, str] = {}
    for _ in range(_MOST_LINES):
        line = stream.readline(_LONGEST_LINE)
        key, equals, value = line.decode("latin-1").partition("=")
        if not equals:
            break
        header[key.strip()] = value.strip()
        if key.strip() == "ElementDataFile":
            break
    for required in ("DimSize", "ElementType", "ElementDataFile"):
        if required not in header:
            raise SourceError(
                f"{path} lacks the key {required}; it is truncated or not a MetaImage"
            )
    return header


def _flag(header: dict[str, str], *keys: str, default: bool = False) -> bool:
    for key in keys:
        if key in header:
            return header[key].lower() in ("true", "t", "1")
    return default


def _values_at(path: Path, header: dict[str, str], here: int) -> tuple[Path, int]:
    """File that holds the values and where in it; -1 for "the last bytes"."""
    name = header["ElementDataFile"]
    if name.upper() == "LOCAL":
        return path, here
    if name.upper().startswith("LIST") or "%" in name:
        raise SourceError(f"{path} spreads its values over files; write them into one")
    return path.parent / name, int(header.get("HeaderSize", 0))


def _inflate(stream: IO[bytes], n_bytes: int) -> bytes:
    """At most `n_bytes` of a zlib stream, however much more it would expand to."""
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    return inflater.decompress(stream.read(), n_bytes)


def _geometry(header: dict[str, str], count: int) -> tuple[list[float], list[float], list[float]]:
    """Spacing, origin and direction, filled up for a slice."""

    def numbers(keys: tuple[str, ...], default: list[float]) -> list[float]:
        for key in keys:
            if key in header:
                return [float(word) for word in header[key].split()]
        return default

    spacing = numbers(("ElementSpacing", "ElementSize"), [1.0] * count)
    origin = numbers(("Offset", "Position", "Origin"), [0.0] * count)
    matrix = numbers(("TransformMatrix", "Rotation", "Orientation"), np.eye(count).ravel().tolist())
    direction = np.eye(3)
    direction[:count, :count] = np.array(matrix).reshape(count, count).T
    padding = 3 - count
    return spacing + [1.0] * padding, origin + [0.0] * padding, direction.ravel().tolist()
