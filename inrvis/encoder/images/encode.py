"""Encode a database of images into a file, and measure what the file gives."""

from __future__ import annotations

import os
import time
from pathlib import Path

from inrvis.container.sections import write_file
from inrvis.encoder.images.base import DatabaseEncoder
from inrvis.encoder.images.implicit_encoder import ImplicitEncoder
from inrvis.encoder.images.pair_encoder import PairEncoder
from inrvis.encoder.images.report import ImagesReport
from inrvis.encoder.images.settings import (
    ImageCodec,
    ImageTraining,
    NervSettings,
    image_training,
)
from inrvis.encoder.training import Report
from inrvis.sources.database import ImageDatabase


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
    codec : ExactSettings, PaperSettings or NervSettings, optional
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
    settings = training or image_training(codec=codec)
    encoder: DatabaseEncoder
    if isinstance(codec, NervSettings):
        encoder = ImplicitEncoder(
            database, codec, settings, device=device, seed=seed, report=report
        )
    else:
        encoder = PairEncoder(database, codec, settings, device=device, seed=seed, report=report)
    if not force:
        encoder.require_gain()
    encoded = encoder.encode(output, time.perf_counter() - start)
    write_file(output, encoded.data)
    encoder.checkpoint(output).path.unlink(missing_ok=True)
    measured, exported = encoded.measured, encoded.exported
    compared = encoder.stills_at(measured.psnr_db)
    size = len(encoded.data)
    return ImagesReport(
        psnr_db=measured.psnr_db,
        worst_psnr_db=measured.worst_psnr_db,
        max_abs_error=measured.max_abs_error,
        bits_per_pixel=8 * size / encoder.total_pixels,
        compression_ratio=encoder.original_bytes / size,
        encoded_bytes=size,
        original_bytes=encoder.original_bytes,
        weight_bytes=exported.weight_bytes,
        stream_bytes=sum(map(len, encoded.streams)),
        images=len(encoder.pictures),
        pairs=encoded.pairs,
        model=exported.header.name,
        parameters=exported.header.parameters,
        steps=encoded.steps,
        encode_seconds=time.perf_counter() - start,
        decode_seconds=measured.decode_seconds,
        device=str(encoder.device),
        stills=compared.describe(),
        stills_bytes=compared.total_bytes,
    )
