"""A database of images on its way into one network that gives them whole."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import override

from inrvis.bitstream.latents import NUMBER_OF_SCALES, LatentEncoder, latent_counts
from inrvis.container.implicit_header import MAX_WAVES, EmbeddingHeader, ImplicitHeader
from inrvis.container.tensors import TensorHeader
from inrvis.decoder.image_graphs import SessionSettings
from inrvis.decoder.implicit import ImplicitNetwork, embedding_tables, values_of
from inrvis.decoder.streams import checksum
from inrvis.encoder.images.base import (
    DatabaseEncoder,
    Encoded,
    ExportedCodec,
    normalisation,
)
from inrvis.encoder.images.implicit_training import ImplicitTrainer, Place
from inrvis.encoder.images.settings import ImageTraining, NervSettings
from inrvis.encoder.models.nerv import EMBEDDING_STEP, NervModel, NervShape, stored_weights
from inrvis.encoder.quantise import Quantiser, best_table, coded_bits, scale_for_bits
from inrvis.encoder.training import Report
from inrvis.errors import UsageError
from inrvis.parameters import CIRCLE_DEG, Parameter, goes_round
from inrvis.sources.database import ImageDatabase
from inrvis.targets import byte_budget

# FCNR's base of frequencies (section 3), and E-NeRV's there.
_BASE = 1.25
# What weights and embeddings cost; a network is the largest that fits then.
_BITS_PER_WEIGHT = 6.0
_BITS_PER_INTEGER = 3.0
_LEAST_BITS_PER_WEIGHT = 2.0
# Finer weights than the papers' 8 bits would buy nothing, however large the target.
_MOST_BITS_PER_WEIGHT = 8.0
# Checksums of records, and the padding of streams to whole words.
_RECORD_BYTES = 8
_WIDTHS = range(4, 513)
# Rows or columns of the first map, whichever are fewer: so many at least.
_LEAST_ROWS = {"e-nerv": 8, "hnerv": 4}
# The quality takes these bytes of the header, once it is known.
_METRICS_BYTES = 64
_TABLE_STEP = 4

Integers = NDArray[np.int64]


class ImplicitEncoder(DatabaseEncoder):
    """Encodes one database as one network.

    Parameters
    ----------
    database : ImageDatabase
        The images.
    codec : NervSettings
        What to train.
    training, device, seed, report
        As in `DatabaseEncoder`.

    Raises
    ------
    UsageError
        If the target is too small for any network.
    """

    def __init__(
        self,
        database: ImageDatabase,
        codec: NervSettings,
        training: ImageTraining,
        *,
        device: str = "auto",
        seed: int = 0,
        report: Report | None = None,
    ) -> None:
        super().__init__(database, training, device=device, seed=seed, report=report)
        if (training.every_view, training.every_time) != (1, 1):
            raise UsageError(
                f"{codec.name} holds the images that it was trained on: leave out --every-view and "
                "--every-time"
            )
        self._codec = codec
        kinds = self.pictures.facts.kinds
        values = sum(k.height * k.width * k.channels for k in kinds)
        self._budget = byte_budget(codec.target, self.original_bytes, values) or 0
        self._header = self._make_header()
        self._shape = self._make_shape()

    @override
    def settings(self) -> NervSettings:
        return self._codec

    @override
    def planned_bytes(self) -> int:
        return self._budget

    @property
    def shape(self) -> NervShape:
        """Sizes of the network."""
        return self._shape

    def make_model(self) -> NervModel:
        """Return an untrained network, on its device."""
        generator = torch.Generator().manual_seed(self.seed)
        return NervModel(self._shape, self.pictures.facts.channels, generator).to(self.device)

    def places(self) -> list[Place]:
        """All places of all images: one that several cells name is learned at each of them."""
        extra = len(self._header.codes) - len(self.database.parameters)
        return [
            Place((*values_of(self.database.parameters, cell), *[float(column)] * extra), image)
            for cell in self.database.cells
            for column, image in enumerate(cell.images)
            if image >= 0
        ]

    def trainer(self, model: NervModel, seconds: float | None = None) -> ImplicitTrainer:
        """Trainer of a network; of so many seconds, if given."""
        training = self.training
        return ImplicitTrainer(
            model,
            self._header,
            self.pictures,
            self.places(),
            training if seconds is None else replace(training, seconds=seconds),
            foreground=self._codec.foreground,
            weight_bits=min(
                8.0 * self._weight_bytes(self._planned_streams()),
                _MOST_BITS_PER_WEIGHT * sum(p.numel() for p in model.stored.values()),
            ),
            seed=self.seed,
            report=self.report,
        )

    @override
    def encode(self, output: Path, spent: float) -> Encoded:
        start, model = time.perf_counter() - spent, self.make_model()
        trainer = self.trained(
            output,
            start,
            lambda: self._coding_seconds(model),
            lambda seconds: self.trainer(model, seconds),
        )
        embeddings = self._embeddings(model)
        header, streams = self._coded(embeddings)
        exported = self._fitting(model, header, trainer.quantiser, streams, trainer.steps)
        measured = self.measure(self.pack(exported, streams, {}, trainer.steps))
        data = self.pack(exported, streams, measured.stored(), trainer.steps)
        return Encoded(data, exported, streams, measured, 0, trainer.steps)

    def pack(
        self,
        exported: ExportedCodec,
        streams: Sequence[bytes],
        metrics: dict[str, float],
        steps: int,
    ) -> bytes:
        """Return the whole file."""
        encoding = {"steps": steps, "target": self._codec.target.describe()}
        return self.packed(exported, streams, metrics, encoding)

    # ------------------------------------------------------------ sizes

    def _make_header(self) -> ImplicitHeader:
        """All of the header that is known before the training."""
        facts, codec = self.pictures.facts, self._codec
        axes = list(self.database.parameters)
        columns = self.database.columns
        if len(columns) > 1:
            axes.append(Parameter("column", columns))
        sides = [min(k.height, k.width) for k in facts.kinds]
        stride = codec.stride or _stride(int(np.median(sides)), _LEAST_ROWS[codec.name])
        cells = max(-(-max(k.height, k.width) // stride) for k in facts.kinds)
        coverage = any(kind.mask for kind in facts.kinds)
        embeds = codec.name == "hnerv"
        return ImplicitHeader(
            name=codec.name,
            channels=facts.channels + coverage,
            coverage=coverage,
            stride=stride,
            codes=tuple(map(_place_on_axis, axes)),
            waves=tuple(map(_waves, axes)),
            grid=_rising(cells),
            embedding=EmbeddingHeader(EMBEDDING_STEP, *[(0,) * codec.embedding] * 2)
            if embeds
            else None,
            low=facts.low,
            high=facts.high,
            tensors=(),
        )

    def _make_shape(self) -> NervShape:
        header = self._header
        shape = NervShape(
            name=self._codec.name,
            width=self._codec.width or _WIDTHS[0],
            stride=header.stride,
            outputs=header.channels,
            code_size=1 + 2 * sum(map(len, header.waves)),
            grid_size=1 + 4 * len(header.grid),
            embedding=len(header.embedding.tables) if header.embedding else 0,
        )
        if self._codec.width:
            self._shape = shape
            self._check(stored_weights(shape))
            return shape
        low, high = 0, len(_WIDTHS) - 1
        while low < high:  # the widest network that fits
            middle = (low + high + 1) // 2
            self._shape = replace(shape, width=_WIDTHS[middle])
            bits = _BITS_PER_WEIGHT * stored_weights(self._shape)
            if bits <= 8 * self._weight_bytes(self._planned_streams()):
                low = middle
            else:
                high = middle - 1
        self._shape = replace(shape, width=_WIDTHS[low])
        self._check(stored_weights(self._shape))
        return self._shape

    def _check(self, weights: int) -> None:
        """Raise UsageError where not even coarse weights fit."""
        least = round(_LEAST_BITS_PER_WEIGHT * weights / 8)
        room = self._weight_bytes(self._planned_streams())
        if room < least:
            raise UsageError(
                f"{self._codec.target.describe()} leaves {self._budget:,} bytes, and "
                f"{self._codec.name} needs {self._budget - room + least:,} for these images: ask "
                "for more, or for a narrower network"
            )

    def _planned_streams(self) -> int:
        """Bytes that the embeddings will take."""
        if not self._shape.embedding:
            return 0
        stride, cells = self._header.stride, 0
        for kind in self.pictures.facts.kinds:
            height, width = kind.padded_to(stride)
            cells += height * width // stride**2
        bits = _BITS_PER_INTEGER * cells * self._shape.embedding
        return round(bits / 8) + _RECORD_BYTES * len(self.pictures)

    def _weight_bytes(self, stream_bytes: int) -> int:
        """Bytes that are left for the weights."""
        empty = self._export(self._untrained(), self._header, None)
        fixed = len(self.pack(empty, [b""] * len(self.pictures), {}, 0)) - empty.weight_bytes
        return self._budget - fixed - stream_bytes - _METRICS_BYTES

    def _untrained(self) -> NervModel:
        return NervModel(self._shape, self.pictures.facts.channels, torch.Generator())

    # ------------------------------------------------------------ coding

    @torch.no_grad()
    def _embeddings(self, model: NervModel) -> list[Integers]:
        """Integers of each image, (1, channels, rows, columns); none without embeddings."""
        if not self._shape.embedding:
            return []
        found, progress = [], self.progress("code")
        for image in range(len(self.pictures)):
            pixels = self.pictures.channels(image, None, self._header.stride)[None]
            integers = model.analyse(torch.from_numpy(pixels).to(self.device))
            found.append(torch.round(integers).long().cpu().numpy())
            progress((image + 1) / len(self.pictures))
        return found

    def _coded(self, embeddings: Sequence[Integers]) -> tuple[ImplicitHeader, list[bytes]]:
        """Records of all images, and the header with the tables that they are coded with."""
        if self._header.embedding is None:
            return self._header, []
        numbers = range(self._shape.embedding)
        channels = [np.concatenate([e[0, c].ravel() for e in embeddings]) for c in numbers]
        offsets = tuple(int(np.median(values)) for values in channels)
        tables = (_table(np.bincount(abs(v - o))) for v, o in zip(channels, offsets, strict=True))
        embedding = EmbeddingHeader(EMBEDDING_STEP, offsets, tuple(tables))
        records = []
        for integers in embeddings:
            symbols = integers - np.array(offsets)[None, :, None, None]
            encoder = LatentEncoder()
            encoder.put(symbols, embedding_tables(embedding, symbols.shape))
            records.append(checksum(symbols).to_bytes(4, "little") + encoder.finish())
        return replace(self._header, embedding=embedding), records

    def _fitting(
        self,
        model: NervModel,
        header: ImplicitHeader,
        quantiser: Quantiser | None,
        streams: Sequence[bytes],
        steps: int,
    ) -> ExportedCodec:
        """The codec with weights as fine as the target allows, but not finer than trained."""
        if quantiser is None:
            raise ValueError("the training has not ended")
        tensors = dict(model.stored.items())
        exported = self._export(model, header, quantiser)
        bits = coded_bits(quantiser, tensors)
        # An entropy is no file: streams end at whole words, and the header's steps differ.
        for _ in range(6):
            excess = len(self.pack(exported, streams, {}, steps)) + _METRICS_BYTES - self._budget
            if excess <= 0:
                break
            bits -= 8 * (excess + 8)
            quantiser = scale_for_bits(quantiser, tensors, bits)
            exported = self._export(model, header, quantiser)
        return exported

    def _export(
        self, model: NervModel, header: ImplicitHeader, quantiser: Quantiser | None
    ) -> ExportedCodec:
        """Graph and integers; without a quantiser, of a network that is only to be measured."""
        graph, names = model.graph()
        integers, tensors = {}, []
        for name in names:
            tensor = model.stored[name].detach().cpu()
            step = 1.0 if quantiser is None else quantiser.step(name)
            integers[name] = torch.round(tensor.double() / step).long().numpy()
            table = best_table(integers[name])[0]
            tensors.append(TensorHeader(name, tuple(tensor.shape), step, table))
        return ExportedCodec(replace(header, tensors=tuple(tensors)), (graph,), integers)

    def _coding_seconds(self, model: NervModel) -> float:
        """Time that coding and measuring all images will take, from one image."""
        exported = self._export(model, self._header, None)
        weights = {name: values.astype(np.float32) for name, values in exported.integers.items()}
        network = ImplicitNetwork(self._header, exported.graphs, weights, SessionSettings("cpu"))
        kind = self.pictures.facts.kinds[0]
        values = self.places()[0].values
        embedding = None
        if self._shape.embedding:
            height, width = kind.padded_to(self._header.stride)
            stride = self._header.stride
            shape = (1, self._shape.embedding, height // stride, width // stride)
            embedding = np.zeros(shape, dtype=np.float32)
        network.picture(kind, values, embedding)  # the first run of a session prepares it
        start = time.perf_counter()
        network.picture(kind, values, embedding)
        # Analysis, comparison and reading of the original take about as long again.
        return 2 * (time.perf_counter() - start) * len(self.pictures)


def _stride(side: int, rows: int) -> int:
    """Largest stride of which ``rows`` fit into ``side``, from 8 to 64 or 128."""
    stride = 8
    while 2 * stride * rows <= side and stride < 128:
        stride *= 2
    return stride


def _place_on_axis(axis: Parameter) -> tuple[float, float]:
    """Offset and scale; an azimuth goes from 0 to 1 in a whole turn."""
    if goes_round(axis) and axis.numbers is not None:
        return min(axis.numbers), 1 / CIRCLE_DEG
    return normalisation(axis)


def _waves(axis: Parameter) -> tuple[float, ...]:
    """Frequencies that the stored values of an axis can tell apart."""
    number = len(axis.values)
    if number < 2:
        return ()
    if goes_round(axis):
        # Whole turns alone: the network then knows that the last value is next to the first.
        turns = dict.fromkeys(round(f) for f in _rising(number / 2))
        return tuple(2.0 * turn for turn in turns)
    return _rising(number - 1)


def _rising(most: float) -> tuple[float, ...]:
    """Powers of the base from 1 up to ``most``, at least the first."""
    waves = [1.0]
    while waves[-1] * _BASE <= most and len(waves) < MAX_WAVES:
        waves.append(waves[-1] * _BASE)
    return tuple(waves)


def _table(magnitudes: Integers) -> int:
    """Table of latents, of every fourth, that is the best one for these counts of magnitudes."""
    return min(range(0, NUMBER_OF_SCALES, _TABLE_STEP), key=lambda t: _bits(magnitudes, t))


def _bits(magnitudes: Integers, table: int) -> float:
    counts = latent_counts(table)
    reach = (len(counts) - 2) // 2
    lengths = np.full(len(magnitudes), 52.0)
    inside = min(reach + 1, len(magnitudes))
    lengths[:inside] = -np.log2(counts[reach : reach + inside] / counts.sum())
    return float(magnitudes @ lengths)
