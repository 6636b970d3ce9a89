"""The two calls of the library: open and encode."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from inrvis.errors import UsageError
from inrvis.metrics import Metrics, bits_per_value, compression_ratio
from inrvis.targets import Target

if TYPE_CHECKING:
    from inrvis.decoder.series import Series
    from inrvis.decoder.sessions import Device
    from inrvis.decoder.volume import Volume
    from inrvis.encoder.settings import ModelChoice
    from inrvis.encoder.training import Progress


@dataclass(frozen=True)
class EncodeReport:
    """What an encoding gave, measured on the written file.

    Attributes
    ----------
    psnr_db, max_abs_error, nrmse, ssim : float
        Quality; of the worst array when there are several.
    compression_ratio, bits_per_value : float
        From the size on disk and the source's own type.
    encoded_bytes, original_bytes : int
        Size of the file, and of the values in the source's type.
    model : str
        Name of the model.
    parameters : int
        Its weights and biases.
    encode_seconds, decode_seconds : float
        Wall time of the whole encoding and of one whole decoding.
    device : str
        Where it was trained.
    target : str
        What was asked for.
    target_met : bool
        Whether the file keeps it.
    arrays : dict of str to Metrics
        Quality of each array.
    """

    psnr_db: float
    max_abs_error: float
    nrmse: float
    ssim: float
    compression_ratio: float
    bits_per_value: float
    encoded_bytes: int
    original_bytes: int
    model: str
    parameters: int
    encode_seconds: float
    decode_seconds: float
    device: str
    target: str
    target_met: bool
    arrays: dict[str, Metrics] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary for JSON; ``arrays`` only when there are several."""
        values = asdict(self)
        if len(self.arrays) == 1:
            del values["arrays"]
        return values


@overload
def open(  # noqa: A001
    path: str | os.PathLike[str], *, time_index: int, device: Device = ...
) -> Volume: ...
@overload
def open(  # noqa: A001
    path: str | os.PathLike[str], *, time_index: None = None, device: Device = ...
) -> Volume | Series: ...
def open(  # noqa: A001
    path: str | os.PathLike[str], *, time_index: int | None = None, device: Device = "auto"
) -> Volume | Series:
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
    Volume or Series
        A context manager. A file of several time steps is a `Series` unless a step is named:
        ``series.times``, ``len(series)``, and ``series[k]``, a `Volume`.

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
    return Series(path, device) if read_kind(path) == "series" else Volume(path, device)


def encode(
    source: Any,
    path: str | os.PathLike[str],
    *,
    target: Target,
    arrays: Sequence[str] | None = None,
    model: ModelChoice = "auto",
    preset: str = "balanced",
    time_budget: float | None = None,
    device: str = "auto",
    seed: int = 0,
    progress: Callable[[Progress], None] | None = None,
    dimensions: tuple[int, int, int] | None = None,
    dtype: str | None = None,
    knot_spacing: int = 0,
) -> EncodeReport:
    """Encode a volume into an `.inr` file.

    Parameters
    ----------
    source : path, ndarray, vtkImageData or Image
        A file that `inrvis.sources` reads, values of shape (nz, ny, nx[, components]), or an
        image in memory.
    path : path
        The file to write.
    target : Ratio, BitRate, Psnr or MaxError
        Size or quality to reach, or the bound to keep.
    arrays : sequence of str, optional
        Arrays to keep; all by default. They share one network.
    model : {"auto", "siren", "fourier", "sci", "none"}, FourierSettings or SciSettings
        What holds the volume: a network, coded layers alone ("none"), or, with "auto", whatever
        keeps the target best. The settings are in `inrvis.encoder.settings`.
    preset : {"fast", "balanced", "best"}
        How long to train.
    time_budget : float, optional
        Seconds for the whole encoding, by the clock, instead of the preset's length. Equal
        seeds then no longer give equal files.
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

    Returns
    -------
    EncodeReport
        Measured on the written file. Where a Psnr target is out of reach the best file is
        written and ``target_met`` is False.

    Raises
    ------
    SourceError, UsageError, ArrayNotFoundError
        If the input or the settings are no good.
    OutputError
        If the file cannot be written.
    """
    from inrvis.encoder.rate_control import encode_to_target
    from inrvis.encoder.settings import training_settings

    start = time.perf_counter()
    training = training_settings(preset, time_budget)
    image = _image(source, arrays, dimensions, dtype)
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
    )
    header, metrics = result.encoded.header, result.encoded.metrics
    encoded_bytes = Path(path).stat().st_size
    values = sum(array.size for array in image.arrays.values())
    return EncodeReport(
        psnr_db=min(m.psnr_db for m in metrics.values()),
        max_abs_error=max(m.max_abs_error for m in metrics.values()),
        nrmse=max(m.nrmse for m in metrics.values()),
        ssim=min(m.ssim for m in metrics.values()),
        compression_ratio=compression_ratio(header.original_bytes, encoded_bytes),
        bits_per_value=bits_per_value(encoded_bytes, values),
        encoded_bytes=encoded_bytes,
        original_bytes=header.original_bytes,
        model=header.model_name,
        parameters=header.parameters,
        encode_seconds=time.perf_counter() - start,
        decode_seconds=result.encoded.decode_seconds,
        device=result.device,
        target=target.describe(),
        target_met=result.target_met,
        arrays=dict(metrics),
    )


def _image(
    source: Any,
    arrays: Sequence[str] | None,
    dimensions: tuple[int, int, int] | None,
    dtype: str | None,
) -> Any:
    from inrvis import sources

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
