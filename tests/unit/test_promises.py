"""What a target promises, checked on the written file: every voxel's bound, what is no number."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import inrvis
from inrvis.encoder.rate_control import encode_to_target
from inrvis.errors import SourceError, UsageError
from inrvis.grid import ImageGrid
from inrvis.metrics import psnr_db
from inrvis.sources import Image, from_array
from inrvis.targets import BitRate, MaxError, Psnr, Ratio

Field = Callable[[tuple[int, ...], str], Any]
SHAPE = (12, 15, 17)


def noise(shape: tuple[int, ...], seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=shape)


def largest_error(original: Any, decoded: Any) -> float:
    """Largest error, exact for integers; checks that what is no number is the same."""
    assert decoded.dtype == original.dtype
    assert decoded.shape == original.shape
    if original.dtype.kind != "f":
        pairs = zip(original.ravel().tolist(), decoded.ravel().tolist(), strict=True)
        return float(max(abs(a - b) for a, b in pairs))
    finite = np.isfinite(original)
    np.testing.assert_array_equal(decoded[~finite], original[~finite])
    assert np.isfinite(decoded[finite]).all()
    wide = original[finite].astype(np.longdouble) - decoded[finite]
    return float(np.abs(wide).max(initial=0))


def span(values: Any) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.max()) - float(finite.min()) if finite.size else 0.0


def encode(source: Any, path: Path, target: Any, **options: Any) -> Any:
    options = {"model": "none", "device": "cpu", **options}
    return inrvis.encode(source, path, target=target, **options)


def assert_kept(image: Image, path: Path, target: MaxError, report: Any) -> None:
    assert report.target_met
    with inrvis.open(path, device="cpu") as volume:
        assert volume.grid == image.grid
        assert volume.arrays == tuple(image.arrays)
        for name, original in image.arrays.items():
            error = largest_error(original, volume.decode(name))
            bound = target.bound * (span(original) or 1.0) if target.relative else target.bound
            assert error <= bound
            assert report.arrays[name].max_abs_error == pytest.approx(error, rel=1e-6)


def check(values: Any, path: Path, target: MaxError, **options: Any) -> Any:
    report = encode(values, path, target, **options)
    assert_kept(from_array(values), path, target, report)
    return report


BOUNDS = {
    "uint8": [0.4, 1, 3.7, 1000],
    "int8": [0.1, 2],
    "uint16": [0.999, 100],
    "int16": [0.4, 5.5],
    "uint32": [30, 1e5],
    "int32": [3, 1e5],
    "uint64": [1e12, 1e16],
    "int64": [1e12, 1e16],
    "float32": [1e-1, 1e-3, 1e-6, 1e-8, 1e30],
    "float64": [1e-1, 1e-3, 1e-6, 1e-8, 1e30],
}


@pytest.mark.parametrize(
    ("dtype", "bound"), [(dtype, bound) for dtype, bounds in BOUNDS.items() for bound in bounds]
)
def test_an_absolute_bound(field: Field, tmp_path: Path, dtype: str, bound: float) -> None:
    check(field(SHAPE, dtype), tmp_path / "f.inr", MaxError(bound))


@pytest.mark.parametrize("dtype", BOUNDS)
def test_a_relative_bound(field: Field, tmp_path: Path, dtype: str) -> None:
    sizes = []
    for bound in (0.1, 1e-3, 1e-5):
        report = check(field(SHAPE, dtype), tmp_path / "f.inr", MaxError(bound, relative=True))
        sizes.append(report.encoded_bytes)
    assert sizes == sorted(sizes)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int64", "float64"])
def test_noisy_values(tmp_path: Path, dtype: str) -> None:
    values = noise(SHAPE) * 20 + 100
    check(values.astype(dtype), tmp_path / "f.inr", MaxError(1))


@pytest.mark.parametrize(
    "values",
    [
        np.array([0, 3, 300, 65535], np.uint16),
        np.array([-7e-5, 0, 0.1, 1e9], np.float32),
        np.array([-(2.0**52), 1e-9, 1.0]),
        np.array([-(2**31), -1, 2**31 - 1], np.int32),
    ],
)
def test_few_values_far_apart_are_exact(tmp_path: Path, values: Any) -> None:
    chosen = np.random.default_rng(0).choice(values, SHAPE)
    report = check(chosen, tmp_path / "f.inr", MaxError(1e-10))
    assert report.max_abs_error == 0
    assert report.encoded_bytes < chosen.size


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint32", "uint64"])
def test_the_ends_of_a_type(field: Field, tmp_path: Path, dtype: str) -> None:
    values, limits = field(SHAPE, dtype), np.iinfo(dtype)
    values[0, 0, 0], values[-1, -1, -1] = limits.min, limits.max
    check(values, tmp_path / "f.inr", MaxError(1e-6, relative=True))
    for target in (Psnr(50), Ratio(2)):
        encode(values, tmp_path / "f.inr", target)
        with inrvis.open(tmp_path / "f.inr") as volume:
            # Nothing wraps around.
            assert largest_error(values, volume.decode()) < 0.05 * span(values)


@pytest.mark.parametrize("bound", [1e-4, 1e-6, 2e-7, 1e-7, 5e-8, 1e-9, 1e-11])
def test_a_huge_offset_and_a_tiny_range(field: Field, tmp_path: Path, bound: float) -> None:
    """Neighbouring doubles are 1.2e-7 apart there: finer bounds are kept by exact values."""
    report = check(1e9 + 1e-3 * field(SHAPE, "float64"), tmp_path / "f.inr", MaxError(bound))
    assert report.max_abs_error == 0 or bound >= 1.2e-7


@pytest.mark.parametrize("bound", [0.5, 0.07, 0.0625, 0.04, 0.01, 1e-6])
def test_bounds_near_the_resolution_of_float32(field: Field, tmp_path: Path, bound: float) -> None:
    values = (1e6 + 3 * field(SHAPE, "float64")).astype(np.float32)
    report = check(values, tmp_path / "f.inr", MaxError(bound))
    assert report.max_abs_error == 0 or bound >= 0.0625


@pytest.mark.parametrize(
    ("dtype", "factor"), [("float32", 1e-40), ("float32", 4e37), ("float64", 1e-315)]
)
def test_tiny_and_huge_values(field: Field, tmp_path: Path, dtype: str, factor: float) -> None:
    values = (field(SHAPE, "float64") * factor).astype(dtype)
    for bound in (0.1, 1e-3):
        check(values, tmp_path / "f.inr", MaxError(bound, relative=True))
    assert encode(values, tmp_path / "f.inr", Psnr(30)).target_met


def test_more_quality_than_wavelets_have_is_lossless(field: Field, tmp_path: Path) -> None:
    values = field(SHAPE, "float32")
    report = encode(values, tmp_path / "f.inr", Psnr(170))
    assert report.target_met
    assert report.psnr_db > 170


def test_masked_values_are_no_numbers(field: Field, tmp_path: Path) -> None:
    values = np.ma.masked_greater(field(SHAPE, "float32"), 0.7)
    values.data[values.mask] = 1e20
    assert encode(values, tmp_path / "f.inr", Psnr(40)).target_met
    with inrvis.open(tmp_path / "f.inr") as volume:
        np.testing.assert_array_equal(np.isnan(volume.decode()), values.mask)
    with pytest.raises(SourceError, match="masked integers"):
        encode(np.ma.masked_greater(field(SHAPE, "int16"), 0), tmp_path / "g.inr", Psnr(40))


def test_one_component_is_a_scalar(field: Field, tmp_path: Path) -> None:
    values = field(SHAPE, "float32")
    encode(values[..., None], tmp_path / "f.inr", Psnr(40))
    with inrvis.open(tmp_path / "f.inr") as volume:
        assert volume.decode().shape == SHAPE


@pytest.mark.parametrize("model", ["siren", "fourier", "sci"])
def test_layers_complete_a_network_for_a_quality(
    field: Field, tmp_path: Path, brief: Any, model: Any
) -> None:
    image = from_array(field((16, 20, 22), "float32"))
    found = encode_to_target(image, tmp_path / "f.inr", Psnr(60), brief, model=model, device="cpu")
    assert found.target_met
    assert found.encoded.header.models
    assert all(metrics.psnr_db >= 60 for metrics in found.encoded.metrics.values())


def test_64_bit_integers_beyond_doubles(tmp_path: Path, field: Field) -> None:
    values = field(SHAPE, "int16").astype(np.int64) + 2**60
    check(values, tmp_path / "f.inr", MaxError(600))
    with pytest.raises(UsageError, match="larger one"):
        encode(values, tmp_path / "g.inr", MaxError(5))
    assert not (tmp_path / "g.inr").exists()
    check(values - 2**60, tmp_path / "f.inr", MaxError(0.5))


def test_a_constant_that_no_double_holds(tmp_path: Path) -> None:
    values = np.full(SHAPE, 2**64 - 1, dtype=np.uint64)
    check(values, tmp_path / "f.inr", MaxError(1e5))
    with pytest.raises(UsageError, match="larger one"):
        encode(values, tmp_path / "f.inr", MaxError(1))


@pytest.mark.parametrize("bound", [MaxError(1e-30), MaxError(1e-17, relative=True)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_a_bound_that_cannot_be_kept_is_one_line(
    tmp_path: Path, bound: MaxError, dtype: str
) -> None:
    values = (noise((20, 20, 20)) * (1e17 if dtype == "int64" else 1)).astype(dtype)
    with pytest.raises(UsageError, match=r"intensity.*ask for a larger one"):
        encode(values, tmp_path / "f.inr", bound)
    assert not list(tmp_path.iterdir())
    # So few values that they can be listed are exact whatever the bound.
    check(values[:8, :8, :8] // 2**10 * 2**10, tmp_path / "f.inr", bound)


def test_a_relative_bound_that_rounds_to_zero(tmp_path: Path) -> None:
    values = noise((20, 20, 20)) * 1e-318
    with pytest.raises(UsageError, match="ask for a larger one"):
        encode(values, tmp_path / "f.inr", MaxError(1e-9, relative=True))


@pytest.mark.parametrize("target", [MaxError(0.1, relative=True), MaxError(1e-30), Psnr(80)])
@pytest.mark.parametrize(
    ("value", "dtype"),
    [(7, "uint8"), (0, "int16"), (0.1, "float32"), (0.1, "float64"), (-1e100, "float64")],
)
def test_a_constant_field_is_exact(tmp_path: Path, value: float, dtype: str, target: Any) -> None:
    """Its range is zero: a relative bound on it allows no error at all, nor is there any."""
    values = np.full(SHAPE, value, dtype=dtype)
    report = encode(values, tmp_path / "f.inr", target)
    assert (report.target_met, report.max_abs_error) == (True, 0)
    with inrvis.open(tmp_path / "f.inr") as volume:
        np.testing.assert_array_equal(volume.decode(), values)


@pytest.mark.parametrize(
    "shape",
    [
        (1, 1, 1),
        (1, 1, 2),
        (3, 1, 1),
        (2, 2, 2),
        (1, 2, 3),
        (1, 20, 30),
        (30, 1, 20),
        (20, 30, 1),
        (1, 1, 400),
        (1, 300, 1),
    ],
)
def test_slices_lines_and_single_voxels(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = noise(shape) * 50
    for dtype in ("uint8", "float32", "float64"):
        typed = np.abs(values).astype(dtype)
        check(typed, tmp_path / "f.inr", MaxError(1e-2, relative=True))
        assert encode(typed, tmp_path / "f.inr", Psnr(40)).target_met
        with inrvis.open(tmp_path / "f.inr") as volume:
            points = volume.grid.index_to_world(np.array([[0.0, 0, 0]]))
            decoded = volume.decode().astype(float)
            assert volume.sample(None, points)[0] == pytest.approx(decoded[0, 0, 0], abs=0.5)


@pytest.mark.parametrize("seed", range(0, 40, 3))
def test_a_quality_of_very_few_values(tmp_path: Path, seed: int) -> None:
    for shape in ((2, 2, 2), (1, 2, 3), (3, 1, 1), (3, 3, 2)):
        values = np.abs(50 * noise(shape, seed))
        for dtype in ("uint8", "float32"):
            assert encode(values.astype(dtype), tmp_path / "f.inr", Psnr(40)).target_met


def test_several_arrays_each_keep_their_own_bound(field: Field, tmp_path: Path) -> None:
    vectors = np.stack([field(SHAPE, "float32") * s for s in (1.0, -3.0, 100.0)], axis=-1)
    arrays = {
        "labels": field(SHAPE, "uint8"),
        "flow": vectors,
        "mass": field(SHAPE, "float64") * 1e-9,
        "flat": np.full(SHAPE, 3.5, np.float32),
        "count": field(SHAPE, "int32"),
    }
    image = Image(ImageGrid((-4, 12, 3, 17, -9, 2), (1.0, 2.0, 0.5)), arrays)
    for target in (MaxError(1e-3, relative=True), MaxError(3000)):
        report = encode(image, tmp_path / "f.inr", target)
        assert_kept(image, tmp_path / "f.inr", target, report)
        with inrvis.open(tmp_path / "f.inr") as volume:
            together = volume.decode_arrays(volume.arrays)
            for name, values in zip(arrays, together, strict=True):
                np.testing.assert_array_equal(volume.decode(name), values)


def holed(values: Any) -> Any:
    values[3:6, 4:, :7] = np.nan
    values[0, 0, 0] = np.inf
    values[-1] = -np.inf
    values[-1, 3, 2] = 0.5
    return values


@pytest.mark.parametrize("target", [MaxError(1e-3), MaxError(0.1, relative=True), Psnr(45)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_no_number_comes_back(
    field: Field, tmp_path: Path, dtype: str, target: Any
) -> None:
    values = holed(field(SHAPE, dtype))
    report = encode(values, tmp_path / "f.inr", target)
    assert report.target_met
    with inrvis.open(tmp_path / "f.inr") as volume:
        assert [e.masks for e in volume.array().exact] == [(0,), (1,), (2,)]
        error = largest_error(values, volume.decode())
    assert error == pytest.approx(report.max_abs_error, rel=1e-6)
    if isinstance(target, MaxError):
        assert error <= target.bound * (span(values) if target.relative else 1)


def test_what_is_no_number_in_one_component(field: Field, tmp_path: Path) -> None:
    values = np.stack([field(SHAPE, "float32")] * 3, axis=-1)
    holed(values[..., 1])
    values[5, 5, 5, 2] = np.nan
    values[0, 0, 0, 2] = np.inf
    report = encode(values, tmp_path / "f.inr", MaxError(1e-3))
    assert report.target_met
    with inrvis.open(tmp_path / "f.inr") as volume:
        assert largest_error(values, volume.decode()) <= 1e-3
        # Components that are infinite at the same places share a mask.
        masks = [e.masks for e in volume.array().exact]
    assert masks == [(-1, 0, 3), (-1, 1, 1), (-1, 2, -1)]


def test_equal_masks_are_stored_once(field: Field, tmp_path: Path) -> None:
    arrays = {name: field(SHAPE, "float32") * (i + 1) for i, name in enumerate("abc")}
    for values in arrays.values():
        values[2:5, 3:9] = np.nan
    image = Image(ImageGrid.from_dimensions((17, 15, 12)), arrays)
    report = encode(image, tmp_path / "f.inr", MaxError(1e-2, relative=True))
    assert_kept(image, tmp_path / "f.inr", MaxError(1e-2, relative=True), report)
    with inrvis.open(tmp_path / "f.inr") as volume:
        assert volume.header.masks == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("target", [MaxError(1), Psnr(40), Ratio(2)])
def test_nothing_but_what_is_no_number(tmp_path: Path, value: float, target: Any) -> None:
    values = np.full(SHAPE, value, dtype=np.float32)
    assert encode(values, tmp_path / "f.inr", target).target_met
    with inrvis.open(tmp_path / "f.inr") as volume:
        np.testing.assert_array_equal(volume.decode(), values)
        assert volume.decode(layers="base").shape == SHAPE
    values[4, 3, 2] = 17.5
    assert encode(values, tmp_path / "f.inr", target).target_met
    with inrvis.open(tmp_path / "f.inr") as volume:
        np.testing.assert_array_equal(volume.decode(), values)


def test_values_no_type_can_compute_with_are_refused(field: Field, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="intensity"):
        encode(field(SHAPE, "float64") * 2e307, tmp_path / "f.inr", MaxError(1, relative=True))


@pytest.mark.parametrize("db", [25, 40, 60, 90])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32", "float64"])
def test_a_quality_is_reached_and_not_far_exceeded(
    field: Field, tmp_path: Path, dtype: str, db: float
) -> None:
    values = field((16, 20, 22), dtype)
    report = encode(values, tmp_path / "f.inr", Psnr(db))
    assert report.target_met
    with inrvis.open(tmp_path / "f.inr") as volume:
        achieved = psnr_db(values, volume.decode())
    assert achieved == report.psnr_db
    # Integers take steps: between their best two qualities there may be nothing.
    assert db <= achieved <= (db + 0.5 if db <= 60 else math.inf)


def test_every_array_reaches_a_quality(field: Field, tmp_path: Path) -> None:
    arrays = {
        "smooth": field(SHAPE, "float32"),
        "rough": noise(SHAPE),
        "vector": holed(np.stack([field(SHAPE, "float64")] * 2, axis=-1)),
    }
    image = Image(ImageGrid.from_dimensions((17, 15, 12)), arrays)
    report = encode(image, tmp_path / "f.inr", Psnr(45))
    assert report.target_met
    assert all(45 <= m.psnr_db < 46 for m in report.arrays.values())


@pytest.mark.parametrize("target", [Ratio(8), Ratio(20), BitRate(5), BitRate(1.5)])
@pytest.mark.parametrize("dtype", ["uint16", "float32", "float64"])
def test_a_size_is_kept_and_used(field: Field, tmp_path: Path, dtype: str, target: Any) -> None:
    values = field((26, 28, 30), dtype)
    values += (noise(values.shape) * 0.02 * span(values)).astype(dtype)
    report = encode(values, tmp_path / "f.inr", target)
    size = (tmp_path / "f.inr").stat().st_size
    assert report.encoded_bytes == size
    allowed = values.nbytes / target.value if isinstance(target, Ratio) else 0
    allowed = allowed or values.size * target.bits_per_value / 8
    # HDF5 pads, which shows in so small a file.
    assert min(0.98 * allowed, allowed - 64) <= size <= allowed


def test_a_size_no_layers_fit_in(field: Field, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="ratio"):
        encode(field(SHAPE, "uint8"), tmp_path / "f.inr", Ratio(100))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shape", [(20, 20, 300), (258, 3, 5), (1, 515, 9)])
def test_more_than_one_chunk(field: Field, tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = field(shape, "float32")
    values[shape[0] // 2 :, :2, shape[2] // 2] = np.nan
    path, bound = tmp_path / "f.inr", 1e-3
    assert encode(values, path, MaxError(bound)).target_met
    with inrvis.open(path) as volume:
        whole = volume.decode()
        assert largest_error(values, whole) <= bound
        nx, ny, nz = volume.grid.dimensions
        for extent, stride in (
            ((0, nx - 1, 0, ny - 1, 0, nz - 1), 3),
            ((nx // 2 - 2, nx // 2 + 2, ny // 2 - 1, ny // 2 + 1, nz // 2, nz // 2), 1),
        ):
            with inrvis.open(path) as fresh:
                part = fresh.decode(extent=extent, stride=stride)
            np.testing.assert_array_equal(part, whole[volume.grid.slices(extent, stride)])
        # Between the last voxel of a chunk and the first of the next.
        seams = np.array([[(nx - 1) / 2, (ny - 1) / 2, (nz - 1) / 2]])
        assert np.isfinite(volume.sample(None, volume.grid.index_to_world(seams))).all()
    assert encode(values, path, Psnr(50)).target_met


def test_a_bound_on_top_of_a_network(field: Field, brief: Any, tmp_path: Path) -> None:
    arrays = {"a": field((20, 22, 24), "float32"), "b": field((20, 22, 24), "uint16")}
    arrays["a"][:4, 3:8, :5] = np.nan
    image, path = Image(ImageGrid.from_dimensions((24, 22, 20)), arrays), tmp_path / "f.inr"
    target = MaxError(1e-2, relative=True)
    result = encode_to_target(image, path, target, brief, device="cpu", model="siren")
    assert result.target_met
    with inrvis.open(path) as volume:
        assert volume.header.model_name == "siren+interpolation"
        for name, original in arrays.items():
            bound = target.bound * span(original)
            decoded = volume.decode(name)
            assert largest_error(original, decoded) <= bound
            base = volume.decode(name, layers="base")
            assert base.shape == decoded.shape
            # A preview: near, but not within the bound; masks hold in it.
            known = np.isfinite(original)
            off = np.abs(base.astype(float) - original)[known]
            assert off.max() > bound
            assert off.mean() < 0.3 * span(original)
            np.testing.assert_array_equal(np.isnan(base), np.isnan(original))
            part = volume.decode(name, extent=(3, 20, 1, 9, 5, 5), stride=2)
            np.testing.assert_allclose(
                part, decoded[volume.grid.slices((3, 20, 1, 9, 5, 5), 2)], rtol=1e-5, atol=1
            )


def test_equal_inputs_give_equal_files(field: Field, tmp_path: Path) -> None:
    files = []
    for number in range(2):
        encode(holed(field(SHAPE, "float32")), tmp_path / f"{number}.inr", MaxError(0.01))
        files.append((tmp_path / f"{number}.inr").read_bytes())
    assert files[0] == files[1]
