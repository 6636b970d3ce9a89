"""The golden file of images decodes to what torch gave for its latents when it was made."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

import inrvis
from inrvis.decoder.images import Images

pytestmark = pytest.mark.decode_only

FOLDER = Path(__file__).parent
DIGEST = "4b8308e202494ee72c8da1a6937299b82f499bdcc8a5d44c4b419f760eac6c43"


def test_the_file_is_the_one_that_was_made() -> None:
    data = (FOLDER / "format1_images.inr").read_bytes()
    assert hashlib.sha256(data).hexdigest() == DIGEST


def test_pictures() -> None:
    with inrvis.open(FOLDER / "format1_images.inr") as images:
        assert isinstance(images, Images)
        assert images.columns == ("colour", "depth")
        assert [cell.images for cell in images.cells] == [(0, 1), (2, 3), (4, -1)]
        assert images.pairs == ((0, 2), (4, -1), (1, 3))
        codec = images.header.codec
        with np.load(FOLDER / "format1_images.npz") as reference:
            for number in range(images.count):
                wanted = reference[f"image{number}"] / 16384
                pixels = images.decode(number)
                if pixels.dtype == np.uint8:
                    # Half a level for rounding, and what single precision adds.
                    error = np.abs(pixels[..., :3] / 255 - wanted.transpose(1, 2, 0))
                    assert error.max() <= 0.51 / 255
                    assert set(np.unique(pixels[..., 3])) == {0, 255}
                else:
                    known = ~np.isnan(pixels)
                    assert 0 < known.sum() < known.size
                    values = codec.low + (codec.high - codec.low) * wanted[0]
                    np.testing.assert_allclose(pixels[known], values[known], atol=1e-4)
