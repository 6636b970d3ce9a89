"""SCI's comparison with codecs and other networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.sci_codecs import H264, FrameCodec, Hevc, Jpeg, round_trip
from benchmarks.sci_comparison import at_rate, common_range, mean_over, table
from benchmarks.sci_positional import PositionalEncoder
from benchmarks.sci_training import cropped, seconds_a_step
from inrvis.encoder.assembly import Assembly
from inrvis.encoder.models.base import plain
from inrvis.encoder.normalise import normalise
from inrvis.metrics import psnr_db
from inrvis.sources import from_array


@pytest.mark.parametrize("codec", [Jpeg(), Jpeg(flattened=False), H264(), Hevc()], ids=repr)
@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_a_finer_quality_is_larger_and_better(field: Any, codec: FrameCodec, dtype: str) -> None:
    pytest.importorskip("PIL" if isinstance(codec, Jpeg) else "av")
    # Odd sides: films pad their lines, and must not show it.
    values = (1000 * field((5, 33, 37), "float64") - 300).astype(dtype)
    coarse, fine = (round_trip(codec, values, q) for q in codec.qualities[3::6][:2])
    assert fine[1].shape == values.shape
    assert fine[1].dtype == values.dtype
    assert coarse[0] < fine[0] < values.nbytes
    assert 15 < psnr_db(values, coarse[1]) < psnr_db(values, fine[1])


def test_the_positional_network_decodes_as_it_was_trained(field: Any, brief: Any) -> None:
    image = from_array(field((9, 8, 10), "float32"))
    assembly = Assembly(image, normalise(image), {})
    encoder = PositionalEncoder(assembly, device="cpu", seed=3)
    trained = encoder.train(6000, brief)
    encoded = assembly.finish(encoder.fit(trained, 6000))
    assert len(encoded.data) <= 6000
    loss = float(trained.model.loss(trained.model.draw(8192, 1.0), plain).detach())
    # The range is two.
    assert encoded.worst_psnr_db == pytest.approx(20 * np.log10(2) - 10 * np.log10(loss), abs=1)


def test_a_step_takes_what_the_fastest_ones_take() -> None:
    plain_steps, rounded = [0.0, 0.3, 0.4, 0.9], [2.0, 2.2, 9.0]
    times = [("train", t) for t in plain_steps] + [("quantise", t) for t in rounded]
    assert seconds_a_step(times, 0.8) == pytest.approx(0.8 * 0.1 + 0.2 * 0.2)


def test_the_middle_is_cut_out() -> None:
    values = np.arange(5 * 8 * 3).reshape(5, 8, 3).astype(np.int16)
    (middle,) = cropped(from_array(values), 4).arrays.values()
    np.testing.assert_array_equal(middle, values[0:4, 2:6])


def test_rates_are_interpolated_along_their_logarithm_and_not_beyond() -> None:
    points = [
        {"bits_per_value": b, "psnr_db": q, "ssim": q / 100} for b, q in ((0.1, 20), (0.4, 40))
    ]
    assert at_rate(points, 0.2, "psnr_db") == pytest.approx(30)
    assert at_rate(points, 0.05, "psnr_db") is None
    assert at_rate(points, 0.45, "psnr_db") is None
    assert 20 < mean_over(points, 0.1, 0.2, "psnr_db") < 30
    assert common_range({"jpeg": points}) == (0.1, 0.25)
    row = table({"v": {"runs": {"jpeg": points}}}, [0.05, 0.2])[-1]
    assert row.startswith("| v | JPEG | – | 30.0 / 0.300 | 0.100–0.25 |")
