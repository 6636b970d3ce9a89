"""Train a network for a volume, of a size and of blocks that suit it."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from functools import partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from inrvis.encoder.assembly import Assembly, NetworkParts
from inrvis.encoder.devices import torch_device
from inrvis.encoder.making import Maker
from inrvis.encoder.models.base import Model
from inrvis.encoder.models.siren import evaluation_cost
from inrvis.encoder.plan import USUAL_VARIANT, Variant
from inrvis.encoder.quantise import Quantiser, coded_bits
from inrvis.encoder.rounding import (
    Trained,
    fit,
    qualities,
    rounded,
)
from inrvis.encoder.settings import (
    FourierSettings,
    SciSettings,
    TrainingSettings,
)
from inrvis.encoder.settling import settle, settling_rounds, settling_seconds
from inrvis.encoder.sizes import FURTHER_NETWORK_BYTES, NETWORK_BYTES
from inrvis.encoder.start import Start
from inrvis.encoder.training import (
    Report,
    Trainer,
    Trial,
    part_of,
    seconds_per_step,
)
from inrvis.encoder.variants import best_variant
from inrvis.errors import UsageError

# Of a file's bytes: weights that settle on their grid may come to cost a little more.
_USED, _SPARE_BYTES = 0.995, 16
# What the boxes of an octree take of a header.
_BOXES_BYTES = 500
_SMALLEST_BATCH = 2048
# Share of the training that tells whether several arrays share a network, for each answer; no more
# seconds than that tell more.
_SHARING_TRIAL, _SHARING_SECONDS = 0.1, 30.0
# Share for each trial of a variant. After so many steps of such batches they rank as long trainings
# do; so more than a few times as many steps are wasted.
_VARIANT_TRIAL, _TRIAL_STEPS, _MOST_TRIAL_STEPS, _TRIAL_BATCH = 0.03, 150, 500, 8192
# About what twice the bytes bring small networks, and what stands for no error at all.
_DB_PER_DOUBLING, _EXACT_DB = 5.0, 120.0
# A network to start from serves where its weights get about as many bits as a new one's would.
_START_BITS_PER_WEIGHT = (3.5, 12.0)


class VolumeEncoder:
    """Trains networks for one image, as often as a target needs, and rounds them to sizes.

    Parameters
    ----------
    assembly : Assembly
        The image, and what makes files of it.
    choice : {"siren"}, FourierSettings or SciSettings
        What to train.
    device : {"auto", "cpu", "cuda"}
        Where to train.
    seed : int
        Seed of weights and batches.
    report : callable, optional
        Told of the progress.
    knot_spacing : int, optional
        Voxels between the knots at which trunks are evaluated; 0 for every voxel.
    start : Start, optional
        Network to start from, where one of its size is wanted.

    Attributes
    ----------
    maker : type
        What makes its networks.
    """

    maker: type[Maker] = Maker

    def __init__(
        self,
        assembly: Assembly,
        choice: Literal["siren"] | FourierSettings | SciSettings = "siren",
        *,
        device: str = "auto",
        seed: int = 0,
        report: Report | None = None,
        knot_spacing: int = 0,
        start: Start | None = None,
    ) -> None:
        self.seed, self._assembly, self._choice = seed, assembly, choice
        self.device = torch_device(device)
        self._report, self._arrays = report, assembly.normalised.arrays
        self._grid = assembly.image.grid
        self._maker = maker = self.maker(assembly, choice, self.device, knot_spacing)
        self.start: Start | None = None
        if choice == "siren" and start:
            fits = start.fits(self._grid.dimensions, self._arrays, knot_spacing)
            self.start = start if fits and maker.is_worth(start, seed) else None
        # Not known before the first training.
        tries = choice == "siren" and self.start is None
        self._sharing_known = not tries or len(self._arrays) == 1
        self._variant: Variant | None = None if tries else USUAL_VARIANT

    @property
    def channels(self) -> int:
        """Channels of the network."""
        return self._maker.channels

    @property
    def overhead_bytes(self) -> int:
        """Bytes that a file takes beside its weights, about."""
        further = FURTHER_NETWORK_BYTES * (len(self._maker.groups()) - 1)
        return self._assembly.overhead_bytes + NETWORK_BYTES + further

    def prepare(
        self, budget_bytes: float, training: TrainingSettings
    ) -> tuple[Trial | None, TrainingSettings]:
        """Choose how networks of about ``budget_bytes`` are made, once, by short trainings.

        They tell whether several arrays share a network, and which variant of it is best. Returns
        what that reached, if there was time for trials, and what is left of the training.
        """
        if not self._sharing_known:
            training = self._choose_sharing(budget_bytes, training)
        if self._variant is None:
            return self._choose_variant(budget_bytes, training)
        return None, training

    def train(
        self,
        budget_bytes: float,
        training: TrainingSettings,
        start: Start | None = None,
        psnr_db: float | None = None,
        number: int = 0,
    ) -> Trained:
        """Train a network whose file takes about ``budget_bytes``, or less if it has ``psnr_db``.

        It goes on from ``start``; without, from the encoder's own one if that has about the size.
        Trainings of another ``number`` begin with other weights and see other batches.
        """
        if start is None:
            _, training = self.prepare(budget_bytes, training)
        trained = self._train(budget_bytes, training, start, self._report, psnr_db, number=number)
        if self._maker.separate and trained.start is None:
            # Files have the quality of their worst array; a long training tells more than a trial.
            self._level(qualities(trained))
        return trained

    def rounds(self, budget_bytes: float, seconds: float) -> int:
        """Rounds in which a training of ``seconds`` at ``budget_bytes`` settles weights; or 0."""
        if self._choice != "siren" or self._variant is None:
            return 0
        try:
            plans = self._maker.plans(self._weight_bits(budget_bytes), self._variant)
        except UsageError:
            # Too small for a network at all.
            return 0
        return settling_rounds(self._maker.weights(plans), seconds)

    def _choose_sharing(self, budget_bytes: float, training: TrainingSettings) -> TrainingSettings:
        """Whether several arrays share a network; what is left of the training."""
        share = min(_SHARING_TRIAL, _SHARING_SECONDS / training.seconds)
        trial = replace(training, seconds=share * training.seconds)
        shared, apart = (
            self._qualities(way, budget_bytes, trial, part_of(self._report, number * share, share))
            for number, way in enumerate((False, True))
        )
        # Shares of the bytes level out how good arrays are, whose mean stays about the same.
        self._maker.separate, self._sharing_known = bool(apart.mean() > shared.mean()), True
        if self._maker.separate:
            self._level(apart)
        return self._spend(2 * share, training)

    def _level(self, psnr_db: NDArray[np.float64]) -> None:
        """Share bytes so that networks which have ``psnr_db`` will have about the same."""
        doublings = (psnr_db.mean() - psnr_db) / _DB_PER_DOUBLING
        # What is exact in next to no bytes must not take them all from the others.
        self._maker.shares *= 2 ** doublings.clip(-1.0, 1.0)

    def _spend(self, share: float, training: TrainingSettings) -> TrainingSettings:
        """What is left of a training, of which progress is reported as of the whole."""
        self._report = part_of(self._report, share, 1 - share)
        return replace(training, seconds=(1 - share) * training.seconds)

    def _choose_variant(
        self, budget_bytes: float, training: TrainingSettings
    ) -> tuple[Trial | None, TrainingSettings]:
        """Which variant to train; what its trial reached, and what is left of the time.

        Nothing is chosen yet where there is no time for trials that would tell.
        """
        batch = min(training.batch, _TRIAL_BATCH)
        bits = self._weight_bits(budget_bytes)
        usual = self._maker.plans(bits, USUAL_VARIANT)
        cost = evaluation_cost(usual[0], len(self._maker.groups()[0]))
        step = seconds_per_step(cost, batch)
        seconds = min(_VARIANT_TRIAL * training.seconds, _MOST_TRIAL_STEPS * step)
        if seconds < _TRIAL_STEPS * step:
            return None, training
        share = seconds / training.seconds
        trial = replace(training, seconds=seconds, batch=batch)
        count = itertools.count()

        def attempt(variant: Variant) -> Trial:
            own = part_of(self._report, next(count) * share, share)
            trained = self._train(budget_bytes, trial, report=own, variant=variant)
            return trial_of(trained, trial)

        settles = settling_rounds(self._maker.weights(usual), training.seconds) > 0
        self._variant, best = best_variant(
            partial(self._maker.plans, bits), attempt, refine=not settles
        )
        return best, self._spend(next(count) * share, training)

    def _qualities(
        self,
        separate: bool,
        budget_bytes: float,
        training: TrainingSettings,
        report: Report | None,
    ) -> NDArray[np.float64]:
        """PSNR of each array after a short training with one network or several."""
        self._maker.separate = separate
        try:
            trained = self._train(budget_bytes, training, report=report)
            networks = self.fit(trained, int(budget_bytes))
        except UsageError:
            return np.array([-math.inf])
        metrics = self._assembly.attempt(networks).metrics
        # An array that is exact has no number to compare.
        found = [min(metrics[a.name].psnr_db, _EXACT_DB) for a in self._arrays]
        return np.array(found)

    def _train(
        self,
        budget_bytes: float,
        training: TrainingSettings,
        start: Start | None = None,
        report: Report | None = None,
        psnr_db: float | None = None,
        *,
        variant: Variant | None = None,
        number: int = 0,
    ) -> Trained:
        variant = variant or self._variant or USUAL_VARIANT
        bits = self._weight_bits(budget_bytes)
        # On a small volume a large batch sees the same voxels again: take more steps instead.
        few = max(_SMALLEST_BATCH, self._grid.number_of_points // self._share)
        training = replace(training, batch=min(training.batch, few))
        training = self._recipe(training, variant)
        seed = self.seed + number
        generator, data = torch.Generator().manual_seed(seed), self._maker.data(seed)
        start = start or self._start_of(bits)
        if start is None:
            model = self._maker.make(data, bits, generator, variant).to(self.device)
        else:
            model, _ = self._maker.started(start, data, generator)
        training = self._sized(training, model)
        if start is not None:
            training = training.warm()
        # The optimisers of the papers keep weights as they are: all of the time is for training.
        chains = model.chains() if training.optimiser == "muon" else ()
        weights = [chain.weights for chain in chains]
        rounds = settling_rounds(weights, training.seconds)
        settling = settling_seconds(weights, rounds)
        share = settling / training.seconds
        training = replace(training, seconds=training.seconds - settling)
        trainer = Trainer(model, training, part_of(report, 0.0, 1 - share))
        # Several arrays have a quality each, of which the trainer sees the mean.
        aim = psnr_db if len(self._arrays) == 1 else None
        quantiser = trainer.train(self._room(model, budget_bytes), generator, aim)
        if quantiser is not None and rounds:
            quantiser = settle(model, quantiser, rounds, part_of(report, 1 - share, share))
        return Trained(model, quantiser, trainer.steps, start, rounds)

    def _sized(self, training: TrainingSettings, model: Model) -> TrainingSettings:
        if self._choice != "siren":
            return training
        return training.sized(sum(tensor.numel() for tensor in model.tensors().values()))

    def _weight_bits(self, budget_bytes: float) -> float:
        """Bits that a file leaves for its weights, as first planned."""
        boxes = _BOXES_BYTES if isinstance(self._choice, SciSettings) else 0
        return 8 * (budget_bytes - boxes - self.overhead_bytes)

    def _room(self, model: Model, budget_bytes: float) -> float:
        """Bits for the weights of ``model`` in a file of ``budget_bytes``."""
        if self._choice != "siren" and self._choice.as_published:
            return 8 * budget_bytes
        tensors = model.tensors()
        some = Quantiser(
            {name: float(t.detach().abs().max()) / 8 or 1.0 for name, t in tensors.items()}
        )
        size = self._assembly.size(self.parts(Trained(model, some, 0), some))
        overhead = size - coded_bits(some, tensors) / 8
        return max(8 * (_USED * budget_bytes - _SPARE_BYTES - overhead), 1.0)

    @property
    def _share(self) -> int:
        """A batch has at most one voxel out of so many."""
        # Measured on brain_u16, whose blocks are few and wide: 0.6 dB more in equal time.
        choice = self._choice
        return 64 if isinstance(choice, SciSettings) and not choice.as_published else 8

    def _recipe(self, training: TrainingSettings, variant: Variant) -> TrainingSettings:
        choice = self._choice
        if isinstance(choice, FourierSettings) and choice.as_published:
            return replace(training, optimiser="adam", adam_rate=3e-4)
        if isinstance(choice, SciSettings) and choice.as_published:
            return replace(training, optimiser="adamax", adam_rate=1e-3)
        return replace(training, muon_rate=variant.rate * training.muon_rate)

    def fit(self, trained: Trained, budget_bytes: int) -> NetworkParts:
        """Quantise as finely as ``budget_bytes`` allow for the whole file; see `rounding.fit`."""
        return fit(trained, budget_bytes, self.parts, self._assembly.size)

    def parts(self, trained: Trained, quantiser: Quantiser | None) -> NetworkParts:
        """Round a network with ``quantiser``; None keeps its float32 weights."""
        return rounded(trained, quantiser)

    def _start_of(self, bits: float) -> Start | None:
        """Network to start from for weights of ``bits``; None if none is of about that size."""
        if self.start is None:
            return None
        low, high = _START_BITS_PER_WEIGHT
        return self.start if low <= bits / self.start.parameters <= high else None

    def after(self, trained: Trained) -> Start | None:
        """Start that goes on from ``trained``, if that began with a start."""
        if trained.start is None:
            return None
        return trained.start.after(trained.model, self._arrays)


def trial_of(trained: Trained, training: TrainingSettings) -> Trial:
    """What ``trained`` has reached in all of its ``training``.

    Of several networks the mean, which all have once their shares of the bytes are levelled out.
    """
    return Trial(float(qualities(trained).mean()), training.seconds, trained.steps)
