"""Compressors that a user would pick instead: SZ3, ZFP, SPERR and TTHRESH, each at its best.

A peer encodes one scalar volume (z, y, x), TTHRESH also one of vectors, at one setting: a number
from coarse to fine whose meaning is the peer's own. Decoded integers are rounded and clipped to the
source's type, as ours are. Shape and type are given to the decoder and cost a peer nothing.
"""

from __future__ import annotations

import importlib
import itertools
import math
import struct
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from inrvis.errors import UsageError

Values: TypeAlias = npt.NDArray[Any]

# SPERR halves a side while it has at least 9 samples, six times at most: one sample more than
# these powers of two buys another level of wavelets.
_SPERR_SIDES = (9, 17, 33, 65, 129, 257)
_SPERR_PADDING = 1.04
_SZ3_HEADER = "[GlobalSettings]\nErrorBoundMode = ABS\n"


@dataclass(frozen=True)
class Peer(ABC):
    """One compressor in one of its configurations; fields are what a user may choose.

    A setting is a tolerance in the units of the data unless the class says otherwise.
    """

    name: ClassVar[str]
    # Whether components can also be encoded together, as a volume of four axes.
    takes_vectors: ClassVar[bool] = False
    packages: ClassVar[tuple[str, ...]] = ("imagecodecs",)

    @property
    def unit(self) -> str:
        """What a setting is; settings of the same unit are worth trying in each other's place."""
        return "tolerance"

    @property
    def bounded(self) -> bool:
        """Whether no error exceeds the setting, and a larger setting hardly ever does as well."""
        return False

    @abstractmethod
    def encode(self, values: Values, setting: float) -> bytes:
        """Return the stream of a volume of shape (nz, ny, nx) without NaN."""

    @abstractmethod
    def decode(self, stream: bytes, shape: tuple[int, ...], dtype: Any) -> Values:
        """Return the volume of a stream, in the source's type."""

    def span(self, values: Values) -> tuple[float, float]:
        """Coarsest and finest setting worth trying."""
        peak = _peak(values)
        return peak, peak * 1e-8

    def guess_psnr(self, values: Values, db: float) -> float:
        """Setting from which to look for a PSNR."""
        return 2 * _peak(values) * 10 ** (-db / 20)

    def guess_max_error(self, values: Values, bound: float) -> float:
        """Setting from which to look for a bound; the bound itself where it is one.

        Rounding hides errors below one half: integers within n + ½ decode within n.
        """
        if values.dtype.kind in "iu":
            return math.floor(bound) + 0.499
        return bound * (1 - 1e-6)

    def for_max_error(self) -> Self:
        """Return the configuration from which to look for the best one under a bound."""
        return self

    def alternatives(self, stage: int, shape: tuple[int, ...]) -> Sequence[Self] | None:
        """Configurations to try beside this one; None when there are no more stages."""
        del stage, shape
        return None

    def describe(self) -> dict[str, Any]:
        """Configuration for the record, without paths."""
        return asdict(self)


@dataclass(frozen=True)
class Sz3(Peer):
    """SZ3 with a choice of predictor; the setting is its absolute bound.

    `pysz` gives access to the predictors; `imagecodecs` has another version of SZ3 with fixed ones,
    which is now and then smaller by a per cent or two.

    Alpha and beta shrink the bound on the coarse levels of interpolation (from QoZ, Liu et al.
    2022). Their defaults suit a bound; at an equal PSNR stronger ones are several times smaller.
    """

    package: str = "pysz"
    algorithm: str = "INTERP"
    interpolation: str = "LINEAR"
    direction: int = 0
    alpha: float = 1.5
    beta: float = 3.0

    name = "sz3"
    packages = ("pysz", "imagecodecs")

    @property
    def bounded(self) -> bool:
        return True

    def encode(self, values: Values, setting: float) -> bytes:
        floats = _floats(values)
        if self.package == "imagecodecs":
            return bytes(_library("imagecodecs").sz3_encode(floats, "abs", setting))
        pysz = _library("pysz")
        configuration = pysz.szConfig(floats.shape)
        with tempfile.NamedTemporaryFile("w", suffix=".ini") as file:
            file.write(
                f"{_SZ3_HEADER}CmprAlgo = ALGO_{self.algorithm}\nAbsErrorBound = {setting!r}\n"
                f"[AlgoSettings]\nInterpolationAlgo = INTERP_ALGO_{self.interpolation}\n"
                f"InterpolationDirection = {self.direction}\nInterpolationAlpha = {self.alpha}\n"
                f"InterpolationBeta = {self.beta}\n"
            )
            file.flush()
            configuration.loadcfg(file.name)
        stream, _ = pysz.sz.compress(floats, configuration)
        return bytes(stream)

    def decode(self, stream: bytes, shape: tuple[int, ...], dtype: Any) -> Values:
        if self.package == "imagecodecs":
            sz3_decode = _library("imagecodecs").sz3_decode
            return _as(sz3_decode(stream, shape, _float_type(dtype)), dtype)
        data = np.frombuffer(stream, np.uint8)
        decoded, _ = _library("pysz").sz.decompress(data, _float_type(dtype), shape)
        return _as(decoded, dtype)

    def for_max_error(self) -> Self:
        return replace(self, alpha=1.25, beta=2.0)

    def alternatives(self, stage: int, shape: tuple[int, ...]) -> Sequence[Self] | None:
        del shape
        if stage in {0, 2}:
            pairs = ((1.0, 1.0), (1.25, 2.0), (1.5, 3.0), (2.0, 8.0), (3.0, 16.0))
            return [replace(self, alpha=alpha, beta=beta) for alpha, beta in pairs]
        if stage == 1:
            kinds = itertools.product(("LINEAR", "CUBIC"), range(6))
            return [replace(self, interpolation=kind, direction=n) for kind, n in kinds]
        if stage == 3:
            return [
                replace(self, algorithm="LORENZO_REG"),
                replace(self, algorithm="INTERP_LORENZO"),
                replace(self, algorithm="INTERP_LORENZO", package="imagecodecs"),
            ]
        return None


@dataclass(frozen=True)
class Sperr(Peer):
    """SPERR; the setting is bits a value (``bpp``), an RMSE (``psnr``) or a bound (``pwe``).

    Its streams are embedded, and cutting one (``bpp``) usually beats a coarser quantiser
    (``psnr``) at equal size. Sides of unequal numbers of levels make it treat z apart from x and
    y, so the choice of z matters.
    """

    mode: str = "bpp"
    z_axis: int = 0
    padded: bool = False

    name = "sperr"

    @property
    def unit(self) -> str:
        return self.mode

    @property
    def bounded(self) -> bool:
        return self.mode == "pwe"

    def encode(self, values: Values, setting: float) -> bytes:
        level = setting
        if self.mode == "psnr":
            level = 20 * math.log10(_peak(values) / setting)
        # SPERR 0.8 aborts the process where z has one sample.
        if values.shape[self.z_axis] == 1 < values.size:
            raise UsageError("SPERR needs a z axis longer than 1; choose another z_axis")
        floats = np.moveaxis(_floats(values), self.z_axis, 0)
        if self.padded:
            sides = _padded(floats.shape)
            widths = [(0, side - n) for side, n in zip(sides, floats.shape, strict=True)]
            floats = np.pad(floats, widths, mode="edge")
        stream = _library("imagecodecs").sperr_encode(
            np.ascontiguousarray(floats), float(level), self.mode
        )
        return bytes(stream)

    def decode(self, stream: bytes, shape: tuple[int, ...], dtype: Any) -> Values:
        decoded = _library("imagecodecs").sperr_decode(stream)
        kept = np.moveaxis(np.empty(shape, np.bool_), self.z_axis, 0).shape
        decoded = decoded[tuple(slice(n) for n in kept)]
        return _as(np.moveaxis(decoded, 0, self.z_axis), dtype)

    def span(self, values: Values) -> tuple[float, float]:
        if self.mode == "bpp":
            # From a header alone to everything a double holds.
            return 8 * 30 / values.size, 64.0
        peak = _peak(values)
        return (0.9 * peak if self.mode == "psnr" else peak), peak * 1e-8

    def guess_psnr(self, values: Values, db: float) -> float:
        return 0.1 if self.mode == "bpp" else _peak(values) * 10 ** (-db / 20)

    def guess_max_error(self, values: Values, bound: float) -> float:
        if self.mode == "bpp":
            return 1.0
        return super().guess_max_error(values, bound) / (4 if self.mode == "psnr" else 1)

    def for_max_error(self) -> Self:
        return replace(self, mode="pwe")

    def alternatives(self, stage: int, shape: tuple[int, ...]) -> Sequence[Self] | None:
        if stage == 0:
            axes = [n for n in range(3) if shape[n] > 1]
            # Only the length of z counts, not the order of x and y.
            axes = [n for n in axes if shape[n] not in [shape[m] for m in axes[: axes.index(n)]]]
            paddings = (False, True) if _padded(shape) != shape else (False,)
            return [replace(self, z_axis=n, padded=p) for n in axes for p in paddings]
        if stage == 1:
            return [replace(self, mode=mode) for mode in ("bpp", "psnr")]
        return None


@dataclass(frozen=True)
class Zfp(Peer):
    """ZFP with a fixed accuracy, its best mode here; the setting is the tolerance.

    It rounds a tolerance down to a power of two. `scaled` multiplies the values first, so that
    any tolerance can be met closely; the factor costs 8 bytes.
    """

    scaled: bool = True

    name = "zfp"

    def encode(self, values: Values, setting: float) -> bytes:
        floats = _floats(values)
        power = 2.0 ** math.floor(math.log2(setting))
        scale = power / setting
        if self.scaled:
            floats = floats * floats.dtype.type(scale)
        stream = bytes(_library("imagecodecs").zfp_encode(floats, power, mode="a"))
        return struct.pack("<d", scale) + stream if self.scaled else stream

    def decode(self, stream: bytes, shape: tuple[int, ...], dtype: Any) -> Values:
        zfp_decode = _library("imagecodecs").zfp_decode
        if not self.scaled:
            return _as(zfp_decode(stream).reshape(shape), dtype)
        (scale,) = struct.unpack_from("<d", stream)
        return _as(zfp_decode(stream[8:]).reshape(shape) / scale, dtype)

    def span(self, values: Values) -> tuple[float, float]:
        # It bounds more than it errs: tolerances far beyond the range still mean something.
        peak = _peak(values)
        return peak * 64, peak * 1e-8

    def guess_psnr(self, values: Values, db: float) -> float:
        return 8 * _peak(values) * 10 ** (-db / 20)

    def guess_max_error(self, values: Values, bound: float) -> float:
        return 4 * super().guess_max_error(values, bound)

    def alternatives(self, stage: int, shape: tuple[int, ...]) -> Sequence[Self] | None:
        del shape
        return [replace(self, scaled=False)] if stage == 0 else None


@dataclass(frozen=True)
class Tthresh(Peer):
    """TTHRESH through its program; the setting is an RMSE. It promises no bound."""

    binary: Path

    name = "tthresh"
    takes_vectors = True
    packages = ()

    def encode(self, values: Values, setting: float) -> bytes:
        # Floats for integers too: its own int output is truncated, not rounded.
        floats = _floats(values)
        # Its PSNR takes half the range as peak, and it reads no exponents.
        level = max(0.0, 20 * math.log10(_peak(values) / (2 * setting)))
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder) / "values", Path(folder) / "stream"
            floats.tofile(source)
            kind = "float" if floats.dtype.itemsize == 4 else "double"
            sides = [str(n) for n in reversed(floats.shape)]
            self._run("-i", source, "-t", kind, "-s", *sides, "-p", f"{level:.6f}", "-c", target)
            return target.read_bytes()

    def decode(self, stream: bytes, shape: tuple[int, ...], dtype: Any) -> Values:
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder) / "stream", Path(folder) / "values"
            source.write_bytes(stream)
            self._run("-c", source, "-o", target)
            return _as(np.fromfile(target, _float_type(dtype)).reshape(shape), dtype)

    def _run(self, *words: str | Path) -> None:
        done = subprocess.run(
            [self.binary, *words], capture_output=True, text=True, errors="replace", check=False
        )
        if done.returncode:
            raise UsageError(f"{self.binary.name} failed with status {done.returncode}")

    def span(self, values: Values) -> tuple[float, float]:
        peak = _peak(values)
        return peak / 2, peak * 1e-8

    def guess_psnr(self, values: Values, db: float) -> float:
        # Coarse targets make it stop at once and write thousands of bytes: come from the fine side.
        return _peak(values) * 10 ** (-db / 20) / 4

    def guess_max_error(self, values: Values, bound: float) -> float:
        return super().guess_max_error(values, bound) / 16

    def describe(self) -> dict[str, Any]:
        return {"binary": self.binary.name}


def peers(tthresh: Path | None = None) -> list[Peer]:
    """Peers in the configurations from which their best is looked for."""
    found: list[Peer] = [Sz3(), Zfp(), Sperr()]
    return [*found, Tthresh(tthresh)] if tthresh else found


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UsageError(f"this peer needs {name}; run: pip install {name}") from None


def _peak(values: Values) -> float:
    """Range of the values, 1 for a constant, as the PSNR has it."""
    return float(values.max()) - float(values.min()) or 1.0


def _float_type(dtype: Any) -> np.dtype[Any]:
    """Smallest float type that holds every value of a type exactly, as far as there is one."""
    return np.dtype(np.result_type(dtype, np.float32))


def _floats(values: Values) -> Values:
    return np.ascontiguousarray(values, _float_type(values.dtype))


def _as(decoded: Values, dtype: Any) -> Values:
    dtype = np.dtype(dtype)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        decoded = np.clip(np.rint(decoded), limits.min, limits.max)
    return np.ascontiguousarray(decoded, dtype)


def _padded(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape with the sides that are just short of another level of wavelets made long enough."""
    return tuple(
        next((side for side in _SPERR_SIDES if n < side <= n * _SPERR_PADDING), n) for n in shape
    )
