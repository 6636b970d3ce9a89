"""Networks: equal seeds give equal files; odd inputs are encoded or refused; nothing is left."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import inrvis
from inrvis.encoder.devices import do_without_triton
from inrvis.encoder.rate_control import encode_to_target
from inrvis.errors import DeviceError, UsageError
from inrvis.grid import ImageGrid
from inrvis.sources import Image, from_array
from inrvis.targets import BitRate, Psnr, Ratio

Field = Callable[[tuple[int, ...], str], Any]


def encode(image: Image, path: Path, training: Any, target: Any = None, **options: Any) -> Any:
    options = {"device": "cpu", "model": "siren", **options}
    return encode_to_target(image, path, target or Ratio(7), training, **options)


def test_equal_seeds_give_equal_files(field: Field, brief: Any, tmp_path: Path) -> None:
    image = from_array(field((24, 22, 25), "float32"))
    files = []
    for number, seed in enumerate((5, 5, 6)):
        encode(image, tmp_path / f"{number}.inr", brief, seed=seed)
        files.append((tmp_path / f"{number}.inr").read_bytes())
    assert files[0] == files[1]
    assert files[0] != files[2]


def test_progress_rises_and_what_it_raises_leaves_nothing(
    field: Field, brief: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, path, seen = from_array(field((24, 22, 25), "float32")), tmp_path / "f.inr", []
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))

    def watch(progress: Any) -> None:
        seen.append(progress.fraction)
        if progress.stage == "quantise":
            raise KeyboardInterrupt

    path.write_bytes(b"what was there before")
    with pytest.raises(KeyboardInterrupt):
        encode(image, path, brief, report=watch)
    assert len(seen) > 10
    assert seen == sorted(seen)
    assert path.read_bytes() == b"what was there before"
    assert {p.name for p in tmp_path.iterdir()} == {"f.inr", "scratch"}
    assert not list(scratch.iterdir())


def test_values_that_are_no_numbers(field: Field, brief: Any, tmp_path: Path) -> None:
    values = field((20, 20, 20), "float32")
    values[3, 4, 5], values[0, 0, 0], values[-6:, 3:9] = np.inf, -np.inf, np.nan
    result = encode(from_array(values), tmp_path / "f.inr", brief, Ratio(4))
    assert result.target_met
    finite = np.isfinite(values)
    with inrvis.open(tmp_path / "f.inr") as volume:
        decoded = volume.decode()
    np.testing.assert_array_equal(decoded[~finite], values[~finite])
    assert np.abs(decoded - values)[finite].mean() < 0.1 * np.ptp(values[finite])


@pytest.mark.parametrize(("value", "dtype"), [(7, "uint8"), (-2.5, "float32"), (2**62, "int64")])
def test_a_constant_field_is_exact(value: float, dtype: str, brief: Any, tmp_path: Path) -> None:
    values = np.full((24, 24, 24), value, dtype=dtype)
    encode(from_array(values), tmp_path / "f.inr", brief, BitRate(4))
    with inrvis.open(tmp_path / "f.inr") as volume:
        np.testing.assert_array_equal(volume.decode(), values)


def test_a_constant_field_reaches_any_quality(brief: Any, tmp_path: Path) -> None:
    values = np.full((12, 12, 12), 9, dtype=np.uint16)
    assert encode(from_array(values), tmp_path / "f.inr", brief, Psnr(60)).target_met


@pytest.mark.parametrize("shape", [(1, 40, 50), (40, 1, 50), (50, 40, 1), (1, 1, 2000), (1, 1, 1)])
def test_axes_of_length_one(
    field: Field, brief: Any, tmp_path: Path, shape: tuple[int, ...]
) -> None:
    values = np.zeros(shape, np.float32) + np.linspace(0, 1, max(shape), dtype=np.float32).reshape(
        [n if n == max(shape) else 1 for n in shape] if max(shape) > 1 else [1, 1, 1]
    )
    target = BitRate(8 * 6000 / values.size)
    encode(from_array(values), tmp_path / "f.inr", brief, target)
    with inrvis.open(tmp_path / "f.inr") as volume:
        assert volume.decode().shape == shape
        assert np.abs(volume.decode() - values).max() < 0.5


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float64"]
)
def test_values_stay_within_the_source(
    field: Field, brief: Any, tmp_path: Path, dtype: str
) -> None:
    values = field((20, 21, 22), dtype)
    encode(from_array(values), tmp_path / "f.inr", brief, BitRate(5))
    with inrvis.open(tmp_path / "f.inr") as volume:
        decoded = volume.decode()
    assert decoded.dtype == values.dtype
    # Wide integers pass through float64, which rounds their ends.
    slack = 2e-16 * np.abs(values.astype(float)).max()
    assert decoded.astype(float).min() >= float(values.min()) - slack
    assert decoded.astype(float).max() <= float(values.max()) + slack
    span = float(values.max()) - float(values.min())
    assert np.abs(decoded.astype(float) - values.astype(float)).mean() < 0.2 * span


def test_arrays_of_several_types_and_vectors_share_a_file(
    field: Field, brief: Any, tmp_path: Path
) -> None:
    shape = (20, 21, 22)
    vectors = np.stack([field(shape, "float32") * s for s in (1.0, -3.0, 100.0)], axis=-1)
    arrays = {"mask": field(shape, "uint8"), "flow": vectors, "mass": field(shape, "float64")}
    grid = ImageGrid((-4, 17, 3, 23, -9, 10), (1.0, 2.0, 0.5), (10.0, -1.0, 0.0))
    result = encode(Image(grid, arrays, time=2.5), tmp_path / "f.inr", brief, Ratio(25))
    assert result.target_met
    assert set(result.encoded.metrics) == set(arrays)
    with inrvis.open(tmp_path / "f.inr") as volume:
        assert volume.grid == grid
        assert volume.times == (2.5,)
        assert volume.arrays == tuple(arrays)
        for name, decoded in zip(arrays, volume.decode_arrays(volume.arrays), strict=True):
            assert decoded.dtype == arrays[name].dtype
            assert decoded.shape == arrays[name].shape
        assert volume.header.original_bytes == sum(a.nbytes for a in arrays.values())


def test_knots_apart(field: Field, brief: Any, tmp_path: Path) -> None:
    image = from_array(field((24, 22, 25), "float32"))
    encode(image, tmp_path / "f.inr", brief, knot_spacing=2)
    with inrvis.open(tmp_path / "f.inr") as volume:
        assert volume.header.models[0].lattice.spacing == 2
        values = image.arrays["intensity"]
        assert np.abs(volume.decode() - values).mean() < 0.2 * np.ptp(values)


@pytest.mark.parametrize(
    ("line", "hidden"),
    [
        ("7f00-7f01 r-xp 00000000 fe:00 42   /usr/lib/x86_64-linux-gnu/libLLVM.so.19.1\n", True),
        ("7f00-7f01 r-xp 00000000 fe:00 42   /usr/lib/x86_64-linux-gnu/libLLVM-15.so.1\n", True),
        ("7f00-7f01 r-xp 00000000 fe:00 42   /usr/lib/x86_64-linux-gnu/libc.so.6\n", False),
    ],
)
def test_triton_is_not_imported_beside_another_llvm(
    line: str, hidden: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapped = tmp_path / "maps"
    mapped.write_text(line)
    # What is imported already is left alone. The entry is restored at the end, whatever it was.
    imported = ModuleType("triton")
    monkeypatch.setitem(sys.modules, "triton", imported)
    do_without_triton(mapped)
    assert sys.modules["triton"] is imported
    del sys.modules["triton"]
    do_without_triton(mapped)
    assert ("triton" in sys.modules) == hidden
    if hidden:
        with pytest.raises(ImportError):
            importlib.import_module("triton")


def test_devices(field: Field, brief: Any, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    image = from_array(field((16, 16, 16), "float32"))
    with pytest.raises(UsageError, match="device"):
        encode(image, tmp_path / "f.inr", brief, device="bogus")
    if not torch.cuda.is_available():
        with pytest.raises(DeviceError, match="CUDA"):
            encode(image, tmp_path / "f.inr", brief, device="cuda")
    assert not list(tmp_path.iterdir())


def test_a_time_budget_is_kept(field: Field, brief: Any, tmp_path: Path) -> None:
    clocked = replace(brief, seconds=0.5, clocked=True)
    result = encode(from_array(field((24, 22, 25), "float32")), tmp_path / "f.inr", clocked)
    assert result.target_met
    assert result.encoded.header.encoding["steps"] > 0


def test_no_seams_between_blocks(encoded: tuple[Path, Any, Any]) -> None:
    """Errors jump no more across block faces than elsewhere."""
    path, image, _ = encoded
    with inrvis.open(path) as volume:
        error = volume.decode("height") - image.arrays["height"]
        lattice, grid = volume.header.models[0].lattice, volume.grid
        assert max(lattice.blocks) > 1
        for axis, blocks in enumerate(lattice.blocks):
            jumps = np.abs(np.diff(error, axis=2 - axis))
            typical = np.sqrt(np.mean(jumps**2))
            side = -(-grid.dimensions[axis] // blocks)
            for face in range(side - 1, grid.dimensions[axis] - 1, side):
                across = np.take(jumps, face, axis=2 - axis)
                assert np.sqrt(np.mean(across**2)) < 3 * typical


def test_samples_are_continuous_across_faces(encoded: tuple[Path, Any, Any]) -> None:
    path, image, _ = encoded
    span = np.ptp(image.arrays["height"])
    with inrvis.open(path) as volume:
        grid = volume.grid
        x = np.linspace(0.001, grid.dimensions[0] - 1.001, 3000)
        indices = np.stack([x, np.full_like(x, 16.2), np.full_like(x, 11.7)], axis=-1)
        shift = np.array([5e-5, 0, 0])
        ends = [indices - shift, indices + shift]
        low, high = (volume.sample(None, grid.index_to_world(e)) for e in ends)
    assert np.abs(high - low).max() < 1e-3 * span
