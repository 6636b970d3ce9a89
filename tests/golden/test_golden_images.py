"""The golden files of images decode to what torch gave when they were made."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import inrvis
from inrvis.decoder.images import Images

pytestmark = pytest.mark.decode_only

FOLDER = Path(__file__).parent
DIGESTS = {
    "spatial": "6437d80118a3f5e98d8122311e71b93d6aae3d5c612e7fa8a0d065d372ab56b2",
    "shared": "9faa144cffa59c86e4f8937fe6c449f7096e82d38295e0337396cc6e74366dc4",
    "covers": "2158b12656f3c98edc4854591b6166db766430a8c39af140f9704f9ddbe9c90a",
    "images": "4b8308e202494ee72c8da1a6937299b82f499bdcc8a5d44c4b419f760eac6c43",
    "network": "bb287589d7347539e7753c2bf68fd50f497223ff6cdcda83de82838a125166da",
}


@pytest.mark.parametrize("name", DIGESTS)
def test_the_file_is_the_one_that_was_made(name: str) -> None:
    data = (FOLDER / f"format1_{name}.inr").read_bytes()
    assert hashlib.sha256(data).hexdigest() == DIGESTS[name]


PAIRS = {
    "images": ((0, 2), (4, -1), (1, 3)),
    "covers": ((0, 2), (4, -1), (1, 3)),
    # One left image of two pairs.
    "shared": ((2, 0), (2, 4), (3, 1)),
    "spatial": ((2, 0), (2, 4), (3, 1)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_pictures(name: str) -> None:
    with inrvis.open(FOLDER / f"format1_{name}.inr") as images:
        assert isinstance(images, Images)
        assert images.columns == ("colour", "depth")
        assert [cell.images for cell in images.cells] == [(0, 1), (2, 3), (4, -1)]
        assert images.pairs == PAIRS[name]
        codec = images.header.codec
        assert (images.kind(0).background == (0, 0, 51)) == (name != "images")
        with np.load(FOLDER / f"format1_{name}.npz") as reference:
            for number in range(images.count):
                wanted = reference[f"image{number}"] / 16384
                assert_near(images.decode(number), wanted, (codec.low, codec.high))


def test_pictures_of_one_network() -> None:
    with inrvis.open(FOLDER / "format1_network.inr") as images:
        assert isinstance(images, Images)
        assert images.pairs == ()
        codec = images.header.codec
        with np.load(FOLDER / "format1_network.npz") as reference:
            for number in range(images.count):
                wanted = reference[f"image{number}"] / 16384
                assert_near(images.decode(number), wanted, (codec.low, codec.high))
            view = images.view("colour", phi=10)
            assert view.interpolated
            wanted = reference["between"] / 16384
            assert_near(view.pixels, wanted, (codec.low, codec.high))
            # Where the coverage is as near to a half as this, another machine may decide otherwise.
            clear = np.abs(wanted[-1] - 0.5) > 1e-3
            opaque = view.pixels[..., 3] == 255
            np.testing.assert_array_equal(opaque[clear], (wanted[-1] > 0.5)[clear])


def assert_near(pixels: Any, wanted: Any, limits: tuple[float, float]) -> None:
    """Compare with channels, (channels, height, width), where a mask lets them through."""
    if pixels.dtype == np.uint8:
        # Half a level for rounding, and what single precision adds.
        error = np.abs(pixels[..., :3] / 255 - wanted[:3].transpose(1, 2, 0))
        assert error.max() <= 0.51 / 255
        assert set(np.unique(pixels[..., 3])) == {0, 255}
        return
    known = ~np.isnan(pixels)
    assert 0 < known.sum() < known.size
    values = limits[0] + (limits[1] - limits[0]) * wanted[0]
    np.testing.assert_allclose(pixels[known], values[known], atol=1e-4)
