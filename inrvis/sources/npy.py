"""NumPy's ``.npy``: (z, y, x), (z, y, x, component) or one slice (y, x)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from inrvis.sources.files import ReadOptions
from inrvis.sources.image import Image, from_array

__all__ = ["read"]


def read(path: Path, options: ReadOptions) -> Image:  # noqa: ARG001  (readers share a signature)
    """Read a ``.npy`` file; its array is named ``intensity``."""
    # Mapping checks the stated shape against the file's size and never unpickles.
    return from_array(np.load(path, mmap_mode="r", allow_pickle=False))
