"""Weights that are rounded together: on their grid, no dearer, and nearer to the values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from inrvis.encoder import settling, volume
from inrvis.encoder.assembly import Assembly, Encoded, worst
from inrvis.encoder.coarsest import coarsest
from inrvis.encoder.models.base import Chain
from inrvis.encoder.models.siren import BlockSiren
from inrvis.encoder.normalise import normalise
from inrvis.encoder.octree import PartitionSettings
from inrvis.encoder.plan import Variant
from inrvis.encoder.quantise import Quantiser, coded_bits
from inrvis.encoder.rounding import Trained, qualities
from inrvis.encoder.settings import SciSettings, TrainingSettings
from inrvis.encoder.settling import settle, settling_rounds, settling_seconds
from inrvis.encoder.training import Progress
from inrvis.encoder.volume import VolumeEncoder
from inrvis.sources import Image, from_array

BRIEF = TrainingSettings(seconds=1.0, batch=2048)
BUDGET = 1500


def encoder(values: Any) -> VolumeEncoder:
    image = values if isinstance(values, Image) else from_array(values)
    return VolumeEncoder(Assembly(image, normalise(image), {}), "siren", device="cpu", seed=3)


@pytest.fixture(scope="module")
def trained(field: Any) -> Trained:
    """A small network, rounded as it was trained."""
    made = encoder(field((24, 22, 20), "float32"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("inrvis.encoder.volume.settling_rounds", lambda *_: 0)
        return made._train(BUDGET, BRIEF, variant=Variant())


def copied(trained: Trained) -> tuple[Trained, Quantiser]:
    """The same network again, to be changed."""
    assert isinstance(trained.model, BlockSiren)
    model = BlockSiren(
        trained.model.settings,
        trained.model.channels,
        trained.model._sampler,
        torch.Generator().manual_seed(1),
    )
    model.load_state_dict(trained.model.state_dict())
    assert trained.quantiser is not None
    return Trained(model, trained.quantiser, trained.steps), trained.quantiser


def test_weights_settle_where_they_are_better_and_no_dearer(trained: Trained) -> None:
    own, quantiser = copied(trained)
    before, bits = qualities(own), coded_bits(quantiser, own.model.tensors())
    told: list[Progress] = []
    settled = settle(own.model, quantiser, 12, told.append)
    fractions = [progress.fraction for progress in told]
    assert fractions == sorted(fractions)
    assert 0 <= fractions[0] < fractions[-1] < 1
    assert settled != quantiser
    assert coded_bits(settled, own.model.tensors()) <= bits
    assert qualities(Trained(own.model, settled, 0)) > before + 0.458
    for name, tensor in own.model.tensors().items():
        integers = (tensor.double() / settled.step(name)).detach().numpy()
        np.testing.assert_allclose(integers, np.round(integers), atol=1e-3)


def test_weights_stay_where_they_would_be_worse(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, quantiser = copied(trained)
    before = {name: tensor.clone() for name, tensor in own.model.tensors().items()}
    monkeypatch.setattr(settling, "_COARSER", 40.0)
    assert settle(own.model, quantiser, 4) == quantiser
    for name, tensor in own.model.tensors().items():
        assert torch.equal(tensor, before[name])


def test_numbers_that_nothing_damps_leave_weights_as_they_are(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, quantiser = copied(trained)
    before = {name: tensor.clone() for name, tensor in own.model.tensors().items()}

    monkeypatch.setattr(settling, "_gradient", lambda *_: torch.tensor(torch.nan))
    monkeypatch.setattr(settling, "_jacobian", lambda layers, *_: _not_numbers(layers))
    assert settle(own.model, quantiser, 4) == quantiser
    for name, tensor in own.model.tensors().items():
        assert torch.equal(tensor, before[name])


def _not_numbers(layers: Any) -> torch.Tensor:
    return torch.full((1, sum(layer.numel() for layer in layers)), torch.nan)


def test_derivatives_are_those_of_autograd() -> None:
    generator = torch.Generator().manual_seed(5)
    shapes = [(4, 4), (5, 5), (2, 6)]
    layers = [torch.randn(shape, generator=generator) for shape in shapes]
    inputs = torch.cat([torch.rand(7, 3, generator=generator), torch.ones(7, 1)], dim=1)

    def outputs(*own: torch.Tensor) -> torch.Tensor:
        return settling._outputs(own, inputs)[0][-1]

    angles, entered = settling._outputs(layers, inputs)
    found = settling._jacobian(layers, angles, entered)
    parts = torch.autograd.functional.jacobian(outputs, tuple(layers))
    expected = torch.cat([part.reshape(14, -1) for part in parts], dim=1)
    torch.testing.assert_close(found, expected)
    errors = torch.randn(7, 2, generator=generator)
    slope = settling._gradient(layers, angles, entered, errors)
    torch.testing.assert_close(slope, expected.T @ errors.reshape(-1))


def test_rounds_follow_time_and_weights() -> None:
    assert settling_rounds([], 1e9) == 0
    assert settling_rounds([500], 0.1) == 0
    found = [settling_rounds([500], seconds) for seconds in (2, 5, 10, 20, 50, 1000)]
    assert found == sorted(found)
    assert found[-1] == settling_rounds([500], 1e9) < 100
    assert settling_rounds([500], 10) >= settling_rounds([800], 10)
    for weights in ([300], [900, 700], [2500]):
        for seconds in (5.0, 40.0, 300.0):
            rounds = settling_rounds(weights, seconds)
            assert settling_seconds(weights, rounds) <= seconds / 2


def test_networks_of_blocks_or_knots_are_no_chains(field: Any) -> None:
    values = field((24, 22, 20), "float32")
    whole = encoder(values)._train(BUDGET, BRIEF, variant=Variant()).model
    (chain,) = whole.chains()
    assert chain.weights == sum(tensor.numel() for tensor in whole.tensors().values())
    assert {*chain.names, *(f"{name}b" for name in chain.names)} == set(whole.tensors())
    blocks = encoder(values)._train(30_000, BRIEF, variant=Variant(density=4.0)).model
    assert not blocks.chains()


def test_one_block_of_sci_is_a_chain(field: Any) -> None:
    image = from_array(field((24, 22, 20), "float32"))
    assembly = Assembly(image, normalise(image), {})
    for partition, number in (("whole", 1), ("equidistant", 0)):
        spectrum = PartitionSettings(smallest_side=8)
        settings = SciSettings(partition=partition, spectrum=spectrum, least_weights=0)
        made = VolumeEncoder(assembly, settings, device="cpu", seed=3)
        trained = made.train(8000, BRIEF)
        assert len(trained.model.chains()) == number
        for chain in trained.model.chains():
            assert {*chain.names, *(f"{n}b" for n in chain.names)} == set(trained.model.tensors())
            assert chain.weights == sum(t.numel() for t in trained.model.tensors().values())


def test_weights_that_stay_as_they_are_take_no_time_of_the_training(
    field: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = from_array(field((24, 22, 20), "float32"))
    made = VolumeEncoder(
        Assembly(image, normalise(image), {}),
        replace(SciSettings.paper(), partition="whole"),
        device="cpu",
        seed=3,
    )
    lengths: list[float] = []
    trainer = volume.Trainer

    def noted(model: Any, training: TrainingSettings, report: Any) -> Any:
        lengths.append(training.seconds)
        return trainer(model, replace(training, seconds=BRIEF.seconds), report)

    monkeypatch.setattr(volume, "Trainer", noted)
    # Long enough for the weights of one chain to settle.
    trained = made.train(2500, replace(BRIEF, seconds=30.0))
    (chain,) = trained.model.chains()
    assert settling.settling_rounds([chain.weights], 30.0)
    assert trained.quantiser is None
    assert lengths == [30.0]


def test_several_arrays_have_a_chain_each(field: Any) -> None:
    values = field((24, 22, 20), "float32")
    one = from_array(values)
    made = encoder(replace(one, arrays={"a": values, "b": values[::-1].copy() ** 2}))
    made._maker.separate, made._sharing_known = True, True
    trained = made._train(2 * BUDGET, BRIEF, variant=Variant())
    chains: tuple[Chain, ...] = trained.model.chains()
    assert len(chains) == 2
    names = {name for chain in chains for name in chain.names}
    assert {*names, *(f"{name}b" for name in names)} == set(trained.model.tensors())
    assert (qualities(trained) > 6.03).all()


def test_each_chain_settles_again_on_a_grid_of_its_own(field: Any) -> None:
    values = field((24, 22, 20), "float32")
    image = replace(from_array(values), arrays={"a": values, "b": np.roll(values, 5, 0) ** 3})
    assembly = Assembly(image, normalise(image), {})
    made = VolumeEncoder(assembly, "siren", device="cpu", seed=3)
    made._maker.separate, made._sharing_known = True, True
    trained = made._train(1200, replace(BRIEF, seconds=5.0), variant=Variant())
    assert trained.rounds
    asked: list[Trained] = []

    def finish(own: Trained) -> Encoded:
        asked.append(own)
        return assembly.finish(made.parts(own, own.quantiser))

    first = finish(trained)
    apart = abs(first.metrics["a"].psnr_db - first.metrics["b"].psnr_db)
    assert apart > 0.5
    goal = worst(first) - 2
    found = coarsest(trained, goal, 1e9, finish)
    assert found is not None
    assert len(found.data) < len(first.data)
    assert worst(found) >= goal
    before, after = asked[0].quantiser, asked[-1].quantiser
    assert before is not None
    assert after is not None
    coarser = [after.step(f"{n}/w0") / before.step(f"{n}/w0") for n in range(2)]
    assert max(coarser) > 1.1 * min(coarser)


@pytest.fixture(scope="module")
def settled(field: Any) -> tuple[Assembly, VolumeEncoder, Trained]:
    """A small network whose weights have settled, and what makes files of it."""
    image = from_array(field((24, 22, 20), "float32"))
    assembly = Assembly(image, normalise(image), {})
    made = VolumeEncoder(assembly, "siren", device="cpu", seed=3)
    return assembly, made, made._train(900, replace(BRIEF, seconds=6.0), variant=Variant())


class _Files:
    """Makes files of a network whose weights may move, and keeps them."""

    def __init__(self, settled: tuple[Assembly, VolumeEncoder, Trained]) -> None:
        self._assembly, self._encoder, trained = settled
        self.trained, _ = copied(trained)
        self.trained = replace(self.trained, rounds=trained.rounds)
        self.made: list[Encoded] = []
        self.steps: list[float] = []

    def __call__(self, trained: Trained) -> Encoded:
        assert trained.quantiser is not None
        self.steps.append(trained.quantiser.step("w1"))
        parts = self._encoder.parts(trained, trained.quantiser)
        self.made.append(self._assembly.finish(parts))
        return self.made[-1]

    def coarsest(self, psnr_db: float, seconds: float) -> Encoded | None:
        return coarsest(self.trained, psnr_db, seconds, self)


def test_weights_settle_again_on_a_grid_that_is_just_fine_enough(settled: Any) -> None:
    assert settled[2].rounds
    whole = _Files(settled)(settled[2])
    goal = worst(whole) - 4
    again, rounded = _Files(settled), _Files(settled)
    found, other = again.coarsest(goal, 1e9), rounded.coarsest(goal, 0.0)
    assert found is not None
    assert other is not None
    assert min(worst(found), worst(other)) >= goal
    # Rounded one by one, weights need a finer grid than that.
    assert len(found.data) < len(other.data) <= len(whole.data)
    # What a sample tells is nearly what files have: next to none are made for it.
    assert len(again.made) <= 4
    assert len(rounded.made) <= 5


def test_weights_settle_on_finer_grids_where_little_lacks(settled: Any) -> None:
    whole = _Files(settled)(settled[2])
    found = _Files(settled).coarsest(worst(whole) + 0.2, 1e9)
    assert found is not None
    assert worst(found) >= worst(whole) + 0.2
    far = _Files(settled)
    assert far.coarsest(worst(whole) + 10, 1e9) is None
    assert len(far.made) == 1


def test_a_grid_that_a_file_finds_too_coarse_is_given_up_for_one_between(settled: Any) -> None:
    class _Stricter(_Files):
        """The first file after that of the trained weights has less than its sample told."""

        def __call__(self, trained: Trained) -> Encoded:
            encoded = super().__call__(trained)
            if len(self.made) != 2:
                return encoded
            less = {
                name: replace(own, psnr_db=goal - 0.01) for name, own in encoded.metrics.items()
            }
            self.made[-1] = replace(encoded, metrics=less)
            return self.made[-1]

    goal = worst(_Files(settled)(settled[2])) - 4
    own = _Stricter(settled)
    found = own.coarsest(goal, 1e9)
    assert found is not None
    assert found is own.made[-1]
    assert worst(found) >= goal
    assert own.steps[0] < own.steps[-1] < own.steps[1]


@pytest.mark.parametrize("above_db", [-4.0, 1.2])
def test_weights_that_settled_again_go_back(settled: Any, above_db: float) -> None:
    own = _Files(settled)
    before = own(own.trained)
    own.coarsest(worst(before) + above_db, 1e9)
    assert own(own.trained).data == before.data


def test_without_a_grid_that_can_be_settled_on_the_file_stays(
    settled: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = _Files(settled)
    monkeypatch.setattr("inrvis.encoder.coarsest.settle_on", lambda *_: False)
    found = own.coarsest(worst(own(own.trained)) - 4, 1e9)
    assert found is not None
    assert found.data == own.made[0].data


def test_trainings_of_other_numbers_are_others(field: Any) -> None:
    made = encoder(field((24, 22, 20), "float32"))
    first, same, other = (
        made._train(BUDGET, BRIEF, variant=Variant(), number=number) for number in (0, 0, 1)
    )
    weights = [tuple(t.model.tensors().values()) for t in (first, same, other)]
    assert all(torch.equal(a, b) for a, b in zip(weights[0], weights[1], strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(weights[0], weights[2], strict=True))
