"""Neural compression for scientific visualization: volumes as small networks in one file."""

from __future__ import annotations

from inrvis.api import encode, encode_images, open  # noqa: A004
from inrvis.errors import InrvisError
from inrvis.grid import ImageGrid
from inrvis.report import EncodeReport
from inrvis.targets import BitRate, MaxError, Psnr, Ratio
from inrvis.version import __version__ as __version__

__all__ = [
    "BitRate",
    "EncodeReport",
    "ImageGrid",
    "InrvisError",
    "MaxError",
    "Psnr",
    "Ratio",
    "encode",
    "encode_images",
    "open",
]
