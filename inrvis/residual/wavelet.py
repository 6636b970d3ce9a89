"""Our own coder of a grid of values for the least mean squared error at a size.

The wavelet coefficients are rounded with one step and coded from coarse to fine. A coefficient's
histogram is that of its context: the size of the coefficients around it that the decoder already
knows, in its band and at its place in the next coarser one. Eight passes over a band, one for each
parity of the index, give nearly every coefficient neighbours on all sides, and let a whole pass be
decoded at once.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrvis.bitstream import IntegerDecoder, IntegerEncoder
from inrvis.residual.histograms import Histograms
from inrvis.residual.transform import forward, inverse, plan_splits, splits

Triple = tuple[int, int, int]
Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]
Box = tuple[slice, slice, slice]

_PASSES: tuple[Triple, ...] = (
    (0, 0, 0),
    (1, 1, 1),
    (0, 1, 1),
    (1, 0, 1),
    (1, 1, 0),
    (1, 0, 0),
    (0, 1, 0),
    (0, 0, 1),
)
_OFFSETS = [o for o in product((-1, 0, 1), repeat=3) if any(o)]
_NEAR = np.array([1, 3, 6, 10, 16, 24, 36, 56, 88, 136, 216, 400])
_FAR = np.array([4, 12, 28, 64, 160])
_NEAR_CONTEXTS, _FAR_CONTEXTS = len(_NEAR) + 2, len(_FAR) + 1
_FINEST_LEVELS = 3
_CONTEXTS = _FINEST_LEVELS * _NEAR_CONTEXTS * _FAR_CONTEXTS
# Few coefficients do not pay for many histograms: these are shared by pairs of contexts, and by
# the levels.
_level, _near, _far = np.unravel_index(
    np.arange(_CONTEXTS), (_FINEST_LEVELS, _NEAR_CONTEXTS, _FAR_CONTEXTS)
)
_SHARED = ((_near + 1) // 3 * _FAR_CONTEXTS + (_far + 1) // 2).astype(np.int64)
_SHARED_BELOW = 60_000
_MOST_MAGNITUDE = 1 << 12
# Rounding below a half saves more bits than it costs quality.
DEADZONE = 0.16
_CENTRES = 3
_HEADER = struct.Struct("<dd3bB")


@dataclass(frozen=True)
class _Band:
    """One band of coefficients: where it lies, its level, and its parent's place if it has one."""

    level: int
    box: Box
    parent: Box | None


def _bands(shape: Triple, plan: Sequence[int]) -> Iterator[_Band]:
    """Bands from coarse to fine: the lowest, then the details of each split."""
    steps = splits(shape, plan)
    lowest = steps[-1].after if steps else shape
    yield _Band(len(steps), _box((0, 0, 0), lowest, lowest), None)
    for level in reversed(range(len(steps))):
        step = steps[level]
        for high in product((0, 1), repeat=3):
            if not any(high) or any(h > a for h, a in zip(high, step.axes, strict=True)):
                continue
            parent = None
            for coarser in steps[level + 1 :]:
                if all(h <= a for h, a in zip(high, coarser.axes, strict=True)):
                    parent = _box(high, coarser.after, coarser.before)
                    break
            yield _Band(level, _box(high, step.after, step.before), parent)


def _box(high: Triple, after: Triple, before: Triple) -> Box:
    z, y, x = (slice(a, b) if h else slice(a) for h, a, b in zip(high, after, before, strict=True))
    return z, y, x


def _parents(
    band: _Band, magnitudes: NDArray[np.int32], shape: tuple[int, ...]
) -> NDArray[np.int32]:
    """Size of the coefficients at each one's place in the next coarser band."""
    if band.parent is None:
        return np.zeros(shape, dtype=np.int32)
    parent = magnitudes[band.parent]
    smooth = 2 * parent
    for axis in range(3):
        n = parent.shape[axis]
        index = np.arange(n)
        smooth = smooth + parent.take(np.maximum(index - 1, 0), axis)
        smooth = smooth + parent.take(np.minimum(index + 1, n - 1), axis)
    for axis, (size, coarse) in enumerate(zip(shape, parent.shape, strict=True)):
        if size != coarse:
            smooth = smooth.take(np.arange(size) * coarse // size, axis)
    return smooth


@dataclass(frozen=True)
class _Pass:
    """One pass over a band, and the known neighbours of its coefficients."""

    where: Box
    number: int

    def contexts(
        self, band: _Band, padded: NDArray[np.int32], parents: NDArray[np.int32]
    ) -> NDArray[np.int64]:
        parity = _PASSES[self.number]
        done = set(_PASSES[: self.number])
        far = np.searchsorted(_FAR, parents[self.where].ravel(), side="right")
        shape = parents[self.where].shape
        total = np.zeros(shape, dtype=np.int32)
        weights = 0
        for offset in _OFFSETS:
            if tuple((p + o) % 2 for p, o in zip(parity, offset, strict=True)) not in done:
                continue
            weight = (4, 2, 1)[sum(map(abs, offset)) - 1]
            place = tuple(
                slice(1 + p + o, 1 + p + o + 2 * n - 1, 2)
                for p, o, n in zip(parity, offset, shape, strict=True)
            )
            total += np.int32(weight) * padded[place]
            weights += weight
        near = np.full(total.size, _NEAR_CONTEXTS - 1)
        if weights:
            near = np.searchsorted(
                _NEAR, (total * np.int32(16) // np.int32(weights)).ravel(), "right"
            )
        level = min(band.level, _FINEST_LEVELS - 1)
        return (level * _NEAR_CONTEXTS + near) * _FAR_CONTEXTS + far


def _passes(shape: tuple[int, ...]) -> Iterator[_Pass]:
    for number, parity in enumerate(_PASSES):
        if all(p < n for p, n in zip(parity, shape, strict=True)):
            z, y, x = (slice(p, None, 2) for p in parity)
            yield _Pass((z, y, x), number)


def _by_context(contexts: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    order = np.argsort(contexts.astype(np.uint16), kind="stable")
    present, starts = np.unique(contexts[order], return_index=True)
    yield from zip(present.tolist(), np.split(order, starts[1:]), strict=True)


class WaveletEncoder:
    """Codes one grid with one step after another: what they share is computed once.

    Parameters
    ----------
    values : ndarray of float32 or float64, shape (nz, ny, nx)
        Finite values.
    """

    def __init__(self, values: Floats) -> None:
        self._mean = float(values.mean(dtype=np.float64))
        centred = values - values.dtype.type(self._mean)
        self._plan = plan_splits(centred)
        self._coefficients = forward(centred, self._plan)

    def mean_squared_error(self, step: float) -> float:
        """Mean squared error of ``encode(step)``, estimated: the transform is nearly orthonormal."""
        integers, scaled, centres = self._rounded(step)
        shift = np.array([0, *(c / 200 for c in centres)], dtype=scaled.dtype)
        errors = scaled - integers - shift[np.minimum(integers, _CENTRES)]
        return float(np.square(errors, dtype=np.float64).mean()) * step * step

    def _rounded(self, step: float) -> tuple[Integers, Floats, list[int]]:
        scaled = np.abs(self._coefficients) / self._coefficients.dtype.type(step)
        integers = np.floor(scaled + (0.5 - DEADZONE)).astype(np.int64)
        centres = []
        for size in range(1, _CENTRES + 1):
            which = integers == size if size < _CENTRES else integers >= size
            offsets = scaled[which] - integers[which]
            centres.append(round(float(offsets.mean()) * 200) if offsets.size else 0)
        return integers, scaled, centres

    def encode(self, step: float) -> bytes:
        """Code the values, with coefficients rounded to multiples of ``step``.

        Returns
        -------
        bytes
            For `decode` with the same shape and type.
        """
        integers, _, centres = self._rounded(step)
        integers[self._coefficients < 0] *= -1
        magnitudes = np.minimum(np.abs(integers), _MOST_MAGNITUDE).astype(np.int32)
        coded = []
        for band in _bands(_triple(integers.shape), self._plan):
            part = integers[band.box]
            padded = np.pad(magnitudes[band.box], 1)
            parents = _parents(band, magnitudes, part.shape)
            for pass_ in _passes(part.shape):
                contexts = pass_.contexts(band, padded, parents)
                coded.append((contexts, part[pass_.where].ravel()))
        header = _HEADER.pack(self._mean, step, *centres, len(self._plan)) + bytes(self._plan)
        streams = [b"\0" + _stream(coded)]
        if np.count_nonzero(integers) < _SHARED_BELOW:
            shared = [(_SHARED[contexts], values) for contexts, values in coded]
            streams.append(b"\1" + _stream(shared))
        return header + min(streams, key=len)


def _stream(coded: Sequence[tuple[Integers, Integers]]) -> bytes:
    histograms = Histograms.of(_CONTEXTS, coded)
    stream = IntegerEncoder()
    histograms.put_into(stream)
    for contexts, values in coded:
        for context, where in _by_context(contexts):
            histograms.put(stream, context, values[where])
    return stream.finish()


def decode(data: bytes, shape: Triple, dtype: np.dtype[Any]) -> Floats:
    """Decode what `WaveletEncoder.encode` coded.

    Parameters
    ----------
    data : bytes
        The stream, of unknown origin.
    shape : tuple of 3 int
        (nz, ny, nx).
    dtype : dtype
        float32 or float64, as given to the encoder.

    Returns
    -------
    ndarray, shape (nz, ny, nx)

    Raises
    ------
    FormatError
        If it is no such stream.
    """
    mean, step, *centres, steps = _HEADER.unpack_from(data)
    position = _HEADER.size + steps
    plan = data[_HEADER.size : position]
    shared = _SHARED if data[position : position + 1] == b"\1" else np.arange(_CONTEXTS)
    stream = IntegerDecoder(data[position + 1 :])
    histograms = Histograms.take_from(stream, _CONTEXTS)
    integers = np.zeros(shape, dtype=np.int64)
    magnitudes = np.zeros(shape, dtype=np.int32)
    for band in _bands(shape, plan):
        part = integers[band.box]
        padded = np.zeros([n + 2 for n in part.shape], dtype=np.int32)
        inner = padded[1:-1, 1:-1, 1:-1]
        parents = _parents(band, magnitudes, part.shape)
        for pass_ in _passes(part.shape):
            contexts = shared[pass_.contexts(band, padded, parents)]
            values = np.zeros(len(contexts), dtype=np.int64)
            for context, where in _by_context(contexts):
                values[where] = histograms.take(stream, context, len(where))
            values = values.reshape(part[pass_.where].shape)
            part[pass_.where] = values
            inner[pass_.where] = np.minimum(np.abs(values), _MOST_MAGNITUDE)
        magnitudes[band.box] = inner
    result = inverse(_dequantise(integers, step, centres, dtype), plan)
    result += dtype.type(mean)
    return result


def _dequantise(
    integers: Integers, step: float, centres: list[int], dtype: np.dtype[Any]
) -> Floats:
    shift = np.array([0, *(c / 200 for c in centres)])
    sizes = np.abs(integers)
    result = (sizes + shift[np.minimum(sizes, _CENTRES)]) * np.sign(integers)
    return (result * step).astype(dtype)


def _triple(shape: tuple[int, ...]) -> Triple:
    z, y, x = shape
    return z, y, x
