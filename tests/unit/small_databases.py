"""Small databases of images, made in memory: a shaded ball whose place depends on the view."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from inrvis.container.sections import file_image
from inrvis.parameters import Cell, Parameter
from inrvis.sources.database import ImageDatabase, StoredImage

PHIS = ("-180", "-60", "60")
THETAS = ("-45", "0", "45")


def stored(pixels: np.ndarray[Any, Any]) -> StoredImage:
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    dtype = "uint8" if pixels.dtype == np.uint8 else "float32"
    return StoredImage(*pixels.shape[:2], channels, dtype, lambda: pixels)  # type: ignore[arg-type]


def view(phi: float, theta: float, kind: str, size: tuple[int, int] = (37, 45)) -> Any:
    """Return a shaded ball whose place depends on the view."""
    y, x = np.mgrid[: size[0], : size[1]].astype(float)
    centre = (
        size[0] / 2 + 9 * np.sin(np.radians(theta)),
        size[1] / 2 + 9 * np.cos(np.radians(phi)),
    )
    height = np.clip(1 - np.hypot(y - centre[0], x - centre[1]) ** 2 / 120, 0, 1)
    if kind == "float":
        return np.where(height > 0, 5 + 3 * height, np.nan).astype(np.float32)
    rgb = (255 * np.stack([height, height**2, 0.2 + 0.5 * height], axis=-1)).astype(np.uint8)
    if kind == "rgb":
        return rgb
    alpha = np.where(height > 0, 255, 0).astype(np.uint8)
    if kind == "soft":
        alpha = (255 * height).astype(np.uint8)
    return np.concatenate([rgb, alpha[..., None]], axis=-1)


def database(kinds: tuple[str, ...] = ("rgb",), phis: tuple[str, ...] = PHIS) -> ImageDatabase:
    """Return views for each kind, a column each; the last view of the first column is missing."""
    images, cells = [], []
    for i, phi in enumerate(phis):
        for j, theta in enumerate(THETAS):
            last = i == len(phis) - 1 and j == len(THETAS) - 1
            row = []
            for kind in kinds:
                if last and kind == kinds[0]:
                    row.append(-1)
                    continue
                row.append(len(images))
                images.append(stored(view(float(phi), float(theta), kind)))
            cells.append(Cell((i, j), tuple(row)))
    parameters = (Parameter("phi", phis), Parameter("theta", THETAS))
    return ImageDatabase(parameters, kinds, tuple(cells), tuple(images))


def changed_file(sections: dict[str, bytes], folder: Path, **changed: bytes | None) -> Path:
    """Write the sections of a file with some changed, or left out where they are None."""
    own = {k: v for k, v in {**sections, **changed}.items() if v is not None}
    path = folder / "changed.inr"
    path.write_bytes(file_image(own))
    return path
