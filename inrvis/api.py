"""The two calls of the library: open and encode."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from inrvis.errors import UsageError
from inrvis.files import replacing
from inrvis.report import EncodeReport, joined
from inrvis.targets import Target

if TYPE_CHECKING:
    from inrvis.decoder.images import Images
    from inrvis.decoder.series import Series
    from inrvis.decoder.sessions import Device
    from inrvis.decoder.volume import Volume
    from inrvis.encoder.images.report import ImagesReport
    from inrvis.encoder.images.settings import ImageCodec, ImageTraining
    from inrvis.encoder.rate_control import Mode
    from inrvis.encoder.settings import ModelChoice
    from inrvis.encoder.training import Progress


@overload
def open(  # noqa: A001
    path: str | os.PathLike[str], *, time_index: int, device: Device = ...
) -> Volume: ...
@overload
def open(  # noqa: A001
    path: str | os.PathLike[str], *, time_index: None = None, device: Device = ...
) -> Volume | Series | Images: ...
def open(  # noqa: A001
    path: str | os.PathLike[str], *, time_index: int | None = None, device: Device = "auto"
) -> Volume | Series | Images:
    """Open an `.inr` file for decoding.

    Parameters
    ----------
    path : path
        The file.
    time_index : int, optional
        Open this step of a series, counted from 0; of a file of one volume, 0 is the volume.
    device : {"auto", "cpu", "cuda"}
        Where to decode; auto takes CUDA where ONNX Runtime can use it.

    Returns
    -------
    Volume, Series or Images
        A context manager. A file of several time steps is a `Series` unless a step is named:
        ``series.times``, ``len(series)``, and ``series[k]``, a `Volume`. A file of a
        database of images is `Images`.

    Raises
    ------
    FormatError
        If it is not a sound `.inr` file.
    UsageError
        If there is no such step.
    DeviceError
        If CUDA was demanded and cannot be used.
    """
    from inrvis.container.series_file import read_kind
    from inrvis.decoder.series import Series
    from inrvis.decoder.volume import Volume

    if time_index is not None:
        return Volume(path, device, time_index)
    if (kind := read_kind(path)) == "images":
        from inrvis.decoder.images import Images

        return Images(path, device)
    return Series(path, device) if kind == "series" else Volume(path, device)


@overload
def encode(
    source: Any,
    path: str | os.PathLike[str],
    *,
    target: Target,
    arrays: Sequence[str] | None = ...,
    model: ModelChoice | ImageCodec = ...,
    preset: str = ...,
    time_budget: float | None = ...,
    device: str = ...,
    seed: int = ...,
    progress: Callable[[Progress], None] | None = ...,
    dimensions: tuple[int, int, int] | None = ...,
    dtype: str | None = ...,
    knot_spacing: int = ...,
    mode: Mode = ...,
    start: str | os.PathLike[str] | Volume | None = ...,
    warm_start: bool = ...,
) -> EncodeReport: ...
@overload
def encode(
    source: Any,
    path: str | os.PathLike[str],
    *,
    target: None = None,
    arrays: Sequence[str] | None = ...,
    model: ModelChoice | ImageCodec = ...,
    preset: str = ...,
    time_budget: float | None = ...,
    device: str = ...,
    seed: int = ...,
    progress: Callable[[Progress], None] | None = ...,
    dimensions: tuple[int, int, int] | None = ...,
    dtype: str | None = ...,
    knot_spacing: int = ...,
    mode: Mode = ...,
    start: str | os.PathLike[str] | Volume | None = ...,
    warm_start: bool = ...,
) -> ImagesReport: ...
def encode(
    source: Any,
    path: str | os.PathLike[str],
    *,
    target: Target | None = None,
    arrays: Sequence[str] | None = None,
    model: ModelChoice | ImageCodec = "auto",
    preset: str = "balanced",
    time_budget: float | None = None,
    device: str = "auto",
    seed: int = 0,
    progress: Callable[[Progress], None] | None = None,
    dimensions: tuple[int, int, int] | None = None,
    dtype: str | None = None,
    knot_spacing: int = 0,
    mode: Mode = "write",
    start: str | os.PathLike[str] | Volume | None = None,
    warm_start: bool = True,
) -> EncodeReport | ImagesReport:
    """Encode a volume, several time steps of one, or a database of images into an `.inr` file.

    Parameters
    ----------
    source : path, ndarray, vtkImageData, Image, or a list of these
        A file that `inrvis.sources` reads, values of shape (nz, ny, nx[, components]), or an
        image in memory. A list, or a `.pvd` file, makes a series: a time step each, in this
        order, at their own times or, where they have none, one after the step before.
    path : path
        The file to write.
    target : Ratio, BitRate, Psnr or MaxError
        Size or quality to reach, or the bound to keep; of each step. A database of images (a
        Cinema folder or an ImageDatabase) takes none: see `encode_images`, which it goes to.
    arrays : sequence of str, optional
        Arrays to keep; all by default. They share one network, or have one each: short
        trainings tell which is better.
    model : {"auto", "siren", "fourier", "sci", "none"}, FourierSettings or SciSettings
        What holds the volume: a network, coded layers alone ("none"), or, with "auto", whatever
        keeps the target best. The settings are in `inrvis.encoder.settings`.
    preset : {"fast", "balanced", "best"}
        How long to train.
    time_budget : float, optional
        Seconds for the whole encoding of a step, by the clock, instead of the preset's length.
        Equal seeds then no longer give equal files.
    device : {"auto", "cpu", "cuda"}
        Where to train.
    seed : int
        Equal seeds give equal files on the same machine.
    progress : callable, optional
        Called often with the fraction done and the current PSNR. What it raises ends the
        encoding and leaves nothing behind.
    dimensions, dtype : optional
        Of a raw file: (nx, ny, nz) and a numpy type such as ``">u2"``.
    knot_spacing : int, optional
        Evaluate the network at knots this many voxels apart, and interpolate: 2 decodes several
        times faster and costs about 1 dB. 0, the default, evaluates it at every voxel.
    mode : {"write", "append", "restart"}
        Whether to write a new file; to append to a series the next time step, where a file that
        is not there is made, and one volume counts as the first step; or to append after dropping
        steps that are not before the new one, as when a run goes on from a checkpoint. A reader,
        or a crash, meets the file with either all steps that were finished or these and the new
        one.
    start : path or Volume, optional
        A file, of a series its last step, or an open volume, whose network to start from. It is
        used where the model is a SIREN of the same architecture, and nearer to the values than
        their mean; with a Psnr target the training is then as short as it can be.
    warm_start : bool
        Whether an appended step, without a `start`, starts from the last step's network.

    Returns
    -------
    EncodeReport, or ImagesReport of a database
        Measured on the written file; of an appended step, with the bytes by which the file has
        grown. Where a Psnr target is out of reach the best file is written and ``target_met`` is
        False.

    Raises
    ------
    SourceError, UsageError, ArrayNotFoundError
        If the input or the settings are no good, or a step does not fit the series.
    FormatError
        If a file to append to or to start from cannot be read.
    OutputError
        If the file cannot be written.
    """
    if _is_database(source):
        return _encode_images(
            source,
            path,
            target=target,
            model=model,
            arrays=arrays,
            preset=preset,
            time_budget=time_budget,
            device=device,
            seed=seed,
            progress=progress,
        )
    if target is None:
        raise UsageError("say what the file is to reach: a Ratio, BitRate, Psnr or MaxError")
    from inrvis.encoder.images.settings import ImageCodec
    from inrvis.encoder.rate_control import encode_to_target
    from inrvis.encoder.settings import training_settings

    if isinstance(model, ImageCodec):
        raise UsageError("codecs of images encode databases of images, and no volumes")
    if mode not in ("write", "append", "restart"):
        raise UsageError(f"unknown mode {mode!r}: choose write, append or restart")
    training = training_settings(preset, time_budget)

    def encode_one(source: Any, path: Path, mode: Mode, start: Any) -> EncodeReport:
        began = time.perf_counter()
        image = _image(source, arrays, dimensions, dtype)
        if mode != "write":
            image = _step_of(path, image, mode)
            if start is None and warm_start and model != "none" and path.exists():
                start = path
        weights = None
        if start is not None:
            from inrvis.encoder.start import start_from

            weights = start_from(start)
        result = encode_to_target(
            image,
            path,
            target,
            training,
            model=model,
            device=device,
            seed=seed,
            report=progress,
            knot_spacing=knot_spacing,
            start=weights,
            mode=mode,
        )
        return EncodeReport.of(result, image, target, time.perf_counter() - began)

    steps = _steps(source)
    if steps is None:
        return encode_one(source, Path(path), mode, start)
    if mode != "write":
        reports = [encode_one(step, Path(path), mode, start) for step in steps]
        return joined(reports)
    # What takes the file's name in the end is all of the series.
    with replacing(path) as temporary:
        temporary.unlink()
        reports = [
            encode_one(step, temporary, "append", None if number else start)
            for number, step in enumerate(steps)
        ]
    return joined(reports)


def encode_images(
    source: Any,
    path: str | os.PathLike[str],
    *,
    codec: ImageCodec | None = None,
    training: ImageTraining | None = None,
    device: str = "auto",
    seed: int = 0,
    force: bool = False,
    columns: Sequence[str] | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> ImagesReport:
    """Encode a database of images into an `.inr` file.

    While it is trained, a checkpoint lies beside ``path``; the same call goes on from it after
    an interruption.

    Parameters
    ----------
    source : path or ImageDatabase
        A Cinema database (specification D), or one in memory.
    path : path
        The file to write.
    codec : ExactSettings, PaperSettings or NervSettings, optional
        What to train (`inrvis.encoder.images.settings`); by default the exact codec in the size
        that suits the database.
    training : ImageTraining, optional
        For how long, and how: 15 minutes by default.
    device : {"auto", "cpu", "cuda"}
        Where to train.
    seed : int
        Seed of weights and batches.
    force : bool
        Encode even where single images would be smaller.
    columns : sequence of str, optional
        Columns of a Cinema table to keep; all by default.
    progress : callable, optional
        Called often with the fraction done and the current PSNR.

    Returns
    -------
    ImagesReport
        Measured on the written file.

    Raises
    ------
    SourceError
        If the database or one of its images cannot be read.
    UsageError
        If the settings are no good, or the database is too small to gain.
    OutputError
        If the file cannot be written.
    """
    from inrvis.encoder.images.encode import encode_images as encode_database
    from inrvis.sources import cinema

    if isinstance(source, str | os.PathLike):
        source = cinema.read(source, columns=columns)
    return encode_database(
        source,
        path,
        codec,
        training,
        device=device,
        seed=seed,
        force=force,
        report=progress,
    )


def _encode_images(source: Any, path: str | os.PathLike[str], **options: Any) -> ImagesReport:
    """Encode a database with the options of `encode`."""
    from inrvis.encoder.images.settings import ImageCodec, image_training

    codec = None if options["model"] == "auto" else options["model"]
    if options["target"] is not None:
        raise UsageError(
            "a database of images takes no target here: choose the quality by the trade-off of its "
            "training (inrvis.encode_images), or the size by NervSettings(target=...)"
        )
    if codec is not None and not isinstance(codec, ImageCodec):
        raise UsageError(
            "a database of images takes ExactSettings, PaperSettings or NervSettings for a model"
        )
    return encode_images(
        source,
        path,
        codec=codec,
        training=image_training(options["preset"], options["time_budget"], codec),
        device=options["device"],
        seed=options["seed"],
        columns=options["arrays"],
        progress=options["progress"],
    )


def _is_database(source: Any) -> bool:
    from inrvis.sources.cinema import is_database
    from inrvis.sources.database import ImageDatabase

    if isinstance(source, str | os.PathLike):
        return is_database(source)
    return isinstance(source, ImageDatabase)


def _step_of(path: Path, image: Any, mode: Mode) -> Any:
    """Image with the time at which it is appended; one that does not fit is refused at once."""
    from inrvis.container.series_file import (
        SeriesHeader,
        StepArray,
        check_fits,
        next_time,
        read_series,
    )
    from inrvis.sources import Image

    header = read_series(path).header if path.exists() else None
    if header is not None and not header.times:
        header = replace(header, times=(0.0,))
    if header is not None and mode == "restart" and image.time is not None:
        header = header.before(image.time)
    step = SeriesHeader(
        image.grid,
        tuple(
            StepArray(name, values.dtype.name, 1 if values.ndim == 3 else values.shape[3])
            for name, values in image.arrays.items()
        ),
        (next_time(header, image.time),),
    )
    if header is not None:
        check_fits(header, step, path)
    return Image(image.grid, image.arrays, step.times[0])


def _steps(source: Any) -> Sequence[Any] | None:
    """Time steps of a source that is several; None for a single one."""
    from inrvis.sources import pvd

    if isinstance(source, str | os.PathLike) and os.fspath(source).lower().endswith(".pvd"):
        return pvd.read_steps(os.fspath(source))
    if not isinstance(source, list | tuple):
        return None
    if not source:
        raise UsageError("there is no time step to encode: give at least one source")
    return source


def _image(
    source: Any,
    arrays: Sequence[str] | None,
    dimensions: tuple[int, int, int] | None,
    dtype: str | None,
) -> Any:
    from inrvis import sources
    from inrvis.sources.pvd import TimeStep

    if isinstance(source, TimeStep):
        image = sources.read(source.path, arrays=arrays, dimensions=dimensions, dtype=dtype)
        return sources.Image(image.grid, image.arrays, source.time)
    if isinstance(source, str | os.PathLike):
        return sources.read(os.fspath(source), arrays=arrays, dimensions=dimensions, dtype=dtype)
    if isinstance(source, np.ndarray):
        image = sources.from_array(source)
    elif isinstance(source, sources.Image):
        image = source
    elif hasattr(source, "IsA") and source.IsA("vtkImageData"):
        image = sources.from_vtk(source)
    else:
        raise UsageError(
            f"cannot encode a {type(source).__name__}: give a path, a numpy array or vtkImageData"
        )
    return image.select(arrays) if arrays else image
