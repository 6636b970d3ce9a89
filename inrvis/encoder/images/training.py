"""Training of a codec for pairs, which goes on where it was interrupted."""

from __future__ import annotations

import hashlib
import json
import math
import time
import zipfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inrvis.container.images_file import Pair
from inrvis.encoder.images.model import FAST, Batch, PairModel
from inrvis.encoder.images.ops import Weigh
from inrvis.encoder.images.pictures import Pictures
from inrvis.encoder.images.settings import ImageTraining
from inrvis.encoder.quantise import Quantiser, coded_bits, sensible_steps
from inrvis.encoder.training import Progress, Report
from inrvis.errors import UsageError
from inrvis.files import replacing

# Part of the training after which weights on floats are seen through their quantiser.
_QUANTISE_START = 0.85
_SAVE_SECONDS = 60.0
# Step of weights that are to stay what they are, relative to their root mean square.
_FINE_STEP = 1 / 64
_SMOOTHING = 0.98
_SCALES = tuple(2.0**k for k in np.arange(-3, 3.5, 0.5))
Codes = Callable[[int], NDArray[np.float32]]


@dataclass(frozen=True)
class Checkpoint:
    """Where a training is kept while it lasts.

    Attributes
    ----------
    path : Path
        File beside the output.
    fingerprint : str
        Of the data and the settings: another training does not go on from it.
    """

    path: Path
    fingerprint: str

    @classmethod
    def beside(cls, output: Path, *facts: Any) -> Checkpoint:
        """Checkpoint of the training that makes ``output`` from ``facts``, plain values."""
        text = json.dumps(facts, sort_keys=True, default=str)
        name = f".{output.name}.checkpoint.npz"
        return cls(output.with_name(name), hashlib.sha256(text.encode()).hexdigest())

    def is_here(self) -> bool:
        """Whether there is a checkpoint of this very training."""
        try:
            with np.load(self.path, allow_pickle=False) as values:
                return str(values["fingerprint"]) == self.fingerprint
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return False


class PairTrainer:
    """Trains one model.

    Parameters
    ----------
    model : PairModel
        On the device it is trained on.
    pictures : Pictures
        All images.
    codes : callable
        Code of an image by its number.
    pairs : sequence of pairs
        Pairs to train on; an image alone is trained on as a pair with itself.
    settings : ImageTraining
        Length and rates.
    total_pixels : int
        Pixels of the whole database: what a bit of the weights is worth.
    seed : int
        Seed of the batches.
    report : callable, optional
        Told of the progress.
    """

    def __init__(
        self,
        model: PairModel,
        pictures: Pictures,
        codes: Codes,
        pairs: Sequence[Pair],
        settings: ImageTraining,
        *,
        total_pixels: int,
        seed: int,
        report: Report | None = None,
    ) -> None:
        self.model, self._pictures, self._codes = model, pictures, codes
        self._settings, self._total_pixels, self._report = settings, total_pixels, report
        self._generator = torch.Generator().manual_seed(seed)
        self._buckets: dict[tuple[int, int], list[Pair]] = defaultdict(list)
        for left, right in pairs:
            size = pictures.facts.kinds[left].padded
            self._buckets[size].append((left, right if right >= 0 else left))
        self._flat = [(size, pair) for size, own in self._buckets.items() for pair in own]
        self.device = next(model.parameters()).device
        fast = [p for name, p in model.stored.items() if name in model.fast_names]
        others = [p for p in model.parameters() if all(p is not f for f in fast)]
        self._optimiser = torch.optim.Adam(others, lr=settings.rate)
        if fast:
            self._optimiser.add_param_group({"params": fast, "lr": FAST * settings.rate})
        self._rates = [group["lr"] for group in self._optimiser.param_groups]
        self.steps, self._elapsed = 0, 0.0
        self.quantiser: Quantiser | None = None
        self.bits_per_pixel, self.squared_error = math.inf, math.inf

    @property
    def objective(self) -> float:
        """Bits a pixel of the streams, plus the error at what it is worth, smoothed."""
        return self.bits_per_pixel + self._settings.trade_off * self.squared_error

    @property
    def psnr_db(self) -> float:
        """PSNR of the recent batches."""
        return 10 * math.log10(255**2 / max(self.squared_error, 1e-9))

    def train(self, checkpoint: Checkpoint | None = None) -> None:
        """Train to the end of the schedule, from the checkpoint if there is one."""
        if checkpoint is not None:
            self._load(checkpoint)
        start, saved = time.monotonic() - self._elapsed, time.monotonic()
        while (fraction := self._fraction(start)) < 1:
            if fraction >= _QUANTISE_START and self.quantiser is None:
                self.quantise()
            self._step(fraction)
            if self._report is not None:
                stage = "train" if self.quantiser is None else "quantise"
                self._report(Progress(min(fraction, 1.0), self.psnr_db, stage))
            if checkpoint is not None and time.monotonic() - saved > _SAVE_SECONDS:
                self._elapsed = time.monotonic() - start
                self._save(checkpoint)
                saved = time.monotonic()
        if checkpoint is not None:
            # What follows, the coding of all images, may be interrupted, too.
            self._elapsed = time.monotonic() - start
            self._save(checkpoint)
        if self.quantiser is None:
            self.quantise()

    def _fraction(self, start: float) -> float:
        if self._settings.steps:
            return self.steps / self._settings.steps
        return (time.monotonic() - start) / self._settings.seconds

    def _step(self, fraction: float) -> None:
        settings = self._settings
        warm = min(1.0, (self.steps + 1) / 50)
        decay = 0.5 * (1 + math.cos(math.pi * min(fraction, 1.0))) if settings.decay else 1.0
        for group, rate in zip(self._optimiser.param_groups, self._rates, strict=True):
            group["lr"] = rate * warm * max(decay, 0.02)
        bits, error = self._measure(self.draw(), self._weigh())
        loss = (bits + settings.trade_off * error) / (1 + settings.trade_off)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip)
        self._optimiser.step()
        self.steps += 1
        keep = min(_SMOOTHING, 1 - 1 / self.steps)
        if not math.isfinite(float(loss.detach())):
            raise UsageError("the training diverged: try another seed, or a smaller trade-off")
        if math.isinf(self.squared_error):
            keep, self.bits_per_pixel, self.squared_error = 0.0, 0.0, 0.0
        self.bits_per_pixel = keep * self.bits_per_pixel + (1 - keep) * float(bits.detach())
        self.squared_error = keep * self.squared_error + (1 - keep) * float(error.detach())

    def _measure(self, batch: Batch, weigh: Weigh | None) -> tuple[Tensor, Tensor]:
        """Bits a pixel and mean squared error, in 8-bit units, of a batch."""
        outcome = self.model(batch, weigh, self._generator)
        pixels = 2 * batch.left.shape[0] * batch.left.shape[2] * batch.left.shape[3]
        errors = (outcome.left - batch.left).square() + (outcome.right - batch.right).square()
        return outcome.bits / pixels, errors.mean() / 2 * 255**2

    def draw(self) -> Batch:
        """Random pairs of one size, cut at the same random places."""
        settings, generator = self._settings, self._generator
        size, first = self._flat[int(torch.randint(len(self._flat), (), generator=generator))]
        others = self._buckets[size]
        picks = torch.randint(len(others), (settings.batch - 1,), generator=generator)
        chosen = [first, *(others[int(i)] for i in picks)]
        images: tuple[list[Any], list[Any]] = ([], [])
        for pair in chosen:
            top, left = torch.rand(2, generator=generator).tolist()
            window = self._pictures.window(pair[0], settings.crop, top, left)
            for side, image in zip(images, pair, strict=True):
                side.append(self._pictures.channels(image, window))
        codes = [np.concatenate([self._codes(pair[i]) for pair in chosen]) for i in (0, 1)]
        tensors = [torch.from_numpy(np.stack(side)) for side in images]
        tensors += [torch.from_numpy(code) for code in codes]
        return Batch(*(t.to(self.device) for t in tensors))

    def _weigh(self) -> Weigh | None:
        quantiser = self.quantiser
        if quantiser is None:
            return None
        return lambda name, w: quantiser.weigh(name, w) if name in quantiser.relative else w

    def float_tensors(self) -> dict[str, Tensor]:
        """Stored tensors of networks on floats; those of integer networks are rounded as such."""
        return {n: p for n, p in self.model.stored.items() if n not in self.model.integer_names}

    @torch.no_grad()
    def quantise(self) -> None:
        """Find the steps at which the whole file is best: bits of weights against the error."""
        tensors = self.float_tensors()
        if not self.model.exact:
            # As published, weights are not quantised: steps so fine that it does not show.
            sizes = {n: float(t.square().mean().sqrt()) or 1.0 for n, t in tensors.items()}
            self.quantiser = Quantiser(sizes, _FINE_STEP)
            return
        state = self._generator.get_state()
        batch = self.draw()

        def loss(weigh: Weigh) -> float:
            self._generator.set_state(state)  # the same noise each time
            bits, error = self._measure(
                batch, lambda name, w: weigh(name, w) if name in tensors else w
            )
            return float(bits + self._settings.trade_off * error)

        relative = sensible_steps(tensors, loss, self._generator)

        def cost(scale: float) -> float:
            quantiser = relative.at(scale)
            return loss(quantiser.weigh) + coded_bits(quantiser, tensors) / self._total_pixels

        self.quantiser = relative.at(min(_SCALES, key=cost))

    def _save(self, checkpoint: Checkpoint) -> None:
        values: dict[str, Any] = {
            "fingerprint": np.array(checkpoint.fingerprint),
            "state": np.array([self.steps, self._elapsed, self.bits_per_pixel, self.squared_error]),
            "generator": self._generator.get_state().numpy(),
        }
        for name, parameter in self.model.named_parameters():
            values[f"p.{name}"] = parameter.detach().cpu().numpy()
            for key, tensor in self._optimiser.state.get(parameter, {}).items():
                values[f"o.{key}.{name}"] = torch.as_tensor(tensor).cpu().numpy()
        with replacing(checkpoint.path) as temporary:
            np.savez(temporary, **values)

    def _load(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint if it is of the same training; else start anew."""
        try:
            with np.load(checkpoint.path, allow_pickle=False) as values:
                if str(values["fingerprint"]) != checkpoint.fingerprint:
                    return
                steps, self._elapsed, self.bits_per_pixel, self.squared_error = values["state"]
                self.steps = int(steps)
                for name, parameter in self.model.named_parameters():
                    parameter.data.copy_(torch.from_numpy(values[f"p.{name}"]))
                    self._optimiser.state[parameter] = {
                        key: torch.from_numpy(values[f"o.{key}.{name}"]).to(parameter.device)
                        if key != "step"
                        else torch.from_numpy(values[f"o.{key}.{name}"])
                        for key in ("step", "exp_avg", "exp_avg_sq")
                    }
                self._generator.set_state(torch.from_numpy(values["generator"]))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            # None, or one that was cut off: the training starts anew.
            return
