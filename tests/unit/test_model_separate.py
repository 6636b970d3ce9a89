"""Several arrays: one network for all of them, or one for each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import inrvis
from inrvis.container.sections import write_file
from inrvis.decoder.network import Network
from inrvis.encoder import volume
from inrvis.encoder.assembly import Assembly
from inrvis.encoder.models.base import Model, plain
from inrvis.encoder.normalise import normalise
from inrvis.encoder.quantise import coded_bits
from inrvis.encoder.rate_control import encode_to_target
from inrvis.encoder.settings import TrainingSettings
from inrvis.encoder.volume import VolumeEncoder
from inrvis.grid import ImageGrid
from inrvis.sources import Image
from inrvis.targets import Ratio

SHAPE = (10, 12, 14)
BRIEF = TrainingSettings(seconds=0.01, batch=512)


@pytest.fixture
def image(field: Any) -> Image:
    rough = np.random.default_rng(0).normal(size=SHAPE).cumsum(axis=0).cumsum(axis=1)
    arrays = {
        "smooth": field(SHAPE, "float32"),
        "vector": np.stack([rough, -field(SHAPE, "float64")], axis=-1),
        "label": field(SHAPE, "uint8"),
    }
    return Image(ImageGrid.from_dimensions((14, 12, 10)), arrays)


@pytest.fixture
def encoder(image: Image) -> VolumeEncoder:
    return VolumeEncoder(Assembly(image, normalise(image), {}), "siren", device="cpu")


def test_a_network_for_each_array(
    encoder: VolumeEncoder, image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder._maker.separate, encoder._sharing_known = True, True
    trained = encoder.train(12_000, BRIEF)
    parts = encoder.fit(trained, 12_000)
    assert [model.channels for model in parts.models] == [(0,), (1, 2), (3,)]
    # All trunks have one graph, and heads of as many layers, too.
    assert len(parts.graphs) < 2 * len(parts.models)
    encoded = Assembly(image, normalise(image), {}).finish(parts)
    assert 0.9 * 12_000 < len(encoded.data) <= 12_000
    write_file(tmp_path / "f.inr", encoded.data)
    with inrvis.open(tmp_path / "f.inr", device="cpu") as volume:
        assert volume.header.parameters == sum(
            tensor.numel() for tensor in trained.model.tensors().values()
        )
        together = volume.decode_arrays(volume.arrays)
        for (name, original), values in zip(image.arrays.items(), together, strict=True):
            assert values.dtype == original.dtype
            np.testing.assert_array_equal(values, volume.decode(name))
            off = np.abs(values.astype(float) - original.astype(float)).mean()
            assert off < 0.2 * np.ptp(original.astype(float))
    with inrvis.open(tmp_path / "f.inr", device="cpu") as volume:
        # Networks of arrays that nobody asks for cost nothing.
        asked = set()
        run = Network.add_box
        monkeypatch.setattr(
            Network, "add_box", lambda self, *args: (asked.update(self.channels), run(self, *args))
        )
        np.testing.assert_array_equal(volume.decode("label"), together[2])
        assert asked == {3}


@pytest.mark.parametrize("separate", [False, True])
def test_what_a_file_takes_beside_its_weights_is_known_before(
    encoder: VolumeEncoder, image: Image, separate: bool
) -> None:
    encoder._maker.separate, encoder._sharing_known = separate, True
    trained = encoder.train(12_000, BRIEF)
    assert trained.quantiser is not None
    whole = Assembly(image, normalise(image), {}).size(encoder.parts(trained, trained.quantiser))
    weights = coded_bits(trained.quantiser, trained.model.tensors()) / 8
    assert whole - weights == pytest.approx(encoder.overhead_bytes, abs=60)


def test_the_loss_is_the_mean_over_all_channels(encoder: VolumeEncoder) -> None:
    encoder._maker.separate, encoder._sharing_known = True, True
    model = encoder.train(12_000, BRIEF).model
    assert isinstance(model, Model)
    batch = model.draw(3000, 1.0)
    with torch.no_grad():
        losses = [
            float(part.loss(own, plain)) for part, own in zip(model._models, batch, strict=True)
        ]
        total = float(model.loss(batch, plain))
        apart = [float(own) for own in model.losses(batch, plain)]
    assert apart == losses
    assert total == pytest.approx(np.average(losses, weights=[1, 2, 1]), rel=1e-5)


def test_trainings_level_out_how_good_networks_are(
    encoder: VolumeEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder._maker.separate, encoder._sharing_known = True, True
    before = encoder._maker.shares.copy()
    # What is exact gets less, but not next to nothing.
    monkeypatch.setattr(volume, "qualities", lambda _: np.array([300.0, 110.0, 100.0]))
    encoder.train(12_000, BRIEF)
    assert encoder._maker.shares / before == pytest.approx([1 / 2, 2, 2])
    monkeypatch.setattr(volume, "qualities", lambda _: np.array([40.0, 39.0, 41.0]))
    encoder.train(12_000, BRIEF)
    changes = encoder._maker.shares / before
    assert changes[2] < 2 < changes[1]


def test_what_is_better_in_a_short_training_is_taken(
    encoder: VolumeEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {False: np.array([30.0, 30.0, 30.0]), True: np.array([36.0, 30.0, 30.0])}
    monkeypatch.setattr(encoder, "_qualities", lambda separate, *_: found[separate])
    parts = encoder.fit(encoder.train(12_000, BRIEF), 12_000)
    assert len(parts.models) == 3
    # The array that was better gets fewer weights than its share.
    sizes = [sum(t.size for t in (*m.trunk, *m.head)) for m in parts.models]
    assert sizes[0] < sizes[2] < sizes[1]


def test_progress_is_that_of_the_whole_and_may_stop_it(image: Image) -> None:
    assembly, fractions = Assembly(image, normalise(image), {}), []
    encoder = VolumeEncoder(
        assembly, "siren", device="cpu", report=lambda p: fractions.append(p.fraction)
    )
    encoder.train(12_000, BRIEF)
    assert fractions == sorted(fractions)
    assert fractions[0] < 0.1
    assert fractions[-1] > 0.9

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    encoder = VolumeEncoder(assembly, "siren", device="cpu", report=stop)
    with pytest.raises(KeyboardInterrupt):
        encoder.train(12_000, BRIEF)


def test_one_network_where_several_do_not_fit(image: Image, tmp_path: Path) -> None:
    original = sum(array.nbytes for array in image.arrays.values())
    path = tmp_path / "f.inr"
    encode_to_target(image, path, Ratio(original / 1500), BRIEF, model="siren", device="cpu")
    with inrvis.open(path, device="cpu") as volume:
        assert len(volume.header.models) == 1


def test_equal_seeds_give_equal_files(image: Image, tmp_path: Path) -> None:
    files = []
    for number in range(2):
        path = tmp_path / f"{number}.inr"
        encode_to_target(image, path, Ratio(6), BRIEF, model="siren", device="cpu", seed=5)
        files.append(path.read_bytes())
    assert files[0] == files[1]
