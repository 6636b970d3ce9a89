"""The public names and the report."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import inrvis
from inrvis.errors import ArrayNotFoundError, SourceError, UsageError
from inrvis.metrics import measure

Field = Callable[[tuple[int, ...], str], Any]
BUDGET = {"target": inrvis.Ratio(8), "time_budget": 0.4, "device": "cpu"}


@pytest.mark.decode_only
def test_the_public_names() -> None:
    assert inrvis.__all__ == sorted(inrvis.__all__)
    assert set(inrvis.__all__) == {
        "BitRate",
        "EncodeReport",
        "ImageGrid",
        "InrvisError",
        "MaxError",
        "Psnr",
        "Ratio",
        "encode",
        "encode_images",
        "open",
    }
    assert all(hasattr(inrvis, name) for name in inrvis.__all__)


@pytest.mark.decode_only
def test_decoding_loads_nothing_of_the_encoder() -> None:
    code = (
        "import sys, inrvis; assert not {'torch', 'h5py', 'onnxruntime'} & set(sys.modules)\n"
        f"v = inrvis.open({str(Path(__file__).parent.parent / 'golden/format1_direct.inr')!r})\n"
        "v.decode(); v.sample(None, [[0.0, 0.0, 0.0]]); v.close()\n"
        "bad = {'torch', 'onnx', 'vtkmodules', 'scipy', 'inrvis.encoder'} & set(sys.modules)\n"
        "assert not bad, bad"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_numpy_array(field: Field, tmp_path: Path) -> None:
    values, seen = field((24, 22, 25), "float32"), []
    path = tmp_path / "f.inr"
    report = inrvis.encode(values, path, model="siren", progress=seen.append, **BUDGET)
    assert report.target_met
    assert report.encoded_bytes == path.stat().st_size
    assert report.original_bytes == values.nbytes
    assert report.compression_ratio == values.nbytes / path.stat().st_size
    assert report.bits_per_value == 8 * path.stat().st_size / values.size
    assert report.target == "compression ratio 8"
    assert report.encode_seconds > report.decode_seconds > 0
    assert seen
    with inrvis.open(path) as volume:
        metrics = measure(values, volume.decode())
        assert volume.header.parameters == report.parameters
    assert report.psnr_db == metrics.psnr_db
    assert report.ssim == metrics.ssim
    assert report.max_abs_error == metrics.max_abs_error
    assert "arrays" not in report.to_json()


def test_vtk_image_data(field: Field, tmp_path: Path) -> None:
    pytest.importorskip("vtkmodules")
    from inrvis.grid import ImageGrid
    from inrvis.sources import Image
    from inrvis.writers import to_vtk

    direction = (0.0, 1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0)
    grid = ImageGrid((3, 27, -2, 19, 0, 23), (1.0, 0.5, 2.0), (5.0, 6.0, 7.0), direction)
    arrays = {"a": field((24, 22, 25), "float32"), "b": field((24, 22, 25), "int16")}
    report = inrvis.encode(to_vtk(Image(grid, arrays)), tmp_path / "f.inr", **BUDGET)
    assert set(report.arrays) == {"a", "b"}
    assert set(report.to_json()["arrays"]) == {"a", "b"}
    assert report.original_bytes == sum(a.nbytes for a in arrays.values())
    assert report.psnr_db == min(m.psnr_db for m in report.arrays.values())
    with inrvis.open(tmp_path / "f.inr") as volume:
        assert volume.grid == grid
        assert [volume.array(n).dtype for n in volume.arrays] == ["float32", "int16"]
    report = inrvis.encode(to_vtk(Image(grid, arrays)), tmp_path / "b.inr", arrays=["b"], **BUDGET)
    assert report.original_bytes == arrays["b"].nbytes


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ({"a": 1}, UsageError),
        (np.zeros((4, 4, 4), complex), SourceError),
        (np.zeros((0, 4, 4)), SourceError),
        (np.zeros(7), SourceError),
        ("missing.vti", SourceError),
    ],
)
def test_sources_that_cannot_be(source: Any, error: type[Exception], tmp_path: Path) -> None:
    with pytest.raises(error):
        inrvis.encode(source, tmp_path / "f.inr", **BUDGET)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"preset": "slow"}, UsageError),
        ({"time_budget": 0}, UsageError),
        ({"time_budget": float("nan")}, UsageError),
        ({"device": "abacus"}, UsageError),
        ({"model": "abacus"}, UsageError),
        ({"arrays": ["other"]}, ArrayNotFoundError),
        ({"knot_spacing": -1}, UsageError),
        ({"knot_spacing": 1000}, UsageError),
        ({"seed": -1}, UsageError),
    ],
)
def test_options_that_cannot_be(
    field: Field, tmp_path: Path, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        inrvis.encode(field((24, 24, 24), "float32"), tmp_path / "f.inr", **{**BUDGET, **options})
    assert not list(tmp_path.iterdir())
