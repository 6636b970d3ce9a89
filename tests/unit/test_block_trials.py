"""How a network's bits are spread over blocks and weights, and how its batches grow."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from inrvis.encoder import variants, volume
from inrvis.encoder.assembly import Assembly
from inrvis.encoder.models.siren import parameter_count
from inrvis.encoder.normalise import normalise
from inrvis.encoder.plan import Variant, plan_model
from inrvis.encoder.rounding import qualities
from inrvis.encoder.settings import SirenSettings, TrainingSettings
from inrvis.encoder.training import Trial
from inrvis.encoder.variants import DENSITIES, best_variant
from inrvis.encoder.volume import VolumeEncoder
from inrvis.errors import UsageError
from inrvis.sources import from_array

BRIEF = TrainingSettings(seconds=0.02, batch=512)
BUDGET = 24_000
DIMENSIONS = (40, 36, 34)


@pytest.fixture
def encoder(field: Any, monkeypatch: pytest.MonkeyPatch) -> VolumeEncoder:
    # Time for trials, however brief.
    monkeypatch.setattr(volume, "_TRIAL_STEPS", 0)
    image = from_array(field(DIMENSIONS[::-1], "float32"))
    return VolumeEncoder(Assembly(image, normalise(image), {}), "siren", device="cpu")


def blocks(encoder: VolumeEncoder, density: float) -> tuple[int, int, int]:
    bits = 8.0 * (BUDGET - encoder.overhead_bytes)
    return plan_model(DIMENSIONS, encoder.channels, bits, variant=Variant(density)).blocks


def test_the_blocks_of_the_best_trial_are_taken(
    encoder: VolumeEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    distinct = {blocks(encoder, density) for density in DENSITIES}
    assert len(distinct) > 2
    tried = []

    def told(trained: Any) -> np.ndarray:
        tried.append(trained.model.settings.blocks)
        return np.array([30.0 if tried[-1] == blocks(encoder, 2.0) else 24.0])

    monkeypatch.setattr(volume, "qualities", told)
    trained = encoder.train(BUDGET, BRIEF)
    assert trained.model.settings.blocks == blocks(encoder, 2.0)
    assert set(tried[: len(distinct)]) == distinct
    # And once more with smaller steps, once with finer weights.
    trials = len(distinct) + 2
    assert len(tried) == trials
    # What is chosen once is chosen for other sizes, too: small networks have few blocks.
    tiny = encoder.train(BUDGET / 8, BRIEF)
    assert math.prod(tiny.model.settings.blocks) < math.prod(trained.model.settings.blocks)
    assert len(tried) == trials


FINE = [
    ({1.3: 29.0}, 1.0, 1),
    ({1.3: 30.4}, 1.0, 1),
    ({1.3: 32.0, 1.6: 33.0}, 1.6, 2),
    ({1.3: 32.0, 1.6: 31.5}, 1.6, 2),
    ({1.3: 32.0, 1.6: 30.5}, 1.3, 2),
    ({1.3: 32.0}, 1.3, 2),
    ({}, 1.0, 1),
]


@pytest.mark.parametrize("gentle_db", [29.0, 30.2])
@pytest.mark.parametrize(("reached", "fineness", "trials"), FINE)
def test_weights_are_as_fine_as_trials_tell(
    reached: dict[float, float], fineness: float, trials: int, gentle_db: float
) -> None:
    tried: list[Variant] = []

    def attempt(variant: Variant) -> Trial:
        if variant.fineness == 1:
            usual_db = 30.0 if variant.density == 0.6 else 25.0
            return Trial(gentle_db if variant.rate < 1 else usual_db, 1.0, 300)
        assert (variant.rate < 1) == (gentle_db > 30)
        tried.append(variant)
        if variant.fineness not in reached:
            raise UsageError("no network is so small")
        return Trial(reached[variant.fineness], 1.0, 300)

    def plans(variant: Variant) -> tuple[SirenSettings, ...]:
        return (plan_model((64, 64, 64), 1, 2e5, variant=variant),)

    variant, trial = best_variant(plans, attempt)
    assert (variant.density, variant.fineness) == (0.6, fineness)
    assert (variant.rate < 1) == (gentle_db > 30)
    assert trial.psnr_db == reached.get(fineness, max(gentle_db, 30.0))
    assert {variant.density for variant in tried} == {0.6}
    assert len(tried) == trials


@pytest.mark.parametrize(("usual_db", "gentle_db"), [(35.0, 34.0), (35.0, 36.0), (29.0, 29.5)])
def test_small_networks_try_finer_weights_at_either_rate(usual_db: float, gentle_db: float) -> None:
    def attempt(variant: Variant) -> Trial:
        gentle = variant.rate < 1
        if variant.fineness == 1:
            return Trial(30.0 if gentle else 29.8, 1.0, 300)
        return Trial(gentle_db if gentle else usual_db, 1.0, 300)

    def plans(variant: Variant) -> tuple[SirenSettings, ...]:
        return (plan_model((64, 64, 64), 1, 2e4, variant=variant),)

    variant, trial = best_variant(plans, attempt)
    assert trial.psnr_db == max(usual_db, gentle_db, 30.0)
    assert (variant.rate < 1) == (trial.psnr_db != usual_db)
    assert (variant.fineness > 1) == (trial.psnr_db > 30)


def test_finer_weights_are_fewer() -> None:
    usual, finer = (
        plan_model((64, 64, 64), 1, 2e4, variant=Variant(fineness=fineness))
        for fineness in (1, 1.6)
    )
    assert finer.width < usual.width
    assert parameter_count(finer, 1) < parameter_count(usual, 1) / 1.3


def test_trials_measure_the_networks_they_train(
    encoder: VolumeEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variants, "DENSITIES", (1.0,))
    good, bad = (encoder.train(BUDGET, BRIEF) for _ in range(2))
    for parameter in bad.model.parameters():
        parameter.data.zero_()
    assert qualities(good) > qualities(bad)


def test_no_trial_where_it_would_not_tell(
    encoder: VolumeEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(volume, "_TRIAL_STEPS", 150)
    monkeypatch.setattr(volume, "qualities", lambda _: pytest.fail("a trial"))
    trained = encoder.train(BUDGET, BRIEF)
    assert trained.model.settings.blocks == blocks(encoder, 1.0)


def test_progress_is_that_of_the_whole(
    encoder: VolumeEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variants, "DENSITIES", (1.0, 2.0))
    fractions: list[float] = []
    encoder._report = lambda progress: fractions.append(progress.fraction)
    encoder.train(BUDGET, BRIEF)
    assert fractions == sorted(fractions)
    assert fractions[-1] > 0.9


@pytest.mark.parametrize("batch", [256, 8192, 65536])
def test_batches_grow_to_their_size(batch: int) -> None:
    settings = TrainingSettings(seconds=1, batch=batch)
    sizes = [settings.batch_at(k / 20) for k in range(21)]
    assert sizes == sorted(sizes)
    assert sizes[0] == min(batch, settings.first_batch)
    assert sizes[5:] == [batch] * 16
    assert {settings.warm().batch_at(k / 20) for k in range(21)} == {batch}
    # Papers keep theirs.
    assert replace(settings, optimiser="adamax").batch_at(0.0) == batch


def test_narrow_layers_have_low_frequencies() -> None:
    """A factor of 30 is for the layers of SIREN's paper, which are wider than any of ours."""
    found = [
        plan_model((64, 64, 64), 1, bits, variant=Variant(1e-9)) for bits in (4e3, 5e4, 1e5, 2e6)
    ]
    assert all(plan.blocks == (1, 1, 1) for plan in found)
    assert [plan.width for plan in found] == sorted({plan.width for plan in found})
    frequencies = [plan.frequency for plan in found]
    assert frequencies == sorted(frequencies)
    assert (frequencies[0], frequencies[-1]) == (10, 30)
