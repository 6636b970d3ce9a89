"""Arrays of any type as channels around zero."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inrvis.container.header import ArrayHeader
from inrvis.errors import SourceError
from inrvis.sources import Image


@dataclass(frozen=True)
class Normalised:
    """Values, shape (nz, ny, nx, channels), and what undoes the map."""

    values: NDArray[np.float32]
    arrays: tuple[ArrayHeader, ...]


def normalise(image: Image) -> Normalised:
    """Map every component to a mean of zero and a range of two.

    Raises
    ------
    SourceError
        If an array holds NaN or infinity.
    """
    channels, arrays, channel = [], [], 0
    for name, array in image.arrays.items():
        planes = array[..., None] if array.ndim == 3 else array
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise SourceError(
                f"array {name!r} holds NaN or infinite values, which cannot be encoded"
            )
        offsets, scales = [], []
        for component in range(planes.shape[-1]):
            plane = planes[..., component]
            offset = float(plane.mean(dtype=np.float64))
            scale = (float(plane.max()) - float(plane.min())) / 2 or 1.0
            channels.append(((plane.astype(np.float64) - offset) / scale).astype(np.float32))
            offsets.append(offset)
            scales.append(scale)
        arrays.append(
            ArrayHeader(
                name=name,
                dtype=array.dtype.name,
                components=planes.shape[-1],
                channel=channel,
                offset=tuple(offsets),
                scale=tuple(scales),
                low=float(array.min()),
                high=float(array.max()),
            )
        )
        channel += planes.shape[-1]
    return Normalised(np.stack(channels, axis=-1), tuple(arrays))
