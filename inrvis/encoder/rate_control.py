"""Turn a target into encodings: once for a size, by search for a quality."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

from inrvis.container.header import MAX_SPACING
from inrvis.encoder.settings import TrainingSettings
from inrvis.encoder.training import Report
from inrvis.encoder.volume import Encoded, Trained, VolumeEncoder, save
from inrvis.errors import OutputError, UsageError
from inrvis.sources import Image
from inrvis.targets import MaxError, Psnr, Target, byte_budget

# Finding a size for a quality: what a trial may cost, relative to the training proper, and how
# many dB a doubling of the bytes is taken to bring before anything is measured.
_TRIAL_SHARE = 0.12
_DB_PER_DOUBLING = 2.2
# Longer training finds more than a trial does.
_TRIAL_DEFICIT_DB = 1.0
_MOST_ATTEMPTS = 4
_SMALLEST_BYTES = 6000
# Time that packing, decoding and measuring take, relative to the voxels.
_FINISH_SECONDS_PER_VALUE = 1.2e-6


@dataclass(frozen=True)
class Result:
    """The chosen encoding, as written."""

    encoded: Encoded
    target_met: bool
    device: str


def encode_to_target(
    image: Image,
    path: str | PathLike[str],
    target: Target,
    training: TrainingSettings,
    *,
    device: str = "auto",
    seed: int = 0,
    report: Report | None = None,
    knot_spacing: int = 0,
) -> Result:
    """Encode ``image`` and write it to ``path``; see :func:`inrvis.encode`."""
    if isinstance(target, MaxError):
        raise UsageError("a bound on the error is not supported yet: use --ratio, --bpv or --psnr")
    if not 0 <= knot_spacing <= MAX_SPACING:
        raise UsageError(f"knots {knot_spacing} voxels apart: choose 0 to {MAX_SPACING}")
    if not 0 <= seed < 1 << 63:
        raise UsageError(f"the seed {seed} is not a number from 0 to 2**63 - 1")
    _check_writable(path)
    values = sum(array.size for array in image.arrays.values())
    if training.clocked:
        finish = min(_FINISH_SECONDS_PER_VALUE * values, training.seconds / 2)
        training = replace(training, seconds=training.seconds - finish)
    facts = {"target": target.describe()}
    encoder = VolumeEncoder(
        image, device=device, seed=seed, report=report, facts=facts, knot_spacing=knot_spacing
    )
    original = sum(array.nbytes for array in image.arrays.values())
    if not isinstance(target, Psnr):
        budget = byte_budget(target, original, values) or 0
        encoded = encoder.fit(encoder.train(budget, training), budget)
        met = len(encoded.data) <= budget
    else:
        encoded, met = _search(encoder, target.db, training, original)
    save(encoded, path)
    return Result(encoded, met, encoder.device.type)


def _check_writable(path: str | PathLike[str]) -> None:
    """Fail before the work rather than after it."""
    file = Path(path)
    if not file.parent.is_dir():
        raise OutputError(f"cannot write {file}: the folder {file.parent} does not exist")
    if file.is_dir():
        raise OutputError(f"cannot write {file}: it is a folder; give a file name")


def _worst(encoded: Encoded) -> float:
    return min(metrics.psnr_db for metrics in encoded.metrics.values())


def _search(
    encoder: VolumeEncoder,
    wanted_db: float,
    training: TrainingSettings,
    original_bytes: int,
) -> tuple[Encoded, bool]:
    """Find a small file of at least ``wanted_db``."""
    deadline = time.monotonic() + training.seconds if training.clocked else math.inf
    trial = replace(training, seconds=training.seconds * _TRIAL_SHARE)
    size = max(_SMALLEST_BYTES, original_bytes / 100)
    first = encoder.fit(encoder.train(size, trial), int(size))
    size *= 2 ** ((wanted_db - _worst(first) - _TRIAL_DEFICIT_DB) / _DB_PER_DOUBLING)
    best = first
    for attempt in range(_MOST_ATTEMPTS):
        size = min(max(size, _SMALLEST_BYTES), original_bytes)
        left = deadline - time.monotonic()
        if attempt and left < trial.seconds:
            break
        # A first attempt there must be, even where the trial took all the time.
        left = max(left, trial.seconds)
        proper = replace(training, seconds=min(training.seconds * (1 - _TRIAL_SHARE), left))
        # Weights trained for a somewhat larger file can be rounded coarser, not finer.
        trained = encoder.train(size, proper)
        encoded = _coarsest(encoder, trained, wanted_db)
        if encoded is not None:
            return encoded, True
        best = max(best, encoder.fit(trained, int(size)), key=_worst)
        size *= max(1.3, 2 ** ((wanted_db - _worst(best) + 0.3) / _DB_PER_DOUBLING))
    return best, _worst(best) >= wanted_db


def _coarsest(encoder: VolumeEncoder, trained: Trained, wanted_db: float) -> Encoded | None:
    """Smallest file of ``trained`` that reaches ``wanted_db``, or None if it cannot."""
    quantiser = trained.quantiser
    low, high = quantiser.scale / 4, quantiser.scale * 4
    best = encoder.finish(trained, quantiser.at(low))
    if _worst(best) < wanted_db:
        return None
    for _ in range(6):
        middle = math.sqrt(low * high)
        encoded = encoder.finish(trained, quantiser.at(middle))
        if _worst(encoded) >= wanted_db:
            low, best = middle, encoded
        else:
            high = middle
    return best
