"""The fourier model: one network for all variables, trained on a mask, stored faithfully."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import inrvis
from inrvis.container.tensors import RAW_TABLE
from inrvis.encoder.assembly import Assembly
from inrvis.encoder.masks import MaskSettings, training_mask
from inrvis.encoder.models.fourier import FourierNetwork, parameter_count, plan_fourier
from inrvis.encoder.normalise import normalise
from inrvis.encoder.rate_control import encode_to_target
from inrvis.encoder.sampling import TrainingData
from inrvis.encoder.settings import FourierSettings
from inrvis.encoder.volume import VolumeEncoder
from inrvis.errors import UsageError
from inrvis.grid import ImageGrid
from inrvis.sources import Image, from_array
from inrvis.targets import BitRate, Ratio

SMALL = FourierSettings(features=12, layers=3, width=14)
SHAPE = (12, 14, 17)
BYTES = 4000
MASKS = [
    MaskSettings("all"),
    MaskSettings("bbx"),
    MaskSettings("avm"),
    MaskSettings("avm", dilations=2),
    MaskSettings("avm", threshold=0.3),
]


def encode(image: Image, path: Path, training: Any, model: Any = SMALL, **options: Any) -> Any:
    values = sum(array.size for array in image.arrays.values())
    target = options.pop("target", BitRate(8 * BYTES / values))
    return encode_to_target(image, path, target, training, model=model, device="cpu", **options)


def drop(outside: float = 0.0) -> Any:
    """Return a round drop with a sharp rim in a constant background."""
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    radius = np.sqrt(x * x + y * y + z * z)
    return np.where(radius < 0.7, 2 - radius + 0.3 * np.sin(4 * x), outside).astype(np.float32)


def network(
    arrays: dict[str, Any], settings: FourierSettings = SMALL, mask: Any = None
) -> tuple[FourierNetwork, Assembly]:
    image = Image(ImageGrid.from_dimensions(SHAPE[::-1]), arrays)
    assembly = Assembly(image, normalise(image), {})
    generators = (torch.Generator().manual_seed(seed) for seed in (1, 2))
    data = TrainingData(assembly.normalised.values, torch.device("cpu"), next(generators), mask)
    return FourierNetwork(settings, data, next(generators)), assembly


def voxels_of(coordinates: torch.Tensor) -> tuple[Any, Any, Any]:
    """Return indices z, y, x: the longest side of a volume spans -1 to 1."""
    last = np.array(SHAPE[::-1]) - 1
    found = np.asarray(coordinates) * last.max() / 2 + last / 2
    x, y, z = np.rint(found).astype(int).T
    return z, y, x


@pytest.mark.parametrize("mask", MASKS, ids=str)
def test_round_trip(brief: Any, tmp_path: Path, mask: MaskSettings) -> None:
    values = drop()
    result = encode(
        from_array(values),
        tmp_path / "f.inr",
        replace(brief, seconds=1.5),
        replace(SMALL, mask=mask),
    )
    assert result.target_met
    assert len(result.encoded.data) == (tmp_path / "f.inr").stat().st_size
    with inrvis.open(tmp_path / "f.inr") as volume:
        (model,) = volume.header.models
        assert model.name == "fourier"
        assert model.settings == {"features": 12, "layers": 3, "width": 14}
        assert not volume.header.masks
        inside = training_mask({"values": values}, mask)
        error = np.abs(volume.decode() - values)[inside]
        assert error.mean() < 0.2 * np.ptp(values)


def test_through_the_interface_with_a_size_by_the_target(field: Any, tmp_path: Path) -> None:
    values = field((20, 21, 22), "uint16")
    report = inrvis.encode(
        values,
        tmp_path / "f.inr",
        target=Ratio(3),
        model="fourier",
        time_budget=0.5,
        device="cpu",
    )
    assert report.target_met
    assert report.model == "fourier"
    assert report.compression_ratio >= 3
    with inrvis.open(tmp_path / "f.inr") as volume:
        assert volume.decode().dtype == values.dtype
        # Wide for its bytes: the width is the target's.
        assert volume.header.models[0].settings["width"] > 20


def test_variables_share_a_network(brief: Any, tmp_path: Path) -> None:
    arrays = {
        "density": drop(),
        "temperature": (drop(0.5) * 100 + 20).astype(np.uint16),
        "flow": np.stack([drop(), -drop()], axis=-1),
    }
    image = Image(ImageGrid.from_dimensions(SHAPE[::-1]), arrays)
    encode(image, tmp_path / "f.inr", brief)
    with inrvis.open(tmp_path / "f.inr") as volume:
        (model,) = volume.header.models
        assert model.channels == (0, 1, 2, 3)
        for (name, values), decoded in zip(
            arrays.items(), volume.decode_arrays(volume.arrays), strict=True
        ):
            assert decoded.dtype == values.dtype, name
            assert decoded.shape == values.shape
            error = np.abs(decoded.astype(float) - values)
            assert error.mean() < 0.25 * float(np.ptp(values))


@pytest.mark.parametrize("mask", MASKS, ids=str)
def test_batches_are_of_the_mask_and_of_all_of_it(mask: MaskSettings) -> None:
    values = drop()
    inside = training_mask({"values": values}, mask)
    model, assembly = network({"values": values}, mask=inside)
    batch = model.draw(40 * values.size, 0.0)
    drawn = np.zeros(SHAPE, dtype=bool)
    found = voxels_of(batch.coordinates[0])
    drawn[found] = True
    np.testing.assert_array_equal(drawn, inside)
    np.testing.assert_array_equal(batch.targets[0, :, 0], assembly.normalised.values[(*found, 0)])


def test_a_kept_mask_restores_each_background_exactly(brief: Any, tmp_path: Path) -> None:
    arrays = {"density": drop(0.1), "temperature": 3 * drop(-3.7)}
    noise = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    arrays["noise"] = noise
    image = Image(ImageGrid.from_dimensions(SHAPE[::-1]), arrays)
    kept = replace(SMALL, mask=MaskSettings("avm"), keep_mask=True)
    for settings, size in ((kept, 4500), (replace(kept, as_published=True), 9000)):
        target = BitRate(8 * size / (3 * noise.size))
        encode(image, tmp_path / "f.inr", brief, settings, target=target)
        with inrvis.open(tmp_path / "f.inr") as volume:
            decoded = dict(zip(volume.arrays, volume.decode_arrays(volume.arrays), strict=True))
        for name in ("density", "temperature"):
            background = arrays[name] == arrays[name][0, 0, 0]
            assert 0.2 < background.mean() < 0.9
            np.testing.assert_array_equal(decoded[name][background], arrays[name][background])
            assert (decoded[name][~background] != arrays[name][0, 0, 0]).any()


def test_weights_of_the_paper_profile_are_stored_as_they_are(brief: Any, tmp_path: Path) -> None:
    arrays = {"density": drop(), "temperature": drop(0.5)}
    _, assembly = network(arrays)
    published = replace(SMALL, as_published=True)
    encoder = VolumeEncoder(assembly, published, device="cpu", seed=5)
    trained = encoder.train(20_000, brief)
    assert trained.quantiser is None
    parts = encoder.parts(trained, None)
    assert {(t.step, t.table) for t in parts.models[0].trunk} == {(1.0, RAW_TABLE)}
    for name, stored in parts.tensors[0].items():
        weights = trained.model.tensors()[name].detach().numpy()
        bits = stored.astype(np.uint32).reshape(weights.shape)
        np.testing.assert_array_equal(bits.view(np.float32), weights)

    batch = trained.model.draw(700, 0.0)
    w = {name: tensor.detach() for name, tensor in trained.model.tensors().items()}
    angles = batch.coordinates[0] @ w["w0"][0].T
    hidden = angles.cos() @ w["w1c"][0].T + angles.sin() @ w["w1s"][0].T + w["w1b"][0]
    for layer in ("w2", "w3", "w4"):
        hidden = hidden.relu() @ w[layer][0].T + w[layer + "b"][0]
    decoded = assembly.base(parts)[(slice(None), *voxels_of(batch.coordinates[0]))]
    np.testing.assert_allclose(decoded.T, hidden, atol=1e-5)


def test_rounded_weights_decode_to_what_training_saw(brief: Any) -> None:
    _, assembly = network({"values": drop()})
    encoder = VolumeEncoder(assembly, SMALL, device="cpu", seed=5)
    trained = encoder.train(BYTES, brief)
    channels = assembly.base(encoder.parts(trained, trained.quantiser))
    assert trained.quantiser is not None
    batch = trained.model.draw(2000, 0.0)
    found = channels[(0, *voxels_of(batch.coordinates[0]))]
    error = np.mean((found - batch.targets[0, :, 0].numpy()) ** 2)
    assert error == pytest.approx(
        trained.model.loss(batch, trained.quantiser.weigh).item(), rel=1e-3
    )


def test_equal_seeds_give_equal_files(brief: Any, tmp_path: Path) -> None:
    files = []
    for seed in (3, 3, 4):
        encode(from_array(drop()), tmp_path / "f.inr", brief, seed=seed)
        files.append((tmp_path / "f.inr").read_bytes())
    assert files[0] == files[1]
    assert files[0] != files[2]


def test_frequencies_come_in_groups_that_learn(brief: Any) -> None:
    settings = replace(SMALL, groups=3, spread=2.0, multiplier=2.0)
    model, assembly = network({"values": drop()}, settings)
    first = model.multipliers.detach().clone()
    # Half of 2 pi, as coordinates span twice the paper's; octaves below and above.
    torch.testing.assert_close(first, math.pi * torch.tensor([0.5, 2.0, 8.0]))
    rows = model.tensors()["w0"][0]
    torch.testing.assert_close(rows[0], first[0] * model.directions[0])
    torch.testing.assert_close(rows[-1], first[2] * model.directions[-1])
    trained = VolumeEncoder(assembly, settings, device="cpu", seed=1).train(BYTES, brief).model
    assert isinstance(trained, FourierNetwork)
    assert (trained.multipliers != first).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_the_count_of_parameters(channels: int) -> None:
    arrays = {str(i): drop(i / 4) for i in range(channels)}
    model, _ = network(arrays)
    stored = sum(tensor.numel() for tensor in model.tensors().values())
    assert stored == parameter_count(SMALL, channels)


def test_the_paper() -> None:
    paper = FourierSettings.paper()
    assert (paper.features, paper.layers, paper.width, paper.multiplier) == (1280, 8, 512, 2.5)
    # 239 x 239 x 387 voxels of two variables at the "compression 14" of its Table 1.
    values = 239 * 239 * 387 * 2
    assert values / parameter_count(paper, 2) == pytest.approx(14, abs=0.7)


def test_a_plan_is_the_widest_that_fits() -> None:
    settings = FourierSettings(layers=3)
    for parameters in (1000, 5000, 77_777):
        planned = plan_fourier(settings, 2, parameters)
        assert planned.features == planned.width
        assert parameter_count(planned, 2) <= parameters
        assert parameter_count(settings.sized(planned.width + 1), 2) > parameters
    fixed = plan_fourier(replace(settings, features=5), 1, 2000)
    assert fixed.features == 5
    assert plan_fourier(SMALL, 1, 10_000) == SMALL


@pytest.mark.parametrize("target", [Ratio(100), BitRate(0.01)])
@pytest.mark.parametrize(
    "model", [FourierSettings(), FourierSettings(as_published=True), FourierSettings.paper()]
)
def test_too_little_room(brief: Any, tmp_path: Path, target: Any, model: Any) -> None:
    with pytest.raises(UsageError, match="lower ratio"):
        encode(from_array(drop()), tmp_path / "f.inr", brief, model, target=target)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "wrong",
    [
        {"layers": 0},
        {"layers": -2},
        {"width": -3},
        {"features": -1},
        {"groups": 0},
        {"multiplier": 0.0},
        {"multiplier": math.nan},
        {"spread": math.inf},
    ],
    ids=str,
)
def test_settings_that_are_no_network(brief: Any, tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        encode(from_array(drop()), tmp_path / "f.inr", brief, FourierSettings(**wrong))
    assert "\n" not in str(caught.value)
    assert next(iter(wrong)) in str(caught.value)


@pytest.mark.parametrize("shape", [(1, 20, 22), (1, 1, 300), (2, 2, 2)])
def test_slices_lines_and_few_voxels(
    field: Callable[..., Any], brief: Any, tmp_path: Path, shape: tuple[int, ...]
) -> None:
    values = field(shape, "float32")
    model = replace(SMALL, mask=MaskSettings("avm", 1))
    encode(from_array(values), tmp_path / "f.inr", brief, model)
    with inrvis.open(tmp_path / "f.inr") as volume:
        assert volume.decode().shape == shape
        assert np.abs(volume.decode() - values).mean() < 0.35 * np.ptp(values)
