"""Targets: a size is kept to the byte, a quality is reached or honestly missed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import inrvis
from inrvis.encoder.rate_control import encode_to_target
from inrvis.encoder.settings import TrainingSettings
from inrvis.errors import OutputError, UsageError
from inrvis.metrics import measure
from inrvis.sources import from_array
from inrvis.targets import BitRate, MaxError, Psnr, Ratio

Field = Callable[[tuple[int, ...], str], Any]


@pytest.mark.parametrize(
    "case",
    [
        ("uint8", (32, 30, 34), 5),
        ("int16", (24, 26, 22), 3.5),
        ("float32", (24, 22, 25), 8),
        ("float64", (24, 22, 25), 20),
    ],
)
def test_a_ratio_is_kept_and_used(
    field: Field, brief: Any, tmp_path: Path, case: tuple[str, tuple[int, ...], float]
) -> None:
    dtype, shape, ratio = case
    path, values = tmp_path / "f.inr", field(shape, dtype)
    result = encode_to_target(
        from_array(values), path, Ratio(ratio), brief, model="siren", device="cpu"
    )
    assert result.target_met
    assert ratio <= values.nbytes / path.stat().st_size <= ratio / 0.98
    with inrvis.open(path) as volume:
        assert volume.decode().dtype == values.dtype


def test_bits_per_value_are_kept_and_used(field: Field, brief: Any, tmp_path: Path) -> None:
    path, values = tmp_path / "f.inr", field((24, 22, 25), "uint16")
    result = encode_to_target(
        from_array(values), path, BitRate(4), brief, model="siren", device="cpu"
    )
    assert result.target_met
    assert 0.98 * 4 <= 8 * path.stat().st_size / values.size <= 4


def test_the_report_is_that_of_the_file(encoded: tuple[Path, Any, Any]) -> None:
    path, image, result = encoded
    with inrvis.open(path) as volume:
        metrics = measure(image.arrays["height"], volume.decode("height"))
        assert result.encoded.metrics["height"] == metrics
        assert volume.array("height").metrics["psnr_db"] == pytest.approx(metrics.psnr_db, rel=1e-4)
        assert result.encoded.header == volume.header
    assert path.stat().st_size == len(result.encoded.data)
    assert metrics.psnr_db > 18


def test_a_quality_is_reached(field: Field, tmp_path: Path, cli: Callable[..., Any]) -> None:
    path, values = tmp_path / "f.inr", field((24, 22, 25), "float32")
    training = TrainingSettings(seconds=0.3, batch=2048)
    result = encode_to_target(
        from_array(values), path, Psnr(20), training, model="siren", device="cpu"
    )
    assert result.target_met
    np.save(tmp_path / "f.npy", values)
    checked = cli("compare", tmp_path / "f.npy", path, "--min-psnr", 20)
    assert checked.status == 0, checked.errors


def test_a_quality_out_of_reach_is_told(tmp_path: Path, brief: Any) -> None:
    noise = np.random.default_rng(0).normal(size=(16, 16, 16)).astype(np.float32)
    path = tmp_path / "noise.inr"
    result = encode_to_target(
        from_array(noise), path, Psnr(250), brief, model="siren", device="cpu"
    )
    assert not result.target_met
    with inrvis.open(path) as volume:
        achieved = measure(noise, volume.decode()).psnr_db
    assert achieved < 250
    assert result.encoded.metrics["intensity"].psnr_db == achieved


@pytest.mark.parametrize("target", [Ratio(1000), BitRate(0.01)])
def test_a_size_too_small_for_any_network(
    field: Field, tmp_path: Path, brief: Any, target: Any
) -> None:
    path = tmp_path / "f.inr"
    with pytest.raises(UsageError, match="ratio"):
        encode_to_target(from_array(field((16, 16, 16), "uint8")), path, target, brief)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("target", [Ratio(9), Psnr(45), MaxError(0.02, relative=True)])
def test_auto_is_no_worse_than_layers_alone(
    field: Field, tmp_path: Path, brief: Any, target: Any
) -> None:
    image = from_array(field((24, 26, 28), "float32"))
    psnr_db, size = {}, {}
    for model in ("auto", "none"):
        path = tmp_path / f"{model}.inr"
        result = encode_to_target(image, path, target, brief, model=model, device="cpu")
        assert result.target_met
        psnr_db[model] = result.encoded.worst_psnr_db
        size[model] = path.stat().st_size
    if isinstance(target, Ratio):
        assert psnr_db["auto"] >= psnr_db["none"]
        assert max(size.values()) <= image.arrays["intensity"].nbytes / 9
    else:
        assert size["auto"] <= size["none"]


def test_auto_takes_a_network_where_layers_do_not_fit(tmp_path: Path, brief: Any) -> None:
    """Waves everywhere: wavelets need many coefficients, a few sines need none."""
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in (30, 32, 34)], indexing="ij")
    values = np.sin(9 * x + 7 * y + 5 * z).astype(np.float32)
    path = tmp_path / "f.inr"
    training = replace(brief, seconds=2.0)
    result = encode_to_target(from_array(values), path, Ratio(30), training, device="cpu")
    assert result.target_met
    assert path.stat().st_size <= values.nbytes / 30
    with inrvis.open(path) as volume:
        assert measure(values, volume.decode()).psnr_db == result.encoded.worst_psnr_db


def test_an_output_that_cannot_be_written_is_told_before_the_work(
    field: Field, tmp_path: Path, brief: Any
) -> None:
    image, calls = from_array(field((24, 24, 24), "float32")), []
    for path in (tmp_path / "missing" / "f.inr", tmp_path):
        with pytest.raises(OutputError):
            encode_to_target(image, path, Ratio(8), brief, report=calls.append)
    assert not calls
