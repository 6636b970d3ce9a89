"""A database of images on its way into a file of pairs: pairing, training, coding."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import override

from inrvis.bitstream.outlines import learn_outlines
from inrvis.container.images_header import CodecHeader
from inrvis.decoder.codes import code_of
from inrvis.decoder.image_graphs import SessionSettings
from inrvis.decoder.pairs import Side
from inrvis.decoder.streams import StreamSource
from inrvis.encoder.images.backgrounds import cut_out
from inrvis.encoder.images.base import DatabaseEncoder, Encoded, normalisation
from inrvis.encoder.images.coding import Coded, PairCoder
from inrvis.encoder.images.export import ExportedPairs, export
from inrvis.encoder.images.model import PairModel
from inrvis.encoder.images.pairing import paired
from inrvis.encoder.images.partners import choose_pairing
from inrvis.encoder.images.settings import (
    EXACT_SIZES,
    ExactSettings,
    ImageTraining,
    PaperSettings,
)
from inrvis.encoder.images.size import choose_size
from inrvis.encoder.images.training import PairTrainer
from inrvis.encoder.images.transform import find_transform, tile_samples
from inrvis.encoder.models.fcnr import PaperModel
from inrvis.encoder.models.fcnr_exact import ExactModel
from inrvis.encoder.training import Report
from inrvis.errors import SourceError, UsageError
from inrvis.sources.database import ImageDatabase

_CODE_LEVELS = 8
# What the size of the exact codec is chosen by.
_PART_OF_WEIGHTS = 0.1
_TYPICAL_BITS_PER_PIXEL = 0.05
_BITS_PER_WEIGHT = 5.0
# What coding and decoding all images takes is multiplied by.
_COMPARING = 1.3


class PairEncoder(DatabaseEncoder):
    """Encodes one database with a codec for pairs.

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
        codec: PaperSettings | ExactSettings | None,
        training: ImageTraining,
        *,
        device: str = "auto",
        seed: int = 0,
        report: Report | None = None,
    ) -> None:
        super().__init__(database, training, device=device, seed=seed, report=report)
        places = database.first_places()
        self._places = [places[image] for image in range(len(database.images))]
        self._covers = False
        if not isinstance(codec, PaperSettings):
            wanted = None if codec is None else codec.covers
            facts = cut_out(self.pictures, [column for _, column in self._places], wanted=wanted)
            if facts is not None:
                self.pictures, self._covers = self.pictures.seen_as(facts), True
            elif wanted:
                raise UsageError(
                    "no image has a background of one colour, a clear alpha or NaN that masks "
                    "could restore: leave out covers"
                )
        # The size may still be chosen.
        self._fixed = codec is not None and codec.channels > 0
        self._codec: PaperSettings | ExactSettings
        self.use(codec if codec and self._fixed else suitable_size(self.total_pixels))
        self._pairing, reach = choose_pairing(
            database,
            self.pictures,
            training.pairing,
            training.trade_off,
            # Where a left image depends on its partner, it can have one alone.
            shared=isinstance(self._codec, ExactSettings) and not self._codec.attention,
            covers=self._covers,
        )
        pair_up = partial(paired, database, self._pairing, reach=reach)
        self.pairs = pair_up()
        self._training_pairs = pair_up(
            every_view=training.every_view, every_time=training.every_time
        )
        self._codes_of_parameters = tuple(map(normalisation, database.parameters))

    def use(self, codec: PaperSettings | ExactSettings) -> None:
        """Take another codec from here on."""
        if isinstance(codec, ExactSettings):
            codec = replace(codec, covers=self._covers)
        self._codec = codec

    def stored_weights(self, settings: ExactSettings) -> int:
        """Weights that a file of a codec of this size holds."""
        return _stored_weights(settings)

    @override
    def settings(self) -> PaperSettings | ExactSettings:
        return self._codec

    @cached_property
    def _tiles(self) -> torch.Tensor:
        generator = torch.Generator().manual_seed(self.seed)
        return tile_samples(self.pictures, self._training_pairs, generator, covers=self._covers)

    def make_model(self) -> PairModel:
        """Return an untrained model, on its device."""
        generator = torch.Generator().manual_seed(self.seed)
        channels = self.pictures.facts.channels
        code_size = 2 * _CODE_LEVELS * len(self.database.parameters)
        if not code_size:
            raise SourceError("the database has no parameters: nothing tells its images apart")
        model: PairModel
        if isinstance(self._codec, PaperSettings):
            model = PaperModel(self._codec, channels, code_size, generator)
        else:
            model = ExactModel(self._codec, channels, code_size, generator)
            model.start_from(
                find_transform(
                    self._tiles, model.latents, model.hyperlatents, self.training.trade_off
                )
            )
        return model.to(self.device)

    @override
    def planned_bytes(self) -> int:
        number: int = sum(p.numel() for p in self.make_model().stored.values())
        raw = isinstance(self._codec, PaperSettings) and self._codec.float_weights
        return round(number * (32 if raw else _BITS_PER_WEIGHT) / 8)

    @override
    def encode(self, output: Path, spent: float) -> Encoded:
        start, training = time.perf_counter() - spent, self.training
        if not self._fixed and not training.steps:
            self.use(choose_size(self, output, training.seconds))
        model = self.make_model()
        trainer = self.trained(
            output,
            start,
            lambda: self.coding_seconds(model),
            lambda seconds: self.trainer(model, seconds),
        )
        exported = self.export(trainer)
        coded = self.code(model, exported)
        # Pair by pair, as a decoder of all images goes.
        order = list(dict.fromkeys(image for pair in self.pairs for image in pair if image >= 0))
        measured = self.measure(self.pack(exported, coded, {}, trainer.steps), order)
        data = self.pack(exported, coded, measured.stored(), trainer.steps)
        both = sum(right >= 0 for _, right in self.pairs)
        return Encoded(data, exported, coded.records, measured, both, trainer.steps)

    def codes(self, image: int, exact: bool) -> NDArray[np.float32]:
        """Code of an image."""
        header = self._code_header(exact)
        return code_of(header, self.database.parameters, self._places[image][0])

    def _code_header(self, exact: bool) -> CodecHeader:
        # Of the codec, codes depend on these facts alone.
        return CodecHeader(
            "", exact, 1, 1, 1, 1, _CODE_LEVELS, self._codes_of_parameters, 0.0, 1.0, {}, ()
        )

    def trainer(self, model: PairModel, seconds: float | None = None) -> PairTrainer:
        """Trainer of a model on the subset of the database; of so many seconds, if given."""
        training = self.training
        return PairTrainer(
            model,
            self.pictures,
            lambda image: self.codes(image, model.exact),
            self._training_pairs,
            training if seconds is None else replace(training, seconds=seconds),
            total_pixels=self.total_pixels,
            seed=self.seed,
            report=self.report,
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
        (first, second), _ = coder.code(pair)
        kind = self.pictures.facts.kinds[pair[0]]
        sides = [
            Side(
                self.codes(image, model.exact),
                StreamSource(source.record(), image, exact=model.exact),
                self.pictures.whole_cover(image) if self._covers else None,
            )
            for image, source in zip(pair, (first, second), strict=True)
            if source is not None
        ]
        latents = networks.latents(kind, sides[0], sides[1] if second is not None else None)
        networks.picture(kind, latents, sides[0].cover)
        networks.picture(kind, latents, sides[-1].cover, right=True)
        for image in set(pair) - {-1}:
            if (mask := self.pictures.mask(image)) is not None:
                learn_outlines([mask]).encode(mask)
        # Comparing with the originals comes on top.
        return _COMPARING * (time.perf_counter() - start) * len(self.pairs)

    def export(self, trainer: PairTrainer) -> ExportedPairs:
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

    def code(self, model: PairModel, exported: ExportedPairs) -> Coded:
        """Code all images with what a decoder on the CPU will run."""
        coder = PairCoder(
            model,
            exported.networks(SessionSettings("cpu")),
            self.pictures,
            lambda image: self.codes(image, model.exact),
        )
        return coder.code_all(self.pairs, self.progress("code"))

    def pack(
        self, exported: ExportedPairs, coded: Coded, metrics: Mapping[str, float], steps: int
    ) -> bytes:
        """Return the whole file."""
        encoding = {
            "steps": steps,
            "trade_off": self.training.trade_off,
            "pairing": self._pairing,
        }
        return self.packed(exported, coded.records, metrics, encoding, self.pairs)


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
