"""Encode a volume: normalise, train, quantise to the target, write, and measure the file."""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from inrvis.container.header import LatticeHeader, ModelHeader, TensorHeader, VolumeHeader
from inrvis.container.sections import write_file
from inrvis.container.volume_file import volume_image
from inrvis.decoder.blocks import Blocks
from inrvis.decoder.volume import Volume
from inrvis.encoder.export import head_graph, interpolate_graph, trunk_graph
from inrvis.encoder.normalise import Normalised, normalise
from inrvis.encoder.plan import plan_model
from inrvis.encoder.quantise import Quantiser, best_table, scale_for_bits
from inrvis.encoder.sampling import Sampler
from inrvis.encoder.settings import ModelSettings, TrainingSettings
from inrvis.encoder.siren import BlockSiren
from inrvis.encoder.training import Report, Trainer
from inrvis.errors import DeviceError, UsageError
from inrvis.metrics import Metrics, measure
from inrvis.sources import Image
from inrvis.version import __version__

# Bytes that an array's metrics, written last, may add to the header.
_METRICS_BYTES = 64
# What graphs, header and HDF5 take beside the coded weights, for the first plan.
_OVERHEAD_BYTES = 3000
_SMALLEST_BATCH = 2048


@dataclass(frozen=True)
class Encoded:
    """One encoding: the file as bytes, and what its own decoding measures."""

    data: bytes
    metrics: Mapping[str, Metrics]
    header: VolumeHeader
    steps: int
    decode_seconds: float


@dataclass(frozen=True)
class Trained:
    """A trained network with the quantiser it was trained for."""

    model: BlockSiren
    quantiser: Quantiser
    steps: int


def torch_device(device: str) -> torch.device:
    """Torch device for auto, cpu or cuda.

    Raises
    ------
    DeviceError
        If CUDA was demanded and torch cannot use it here.
    UsageError
        If ``device`` is none of the three.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"unknown device {device!r}: choose auto, cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise DeviceError("CUDA was asked for, but torch finds no CUDA device; use --device auto")
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")


class VolumeEncoder:
    """Encodes one image; trains as often as a target needs.

    Parameters
    ----------
    image : Image
        Grid and arrays.
    device : {"auto", "cpu", "cuda"}
        Where to train.
    seed : int
        Seed of weights and batches.
    report : callable, optional
        Told of the progress.
    facts : mapping, optional
        Facts of the encoding to be kept in the file, such as the target.
    knot_spacing : int, optional
        Voxels between the knots at which trunks are evaluated; 0 for every voxel.
    """

    def __init__(
        self,
        image: Image,
        *,
        device: str = "auto",
        seed: int = 0,
        report: Report | None = None,
        facts: Mapping[str, Any] | None = None,
        knot_spacing: int = 0,
    ) -> None:
        self.image, self.seed = image, seed
        self.device = torch_device(device)
        self._normalised: Normalised = normalise(image)
        self._report, self._facts = report, dict(facts or {})
        self._knot_spacing = knot_spacing

    @property
    def channels(self) -> int:
        """Channels of the network."""
        return int(self._normalised.values.shape[-1])

    def train(self, budget_bytes: float, training: TrainingSettings) -> Trained:
        """Train a network whose file takes about ``budget_bytes``."""
        bits = 8 * (budget_bytes - _OVERHEAD_BYTES)
        # On a small volume a large batch sees the same voxels again: take more steps instead.
        few = max(_SMALLEST_BATCH, self.image.grid.number_of_points // 8)
        training = replace(training, batch=min(training.batch, few))
        settings = plan_model(self.image.grid.dimensions, self.channels, bits, self._knot_spacing)
        generator = torch.Generator().manual_seed(self.seed)
        model = BlockSiren(settings, self.channels, generator).to(self.device)
        sampler = Sampler(
            self._normalised.values,
            Blocks.of(self.image.grid.dimensions, _lattice(settings)),
            self.device,
            torch.Generator(self.device).manual_seed(self.seed),
        )
        # Channels have a range of two: a mean squared error of one is that of a peak of two.
        trainer = Trainer(model, sampler, training, 20 * math.log10(2), self._report)
        quantiser = trainer.train(bits, generator)
        return Trained(model, quantiser, trainer.steps)

    def fit(self, trained: Trained, budget_bytes: int) -> Encoded:
        """Quantise as finely as ``budget_bytes`` allow, and measure.

        The size is that of the whole file, exactly.
        """
        tensors = trained.model.tensors()
        room = budget_bytes - _METRICS_BYTES * len(self.image.arrays)
        size = len(self._pack(trained, trained.quantiser))
        coded = 8.0 * (size - _OVERHEAD_BYTES)
        quantiser = trained.quantiser
        best: Quantiser | None = None
        for _ in range(8):
            coded += 8.0 * (room - size)
            quantiser = scale_for_bits(quantiser, tensors, max(coded, 1.0))
            size = len(self._pack(trained, quantiser))
            if size <= room:
                best = quantiser
                if size > 0.995 * room:
                    break
            # Sizes move in words of the stream: aim a little lower than too high.
            coded -= 32
        if best is None:
            raise UsageError(
                f"the smallest file of this volume takes {size} bytes, more than the "
                f"{budget_bytes} allowed: ask for a lower ratio"
            )
        return self.finish(trained, best)

    def finish(self, trained: Trained, quantiser: Quantiser) -> Encoded:
        """Pack with ``quantiser``, decode what was packed with the real decoder, and measure."""
        with tempfile.TemporaryDirectory(prefix="inrvis-") as folder:
            path = Path(folder) / "candidate.inr"
            write_file(path, self._pack(trained, quantiser))
            with Volume(path, device="cpu") as volume:
                start = time.perf_counter()
                decoded = volume.decode_arrays(volume.arrays)
                seconds = time.perf_counter() - start
        metrics = {
            name: measure(array, values)
            for (name, array), values in zip(self.image.arrays.items(), decoded, strict=True)
        }
        header, data = self._packed(trained, quantiser, metrics)
        return Encoded(data, metrics, header, trained.steps, seconds)

    def _header(
        self,
        trained: Trained,
        quantiser: Quantiser,
        integers: Mapping[str, NDArray[np.int64]],
        metrics: Mapping[str, Metrics] | None,
    ) -> VolumeHeader:
        settings = trained.model.settings
        tensors = [
            TensorHeader(
                name,
                _stored_shape(name, values.shape),
                quantiser.step(name),
                best_table(values)[0],
            )
            for name, values in integers.items()
        ]
        model = ModelHeader(
            name="siren",
            lattice=_lattice(settings),
            trunk=tuple(t for t in tensors if t.name.startswith("w")),
            head=tuple(t for t in tensors if t.name.startswith("h")),
            settings={"depth": settings.depth, "width": settings.width},
        )
        arrays = self._normalised.arrays
        if metrics is not None:
            arrays = tuple(
                replace(array, metrics=_stored_metrics(metrics[array.name])) for array in arrays
            )
        return VolumeHeader(
            grid=self.image.grid,
            arrays=arrays,
            model=model,
            times=() if self.image.time is None else (self.image.time,),
            encoding={
                **self._facts,
                "inrvis": __version__,
                "seed": self.seed,
                "steps": trained.steps,
            },
        )

    def _pack(self, trained: Trained, quantiser: Quantiser) -> bytes:
        return self._packed(trained, quantiser)[1]

    def _packed(
        self, trained: Trained, quantiser: Quantiser, metrics: Mapping[str, Metrics] | None = None
    ) -> tuple[VolumeHeader, bytes]:
        integers = quantiser.integers(trained.model.tensors())
        header = self._header(trained, quantiser, integers, metrics)
        graphs = (
            trunk_graph(len(trained.model.trunk)),
            interpolate_graph(),
            head_graph(len(trained.model.head)),
        )
        return header, volume_image(header, graphs, integers, integers)


def _lattice(settings: ModelSettings) -> LatticeHeader:
    return LatticeHeader(settings.blocks, settings.overlap, settings.spacing, settings.features)


def _stored_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    # The graphs work on columns of voxels: biases are columns, too.
    return (*shape, 1) if name.endswith("b") else shape


def _stored_metrics(metrics: Metrics) -> dict[str, float]:
    values = {name: float(f"{value:.5g}") for name, value in asdict(metrics).items()}
    # Infinity (an exact decoding) has no place in JSON.
    return {name: value for name, value in values.items() if np.isfinite(value)}


def save(encoded: Encoded, path: str | os.PathLike[str]) -> None:
    """Write an encoding under its final name."""
    write_file(path, encoded.data)
