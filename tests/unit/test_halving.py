"""Plans of wavelets that are chosen by what coded layers take."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from inrvis.encoder.halving import rehalved
from inrvis.residual.wavelet import WaveletEncoder, decode


def blob(shape: tuple[int, int, int], *widths: float) -> NDArray[np.float32]:
    """A smooth hill in the middle of a grid, wider along some axes than along others."""
    z, y, x = (np.linspace(-1, 1, n) for n in shape)
    squares = (z[:, None, None] / widths[0]) ** 2 + (y[:, None] / widths[1]) ** 2
    return np.exp(-squares - (x / widths[2]) ** 2).astype(np.float32)


def test_a_small_layer_takes_less_at_the_same_quality() -> None:
    values, bound = blob((40, 48, 44), 0.2, 0.25, 0.2), 40.0

    def size(encoder: WaveletEncoder) -> int:
        sizes = []
        for step in np.geomspace(0.02, 2, 60):
            data = encoder.encode(float(step))
            error = decode(data, encoder.shape, values.dtype) - values
            if -10 * np.log10(np.square(error).mean()) >= bound:
                sizes.append(len(data))
        return min(sizes)

    first = WaveletEncoder(values)
    assert size(rehalved(first, 0.3, 40)) < 0.95 * size(first)


@pytest.mark.parametrize("trials", [0, 2, 3, 5])
def test_no_more_encodings_than_allowed(trials: int, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, trial = [], WaveletEncoder.trial

    def counted(self: WaveletEncoder, step: float) -> tuple[int, float]:
        calls.append(step)
        return trial(self, step)

    monkeypatch.setattr(WaveletEncoder, "trial", counted)
    rehalved(WaveletEncoder(blob((20, 24, 22), 0.3, 0.2, 0.5)), 0.1, trials)
    assert len(calls) <= trials


@pytest.mark.parametrize("value", [0.0, 7.5])
def test_nothing_to_gain(value: float) -> None:
    encoder = WaveletEncoder(np.full((9, 8, 10), value, np.float32))
    assert rehalved(encoder, 1.0, 40) is encoder


def test_a_trial_tells_bytes_and_error() -> None:
    values = np.random.default_rng(0).normal(size=(14, 19, 16)) * 1e30
    encoder = WaveletEncoder(values)
    ratios = []
    for plan in (encoder.plan, (7, 7), (1, 6, 7), ()):
        other = encoder.replanned(plan)
        size, error = other.trial(1e30)
        data = other.encode(1e30)
        decoded = decode(data, (14, 19, 16), values.dtype)
        assert len(data) == size
        ratios.append(np.square((decoded - values) / 1e30).mean() / error)
    # In one unit, whatever the plan.
    assert np.allclose(ratios, ratios[0], rtol=1e-3)
