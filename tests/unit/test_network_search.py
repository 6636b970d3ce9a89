"""Networks of a size or a quality: grids that weights keep, bits they are given, sizes to try."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inrvis.encoder import network_search
from inrvis.encoder.assembly import Assembly, Encoded, NetworkParts, worst
from inrvis.encoder.network_search import NetworkSearch
from inrvis.encoder.normalise import normalise
from inrvis.encoder.rounding import Trained
from inrvis.encoder.settings import TrainingSettings
from inrvis.encoder.sizes import DB_PER_DOUBLING, SMALLEST_WEIGHTS_BYTES, Sizes, gain_db
from inrvis.encoder.volume import VolumeEncoder
from inrvis.errors import UsageError
from inrvis.sources import from_array

BRIEF = TrainingSettings(seconds=0.6, batch=1024)
BUDGET = 6000
OVERHEAD = 500


@pytest.fixture(scope="module")
def assembly(field: Any) -> Assembly:
    image = from_array(field((24, 22, 20), "float32"))
    return Assembly(image, normalise(image), {})


def _weights(trained: Trained) -> int:
    return sum(tensor.numel() for tensor in trained.model.tensors().values())


def encoder(assembly: Assembly) -> VolumeEncoder:
    return VolumeEncoder(assembly, "siren", device="cpu", seed=3)


def lengths_of_trainings(made: VolumeEncoder, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds of all trainings from here on, as they come."""
    lengths: list[float] = []
    train = made._train

    def watched(budget: float, training: TrainingSettings, *rest: Any, **named: Any) -> Any:
        lengths.append(training.seconds)
        return train(budget, training, *rest, **named)

    monkeypatch.setattr(made, "_train", watched)
    return lengths


def test_weights_are_rounded_as_they_were_trained(assembly: Assembly) -> None:
    made = encoder(assembly)
    trained = made.train(BUDGET, BRIEF)
    assert trained.quantiser is not None
    own = made.parts(trained, trained.quantiser)
    # The training itself has aimed at the budget, with everything in the file.
    assert 0.95 * BUDGET < assembly.size(own) <= BUDGET
    fitted = made.fit(trained, BUDGET)
    # Another grid only where it is better than the one that weights were trained for.
    assert worst(assembly.finish(fitted)) >= worst(assembly.finish(own)) - 0.02
    assert assembly.size(fitted) <= BUDGET
    assert assembly.size(made.fit(trained, BUDGET // 2)) <= BUDGET // 2


def test_what_masks_take_is_not_for_weights(assembly: Assembly, field: Any) -> None:
    values = field((24, 22, 20), "float32")
    values[np.random.default_rng(1).random(values.shape) < 0.3] = np.nan
    image = from_array(values)
    masked = Assembly(image, normalise(image), {})
    assert masked.fixed_bytes > 900 > assembly.fixed_bytes
    made, whole = encoder(masked), BUDGET + masked.fixed_bytes
    trained = made.train(whole, BRIEF)
    usual = encoder(assembly).train(BUDGET, BRIEF)
    assert _weights(trained) == _weights(usual)
    size = masked.size(made.parts(trained, trained.quantiser))
    assert 0.95 * BUDGET < size - masked.fixed_bytes <= BUDGET


def test_fewer_bits_where_the_quality_is_reached(assembly: Assembly) -> None:
    sizes = {}
    for aim in (None, 5.0, 90.0):
        made = encoder(assembly)
        trained = made.train(BUDGET, BRIEF, psnr_db=aim)
        sizes[aim] = assembly.size(made.parts(trained, trained.quantiser))
    assert sizes[5.0] < 0.85 * sizes[None]
    assert sizes[90.0] > 0.98 * sizes[None]


@pytest.mark.parametrize("weights", [1, 1500, 4700, 10_400, 57_000, 10**7])
def test_batches_follow_the_weights(weights: int) -> None:
    usual = TrainingSettings(seconds=1)
    sized = usual.sized(weights)
    assert sized.first_batch <= sized.batch <= usual.batch
    assert sized.first_batch <= usual.first_batch
    assert usual.sized(2 * weights).batch >= sized.batch
    # Small batches that were asked for stay.
    small = replace(usual, batch=512)
    assert small.sized(weights).batch == 512


def test_sizes_follow_from_trainings() -> None:
    sizes = Sizes(OVERHEAD)
    sizes.learn(8000, 30.0)
    at = [sizes.size_for(db) for db in (10, 28, 30, 33, 40)]
    assert at == sorted(at)
    assert at[2] == pytest.approx(8000)
    # What the file takes without weights does not scale; and nothing is told of far sizes.
    twice = sizes.size_for(30 + DB_PER_DOUBLING)
    assert twice == pytest.approx(OVERHEAD + 2 * (8000 - OVERHEAD))
    assert at[0] == pytest.approx(OVERHEAD + (8000 - OVERHEAD) / 4)
    # A second one tells how much bytes bring.
    sizes.learn(OVERHEAD + 2 * (8000 - OVERHEAD), 36.0)
    assert sizes.size_for(30.0) == pytest.approx(8000)
    # But not beside what was only foretold.
    sizes.learn(8000, 33.0, foretold=True)
    sizes.learn(OVERHEAD + (8000 - OVERHEAD) / 2, 24.0)
    assert sizes.size_for(30.0) == pytest.approx(8000)
    small = Sizes(OVERHEAD)
    small.learn(800, 60.0)
    assert small.size_for(10.0) == OVERHEAD + SMALLEST_WEIGHTS_BYTES
    # Nor do masks.
    masked = Sizes(5000 + OVERHEAD)
    masked.learn(13_000, 30.0)
    for db in (10.0, 33.0, 40.0):
        told = Sizes(OVERHEAD)
        told.learn(8000, 30.0)
        assert masked.size_for(db) == pytest.approx(5000 + told.size_for(db))


@given(st.floats(600, 1e6), st.floats(5, 80), st.floats(600, 1e6), st.floats(5, 80))
def test_better_files_are_never_told_to_be_smaller(
    size: float, psnr_db: float, other: float, other_db: float
) -> None:
    sizes = Sizes(OVERHEAD)
    sizes.learn(size, psnr_db)
    sizes.learn(other, other_db)
    told = [sizes.size_for(float(db)) for db in range(0, 90, 3)]
    assert told == sorted(told)
    assert sizes.size_for(other_db) == pytest.approx(max(other, OVERHEAD + SMALLEST_WEIGHTS_BYTES))


def test_longer_trainings_bring_more_and_short_ones_gain_most() -> None:
    assert gain_db(1.0, 900) == gain_db(0.5, 900) == 0
    assert 0 < gain_db(2.0, 900) < gain_db(4.0, 900)
    assert gain_db(2.0, 100) > gain_db(2.0, 500) > gain_db(2.0, 1000) == gain_db(2.0, 2000)
    # Long ones have nearly all that they will have.
    assert gain_db(2.0, 3000) > gain_db(2.0, 5000) > gain_db(2.0, 6000) == gain_db(2.0, 60_000) > 0
    # Twice twice is four times.
    twice = gain_db(2.0, 500) + gain_db(2.0, 1000)
    assert gain_db(4.0, 500) == pytest.approx(twice)


def test_what_no_time_can_reach_is_given_up(
    assembly: Assembly, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = encoder(assembly)
    search = NetworkSearch(assembly, made, BRIEF, 0.0)
    lengths = lengths_of_trainings(made, monkeypatch)
    assert list(search.challenge(200.0, 9000, lambda _: pytest.fail("layers"))) == []
    assert sum(lengths) <= 0.2 * BRIEF.seconds
    assert list(search.better(BUDGET, 200.0)) == []


@pytest.mark.parametrize(("missing", "completed"), [(0.5, 2), (5.0, 1)])
def test_what_misses_little_is_completed(
    assembly: Assembly, monkeypatch: pytest.MonkeyPatch, missing: float, completed: int
) -> None:
    """Of the two trainings, the first counts, too, where layers make up for what it lacks."""
    monkeypatch.setattr(Sizes, "size_for", lambda *_: BUDGET)
    monkeypatch.setattr(network_search, "is_hopeful", lambda *_: True)
    given: list[NetworkParts] = []

    def complete(networks: NetworkParts) -> Encoded:
        given.append(networks)
        return assembly.finish(networks)

    search = NetworkSearch(assembly, encoder(assembly), BRIEF, 0.0)
    first = worst(next(search.challenge(60.0, 2 * BUDGET, complete)))
    search = NetworkSearch(assembly, encoder(assembly), BRIEF, 0.0)
    monkeypatch.setattr(search, "_coarsest", lambda *_: None)
    assert given == []
    assert len(list(search.challenge(first + missing, 2 * BUDGET, complete))) == 1 + completed
    assert len(given) == completed


def test_what_is_much_too_good_becomes_smaller(
    assembly: Assembly, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, misled = Sizes.size_for, [BUDGET, BUDGET]
    monkeypatch.setattr(
        Sizes, "size_for", lambda self, db: misled.pop() if misled else told(self, db)
    )
    search = NetworkSearch(assembly, encoder(assembly), BRIEF, 0.0)

    def complete(_: NetworkParts) -> Encoded:
        return pytest.fail("layers")

    *_, first, second = search.challenge(12.0, 2 * BUDGET, complete)
    assert len(second.data) < 0.7 * len(first.data)
    misled.append(BUDGET)
    sizes = [len(encoded.data) for encoded in search.of_quality(12.0, 4 * BUDGET, complete)]
    assert len(sizes) == 2
    assert sizes[1] < 0.7 * sizes[0]


def encoder_of_large_ones(assembly: Assembly, monkeypatch: pytest.MonkeyPatch) -> VolumeEncoder:
    """Return an encoder whose networks take BUDGET bytes at least."""
    made = encoder(assembly)
    train = made.train

    def large_ones(budget: float, *rest: Any, **named: Any) -> Any:
        if budget < BUDGET:
            raise UsageError("the smallest network is larger")
        return train(budget, *rest, **named)

    monkeypatch.setattr(made, "train", large_ones)
    return made


def test_a_size_below_any_network_is_raised_whatever_the_clock(
    assembly: Assembly, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = encoder_of_large_ones(assembly, monkeypatch)
    monkeypatch.setattr(Sizes, "size_for", lambda *_: BUDGET / 2)
    # The time is over since long.
    search = NetworkSearch(assembly, made, replace(BRIEF, clocked=True), -1e9)
    assert list(search.of_quality(12.0, 4 * BUDGET, lambda _: pytest.fail("layers")))


def test_what_cannot_become_smaller_stays(
    assembly: Assembly, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = encoder_of_large_ones(assembly, monkeypatch)
    search = NetworkSearch(assembly, made, BRIEF, 0.0)
    found = list(search.of_quality(12.0, 4 * BUDGET, lambda _: pytest.fail("layers")))
    assert [worst(encoded) > 12 for encoded in found] == [True]


def test_what_the_clock_has_no_time_for_is_not_trained(
    assembly: Assembly, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Layers may take all of a budget: networks are then trained only if one there must be."""
    made = encoder(assembly)
    clocked = replace(BRIEF, seconds=3.0, clocked=True)
    search = NetworkSearch(assembly, made, clocked, time.monotonic() - 1e6)
    lengths = lengths_of_trainings(made, monkeypatch)

    def complete(_: NetworkParts) -> Encoded:
        return pytest.fail("layers")

    assert list(search.challenge(12.0, 2 * BUDGET, complete)) == []
    assert list(search.better(BUDGET, 12.0)) == []
    assert lengths == []
    assert len(search.of_size(BUDGET).data) <= BUDGET
    assert list(search.of_quality(12.0, 4 * BUDGET, complete)) != []
    assert max(lengths) <= 0.12 * 3.0
