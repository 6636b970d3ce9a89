"""A database of images on its way into a file: pairs, training, coding, packing, measuring."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from inrvis.bitstream.masks import encode_mask
from inrvis.container.images_file import Tables, images_image
from inrvis.container.images_header import CodecHeader, ImageKind, ImagesHeader
from inrvis.decoder.codes import code_of
from inrvis.decoder.image_graphs import SessionSettings
from inrvis.decoder.images import Images
from inrvis.decoder.pairs import Side, StreamSource
from inrvis.encoder.images.coding import Coded, LatentSource, PairCoder
from inrvis.encoder.images.export import ExportedCodec, export
from inrvis.encoder.images.model import PairModel
from inrvis.encoder.images.pairing import groups_of, pairs_of
from inrvis.encoder.images.pictures import Pictures, look_at
from inrvis.encoder.images.settings import (
    EXACT_SIZES,
    ExactSettings,
    ImageCodec,
    ImageTraining,
    PaperSettings,
    describe,
)
from inrvis.encoder.images.stills import Stills, stills
from inrvis.encoder.images.training import Checkpoint, PairTrainer
from inrvis.encoder.models.fcnr import PaperModel
from inrvis.encoder.models.fcnr_exact import ExactModel
from inrvis.encoder.training import Progress, Report
from inrvis.encoder.volume import torch_device
from inrvis.errors import SourceError, UsageError
from inrvis.parameters import Parameter
from inrvis.sources.database import ImageDatabase
from inrvis.version import __version__

_CODE_LEVELS = 8
# What the size of the exact codec is chosen by.
_PART_OF_WEIGHTS = 0.1
_TYPICAL_BITS_PER_PIXEL = 0.05
_BITS_PER_WEIGHT = 5.0
# Quality at which stills are asked whether a codec of one's own can pay at all.
_PLAIN_PSNR_DB = 38.0
# Part of the stills' bytes that the weights may take.
_MOST_WEIGHTS = 0.4


@dataclass(frozen=True)
class _Measured:
    psnr_db: float
    worst_psnr_db: float
    max_abs_error: float
    decode_seconds: float

    def stored(self) -> dict[str, float]:
        values = {"psnr_db": self.psnr_db, "worst_psnr_db": self.worst_psnr_db}
        values["max_abs_error"] = self.max_abs_error
        return {k: float(f"{v:.5g}") for k, v in values.items() if math.isfinite(v)}


class ImageEncoder:
    """Encodes one database.

    Parameters
    ----------
    database : ImageDatabase
        The images.
    codec : PaperSettings or ExactSettings, optional
        What to train; by default the exact codec in a suitable size.
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
        codec: ImageCodec | None,
        training: ImageTraining,
        *,
        device: str = "auto",
        seed: int = 0,
        report: Report | None = None,
    ) -> None:
        if not database.images:
            raise SourceError("the database names no images")
        self._database, self._training = database, training
        self._device, self._seed, self._report = torch_device(device), seed, report
        self.pictures = Pictures(database, look_at(database))
        self._codec = codec or suitable_size(self.total_pixels)
        groups = groups_of(database)
        self.pairs = pairs_of(groups, training.pairing)
        subset = [g.every(training.every_view) for g in groups[:: training.every_time]]
        self._training_pairs = pairs_of(subset, training.pairing)
        self._codes_of_parameters = tuple(map(_normalisation, database.parameters))
        self._first_cells = _first_cells(database)
        self._psnr_db = 0.0

    def use(self, codec: ImageCodec) -> None:
        """Take another codec from here on."""
        self._codec = codec

    def stored_weights(self, settings: ExactSettings) -> int:
        """Weights that a file of a codec of this size holds."""
        return _stored_weights(settings)

    @property
    def total_pixels(self) -> int:
        """Pixels of all images."""
        return sum(k.height * k.width for k in self.pictures.facts.kinds)

    def make_model(self) -> PairModel:
        """Return an untrained model, on its device."""
        generator = torch.Generator().manual_seed(self._seed)
        channels = self.pictures.facts.channels
        code_size = 2 * _CODE_LEVELS * len(self._database.parameters)
        if not code_size:
            raise SourceError("the database has no parameters: nothing tells its images apart")
        model: PairModel
        if isinstance(self._codec, PaperSettings):
            model = PaperModel(self._codec, channels, code_size, generator)
        else:
            model = ExactModel(self._codec, channels, code_size, generator)
        return model.to(self._device)

    def require_gain(self, model: PairModel) -> None:
        """Raise UsageError where the weights alone come near to what stills take."""
        number = sum(p.numel() for p in model.stored.values())
        raw = isinstance(self._codec, PaperSettings) and self._codec.float_weights
        weights = round(number * (32 if raw else _BITS_PER_WEIGHT) / 8)
        found = stills(self.pictures, _PLAIN_PSNR_DB)
        if weights > _MOST_WEIGHTS * found.total_bytes:
            raise UsageError(
                f"too few images to gain: {found.describe()}, and the networks alone would take "
                f"about {weights:,}; keep {found.format}, or force the encoding"
            )

    def codes(self, image: int, exact: bool) -> NDArray[np.float32]:
        """Code of an image."""
        header = self._code_header(exact)
        return code_of(header, self._database.parameters, self._first_cells[image])

    def _code_header(self, exact: bool) -> CodecHeader:
        # Of the codec, codes depend on these facts alone.
        return CodecHeader(
            "", exact, 1, 1, 1, 1, _CODE_LEVELS, self._codes_of_parameters, 0.0, 1.0, {}, ()
        )

    def trainer(self, model: PairModel, seconds: float | None = None) -> PairTrainer:
        """Trainer of a model on the subset of the database; of so many seconds, if given."""
        training = self._training
        return PairTrainer(
            model,
            self.pictures,
            lambda image: self.codes(image, model.exact),
            self._training_pairs,
            training if seconds is None else replace(training, seconds=seconds),
            total_pixels=self.total_pixels,
            seed=self._seed,
            report=self._report,
        )

    def coding_seconds(self, model: PairModel) -> float:
        """Time that coding and measuring all images will take, from one pair."""
        exported = self.export(self.trainer(model))
        networks = exported.networks(SessionSettings("cpu"))
        coder = PairCoder(
            model, networks, self.pictures, lambda image: self.codes(image, model.exact)
        )
        pair = self.pairs[0]
        coder.code(pair)  # the first run of a session prepares it
        start = time.perf_counter()
        first, second = coder.code(pair)
        kind = self.pictures.facts.kinds[pair[0]]
        sides = [Side(self.codes(pair[0], model.exact), self._again(first, model))]
        if second is not None:
            sides.append(Side(self.codes(pair[1], model.exact), self._again(second, model)))
        latents = networks.latents(kind, sides[0], sides[1] if second is not None else None)
        networks.picture(kind, latents)
        networks.picture(kind, latents, right=True)
        # Comparing with the originals takes about as long again.
        return 2 * (time.perf_counter() - start) * len(self.pairs)

    @staticmethod
    def _again(source: LatentSource, model: PairModel) -> StreamSource:
        return StreamSource(source.record(), 0, exact=model.exact)

    def checkpoint(self, output: Path) -> Checkpoint:
        """Where the training of ``output`` is kept."""
        return Checkpoint.beside(
            output,
            describe(self._codec),
            {**describe(self._training), "seconds": 0},
            [asdict(kind) for kind in self.pictures.facts.kinds],
            [[p.name, p.values] for p in self._database.parameters],
            self._seed,
            str(self._device),
        )

    def export(self, trainer: PairTrainer) -> ExportedCodec:
        """Graphs and weights of what was trained."""
        raw = isinstance(self._codec, PaperSettings) and self._codec.float_weights
        facts = self.pictures.facts
        return export(
            trainer.model,
            None if raw else trainer.quantiser,
            name=self._codec.name,
            code_levels=_CODE_LEVELS,
            codes=self._codes_of_parameters,
            limits=(facts.low, facts.high),
        )

    def code(self, model: PairModel, exported: ExportedCodec) -> Coded:
        """Code all images with what a decoder on the CPU will run."""
        coder = PairCoder(
            model,
            exported.networks(SessionSettings("cpu")),
            self.pictures,
            lambda image: self.codes(image, model.exact),
        )
        return coder.code_all(self.pairs, self._progress("code"))

    def pack(
        self, exported: ExportedCodec, coded: Coded, metrics: dict[str, float], steps: int
    ) -> bytes:
        """Return the whole file."""
        facts = self.pictures.facts
        kinds = tuple(dict.fromkeys(facts.kinds))
        header = ImagesHeader(
            parameters=self._database.parameters,
            columns=self._database.columns,
            cells=len(self._database.cells),
            images=len(self.pictures),
            pairs=len(self.pairs),
            kinds=kinds,
            codec=exported.header,
            metrics=metrics,
            encoding={
                "inrvis": __version__,
                "steps": steps,
                "trade_off": self._training.trade_off,
                "pairing": self._training.pairing,
                **describe(self._codec),
            },
        )
        numbers: dict[ImageKind, int] = {kind: i for i, kind in enumerate(kinds)}
        tables = Tables(self._database.cells, tuple(numbers[k] for k in facts.kinds), self.pairs)
        masks = {i: m for i in range(len(self.pictures)) if (m := self._mask(i)) is not None}
        return images_image(
            header,
            tables,
            graphs=exported.graphs,
            integers=exported.integers,
            streams=coded.records,
            masks=masks,
        )

    def _mask(self, image: int) -> bytes | None:
        mask = self.pictures.mask(image)
        return None if mask is None else encode_mask(mask)

    def measure(self, data: bytes) -> _Measured:
        """Decode all images of a file in memory, and compare."""
        facts = self.pictures.facts
        qualities, largest, seconds = [], 0.0, 0.0
        progress = self._progress("measure")
        with Images("the encoded file", "cpu", data=data) as images:
            # Pair by pair, as a decoder of all images goes.
            order = [image for pair in self.pairs for image in pair if image >= 0]
            for done, image in enumerate(order, start=1):
                start = time.perf_counter()
                decoded = images.decode(image)
                seconds += time.perf_counter() - start
                original = self.pictures.pixels(image)
                peak = 255.0 if original.dtype == np.uint8 else facts.high - facts.low
                error = np.abs(decoded.astype(np.float64) - original)
                error = error[np.isfinite(original)]
                square = float(np.mean(error**2)) if error.size else 0.0
                qualities.append(_decibels(square, peak or 1.0))
                largest = max(largest, float(error.max(initial=0.0)))
                progress(done / len(order))
        return _Measured(float(np.mean(qualities)), min(qualities), largest, seconds)

    def _progress(self, stage: str) -> Callable[[float], None]:
        report = self._report
        if report is None:
            return lambda _: None
        return lambda fraction: report(Progress(fraction, self._psnr_db, stage))

    def note(self, psnr_db: float) -> None:
        """Quality to be shown while images are coded."""
        self._psnr_db = psnr_db

    def stills_at(self, psnr_db: float) -> Stills:
        """Stills of the same quality."""
        return stills(self.pictures, psnr_db)


def _decibels(square: float, peak: float) -> float:
    # An exact image counts as 100 dB: a mean of infinities would say nothing of the others.
    return min(100.0, 10 * math.log10(peak**2 / max(square, 1e-30)))


def suitable_size(total_pixels: int) -> ExactSettings:
    """Size of the exact codec whose weights take a small part of a file of so many pixels.

    Weights cost about 5 bits each, images about 0.05 bits a pixel: the largest size whose
    weights stay below a tenth of the file, the smallest one otherwise.
    """
    allowed = _PART_OF_WEIGHTS * _TYPICAL_BITS_PER_PIXEL * total_pixels / _BITS_PER_WEIGHT
    fitting = [s for s in EXACT_SIZES.values() if _stored_weights(s) <= allowed]
    return fitting[-1] if fitting else next(iter(EXACT_SIZES.values()))


def _stored_weights(settings: ExactSettings) -> int:
    model = ExactModel(settings, 3, 6 * _CODE_LEVELS, torch.Generator())
    return sum(p.numel() for p in model.stored.values())


def _normalisation(parameter: Parameter) -> tuple[float, float]:
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


def _first_cells(database: ImageDatabase) -> dict[int, Any]:
    first: dict[int, Any] = {}
    for cell in database.cells:
        for image in cell.images:
            if image >= 0:
                first.setdefault(image, cell)
    return first
