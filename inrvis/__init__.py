"""Neural compression for scientific visualization: volumes as small networks in one file."""

from __future__ import annotations

from inrvis.api import EncodeReport, encode, open
from inrvis.errors import InrvisError
from inrvis.grid import ImageGrid
from inrvis.targets import BitRate, MaxError, Psnr, Ratio

__version__ = "0.1.0"

__all__ = [
    "BitRate",
    "EncodeReport",
    "ImageGrid",
    "InrvisError",
    "MaxError",
    "Psnr",
    "Ratio",
    "encode",
    "open",
]
