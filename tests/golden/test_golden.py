"""Files of format 1 decode to the values that an independent evaluation gave when they were made.

The fixtures are never made again: a failure means that old files no longer read as they did.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

import inrvis
from inrvis.container.sections import inflate, read_sections

pytestmark = pytest.mark.decode_only

FOLDER = Path(__file__).parent
FILES = {
    "format1_direct": "d146f9b88710628e0c4736f10bb1e901565ece8b94e78d5710be231b7f962e10",
    "format1_blocks": "c201f5b04518603792a713c719be00da6e490c503c4871689b5562fb1e6acbb9",
    "format1_knots": "28a64441c795214289341ea60ec686202dfe2ed5bfb7817d3a8c233b6a3a6025",
    "format1_boxes": "93bc796a514e7bef4e647ae0c17562e7ec0765f7939e7c82677c9d7efb4a5751",
    "format1_levels": "3cd95eb7da2005a637b7705acfdf6d1283f33adc94e7243290f54ec976c109ca",
    "format1_gaps": "67f63acd9e4e6ccc92c1d04131193db712da1a081b3e73480fe5fe60737a54d7",
    "format1_layers": "ad591abd7a88c38e60fc66a4c3329e6c48401732d0976eeb14f9d83e06eaf234",
}
SERIES = "986a91d990434b51021431f4fb20a438f2bfc2d9a4d2b67af6cf9e2dadd3bdaa"
TOGETHER = {
    "format1_packed": "df5d7e91d78ebdb098c3f4b8690512bfd46544423152cd1b54aa5d826712a294",
    "format1_attribute": "e4c5285a3fc74b0f6477cd28aee7e395b2afc62ab8456d75cb5b3902d4c1246a",
}
# Relative to the array's range; the reference is float64, the decoder float32.
TOLERANCE = 2e-5
# Arrays with coded layers keep the bound that they were coded with, or, without one, come near.
BOUNDS = {"depth": 0.01, "wind": 1e-5, "heat": 0.2}
# Coded layers alone decode to the same bits everywhere.
EXACT = {
    "format1_levels": "052c01035dfdc29f4bfbcc4d91d1106092f14e5ef7090a818ed9c7844b0642e7",
    "format1_gaps": "8099622a1428e70bae0b6fa13385c5283f1b821c26f77b5dcae822e4a23d0320",
}


def limit(name: str, wanted: np.ndarray) -> float:
    """Largest error of an array before it is rounded to integers."""
    finite = wanted[np.isfinite(wanted)]
    return BOUNDS.get(name, TOLERANCE * float(np.ptp(finite)) + 1e-7 * float(np.abs(finite).max()))


def assert_near(name: str, values: np.ndarray, wanted: np.ndarray, slack: float = 0.0) -> None:
    odd = ~np.isfinite(wanted)
    np.testing.assert_array_equal(values[odd], wanted[odd])
    error = np.abs(values[~odd].astype(np.float64) - wanted[~odd])
    assert error.max() <= slack + limit(name, wanted)
    assert (error > max(slack, limit(name, wanted))).mean() <= 0.01


@pytest.mark.parametrize("name", FILES)
def test_the_fixture_is_the_one_that_was_committed(name: str) -> None:
    data = (FOLDER / f"{name}.inr").read_bytes()
    assert hashlib.sha256(data).hexdigest() == FILES[name]


@pytest.mark.parametrize("name", FILES)
def test_values_are_the_committed_ones(name: str) -> None:
    with inrvis.open(FOLDER / f"{name}.inr") as volume, np.load(FOLDER / f"{name}.npz") as expected:
        assert set(volume.arrays) == set(expected.files)
        for array in volume.arrays:
            decoded, wanted = volume.decode(array), expected[array]
            assert decoded.dtype == np.dtype(volume.array(array).dtype)
            assert decoded.shape == wanted.shape
            if wanted.dtype.kind != "f":
                np.testing.assert_array_equal(decoded, wanted)
            else:
                slack = 0.5 if decoded.dtype.kind != "f" else 0.0
                assert_near(array, decoded, wanted.astype(np.float64), slack)


@pytest.mark.parametrize("name", FILES)
def test_samples_are_the_committed_values(name: str) -> None:
    with inrvis.open(FOLDER / f"{name}.inr") as volume, np.load(FOLDER / f"{name}.npz") as expected:
        nx, ny, nz = volume.grid.dimensions
        x0, y0, z0 = volume.grid.extent[::2]
        z, y, x = np.meshgrid(np.arange(nz), np.arange(ny), np.arange(nx), indexing="ij")
        points = volume.grid.index_to_world(
            np.stack([x + x0, y + y0, z + z0], axis=-1).reshape(-1, 3)
        )
        for array in volume.arrays:
            wanted = expected[array]
            sampled = volume.sample(array, points).reshape(wanted.shape)
            # Values known as integers only: a sample is not rounded.
            slack = 0.5 if wanted.dtype.kind != "f" else 0.0
            assert_near(array, sampled, wanted.astype(np.float64), slack)


@pytest.mark.parametrize("name", EXACT)
def test_coded_layers_decode_to_the_same_bits(name: str) -> None:
    with inrvis.open(FOLDER / f"{name}.inr") as volume:
        digest = hashlib.sha256()
        for values in volume.decode_arrays(volume.arrays):
            digest.update(values.astype(values.dtype.newbyteorder("<")).tobytes())
    assert digest.hexdigest() == EXACT[name]


def test_steps_of_a_series_are_the_committed_ones() -> None:
    path = FOLDER / "format1_series.inr"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == SERIES
    with inrvis.open(path) as series, np.load(FOLDER / "format1_direct.npz") as expected:
        assert series.times == (-0.5, 1.5, 4.0)
        for step in series:
            for array, slack in (("density", 0.5), ("velocity", 0.0)):
                wanted = expected[array].astype(np.float64)
                assert_near(array, step.decode(array), wanted, slack)


def test_geometry_and_facts_are_the_committed_ones() -> None:
    with inrvis.open(FOLDER / "format1_direct.inr") as volume:
        assert volume.grid.extent == (2, 14, -3, 7, 0, 8)
        assert volume.grid.dimensions == (13, 11, 9)
        assert volume.grid.spacing == (0.5, 1.5, 2.0)
        assert volume.grid.origin == (-7.0, 0.25, 100.0)
        assert volume.grid.direction == (0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)
        assert volume.times == (1.5,)
        assert volume.arrays == ("density", "velocity")
        assert volume.array("velocity").components == 3
        assert volume.array("density").metrics["psnr_db"] == 40.5


@pytest.mark.parametrize("name", TOGETHER)
def test_small_sections_together(name: str) -> None:
    """The sections of another fixture in a dataset or an attribute, with dictionaries of zlib."""
    data = (FOLDER / f"{name}.inr").read_bytes()
    assert hashlib.sha256(data).hexdigest() == TOGETHER[name]
    together = read_sections(FOLDER / f"{name}.inr")
    apart = read_sections(FOLDER / "format1_layers.inr")
    for section in ("header", "graphs"):
        assert inflate(together.pop(section), section) == inflate(apart.pop(section), section)
    assert together == apart
