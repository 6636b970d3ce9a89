"""Attempts at files, which are measured sooner than files are, and steps of layers."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from inrvis.decoder.volume import Volume
from inrvis.encoder.assembly import Assembly, NetworkParts
from inrvis.encoder.grids import GridCoder
from inrvis.encoder.layer_search import NO_NETWORKS, LayerSearch
from inrvis.encoder.normalise import normalise
from inrvis.encoder.settings import TrainingSettings
from inrvis.encoder.volume import VolumeEncoder
from inrvis.sources import Image, from_array

BRIEF = TrainingSettings(seconds=0.6, batch=1024)


@pytest.fixture(scope="module")
def image(field: Any) -> Image:
    """Two arrays of different types, one with NaN."""
    values = field((24, 22, 20), "float32")
    gaps = values.copy()
    gaps[5:9, 3:8] = np.nan
    whole = (200 * (values - values.min()) / np.ptp(values)).astype(np.uint8)
    return replace(from_array(values), arrays={"a": gaps, "b": whole})


@pytest.fixture(scope="module")
def assembly(image: Image) -> Assembly:
    return Assembly(image, normalise(image), {})


@pytest.fixture(scope="module")
def networks(assembly: Assembly) -> NetworkParts:
    encoder = VolumeEncoder(assembly, "siren", device="cpu", seed=3)
    trained = encoder.train(6000, BRIEF)
    return encoder.parts(trained, trained.quantiser)


def search(assembly: Assembly, image: Image) -> LayerSearch:
    return LayerSearch(assembly, GridCoder(assembly.normalised, image.grid.dimensions), BRIEF)


@pytest.mark.parametrize("alone", [False, True])
def test_an_attempt_measures_what_the_whole_decoder_gives(
    assembly: Assembly, image: Image, networks: NetworkParts, alone: bool
) -> None:
    below = NO_NETWORKS if alone else networks
    channels = None if alone else assembly.base(networks)
    layers = GridCoder(assembly.normalised, image.grid.dimensions).wavelets(channels).encode(0.02)
    attempt, finished = assembly.attempt(below, layers), assembly.finish(below, layers)
    for name, metrics in finished.metrics.items():
        assert replace(attempt.metrics[name], ssim=metrics.ssim) == metrics
        assert math.isnan(attempt.metrics[name].ssim)
    # What it lacks is one number of the header for each array.
    assert len(finished.data) - 40 < len(attempt.data) < len(finished.data)
    assert finished.networks is attempt.networks
    assert finished.layers is attempt.layers


def test_networks_are_decoded_once_for_several_attempts(
    assembly: Assembly, image: Image, networks: NetworkParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[None] = []
    channels = Volume.channels

    def watched(volume: Volume) -> Any:
        decoded.append(None)
        return channels(volume)

    monkeypatch.setattr(Volume, "channels", watched)
    fresh = Assembly(image, assembly.normalised, {})
    encoded = search(fresh, image).of_quality(45.0, networks)
    assert len(decoded) == 1
    assert encoded.worst_psnr_db >= 45
    other = replace(networks)
    fresh.attempt(other)
    assert len(decoded) == 2


@pytest.mark.parametrize("goal_db", [25.0, 40.0, 70.0])
def test_the_step_for_a_quality(assembly: Assembly, image: Image, goal_db: float) -> None:
    wavelets = GridCoder(assembly.normalised, image.grid.dimensions).wavelets()
    (part,) = (part for part in wavelets.parts if part.name == "a")

    def estimate(step: float) -> float:
        squared = part.encoder.mean_squared_error(step * part.span) * step**2
        return -10 * math.log10(squared)

    step = wavelets.step_for("a", goal_db)
    assert estimate(step) == pytest.approx(goal_db, abs=0.03)
    assert estimate(step / 2) > goal_db + 1


def test_steps_for_what_any_step_has_and_what_none_has(assembly: Assembly, image: Image) -> None:
    wavelets = GridCoder(assembly.normalised, image.grid.dimensions).wavelets()
    assert wavelets.step_for("a", 1.0) == 4
    assert wavelets.step_for("a", 1000.0) == 2.0**-30


@pytest.mark.parametrize("budget", [0, 200, 1000, 3000, 20_000])
def test_layers_fill_a_size(assembly: Assembly, image: Image, budget: int) -> None:
    found = search(assembly, image).of_size(budget)
    if budget < 1000:
        assert found is None
        return
    assert found is not None
    size = assembly.size(found.networks, found.layers)
    assert size <= budget
    assert size > 0.97 * budget
