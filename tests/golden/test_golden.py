"""Files of format 1 decode to the values that an independent evaluation gave when they were made.

The fixtures are never made again: a failure means that old files no longer read as they did.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

import inrvis

pytestmark = pytest.mark.decode_only

FOLDER = Path(__file__).parent
FILES = {
    "format1_direct": "1dbb7c4da296d9bd9cebe9e0143b419323eaaaed3bff28bd086be3e0def76fca",
    "format1_blocks": "f49f1e4936f3bfc8e002d17513ca82f6cbd5c0f93c48d5579d66aa5ebaeaa877",
    "format1_knots": "d05e048736e5bd7422470348c3a922b738dc060ad6bbaab8d7eec2f4a86096ae",
}
# Relative to the array's range; the reference is float64, the decoder float32.
TOLERANCE = 2e-5


@pytest.mark.parametrize("name", FILES)
def test_the_fixture_is_the_one_that_was_committed(name: str) -> None:
    data = (FOLDER / f"{name}.inr").read_bytes()
    assert hashlib.sha256(data).hexdigest() == FILES[name]


@pytest.mark.parametrize("name", FILES)
def test_values_are_the_committed_ones(name: str) -> None:
    with inrvis.open(FOLDER / f"{name}.inr") as volume, np.load(FOLDER / f"{name}.npz") as expected:
        assert set(volume.arrays) == set(expected.files)
        for array in volume.arrays:
            decoded, wanted = volume.decode(array), expected[array].astype(np.float64)
            header = volume.array(array)
            assert decoded.dtype == np.dtype(header.dtype)
            assert decoded.shape == wanted.shape
            span = float(np.ptp(wanted))
            error = np.abs(decoded.astype(np.float64) - wanted)
            if decoded.dtype.kind == "f":
                assert error.max() <= TOLERANCE * span + 1e-7 * np.abs(wanted).max()
            else:
                assert error.max() <= 0.5 + TOLERANCE * span
                assert (error > 0.5).mean() <= 0.01


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
            wanted = expected[array].astype(np.float64)
            sampled = volume.sample(array, points).reshape(wanted.shape)
            limit = TOLERANCE * np.ptp(wanted) + 1e-7 * np.abs(wanted).max()
            assert np.abs(sampled - wanted).max() <= limit


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
