"""Encode a database of images into a file, and measure what the file gives."""

from __future__ import annotations

import os
import time
from pathlib import Path

from inrvis.container.sections import write_file
from inrvis.encoder.images.encoder import ImageEncoder
from inrvis.encoder.images.report import ImagesReport
from inrvis.encoder.images.settings import ImageCodec, ImageTraining
from inrvis.encoder.images.size import choose_size
from inrvis.encoder.training import Report
from inrvis.sources.database import ImageDatabase

# Part of a time budget that is the training's, however long the coding of all images takes.
_LEAST_TRAINING = 0.3


def encode_images(
    database: ImageDatabase,
    path: str | os.PathLike[str],
    codec: ImageCodec | None = None,
    training: ImageTraining | None = None,
    *,
    device: str = "auto",
    seed: int = 0,
    force: bool = False,
    report: Report | None = None,
) -> ImagesReport:
    """Encode a database of images into an `.inr` file.

    Parameters
    ----------
    database : ImageDatabase
        The images.
    path : path
        The file to write. While the training lasts, a checkpoint lies beside it.
    codec : PaperSettings or ExactSettings, optional
        What to train; the default codec by default.
    training : ImageTraining, optional
        For how long, and how.
    device : {"auto", "cpu", "cuda"}
        Where to train.
    seed : int
        Seed of weights and batches.
    force : bool
        Encode even where stills would be smaller.
    report : callable, optional
        Told of the progress. What it raises ends the encoding; the checkpoint stays.

    Returns
    -------
    ImagesReport
        Measured on the file.

    Raises
    ------
    SourceError
        If an image cannot be read.
    UsageError
        If the settings are no good, or the database is too small to gain.
    OutputError
        If the file cannot be written.
    """
    start = time.perf_counter()
    output = Path(path)
    settings = training or ImageTraining()
    encoder = ImageEncoder(database, codec, settings, device=device, seed=seed, report=report)
    if not force:
        encoder.require_gain(encoder.make_model())
    if codec is None and not settings.steps:
        encoder.use(choose_size(encoder, output, settings.seconds))
    model = encoder.make_model()
    checkpoint = encoder.checkpoint(output)
    seconds = settings.seconds
    if not settings.steps:
        reserve = encoder.coding_seconds(model) + time.perf_counter() - start
        seconds = max(seconds - reserve, _LEAST_TRAINING * seconds)
    trainer = encoder.trainer(model, seconds)
    trainer.train(checkpoint)
    encoder.note(trainer.psnr_db)
    exported = encoder.export(trainer)
    coded = encoder.code(model, exported)
    measured = encoder.measure(encoder.pack(exported, coded, {}, trainer.steps))
    data = encoder.pack(exported, coded, measured.stored(), trainer.steps)
    write_file(output, data)
    checkpoint.path.unlink(missing_ok=True)
    compared = encoder.stills_at(measured.psnr_db)
    original = sum(kind.nbytes for kind in encoder.pictures.facts.kinds)
    return ImagesReport(
        psnr_db=measured.psnr_db,
        worst_psnr_db=measured.worst_psnr_db,
        max_abs_error=measured.max_abs_error,
        bits_per_pixel=8 * len(data) / encoder.total_pixels,
        compression_ratio=original / len(data),
        encoded_bytes=len(data),
        original_bytes=original,
        weight_bytes=exported.weight_bytes,
        stream_bytes=sum(map(len, coded.records)),
        images=len(encoder.pictures),
        pairs=sum(right >= 0 for _, right in encoder.pairs),
        model=exported.header.name,
        parameters=exported.header.parameters,
        steps=trainer.steps,
        encode_seconds=time.perf_counter() - start,
        decode_seconds=measured.decode_seconds,
        device=str(trainer.device),
        stills=compared.describe(),
        stills_bytes=compared.total_bytes,
    )
