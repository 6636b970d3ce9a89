"""Training of a codec of images, which goes on where it was interrupted."""

from __future__ import annotations

import hashlib
import json
import math
import time
import zipfile
from abc import ABC, abstractmethod
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inrvis.encoder.images.model import ImageModel
from inrvis.encoder.images.ops import Weigh
from inrvis.encoder.images.settings import ImageTraining
from inrvis.encoder.quantise import Quantiser
from inrvis.encoder.training import Progress, Report
from inrvis.errors import UsageError
from inrvis.files import replacing

# Part of the training after which weights on floats are seen through their quantiser.
_QUANTISE_START = 0.85
_SAVE_SECONDS, _FIRST_SAVE_SECONDS = 60.0, 10.0
_SMOOTHING = 0.98


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


@dataclass(frozen=True)
class Loss:
    """What a batch costs.

    Attributes
    ----------
    total : Tensor
        What is to become small.
    bits : Tensor
        Bits a pixel of the streams.
    error : Tensor
        Mean squared error in 8-bit units.
    """

    total: Tensor
    bits: Tensor
    error: Tensor


class ImageTrainer(ABC):
    """Trains one model.

    Parameters
    ----------
    model : ImageModel
        On the device it is trained on.
    settings : ImageTraining
        Length and rates.
    seed : int
        Seed of the batches.
    report : callable, optional
        Told of the progress.
    """

    def __init__(
        self,
        model: ImageModel,
        settings: ImageTraining,
        *,
        seed: int,
        report: Report | None = None,
    ) -> None:
        self._model, self._settings, self._report = model, settings, report
        self._generator = torch.Generator().manual_seed(seed)
        self.device = next(model.parameters()).device
        groups = defaultdict(list)
        for name, parameter in model.named_parameters():
            groups[model.pace(name.rpartition(".")[2])].append(parameter)
        self._optimiser = torch.optim.Adam(
            [{"params": own, "lr": pace * settings.rate} for pace, own in groups.items()]
        )
        self._rates = [group["lr"] for group in self._optimiser.param_groups]
        self.steps, self._elapsed = 0, 0.0
        # What a subclass counts, to go on with after an interruption.
        self._counts = np.zeros(2, dtype=np.int64)
        self.quantiser: Quantiser | None = None
        self.bits_per_pixel, self.squared_error = math.inf, math.inf

    @abstractmethod
    def _loss(self) -> Loss:
        """Loss of the next batch."""

    @abstractmethod
    def quantise(self) -> None:
        """Find the steps of weights on floats."""

    @property
    def psnr_db(self) -> float:
        """PSNR of the recent batches."""
        return 10 * math.log10(255**2 / max(self.squared_error, 1e-9))

    def train(self, checkpoint: Checkpoint | None = None) -> None:
        """Train to the end of the schedule, from the checkpoint if there is one."""
        if checkpoint is not None:
            self._load(checkpoint)
        start = time.monotonic() - self._elapsed
        save_at = time.monotonic() + min(_FIRST_SAVE_SECONDS, _SAVE_SECONDS)
        while (fraction := self._fraction(start)) < 1:
            if fraction >= _QUANTISE_START and self.quantiser is None:
                self.quantise()
            self._step(fraction)
            if self._report is not None:
                stage = "train" if self.quantiser is None else "quantise"
                self._report(Progress(min(fraction, 1.0), self.psnr_db, stage))
            if checkpoint is not None and time.monotonic() >= save_at:
                self._elapsed = time.monotonic() - start
                self._save(checkpoint)
                save_at = time.monotonic() + _SAVE_SECONDS
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
        loss = self._loss()
        self._optimiser.zero_grad(set_to_none=True)
        loss.total.backward()
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), settings.clip)
        self._optimiser.step()
        self.steps += 1
        keep = min(_SMOOTHING, 1 - 1 / self.steps)
        if not math.isfinite(float(loss.total.detach())):
            raise UsageError("the training diverged: try another seed, or a smaller trade-off")
        if math.isinf(self.squared_error):
            keep, self.bits_per_pixel, self.squared_error = 0.0, 0.0, 0.0
        self.bits_per_pixel = keep * self.bits_per_pixel + (1 - keep) * float(loss.bits.detach())
        self.squared_error = keep * self.squared_error + (1 - keep) * float(loss.error.detach())

    def _weigh(self) -> Weigh | None:
        quantiser = self.quantiser
        if quantiser is None:
            return None
        return lambda name, w: quantiser.weigh(name, w) if name in quantiser.relative else w

    def _save(self, checkpoint: Checkpoint) -> None:
        values: dict[str, Any] = {
            "fingerprint": np.array(checkpoint.fingerprint),
            "state": np.array([self.steps, self._elapsed, self.bits_per_pixel, self.squared_error]),
            "counts": self._counts,
            "generator": self._generator.get_state().numpy(),
        }
        for name, parameter in self._model.named_parameters():
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
                self._counts[:] = values["counts"]
                for name, parameter in self._model.named_parameters():
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
