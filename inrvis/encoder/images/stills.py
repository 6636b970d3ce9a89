"""What single images cost in common formats: the bar below which a codec of one's own is no use."""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrvis.encoder.images.pictures import Pictures, spread

_SAMPLES = 4
_QUALITIES = tuple(range(10, 100, 6))
_MIDDLING = 50


@dataclass(frozen=True)
class Stills:
    """All images as stills, extrapolated from some.

    Attributes
    ----------
    format : str
        AVIF, WebP, JPEG or compressed floats.
    total_bytes : int
        Estimated size of all.
    psnr_db : float
        Their quality; infinite for floats, which are kept as they are.
    """

    format: str
    total_bytes: int
    psnr_db: float

    def describe(self) -> str:
        """As one phrase."""
        quality = "" if np.isinf(self.psnr_db) else f" at {self.psnr_db:.1f} dB"
        return f"{self.format} stills take {self.total_bytes:,} bytes{quality}"


def stills(pictures: Pictures, psnr_db: float) -> Stills:
    """Size of all images as stills of at least the given quality.

    Parameters
    ----------
    pictures : Pictures
        The images.
    psnr_db : float
        Quality to reach, as far as the format can.
    """
    arrays = [pictures.pixels(i) for i in spread(range(len(pictures)), _SAMPLES)]
    if any(a.dtype != np.uint8 for a in arrays):
        size = sum(len(zlib.compress(a.tobytes(), 9)) for a in arrays)
        return Stills("losslessly compressed", _extrapolate(size, arrays, pictures), np.inf)
    name = _format()
    first, last = 0, len(_QUALITIES) - 1
    while first < last:  # the least quality that suffices
        middle = (first + last) // 2
        if _measure(arrays, name, _QUALITIES[middle])[1] >= psnr_db:
            last = middle
        else:
            first = middle + 1
    size, quality = _measure(arrays, name, _QUALITIES[first])
    return Stills(name, _extrapolate(size, arrays, pictures), quality)


def still_bytes(arrays: list[NDArray[np.uint8]]) -> int:
    """Bytes of images with colours as stills of a middling quality."""
    return sum(len(_still(array, _format(), _MIDDLING)) for array in arrays)


def _extrapolate(size: int, arrays: list[NDArray[Any]], pictures: Pictures) -> int:
    sample = sum(a.nbytes for a in arrays)
    total = sum(kind.nbytes for kind in pictures.facts.kinds)
    return round(size * total / max(sample, 1))


def _format() -> str:
    from PIL import features

    for name in ("avif", "webp"):
        if features.check(name):
            return name.upper() if name == "avif" else "WebP"
    return "JPEG"


def _measure(arrays: list[NDArray[Any]], name: str, quality: int) -> tuple[int, float]:
    """Bytes of stills, and their PSNR over the colours of all of them."""
    size, error, values = 0, 0.0, 0
    for array in arrays:
        coded = _still(array[..., :3], name, quality)
        size += len(coded)
        difference = _opened(coded) - array[..., :3].astype(np.float64)
        error, values = error + float((difference**2).sum()), values + difference.size
    return size, float(10 * np.log10(255**2 * values / max(error, 1e-9)))


def _still(array: NDArray[Any], name: str, quality: int) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(buffer, name.lower(), quality=quality)
    return buffer.getvalue()


def _opened(coded: bytes) -> NDArray[np.float64]:
    from PIL import Image

    with Image.open(io.BytesIO(coded)) as image:
        return np.asarray(image.convert("RGB"), dtype=np.float64)
