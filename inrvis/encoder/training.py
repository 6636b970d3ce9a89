"""The training loop: weights first as they are, then through their quantiser."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from inrvis.encoder.models.base import Model, Weigh, plain
from inrvis.encoder.muon import Muon
from inrvis.encoder.quantise import Quantiser, scale_for_bits, sensible_steps
from inrvis.encoder.settings import TrainingSettings
from inrvis.errors import UsageError

# Two desktop cores: seconds for a product and for a sine, forward and backward, and for a step of
# whatever batch.
_SECONDS_PER_PRODUCT = 0.018e-9
_SECONDS_PER_SINE = 2.7e-9
_SECONDS_PER_STEP = 1.9e-3
_FEWEST_STEPS = 60
# Voxels that tell a loss.
_SAMPLE = 1 << 17
_WARM_UP = 50
# Voxels on which the effect of rounding each tensor is measured, twice for each.
_SENSITIVITY_SAMPLE = 16384
# Rounds of the rate control while weights are trained through their quantiser, and what part of
# that time they end after: weights that have settled on one grid lose half a dB on another.
_RATE_ROUNDS, _RATE_SHARE = 5, 0.5
# Share of the bits that a dB above the aim is worth, once training has made up for coarser steps,
# and the least share: 62 % were worth 5.6 dB on engine_ct.
_SHARE_PER_DB, _LEAST_SHARE, _SAFE_DB = 0.07, 0.72, 0.3


@dataclass(frozen=True)
class Progress:
    """Where an encoding stands: fraction of the work, current PSNR, stage."""

    fraction: float
    psnr_db: float
    stage: str


@dataclass(frozen=True)
class Trial:
    """What a training of so many seconds and steps reached."""

    psnr_db: float
    seconds: float
    steps: int


Report = Callable[[Progress], None]


def peak_psnr_db(mean_squared_error: float) -> float:
    """PSNR of a loss: channels have a range of two."""
    return 20 * math.log10(2) - 10 * math.log10(max(mean_squared_error, 1e-30))


def part_of(report: Report | None, start: float, share: float) -> Report | None:
    """Report of a part of the training, as of the whole."""
    if report is None:
        return None
    return lambda progress: report(replace(progress, fraction=start + share * progress.fraction))


def seconds_per_step(cost: tuple[float, float], batch: int) -> float:
    """Seconds that two desktop cores are taken to need; the same on every machine."""
    products, sines = cost
    return _SECONDS_PER_STEP + batch * (products * _SECONDS_PER_PRODUCT + sines * _SECONDS_PER_SINE)


def planned_steps(model: Model, settings: TrainingSettings) -> int:
    """Steps of whole batches that fit into ``settings.seconds``."""
    steps = round(settings.seconds / seconds_per_step(model.cost, settings.batch))
    return max(_FEWEST_STEPS, steps)


class _Schedule:
    """Fraction of the training that is over, by steps or by the clock."""

    def __init__(self, model: Model, settings: TrainingSettings) -> None:
        self._cost, self._settings = model.cost, settings
        least = _FEWEST_STEPS * seconds_per_step(model.cost, settings.batch)
        self._seconds = settings.seconds if settings.clocked else max(settings.seconds, least)
        self._spent, self._start = 0.0, time.monotonic()

    def fraction(self) -> float:
        if self._settings.clocked:
            return (time.monotonic() - self._start) / self._seconds
        return self._spent / self._seconds

    def take(self, batch: int) -> None:
        self._spent += seconds_per_step(self._cost, batch)

    def over(self) -> bool:
        if self._settings.clocked:
            return self.fraction() >= 1
        # To the nearest step, whatever the rounding of the sum.
        step = seconds_per_step(self._cost, self._settings.batch)
        return self._spent + step / 2 >= self._seconds


class Trainer:
    """Trains one network.

    Parameters
    ----------
    model : Model
        On the device it is trained on.
    settings : TrainingSettings
        Length and rates.
    report : callable, optional
        Told of the progress now and then.
    """

    def __init__(
        self,
        model: Model,
        settings: TrainingSettings,
        report: Report | None = None,
    ) -> None:
        self.model, self._settings, self._report = model, settings, report
        self._optimisers = _optimisers(model, settings)
        self._rates = [
            [group["lr"] for group in optimiser.param_groups] for optimiser in self._optimisers
        ]
        self.steps = 0

    def train(
        self, bits: float, generator: torch.Generator, psnr_db: float | None = None
    ) -> Quantiser | None:
        """Train to the end of the schedule for weights that cost at most ``bits``.

        They are rounded coarser where that leaves ``psnr_db``. Returns the quantiser by which the
        model's weights are to be rounded; None with an optimiser of the papers, which keep them
        as they are.
        """
        settings = self._settings
        rounded = settings.optimiser == "muon"
        schedule = _Schedule(self.model, settings)
        quantiser: Quantiser | None = None
        smooth = None
        rounds = 0
        while not schedule.over():
            fraction = schedule.fraction()
            if rounded and rounds < _RATE_ROUNDS and fraction >= self._round_at(rounds):
                self._require_finite()
                if quantiser is None:
                    quantiser = self._first_quantiser(generator)
                    bits *= self._share_for(psnr_db)
                quantiser = scale_for_bits(quantiser, self.model.tensors(), bits)
                rounds += 1
            self._set_rates(fraction)
            weigh = quantiser.weigh if quantiser is not None else plain
            batch = settings.batch_at(fraction)
            loss = self.model.loss(self.model.draw(batch, fraction), weigh)
            for optimiser in self._optimisers:
                optimiser.zero_grad(set_to_none=True)
            loss.backward()
            for optimiser in self._optimisers:
                optimiser.step()
            self.steps += 1
            schedule.take(batch)
            if self._report is not None:
                value = float(loss.detach())
                smooth = value if smooth is None else 0.95 * smooth + 0.05 * value
                stage = "train" if quantiser is None else "quantise"
                self._report(Progress(min(fraction, 1.0), peak_psnr_db(smooth), stage))
        self._require_finite()
        if not rounded:
            return None
        if quantiser is None:
            quantiser = scale_for_bits(self._first_quantiser(generator), self.model.tensors(), bits)
        return quantiser

    def _round_at(self, number: int) -> float:
        """Fraction of the training at which a round of the rate control comes."""
        start = self._settings.quantise_start
        return start + (1 - start) * _RATE_SHARE * number / (_RATE_ROUNDS - 1)

    def _require_finite(self) -> None:
        if not all(bool(torch.isfinite(t).all()) for t in self.model.tensors().values()):
            raise UsageError("the training diverged: try another seed, or train longer")

    @torch.no_grad()
    def _share_for(self, psnr_db: float | None) -> float:
        """Share of the bits that is enough for ``psnr_db``."""
        if psnr_db is None:
            return 1.0
        batch = self.model.draw(_SAMPLE, 1.0)
        above = peak_psnr_db(float(self.model.loss(batch, plain))) - psnr_db - _SAFE_DB
        return min(1.0, max(_LEAST_SHARE, 1 - _SHARE_PER_DB * above))

    def _set_rates(self, fraction: float) -> None:
        warm = min(1.0, (self.steps + 1) / _WARM_UP)
        factor = warm * 0.5 * (1 + math.cos(math.pi * min(fraction, 1.0)))
        if self._settings.optimiser == "adam":
            factor = 1.0
        elif self._settings.optimiser == "adamax":
            # SCI drops its rate at 50, 60 and 70 of its 80 thousand steps.
            factor = 0.2 ** sum(fraction >= drop for drop in (5 / 8, 6 / 8, 7 / 8))
        for optimiser, rates in zip(self._optimisers, self._rates, strict=True):
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * factor

    def _first_quantiser(self, generator: torch.Generator) -> Quantiser:
        batch = self.model.draw(min(self._settings.batch, _SENSITIVITY_SAMPLE), 1.0)

        @torch.no_grad()
        def loss(weigh: Weigh) -> float:
            return float(self.model.loss(batch, weigh))

        return sensible_steps(self.model.tensors(), loss, generator)


def _optimisers(model: Model, settings: TrainingSettings) -> tuple[torch.optim.Optimizer, ...]:
    rate = settings.adam_rate
    if settings.optimiser == "adam":
        return (torch.optim.Adam(model.parameters(), lr=rate),)
    if settings.optimiser == "adamax":
        # The papers' frequency factors are folded into the weights: so are they into the rates.
        last, first = model.others(rate, rate * 20)
        return (torch.optim.Adamax([{"params": model.matrices(), "lr": rate * 30}, last, first]),)
    return (
        Muon(
            model.matrices(),
            lr=settings.muon_rate,
            momentum=0.9,
            weight_decay=settings.weight_decay,
        ),
        torch.optim.Adam(model.others(rate, settings.frequency_rate), betas=(0.9, 0.99)),
    )
