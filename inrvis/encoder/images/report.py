"""What an encoding of images gave."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class ImagesReport:
    """What an encoding of images gave, measured on the written file.

    Attributes
    ----------
    psnr_db : float
        Mean over the images of their PSNR, the peak being 255, or the range of float values.
    worst_psnr_db : float
        That of the worst image.
    max_abs_error : float
        Largest error of any value, in its own unit.
    bits_per_pixel, compression_ratio : float
        From the size on disk, weights included.
    encoded_bytes, original_bytes : int
        Size of the file, and of the pixels in their own type.
    weight_bytes, stream_bytes : int
        Parts of the file.
    images, pairs : int
        Distinct images, and pairs of them with two images.
    model : str
        Name of the codec.
    parameters : int
        Weights that the file holds.
    steps : int
        Steps of the training.
    encode_seconds, decode_seconds : float
        Wall time of the whole encoding and of one whole decoding.
    device : str
        Where it was trained.
    stills : str
        What the images take as stills of the same quality.
    stills_bytes : int
        The same as a number.
    """

    psnr_db: float
    worst_psnr_db: float
    max_abs_error: float
    bits_per_pixel: float
    compression_ratio: float
    encoded_bytes: int
    original_bytes: int
    weight_bytes: int
    stream_bytes: int
    images: int
    pairs: int
    model: str
    parameters: int
    steps: int
    encode_seconds: float
    decode_seconds: float
    device: str
    stills: str
    stills_bytes: int

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary for JSON."""
        return asdict(self)
