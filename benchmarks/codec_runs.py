"""What the volume benchmark runs in processes of its own, so that memory can be told apart."""

from __future__ import annotations

import math
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from benchmarks.missing import fill, mask_bytes
from benchmarks.peer_search import AtPsnr, Goal, Search, Trial, max_error
from benchmarks.peers import Peer, Values
from inrvis.errors import InrvisError

Record: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """One component of an array in a file, or all of it, and its range."""

    path: Path
    component: int | None
    peak: float

    def of(self, path: Path) -> Values:
        """Return this part of an array of the same shape."""
        values = np.load(path)
        return values if self.component is None else values[..., self.component].copy()

    def values(self) -> Values:
        """Return this part of what the peers are fed."""
        return self.of(self.path)


# A part and the trial that is best for it.
Choice: TypeAlias = tuple[Part, Trial]


@dataclass(frozen=True)
class Volume:
    """A volume as it is and, in another file of `folder`, without NaN, as the peers are fed.

    Attributes
    ----------
    peaks : tuple of float
        Range of each component; `peak` is that of all together.
    mask_bytes : int
        What the mask of NaN costs a peer.
    """

    folder: Path
    array: str
    shape: tuple[int, ...]
    dtype: str
    n_bytes: int
    n_missing: int
    mask_bytes: int
    peak: float
    peaks: tuple[float, ...]

    @property
    def original(self) -> Path:
        return self.folder / "original.npy"

    def divisions(self, peer: Peer) -> list[list[Part]]:
        """Arrays that a peer may encode one by one: components, or all of them together."""
        path = self.folder / "filled.npy"
        whole = [Part(path, None, self.peak)]
        if len(self.peaks) == 1:
            return [whole]
        apart = [Part(path, c, peak) for c, peak in enumerate(self.peaks)]
        return [apart, whole] if peer.takes_vectors else [apart]

    def describe(self) -> Record:
        """Facts for the record."""
        return {
            "array": self.array,
            "shape": list(self.shape),
            "dtype": self.dtype,
            "original_bytes": self.n_bytes,
            "missing_values": self.n_missing,
            "mask_bytes": self.mask_bytes,
            "range": self.peak,
        }


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """Result of a function in a fresh process, or ``{"failed": why}``."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(function, *arguments).result()
        except BrokenProcessPool:
            return {"failed": "the process was killed"}
        except InrvisError as error:
            return {"failed": str(error)}


def prepare(path: Path, array: str | None, folder: Path) -> Volume:
    """Read a volume (its first array by default) and write its parts."""
    from inrvis import sources

    image = sources.read(path, arrays=[array] if array else None)
    name, values = next(iter(image.arrays.items()))
    parts = [values] if values.ndim == 3 else [values[..., c] for c in range(values.shape[3])]
    filled = [fill(part) for part in parts]
    np.save(folder / "filled.npy", filled[0] if values.ndim == 3 else np.stack(filled, axis=-1))
    np.save(folder / "original.npy", values)
    ranges = [(float(np.nanmin(part)), float(np.nanmax(part))) for part in parts]
    return Volume(
        folder=folder,
        array=name,
        shape=values.shape,
        dtype=values.dtype.name,
        n_bytes=values.nbytes,
        n_missing=int(np.isnan(values).sum()),
        mask_bytes=sum(mask_bytes(part) for part in parts),
        peak=(max(high for _, high in ranges) - min(low for low, _ in ranges)) or 1.0,
        peaks=tuple((high - low) or 1.0 for low, high in ranges),
    )


def search(volume: Volume, peer: Peer, psnrs: Sequence[float], bounds: Sequence[float]) -> Record:
    """Best trials of a peer for PSNRs and for bounds relative to the range, and its curve.

    Components that are encoded apart share the root-mean-square error or the bound, which is the
    best division at an equal error over all.
    """
    found: Record = {"psnr": {}, "max_error": {}, "curve": []}
    for division in volume.divisions(peer):
        reached: dict[tuple[str, float], list[Choice]] = {}
        for part in division:
            here = Search(part.values(), part.of(volume.original))
            # A smaller range makes the same error a lower PSNR.
            lower = 20 * math.log10(part.peak / volume.peak)
            goals: dict[tuple[str, float], Goal] = {}
            goals |= {("psnr", db): AtPsnr(db + lower) for db in psnrs}
            goals |= {("max_error", e): max_error(here.values, e * volume.peak) for e in bounds}
            for goal in goals.values():
                here.best(peer, goal)
            for key, goal in goals.items():
                if trial := here.smallest(peer.name, goal):
                    reached.setdefault(key, []).append((part, trial))
            if part.component is None:
                found["curve"] = here.curve(peer.name)
        for (kind, target), choices in reached.items():
            if len(choices) == len(division):
                rival = found[kind].get(target)
                found[kind][target] = min((choices, rival or choices), key=_total)
    return found


def run_peer(volume: Volume, choices: Sequence[Choice]) -> Record:
    """Encode and decode at settings that were found: bytes, quality, time and memory."""
    encode_seconds = decode_seconds = 0.0
    size, decoded = volume.mask_bytes, []
    for part, trial in choices:
        values = part.values()
        start = time.perf_counter()
        stream = trial.peer.encode(values, trial.setting)
        encode_seconds += time.perf_counter() - start
        with tempfile.NamedTemporaryFile(dir=volume.folder) as file:
            file.write(stream)
            file.flush()
            size += Path(file.name).stat().st_size
        start = time.perf_counter()
        decoded.append(trial.peer.decode(stream, values.shape, values.dtype))
        decode_seconds += time.perf_counter() - start
    peak = max(
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    settings = [trial.peer.describe() | {"setting": trial.setting} for _, trial in choices]
    whole = decoded[0] if len(decoded) == 1 else np.stack(decoded, axis=-1)
    return {
        "settings": settings[0] if len(settings) == 1 else settings,
        "encode_seconds": encode_seconds,
        "decode_seconds": decode_seconds,
        "peak_memory_bytes": peak * 1024,
    } | _measured(volume, whole, size)


def run_ours(volume: Volume, file: Path) -> Record:
    """Decode our file with the real decoder and measure it as the peers are."""
    import inrvis

    start = time.perf_counter()
    with inrvis.open(file) as opened:
        decoded = opened.decode(volume.array)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "decode_seconds": seconds,
        "decode_peak_memory_bytes": peak * 1024,
    } | _measured(volume, decoded, file.stat().st_size)


def watched(command: Sequence[str]) -> tuple[int, str, str, float, int]:
    """Run a command: status, output, errors, seconds and peak resident bytes."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=errors)
        # `subprocess` alone does not say what one child of several used.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - start
        output.seek(0)
        errors.seek(0)
        return (
            process.returncode,
            output.read(),
            errors.read(),
            seconds,
            usage.ru_maxrss * 1024,
        )


def _total(choices: Sequence[Choice]) -> int:
    return sum(trial.encoded_bytes for _, trial in choices)


def _measured(volume: Volume, decoded: Values, size: int) -> Record:
    from inrvis import metrics

    original = np.load(volume.original)
    # Filled gaps are told by the mask.
    decoded = np.where(np.isnan(original), original, decoded) if volume.n_missing else decoded
    quality = metrics.measure(original, decoded)
    return {
        "encoded_bytes": size,
        "bits_per_value": metrics.bits_per_value(size, original.size),
        "compression_ratio": metrics.compression_ratio(original.nbytes, size),
        "psnr_db": quality.psnr_db,
        "ssim": quality.ssim,
        "max_abs_error": quality.max_abs_error,
    }
