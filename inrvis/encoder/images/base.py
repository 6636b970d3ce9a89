"""A database of images on its way into a file: what all codecs do alike."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from inrvis.container.images_file import Pair, Tables, images_image
from inrvis.container.images_header import CodecHeader, ImageKind, ImagesHeader
from inrvis.container.implicit_header import ImplicitHeader
from inrvis.container.weights import pack_tensors
from inrvis.decoder.images import Images
from inrvis.encoder.devices import torch_device
from inrvis.encoder.images.masks import CodedMasks, coded_masks
from inrvis.encoder.images.pictures import Pictures, look_at
from inrvis.encoder.images.settings import ImageCodec, ImageTraining, describe
from inrvis.encoder.images.stills import Stills, stills
from inrvis.encoder.images.trainer import Checkpoint, ImageTrainer
from inrvis.encoder.training import Progress, Report
from inrvis.errors import SourceError, UsageError
from inrvis.parameters import Parameter
from inrvis.sources.database import ImageDatabase
from inrvis.version import __version__

# Quality at which stills are asked whether a codec of one's own can pay at all.
_PLAIN_PSNR_DB = 38.0
# Part of the stills' bytes that the weights may take.
_MOST_WEIGHTS = 0.4
# Part of a time budget that is the training's, however long the coding of all images takes.
_LEAST_TRAINING = 0.3

TrainerT = TypeVar("TrainerT", bound=ImageTrainer)


@dataclass(frozen=True)
class ExportedCodec:
    """A codec as a file takes it."""

    header: CodecHeader | ImplicitHeader
    graphs: tuple[bytes, ...]
    integers: Mapping[str, NDArray[np.int64]]

    @property
    def weight_bytes(self) -> int:
        """Bytes of the coded weights."""
        return len(pack_tensors(self.header.tensors, self.integers))


@dataclass(frozen=True)
class Measured:
    """What all images of a file decode to, against their originals."""

    psnr_db: float
    worst_psnr_db: float
    max_abs_error: float
    decode_seconds: float

    def stored(self) -> dict[str, float]:
        """As the header keeps it."""
        values = {"psnr_db": self.psnr_db, "worst_psnr_db": self.worst_psnr_db}
        values["max_abs_error"] = self.max_abs_error
        return {k: float(f"{v:.5g}") for k, v in values.items() if math.isfinite(v)}


@dataclass(frozen=True)
class Encoded:
    """A finished file in memory, and what is known of it.

    Attributes
    ----------
    data : bytes
        The file.
    exported : ExportedCodec
        Its codec.
    streams : sequence of bytes
        Its records of images.
    measured : Measured
        Its quality.
    pairs : int
        Pairs of two images.
    steps : int
        Steps of the training.
    """

    data: bytes
    exported: ExportedCodec
    streams: Sequence[bytes]
    measured: Measured
    pairs: int
    steps: int


class DatabaseEncoder(ABC):
    """Encodes one database.

    Parameters
    ----------
    database : ImageDatabase
        The images.
    training : ImageTraining
        For how long, and how.
    device : {"auto", "cpu", "cuda"}
        Where to train.
    seed : int
        Seed of weights and batches.
    report : callable, optional
        Told of the progress.
    """

    def __init__(
        self,
        database: ImageDatabase,
        training: ImageTraining,
        *,
        device: str = "auto",
        seed: int = 0,
        report: Report | None = None,
    ) -> None:
        if not database.images:
            raise SourceError("the database names no images")
        self.database, self.training = database, training
        self.device, self.seed, self.report = torch_device(device), seed, report
        self.pictures = Pictures(database, look_at(database))
        self._psnr_db = 0.0
        self._masks: CodedMasks | None = None

    @abstractmethod
    def settings(self) -> ImageCodec:
        """What is trained."""

    @abstractmethod
    def planned_bytes(self) -> int:
        """Size that is known before the training: of the weights, or of the whole file."""

    @abstractmethod
    def encode(self, output: Path, spent: float) -> Encoded:
        """Train, code and measure.

        Parameters
        ----------
        output : Path
            File to be written, beside which a checkpoint lies.
        spent : float
            Seconds of the time budget that have passed.
        """

    @property
    def total_pixels(self) -> int:
        """Pixels of all images."""
        return sum(k.height * k.width for k in self.pictures.facts.kinds)

    @property
    def original_bytes(self) -> int:
        """Bytes of all images in their own types."""
        return sum(kind.nbytes for kind in self.pictures.facts.kinds)

    def trained(
        self,
        output: Path,
        start: float,
        coding_seconds: Callable[[], float],
        make_trainer: Callable[[float], TrainerT],
    ) -> TrainerT:
        """Train for what the time budget leaves, from the checkpoint if there is one.

        Parameters
        ----------
        output : Path
            File to be written.
        start : float
            When the time budget began, by `time.perf_counter`.
        coding_seconds : callable
            Tells how long all that follows the training will take.
        make_trainer : callable
            Makes the trainer, of so many seconds.
        """
        training, seconds = self.training, self.training.seconds
        if not training.steps:
            reserve = coding_seconds() + time.perf_counter() - start
            seconds = max(seconds - reserve, _LEAST_TRAINING * seconds)
        trainer = make_trainer(seconds)
        trainer.train(self.checkpoint(output))
        self.note(trainer.psnr_db)
        return trainer

    def require_gain(self) -> None:
        """Raise UsageError where the weights alone come near to what stills take."""
        planned = self.planned_bytes()
        found = stills(self.pictures, _PLAIN_PSNR_DB)
        if planned > _MOST_WEIGHTS * found.total_bytes:
            raise UsageError(
                f"too few images to gain: {found.describe()}, and the networks alone would take "
                f"about {planned:,}; keep {found.format}, or force the encoding"
            )

    def stills_at(self, psnr_db: float) -> Stills:
        """Stills of the same quality."""
        return stills(self.pictures, psnr_db)

    def checkpoint(self, output: Path) -> Checkpoint:
        """Where the training of ``output`` is kept."""
        return Checkpoint.beside(
            output,
            describe(self.settings()),
            {**describe(self.training), "seconds": 0},
            [asdict(kind) for kind in self.pictures.facts.kinds],
            [[p.name, p.values] for p in self.database.parameters],
            self.seed,
            str(self.device),
        )

    def packed(
        self,
        exported: ExportedCodec,
        streams: Sequence[bytes],
        metrics: Mapping[str, float],
        encoding: Mapping[str, Any],
        pairs: tuple[Pair, ...] = (),
    ) -> bytes:
        """Return the whole file."""
        kinds = tuple(dict.fromkeys(self.pictures.facts.kinds))
        header = ImagesHeader(
            parameters=self.database.parameters,
            columns=self.database.columns,
            cells=len(self.database.cells),
            images=len(self.pictures),
            pairs=len(pairs),
            kinds=kinds,
            codec=exported.header,
            metrics=metrics,
            encoding={"inrvis": __version__, **describe(self.settings()), **encoding},
        )
        numbers: dict[ImageKind, int] = {kind: i for i, kind in enumerate(kinds)}
        own = tuple(numbers[kind] for kind in self.pictures.facts.kinds)
        if self._masks is None:
            self._masks = coded_masks(self.pictures)
        return images_image(
            header,
            Tables(self.database.cells, own, pairs),
            graphs=exported.graphs,
            integers=exported.integers,
            streams=streams,
            masks=self._masks.records,
            outlines=self._masks.outlines,
        )

    def measure(self, data: bytes, order: Sequence[int] | None = None) -> Measured:
        """Decode all images of a file in memory, in ``order``, and compare."""
        facts = self.pictures.facts
        qualities, largest, seconds = [], 0.0, 0.0
        progress = self.progress("measure")
        with Images("the encoded file", "cpu", data=data) as images:
            numbers = range(images.count) if order is None else order
            for done, image in enumerate(numbers, start=1):
                start = time.perf_counter()
                decoded = images.decode(image)
                seconds += time.perf_counter() - start
                original = self.pictures.pixels(image)
                low, high = (0.0, 255.0) if original.dtype == np.uint8 else facts.limits(image)
                error = np.abs(decoded.astype(np.float64) - original)
                error = error[np.isfinite(original)]
                square = float(np.mean(error**2)) if error.size else 0.0
                qualities.append(_decibels(square, (high - low) or 1.0))
                largest = max(largest, float(error.max(initial=0.0)))
                progress(done / len(numbers))
        return Measured(float(np.mean(qualities)), min(qualities), largest, seconds)

    def progress(self, stage: str) -> Callable[[float], None]:
        """What to tell of the progress of a stage after the training."""
        report = self.report
        if report is None:
            return lambda _: None
        return lambda fraction: report(Progress(fraction, self._psnr_db, stage))

    def note(self, psnr_db: float) -> None:
        """Quality to be shown while images are coded."""
        self._psnr_db = psnr_db


def _decibels(square: float, peak: float) -> float:
    # An exact image counts as 100 dB: a mean of infinities would say nothing of the others.
    return min(100.0, 10 * math.log10(peak**2 / max(square, 1e-30)))


def normalisation(parameter: Parameter) -> tuple[float, float]:
    """Offset and scale that take a parameter to 0 … 1; angles as in the paper."""
    numbers = parameter.numbers
    name = parameter.name.lower()
    if numbers is None:
        return 0.0, 1.0 / max(len(parameter.values) - 1, 1)
    low, high = min(numbers), max(numbers)
    if name == "theta" and low >= -90 and high <= 90:
        return -90.0, 1 / 180
    if name == "phi" and low >= -180 and high <= 180:
        return -180.0, 1 / 360
    return low, 1 / (high - low) if high > low else 1.0
