"""Trainings that are fair on a machine with other work: their length is in CPU time, or in steps.

Time by the clock would depend on the load; the encoder's own model of what a step costs favours
many small blocks, which take longer on one thread than it says.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from benchmarks.provenance import ROOT, provenance, save
from inrvis.decoder.blocks import blocks_of
from inrvis.encoder.assembly import Assembly, Encoded, NetworkParts
from inrvis.encoder.models.sci import plan_sci
from inrvis.encoder.rounding import Trained
from inrvis.encoder.sampling import TrainingData
from inrvis.encoder.settings import SciSettings, TrainingSettings
from inrvis.encoder.training import Progress, Report, Trainer, planned_steps
from inrvis.encoder.volume import VolumeEncoder
from inrvis.sources import Image, from_array

# A batch is this fraction of the voxels, within bounds: what the sci model takes by default.
_SHARE, _SMALLEST_BATCH, _LARGEST_BATCH = 64, 2048, 65536
# The encoder never trains fewer steps than it takes to time one.
_NEXT_TO_NOTHING = 1e-9
_LONG = 1e6
# The paper's profile takes larger batches.
_PAPER_SHARE = 8
# Makes an encoder that reports its progress.
Build = Callable[[Report | None], VolumeEncoder]
Record = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """A network as a file takes it, the steps of its training and the CPU seconds of it all."""

    networks: NetworkParts
    steps: int
    cpu_seconds: float


def cropped(image: Image, side: int | None) -> Image:
    """Return the middle of a volume, at most ``side`` voxels along each axis, without geometry."""
    if side is None:
        return image
    (values,) = image.arrays.values()
    middle = tuple(
        slice((n - min(n, side)) // 2, (n - min(n, side)) // 2 + side) for n in values.shape
    )
    return from_array(np.ascontiguousarray(values[middle]))


def train_for(build: Build, voxels: int, file_bytes: int, seconds: float) -> Run:
    """Train for ``seconds`` of a quiet core a network that is quantised to ``file_bytes``.

    A first, short training tells what a step costs; it is not counted. On a busy machine the CPU
    seconds are more.
    """
    batch = min(_LARGEST_BATCH, max(_SMALLEST_BATCH, voxels // _SHARE))
    training = TrainingSettings(seconds=_NEXT_TO_NOTHING, batch=batch, first_batch=batch)
    times: list[tuple[str, float]] = []
    watched = build(lambda progress: times.append((progress.stage, time.process_time())))
    model = watched.train(file_bytes, training).model
    steps = seconds / seconds_a_step(times, training.quantise_start)
    long = planned_steps(model, replace(training, seconds=_LONG))
    encoder = build(None)
    start = time.process_time()
    trained = encoder.train(file_bytes, replace(training, seconds=_LONG * steps / long))
    networks = encoder.fit(trained, file_bytes)
    return Run(networks, trained.steps, time.process_time() - start)


def seconds_a_step(times: Sequence[tuple[str, float]], plain_part: float) -> float:
    """Seconds of the fastest steps with and without a quantiser, in their proportion.

    Other work on the machine slows steps down, even in CPU time, and some steps adjust the rate.
    """
    found = {
        stage: min(
            now - before for (was, before), (is_, now) in pairwise(times) if was == is_ == stage
        )
        for stage in ("train", "quantise")
    }
    return plain_part * found["train"] + (1 - plain_part) * found["quantise"]


def train_as_published(
    assembly: Assembly,
    weight_bytes: int,
    look: Callable[[Record], None],
    *,
    steps: int,
    seed: int,
    fractions: Sequence[float] = (),
) -> None:
    """Train the paper's profile for float32 weights of ``weight_bytes``: the header is on top.

    ``look`` gets a record at the end, and at fractions of the training: a long one that does not
    end has something to show. CPU seconds are without those of looking.
    """
    device = torch.device("cpu")
    image, normalised, settings = assembly.image, assembly.normalised, SciSettings.paper()
    batch = max(_SMALLEST_BATCH, image.grid.number_of_points // _PAPER_SHARE)
    training = TrainingSettings(
        seconds=_LONG,
        batch=min(_LARGEST_BATCH, batch),
        optimiser="adamax",
        adam_rate=1e-3,
    )
    generator = torch.Generator().manual_seed(seed)
    data = TrainingData(normalised.values, device, torch.Generator(device).manual_seed(seed))
    model = plan_sci(settings, normalised, weight_bytes // 4, data, generator)
    long = planned_steps(model, training)
    training = replace(training, seconds=_LONG * max(1, steps) / long)
    encoder = VolumeEncoder(assembly, settings, device="cpu")
    waiting = [round(fraction * steps) for fraction in fractions]
    start = time.process_time()

    def show() -> None:
        nonlocal start
        spent = time.process_time() - start
        networks = encoder.parts(Trained(model, None, trainer.steps), None)
        look(record(assembly.finish(networks), trainer.steps, spent))
        start = time.process_time() - spent

    def watch(_: Progress) -> None:
        if waiting and trainer.steps >= waiting[0]:
            waiting.pop(0)
            show()

    trainer = Trainer(model, training, watch)
    if steps:
        trainer.train(8.0 * weight_bytes, generator)
    show()


def record(encoded: Encoded, steps: int, seconds: float) -> Record:
    """What is kept of an encoding."""
    metrics = next(iter(encoded.metrics.values()))
    models, dimensions = encoded.header.models, encoded.header.grid.dimensions
    return {
        "encoded_bytes": len(encoded.data),
        "psnr_db": metrics.psnr_db,
        "ssim": metrics.ssim,
        "blocks": sum(len(blocks_of(dimensions, model.lattice)) for model in models),
        "widths": [model.settings.get("widths", []) for model in models],
        "parameters": sum(math.prod(t.shape) for model in models for t in model.trunk),
        "steps": steps,
        "training_cpu_seconds": seconds,
    }


def add_results(out: str, place: Sequence[str], settings: Record, runs: Mapping[str, Any]) -> None:
    """Add runs to the results of a file, which another process may add to as well."""
    file = ROOT / "benchmarks" / "results" / f"{out}.json"
    results = json.loads(file.read_text())["results"] if file.exists() else {}
    entry = results
    for name in place:
        entry = entry.setdefault(name, {})
    kept = entry.setdefault("runs", {})
    for name, run in runs.items():
        kept[name] = kept.get(name, {}) | run if place[0] == "profiles" else run
    entry["settings"] = settings
    entry["provenance"] = provenance()
    save(out, results)
