"""The sci model: blocks of an octree with networks of several sizes decode to what was trained."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import inrvis
from inrvis.container.tensors import RAW_TABLE
from inrvis.decoder.blocks import blocks_of
from inrvis.encoder.assembly import Assembly
from inrvis.encoder.funnel import parameter_count
from inrvis.encoder.models.sci import SciNetwork, plan_sci
from inrvis.encoder.normalise import normalise
from inrvis.encoder.octree import PartitionSettings
from inrvis.encoder.rate_control import encode_to_target
from inrvis.encoder.rounding import Trained
from inrvis.encoder.sampling import TrainingData, VoxelBatch
from inrvis.encoder.settings import SciSettings
from inrvis.encoder.training import Trainer
from inrvis.encoder.volume import VolumeEncoder
from inrvis.errors import UsageError
from inrvis.grid import ImageGrid
from inrvis.sources import Image, from_array
from inrvis.targets import BitRate, Ratio

SHAPE = (16, 17, 20)
SPLIT = PartitionSettings(most_blocks=15, smallest_side=4)
SMALL = SciSettings(spectrum=SPLIT, layers=3, overlap=2, least_weights=0)
BYTES = 10_000


def encode(image: Image, path: Path, training: Any, model: Any = SMALL, **options: Any) -> Any:
    values = sum(array.size for array in image.arrays.values())
    target = options.pop("target", BitRate(8 * BYTES / values))
    return encode_to_target(image, path, target, training, model=model, device="cpu", **options)


def uneven(shape: tuple[int, int, int] = SHAPE) -> Any:
    """Return a ramp with a busy corner: an octree divides there and nowhere else."""
    z, y, x = np.meshgrid(*(np.linspace(0, 1, n) for n in shape), indexing="ij")
    corner = np.maximum(0, 1 - 2 * np.maximum(np.maximum(x, y), z))
    return (3 + 0.3 * x + 0.2 * z + corner * np.sin(25 * x + 18 * y * z)).astype(np.float32)


def planned(
    values: Any, settings: SciSettings, parameters: int, seed: int = 0
) -> tuple[SciNetwork, Assembly]:
    image = from_array(values)
    assembly = Assembly(image, normalise(image), {})
    device = torch.device("cpu")
    data = TrainingData(assembly.normalised.values, device, torch.Generator().manual_seed(seed))
    generator = torch.Generator().manual_seed(seed)
    return plan_sci(settings, assembly.normalised, parameters, data, generator), assembly


def voxels_of(
    batch: VoxelBatch, block: int, box: tuple[int, int, int, int, int, int]
) -> tuple[Any, Any, Any]:
    """Return indices z, y, x of a batch: each side of a box spans -1 to 1."""
    first, size = np.array(box[:3]), np.array(box[3:])
    half = np.maximum(size - 1, 1) / 2
    found = np.asarray(batch.coordinates[block]) * half + first + (size - 1) / 2
    x, y, z = np.rint(found).astype(int).T
    return z, y, x


def boxes_of(path: Path) -> list[tuple[int, ...]]:
    with inrvis.open(path) as volume:
        return [box for model in volume.header.models for box in model.lattice.boxes]


def assert_tiled(boxes: list[tuple[int, ...]], shape: tuple[int, int, int] = SHAPE) -> None:
    covered = np.zeros(shape, dtype=int)
    for x, y, z, nx, ny, nz in boxes:
        covered[z : z + nz, y : y + ny, x : x + nx] += 1
    assert (covered == 1).all()


@pytest.mark.parametrize(
    "settings",
    [
        SMALL,
        replace(SMALL, allocation="size"),
        replace(SMALL, allocation="concentration"),
        replace(SMALL, allocation="equal"),
        replace(SMALL, partition="equidistant"),
        replace(SMALL, partition="whole"),
        replace(SMALL, spectrum=replace(SPLIT, remove_mean=True, largest=4)),
        replace(SMALL, ratio=1 / 2.2),
        replace(SMALL, as_published=True),
    ],
    ids=lambda s: f"{s.partition}-{s.allocation}-{s.ratio:.1f}-{s.as_published}",
)
def test_round_trip(brief: Any, tmp_path: Path, settings: SciSettings) -> None:
    values = uneven()
    result = encode(from_array(values), tmp_path / "f.inr", brief, settings)
    assert result.target_met
    assert (tmp_path / "f.inr").stat().st_size <= BYTES
    boxes = boxes_of(tmp_path / "f.inr")
    assert_tiled(boxes)
    assert (len(boxes) == 1) == (settings.partition == "whole")
    assert len(boxes) <= SPLIT.most_blocks
    with inrvis.open(tmp_path / "f.inr") as volume:
        assert {model.name for model in volume.header.models} == {"sci"}
        decoded = volume.decode()
        assert np.abs(decoded - values).mean() < 0.15 * np.ptp(values)
        box = (slice(3, 11), slice(5, 15), slice(2, 19))
        (z, y, x) = ((s.start, s.stop - 1) for s in box)
        part = volume.decode(extent=(*x, *y, *z))
        np.testing.assert_allclose(part, decoded[box], atol=1e-5)


def test_through_the_interface(field: Any, tmp_path: Path) -> None:
    values = field((20, 34, 36), "uint16")
    report = inrvis.encode(
        values, tmp_path / "f.inr", target=Ratio(7), model="sci", time_budget=0.5, device="cpu"
    )
    assert report.target_met
    assert report.model == "sci"
    assert report.compression_ratio >= 7
    with inrvis.open(tmp_path / "f.inr") as volume:
        assert volume.decode().dtype == values.dtype


def test_blocks_and_networks_of_several_sizes(brief: Any, tmp_path: Path) -> None:
    """Large blocks border on several small ones, and nowhere is there a gap or a jump."""
    values = uneven()
    settings = replace(SMALL, allocation="size")
    result = encode(from_array(values), tmp_path / "f.inr", brief, settings)
    models = result.encoded.header.models
    boxes = boxes_of(tmp_path / "f.inr")
    assert_tiled(boxes)
    assert len({tuple(model.settings["widths"]) for model in models}) == len(models) > 1
    sides = {box[3] for box in boxes}
    assert max(sides) >= 2 * min(sides)
    assert len({len(model.trunk) for model in models}) == 1
    with inrvis.open(tmp_path / "f.inr") as volume:
        rng = np.random.default_rng(0)
        # Where a face ends at the middle of another block's face, too.
        starts = np.array([box[:3] for box in boxes], dtype=float)
        points = np.clip(
            starts[rng.integers(len(boxes), size=2000)] + rng.uniform(-3, 8, (2000, 3)),
            0.01,
            np.array(SHAPE[::-1]) - 1.01,
        )
        shift = rng.uniform(-1e-4, 1e-4, points.shape)
        here, there = (
            volume.sample(None, volume.grid.index_to_world(p)) for p in (points, points + shift)
        )
        assert np.isfinite(here).all()
        assert np.abs(here - there).max() < 2e-3 * np.ptp(values)


@pytest.mark.parametrize("partition", ["octree", "equidistant", "whole"])
def test_weights_of_the_paper_profile_are_stored_as_they_are(brief: Any, partition: Any) -> None:
    values = uneven()
    # Without an overlap a voxel is one network's alone.
    settings = replace(SMALL, partition=partition, allocation="size", as_published=True, overlap=0)
    model, assembly = planned(values, settings, 5000)
    training = replace(brief, optimiser="adamax", adam_rate=1e-3)
    trainer = Trainer(model, training)
    assert trainer.train(0.0, torch.Generator().manual_seed(0)) is None
    parts = VolumeEncoder(assembly, settings, device="cpu").parts(
        Trained(model, None, trainer.steps), None
    )
    weights = model.tensors()
    channels = assembly.base(parts)
    batches = model.draw(4000, 0.0)
    for number, (header, batch) in enumerate(zip(parts.models, batches, strict=True)):
        assert {(t.step, t.table) for t in header.trunk} == {(1.0, RAW_TABLE)}
        hidden = batch.coordinates
        for index in range(settings.layers):
            w, b = (weights[f"{number}/w{index}{end}"].detach() for end in ("", "b"))
            hidden = torch.baddbmm(b[:, None], hidden.sin() if index else hidden, w.mT)
        for block, box in enumerate(header.lattice.boxes):
            where = voxels_of(batch, block, box)
            np.testing.assert_allclose(channels[(0, *where)], hidden[block, :, 0], atol=1e-5)
            np.testing.assert_array_equal(
                batch.targets[block, :, 0], assembly.normalised.values[(*where, 0)]
            )


def test_the_loss_is_the_error_of_the_volume() -> None:
    """Voxels count alike, whatever the size of their block and of its class."""
    model, assembly = planned(uneven(), replace(SMALL, overlap=0, allocation="size"), 5000)
    assert len(model.tensors()) > 2 * SMALL.layers
    parts = VolumeEncoder(assembly, SMALL, device="cpu").parts(Trained(model, None, 0), None)
    error = assembly.base(parts)[0] - assembly.normalised.values[..., 0]
    with torch.no_grad():
        losses = [
            float(model.loss(model.draw(9000, 0.0), lambda _, weight: weight)) for _ in range(30)
        ]
    assert np.mean(losses) == pytest.approx(float(np.mean(error**2)), rel=0.03)


@pytest.mark.parametrize("parameters", [700, 3000, 20_000])
def test_networks_fit_their_budget(parameters: int) -> None:
    for allocation in ("size_over_concentration", "size", "concentration", "equal"):
        model, _ = planned(uneven(), replace(SMALL, allocation=allocation), parameters)
        stored = sum(tensor.numel() for tensor in model.tensors().values())
        assert stored <= parameters
        assert stored > 0.75 * parameters


def test_blocks_are_no_more_than_the_budget_feeds() -> None:
    smallest = parameter_count((9, 4), 1)
    for fed in (1, 2, 8, 11):
        model, _ = planned(uneven(), SMALL, fed * smallest)
        boxes = [box for group in model._groups() for box in group.boxes.boxes]
        assert_tiled(boxes)
        assert 1 <= len(boxes) <= fed
    with pytest.raises(UsageError, match="too few for the sci model"):
        planned(uneven(), SMALL, smallest - 1)


def test_equal_seeds_give_equal_files(brief: Any, tmp_path: Path) -> None:
    files = []
    for seed in (3, 3, 4):
        encode(from_array(uneven()), tmp_path / "f.inr", brief, seed=seed)
        files.append((tmp_path / "f.inr").read_bytes())
    assert files[0] == files[1]
    assert files[0] != files[2]


def test_several_arrays(brief: Any, tmp_path: Path) -> None:
    arrays = {
        "a": uneven(),
        "b": np.stack([uneven(), 1 - uneven()], axis=-1),
        "c": (1000 * uneven()).astype(np.int16),
    }
    # One place without a value, restored as such.
    arrays["a"][4:6, 3, 2] = np.nan
    image = Image(ImageGrid.from_dimensions(SHAPE[::-1]), arrays)
    encode(image, tmp_path / "f.inr", brief)
    with inrvis.open(tmp_path / "f.inr") as volume:
        assert all(model.channels == (0, 1, 2, 3) for model in volume.header.models)
        for values, decoded in zip(
            arrays.values(), volume.decode_arrays(volume.arrays), strict=True
        ):
            assert decoded.dtype == values.dtype
            np.testing.assert_array_equal(np.isnan(decoded), np.isnan(values))
            error = np.abs(decoded.astype(float) - values)
            assert np.nanmean(error) < 0.15 * (np.nanmax(values) - np.nanmin(values))


@pytest.mark.parametrize("shape", [(1, 40, 44), (1, 1, 400), (2, 2, 2)])
def test_slices_lines_and_few_voxels(
    field: Any, brief: Any, tmp_path: Path, shape: tuple[int, int, int]
) -> None:
    values = field(shape, "float32")
    encode(from_array(values), tmp_path / "f.inr", brief)
    assert_tiled(boxes_of(tmp_path / "f.inr"), shape)
    with inrvis.open(tmp_path / "f.inr") as volume:
        assert volume.decode().shape == shape
        assert np.abs(volume.decode() - values).mean() < 0.25 * np.ptp(values)
        for model in volume.header.models:
            assert len(blocks_of(volume.grid.dimensions, model.lattice)) >= 1


def test_a_constant_is_one_block(brief: Any, tmp_path: Path) -> None:
    values = np.full(SHAPE, 7, np.uint8)
    encode(from_array(values), tmp_path / "f.inr", brief)
    assert len(boxes_of(tmp_path / "f.inr")) == 1
    with inrvis.open(tmp_path / "f.inr") as volume:
        np.testing.assert_array_equal(volume.decode(), values)


@pytest.mark.parametrize("model", [SMALL, SciSettings(), replace(SMALL, as_published=True)])
@pytest.mark.parametrize("target", [Ratio(50), BitRate(0.01)])
def test_too_little_room(brief: Any, tmp_path: Path, model: Any, target: Any) -> None:
    with pytest.raises(UsageError, match="lower ratio"):
        encode(from_array(uneven()), tmp_path / "f.inr", brief, model, target=target)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "wrong",
    [
        {"partition": "quadtree"},
        {"allocation": "fair"},
        {"layers": 2},
        {"ratio": 0.0},
        {"ratio": math.nan},
        {"frequency": 0.0},
        {"frequency": math.inf},
        {"overlap": -1},
    ],
    ids=str,
)
def test_settings_that_are_no_network(brief: Any, tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        encode(from_array(uneven()), tmp_path / "f.inr", brief, replace(SMALL, **wrong))
    assert "\n" not in str(caught.value)
