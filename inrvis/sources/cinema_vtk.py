"""Images of floats as ParaView's extractor of recolorable images writes them: legacy ``.vtk``.

Binary structured points in one plane, with one array of scalars. Anything else in such a file is
left to VTK's own reader.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inrvis.errors import SourceError
from inrvis.sources.database import Pixels

__all__ = ["Header", "read_header", "read_pixels", "write_pixels"]

_MOST_HEADER_BYTES = 1024
_HEADER = re.compile(
    rb"# vtk DataFile Version [\d.]+\n[^\n]*\nBINARY\nDATASET STRUCTURED_POINTS\n"
    rb"DIMENSIONS (\d{1,6}) (\d{1,6}) 1 ?\nSPACING [^\n]*\nORIGIN [^\n]*\n"
    rb"POINT_DATA (\d{1,12})\nSCALARS [^\n ]+ float(?: 1)?\nLOOKUP_TABLE default\n"
)


@dataclass(frozen=True)
class Header:
    """Where the values of an image are in its file."""

    width: int
    height: int
    offset: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.height, self.width

    @property
    def nbytes(self) -> int:
        """Bytes of the values in the file."""
        return 4 * math.prod(self.shape)


def read_header(path: Path) -> Header | None:
    """Header of a file; None where it is not of this form."""
    with path.open("rb") as file:
        match = _HEADER.match(file.read(_MOST_HEADER_BYTES))
    if match is None:
        return None
    width, height, points = (int(group) for group in match.groups())
    return Header(width, height, match.end()) if points == width * height else None


def read_pixels(path: Path, header: Header) -> Pixels:
    """Values, (height, width) of float32, rows from the top."""
    with path.open("rb") as file:
        file.seek(header.offset)
        data = file.read(header.nbytes)
    if len(data) != header.nbytes:
        raise SourceError(f"{path} ends too early; it is truncated")
    # VTK writes big-endian numbers and counts rows from the bottom.
    return np.frombuffer(data, ">f4").reshape(header.shape)[::-1].astype(np.float32)


def write_pixels(path: Path, pixels: Pixels) -> None:
    """Write (height, width) of float32 as ParaView writes it."""
    height, width = pixels.shape
    header = (
        "# vtk DataFile Version 5.1\nvtk output\nBINARY\nDATASET STRUCTURED_POINTS\n"
        f"DIMENSIONS {width} {height} 1\nSPACING 1 1 1\nORIGIN 0 0 0\n"
        f"POINT_DATA {pixels.size}\nSCALARS scalars float\nLOOKUP_TABLE default\n"
    )
    path.write_bytes(header.encode("ascii") + pixels[::-1].astype(">f4").tobytes() + b"\n")
