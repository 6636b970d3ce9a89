"""How far decoded values are from the original ones, and what they cost.

Everything is accumulated over small chunks in float64, so that measuring needs little memory next
to the two arrays. Values where the original is NaN, and infinities that were kept, are left out. A
decoded value that is NaN where the original is not, or infinite where the original is finite, is
an infinite error.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from inrvis.errors import UsageError

__all__ = [
    "Metrics",
    "bits_per_value",
    "compression_ratio",
    "max_abs_error",
    "measure",
    "nrmse",
    "psnr_db",
    "ssim",
]

Values: TypeAlias = npt.NDArray[Any]

_CHUNK_VALUES = 1 << 20
_SSIM_WINDOW = 7
# Offsets beyond so many peaks would drown the variance in the rounding of their squares.
_LARGE_OFFSET = 1000.0


@dataclass(frozen=True)
class Metrics:
    """The four measures of `measure`.

    Attributes
    ----------
    psnr_db, max_abs_error, nrmse, ssim : float
        See the functions of the same names.
    """

    psnr_db: float
    max_abs_error: float
    nrmse: float
    ssim: float


def psnr_db(original: Values, decoded: Values) -> float:
    """Peak signal-to-noise ratio in decibels.

    The peak is the range of the original: its largest minus its smallest finite value, over all
    components. A constant original has no range; its peak is taken as 1.

    Parameters
    ----------
    original, decoded : ndarray
        Real arrays of the same shape, of any integer, float or bool type.

    Returns
    -------
    float
        Decibels; ``inf`` when no value differs, ``-inf`` for an infinite error.

    Raises
    ------
    UsageError
        If the shapes differ or a type is not real.
    """
    return _psnr_from_nrmse(nrmse(original, decoded))


def max_abs_error(original: Values, decoded: Values) -> float:
    """Largest absolute difference, in the units of the data.

    Parameters and errors are those of `psnr_db`.
    """
    return _errors(original, decoded)[0]


def nrmse(original: Values, decoded: Values) -> float:
    """Root-mean-square error divided by the peak that `psnr_db` uses.

    Parameters and errors are those of `psnr_db`.
    """
    return _errors(original, decoded)[1]


def ssim(original: Values, decoded: Values) -> float:
    """Mean structural similarity (Wang 2004) with a uniform window of 7 points a side.

    The window spans all axes longer than 1 and shrinks to the shortest of them when that is below
    7. The dynamic range is the peak that `psnr_db` uses; values that lie more than a thousand
    peaks from zero are taken from their smallest one. Arrays with a component axis yield the mean
    over components. Points whose original is NaN, and infinities that were kept, count as
    equal; any other value that is not finite makes the result 0.

    Parameters
    ----------
    original, decoded : (nz, ny, nx) or (nz, ny, nx, c) ndarray
        Real arrays of the same shape.

    Returns
    -------
    float
        At most 1, which means identical.

    Raises
    ------
    UsageError
        If the shapes differ, a type is not real, an array has not 3 or 4 axes, or scikit-image is
        not installed.
    """
    _check(original, decoded)
    if original.ndim not in (3, 4):
        raise UsageError(f"SSIM needs the shape (z, y, x) or (z, y, x, c), not {original.shape}")
    if original.size == 0:
        return 1.0
    low, peak = _range(original)
    if original.ndim == 3:
        return _ssim_scalar(original, decoded, low, peak)
    parts = [
        _ssim_scalar(original[..., c], decoded[..., c], low, peak) for c in range(original.shape[3])
    ]
    return sum(parts) / len(parts)


def measure(original: Values, decoded: Values, *, structure: bool = True) -> Metrics:
    """All measures of quality at once.

    Parameters and errors are those of `ssim`, which takes longer than the others: without
    ``structure`` it is NaN.
    """
    largest, normalised = _errors(original, decoded)
    return Metrics(
        psnr_db=_psnr_from_nrmse(normalised),
        max_abs_error=largest,
        nrmse=normalised,
        ssim=ssim(original, decoded) if structure else math.nan,
    )


def bits_per_value(encoded_bytes: int, n_values: int) -> float:
    """Bits of the file for each value of the source.

    Raises
    ------
    UsageError
        If `n_values` is not positive.
    """
    if n_values <= 0:
        raise UsageError(f"bits per value need a positive number of values, not {n_values}")
    return 8 * encoded_bytes / n_values


def compression_ratio(original_bytes: int, encoded_bytes: int) -> float:
    """Size of the source divided by the size of the file.

    Raises
    ------
    UsageError
        If `encoded_bytes` is not positive.
    """
    if encoded_bytes <= 0:
        raise UsageError(f"a ratio needs a positive number of encoded bytes, not {encoded_bytes}")
    return original_bytes / encoded_bytes


def _psnr_from_nrmse(normalised: float) -> float:
    if normalised == 0:
        return math.inf
    return -20 * math.log10(normalised) if math.isfinite(normalised) else -math.inf


def _check(original: Values, decoded: Values) -> None:
    if original.shape != decoded.shape:
        raise UsageError(
            f"the shapes {original.shape} and {decoded.shape} differ; compare arrays of one grid"
        )
    for array in (original, decoded):
        if array.dtype.kind not in "biuf":
            raise UsageError(f"cannot measure errors of type {array.dtype}; give real numbers")


def _chunks(*arrays: Values, dtype: npt.DTypeLike = np.float64) -> Iterator[tuple[Values, ...]]:
    """Pieces of the flattened arrays as ``dtype``, copied only a chunk at a time."""
    iterator = np.nditer(
        arrays,
        flags=["external_loop", "buffered", "zerosize_ok"],
        op_flags=[["readonly"]] * len(arrays),
        op_dtypes=[np.dtype(dtype)] * len(arrays),
        casting="same_kind",
        buffersize=_CHUNK_VALUES,
    )
    chunk: Any
    for chunk in iterator:
        # One operand comes bare, several as a tuple.
        yield chunk if len(arrays) > 1 else (chunk,)


def _range(original: Values) -> tuple[float, float]:
    """Smallest finite value, and the peak."""
    low, high = math.inf, -math.inf
    for (values,) in _chunks(original):
        finite = values[np.isfinite(values)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if high <= low:
        return (low if math.isfinite(low) else 0.0), 1.0
    return low, high - low


def _errors(original: Values, decoded: Values) -> tuple[float, float]:
    """Largest absolute error, and the root mean square of the errors divided by the peak."""
    _check(original, decoded)
    peak = _range(original)[1]
    largest, squares, count = 0.0, 0.0, 0
    # Huge values may overflow and infinities cancel to NaN; both are dealt with below.
    with np.errstate(over="ignore", invalid="ignore"):
        for difference in _differences(original, decoded):
            if difference.size:
                largest = max(largest, float(difference.max()))
                # Dividing first keeps tiny and huge data clear of underflow and overflow.
                relative = difference / peak
                squares += float(relative @ relative)
                count += difference.size
    return largest, math.sqrt(squares / count) if count else 0.0


def _differences(original: Values, decoded: Values) -> Iterator[npt.NDArray[np.float64]]:
    """Absolute errors, piece by piece, but for NaN and infinities that were kept."""
    if original.dtype == decoded.dtype and original.dtype.kind in "iu":
        # Neighbours beyond 2**53 are one and the same as float64; modulo 2**64 they differ.
        wide = np.int64 if original.dtype.kind == "i" else np.uint64
        for source, result in _chunks(original, decoded, dtype=wide):
            least, most = np.minimum(source, result), np.maximum(source, result)
            yield (most.view(np.uint64) - least.view(np.uint64)).astype(np.float64)
        return
    for source, result in _chunks(original, decoded):
        difference = np.abs(result - source)
        difference[source == result] = 0
        difference = difference[~(np.isnan(source) | (np.isinf(source) & (source == result)))]
        difference[np.isnan(difference)] = math.inf
        yield difference


def _ssim_scalar(original: Values, decoded: Values, low: float, peak: float) -> float:
    try:
        structural_similarity = importlib.import_module("skimage.metrics").structural_similarity
    except ImportError:
        raise UsageError("SSIM needs scikit-image; run: pip install scikit-image") from None
    axes = tuple(n for n in original.shape if n > 1) or (1,)
    source, result = original.reshape(axes), decoded.reshape(axes)
    shortest = min(_SSIM_WINDOW, *axes)
    window = shortest if shortest % 2 else shortest - 1
    margin = window // 2
    planes = max(1, _CHUNK_VALUES // math.prod(axes[1:]))
    shift = low if abs(low) > _LARGE_OFFSET * peak else 0.0
    total = 0.0
    # Slabs that overlap by the window yield exactly the mean over the whole.
    for start in range(margin, axes[0] - margin, planes):
        stop = min(start + planes, axes[0] - margin)
        slab = slice(start - margin, stop + margin)
        a, b = ((v[slab].astype(np.float64) - shift) / peak for v in (source, result))
        same = np.isnan(a) | (np.isinf(a) & (a == b))
        a[same] = b[same] = (low - shift) / peak
        if not (np.isfinite(a).all() and np.isfinite(b).all()):
            return 0.0
        value = structural_similarity(
            a,
            b,
            win_size=window,
            data_range=1.0,
            gaussian_weights=False,
            # The unbiased estimate divides by the number of samples minus 1.
            use_sample_covariance=window > 1,
        )
        total += float(value) * (stop - start)
    return total / (axes[0] - 2 * margin)
