"""Our own coder of a grid of values, for the least mean squared error at a size.

The wavelet coefficients are rounded with one step and coded from coarse to fine. A coefficient's
context is the size expected from those around it that the decoder already knows: in its band, at
its place in the next coarser one, and in the bands of its level that came before. Eight passes
over a band, one for each parity of the index, give nearly every coefficient neighbours on all
sides, and let a whole pass be decoded at once.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrvis.bitstream import IntegerDecoder, IntegerEncoder
from inrvis.errors import FormatError
from inrvis.residual import adaptive
from inrvis.residual.transform import forward, inverse, plan_splits, splits

Triple = tuple[int, int, int]
Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]
Box = tuple[slice, slice, slice]
# Codes the integers at a place of the grid, given their contexts, and returns them.
Code = Callable[[Box, Integers], Integers]

# Parities (z, y, x) of the passes, and weights of neighbours across faces, edges and corners, of
# the parent and its six neighbours, and of the bands before: fitted to volumes of many kinds.
_PASSES: tuple[tuple[Triple, Triple, Triple], ...] = (
    ((0, 0, 0), (0, 0, 0), (11, 7, 58)),
    ((1, 1, 1), (0, 0, 25), (4, 2, 27)),
    ((0, 1, 1), (50, 30, 0), (3, 1, 19)),
    ((1, 0, 1), (43, 19, 0), (3, 0, 16)),
    ((1, 1, 0), (36, 14, 0), (2, 0, 15)),
    ((1, 0, 0), (32, 9, 3), (2, 0, 11)),
    ((0, 1, 0), (33, 5, 2), (2, 0, 12)),
    ((0, 0, 1), (31, 6, 0), (2, 0, 10)),
)
_HIGHS: list[Triple] = [(z, y, x) for z, y, x in product((0, 1), repeat=3)]
_OFFSETS = [o for o in product((-1, 0, 1), repeat=3) if any(o)]
# Kinds of contexts: along how many axes a band holds details, and whether the parent is zero and
# its neighbours are.
_KINDS = 4 * 3
# Squared error, in units of the step, that a bit is worth. At high rates, where a bit brings 6 dB,
# it is ln 2 / 6 = 0.116; from 0.08 to 0.12 all do as well.
_ERROR_PER_BIT = 0.1
# About so far above a half is what such coefficients are rounded up from.
_DEADZONE = 0.22
_CENTRES = 3
_CENTRE_UNIT = 1 / 200
_HEADER = struct.Struct("<dd3bB")


@dataclass(frozen=True)
class _Band:
    """One band of coefficients: where it lies, its level, and its parent's place if it has one."""

    level: int
    high: Triple
    box: Box
    parent: Box | None


def _bands(shape: Triple, plan: Sequence[int]) -> Iterator[_Band]:
    """Bands from coarse to fine: the lowest, then the details of each split."""
    steps = splits(shape, plan)
    lowest = steps[-1].after if steps else shape
    yield _Band(len(steps), (0, 0, 0), _box((0, 0, 0), lowest, lowest), None)
    for level in reversed(range(len(steps))):
        step = steps[level]
        for high in _HIGHS:
            if not any(high) or any(h > a for h, a in zip(high, step.axes, strict=True)):
                continue
            parent = None
            for coarser in steps[level + 1 :]:
                if all(h <= a for h, a in zip(high, coarser.axes, strict=True)):
                    parent = _box(high, coarser.after, coarser.before)
                    break
            yield _Band(level, high, _box(high, step.after, step.before), parent)


def _box(high: Triple, after: Triple, before: Triple) -> Box:
    z, y, x = (
        slice(a, b) if h else slice(0, a) for h, a, b in zip(high, after, before, strict=True)
    )
    return z, y, x


def _moved(offset: Sequence[int], shape: Sequence[int], step: int = 1) -> Box:
    """Part of an array padded by one: every ``step``-th element, from ``offset`` on."""
    z, y, x = (
        slice(1 + o, 2 + o + step * (n - 1), step) for o, n in zip(offset, shape, strict=True)
    )
    return z, y, x


class _Surroundings:
    """Contexts of the coefficients of one band, from the roots of the known magnitudes."""

    def __init__(
        self, band: _Band, known: NDArray[np.int32], earlier: Sequence[NDArray[np.int32]]
    ) -> None:
        shape = known[band.box].shape
        self._kind = sum(band.high)
        self._padded = np.zeros([n + 2 for n in shape], dtype=np.int32)
        self.own = self._padded[1:-1, 1:-1, 1:-1]
        self._parent = self._around = self._earlier = np.zeros(shape, dtype=np.int32)
        if band.parent is not None:
            parent = known[band.parent]
            padded = np.pad(parent, 1, mode="edge")
            faces = [offset for offset in _OFFSETS if sum(map(abs, offset)) == 1]
            around = sum(
                (padded[_moved(offset, parent.shape)] for offset in faces), np.zeros_like(parent)
            )
            places = np.ix_(
                *(np.arange(n) * m // n for n, m in zip(shape, parent.shape, strict=True))
            )
            self._parent, self._around = parent[places], around[places]
        if earlier:
            total = np.zeros(shape, dtype=np.int32)
            for roots in earlier:
                # Bands of a level differ by at most one in each size.
                z, y, x = map(min, shape, roots.shape)
                total[:z, :y, :x] += roots[:z, :y, :x]
            self._earlier = total // np.int32(len(earlier))

    def contexts(self, number: int) -> Integers:
        """Contexts of the coefficients of pass ``number``."""
        parity, near, far = _PASSES[number]
        known = {p for p, _, _ in _PASSES[:number]}
        where = tuple(slice(p, None, 2) for p in parity)
        parent, around = self._parent[where], self._around[where]
        expected: Integers = np.zeros(parent.shape, dtype=np.int32)
        for weight, roots in zip(far, (parent, around, self._earlier[where]), strict=True):
            expected = expected + np.int32(weight) * roots
        for distance, weight in enumerate(near, 1):
            for offset in _OFFSETS:
                other = tuple((p + o) % 2 for p, o in zip(parity, offset, strict=True))
                if weight and sum(map(abs, offset)) == distance and other in known:
                    moved = [p + o for p, o in zip(parity, offset, strict=True)]
                    expected = (
                        expected + np.int32(weight) * self._padded[_moved(moved, parent.shape, 2)]
                    )
        kinds = 3 * self._kind + np.where(parent > 0, 2, (around > 0).astype(np.int64))
        return adaptive.sizes(expected) * _KINDS + kinds.ravel()


def _scan(shape: Triple, plan: Sequence[int], statistics: adaptive.Statistics, code: Code) -> None:
    """Have all coefficients coded, from coarse to fine."""
    known = np.zeros(shape, dtype=np.int32)
    level = -1
    earlier: list[NDArray[np.int32]] = []
    for band in _bands(shape, plan):
        if band.level != level:
            level, earlier = band.level, []
            statistics.begin_level()
        around = _Surroundings(band, known, earlier)
        for number, (parity, _, _) in enumerate(_PASSES):
            if any(p >= n for p, n in zip(parity, around.own.shape, strict=True)):
                continue
            z, y, x = (
                slice(box.start + p, box.stop, 2) for box, p in zip(band.box, parity, strict=True)
            )
            integers = code((z, y, x), around.contexts(number))
            own = around.own[tuple(slice(p, None, 2) for p in parity)]
            own[...] = adaptive.roots(integers).reshape(own.shape)
        known[band.box] = around.own
        earlier.append(known[band.box])


class WaveletEncoder:
    """Codes one grid with one step after another: what they share is computed once.

    Parameters
    ----------
    values : ndarray of float32 or float64, shape (nz, ny, nx)
        Finite values.

    Attributes
    ----------
    plan : tuple of int
        Steps of the transform; see `transform.splits`.
    """

    def __init__(self, values: Floats) -> None:
        # A power of two changes no digit, and keeps squares of huge values finite. That of the
        # tiniest values is not finite itself.
        exponent = int(np.frexp(float(np.abs(values).max()))[1])
        self._scale = 2.0 ** min(-exponent, np.finfo(values.dtype).maxexp - 2)
        scaled = values * values.dtype.type(self._scale)
        mean = float(scaled.mean(dtype=np.float64))
        self._mean = mean / self._scale
        scaled -= values.dtype.type(mean)
        self.plan = plan_splits(scaled)
        self._coefficients = forward(scaled, self.plan)

    @property
    def shape(self) -> Triple:
        """(nz, ny, nx)."""
        return _triple(self._coefficients.shape)

    def replanned(self, plan: Sequence[int]) -> WaveletEncoder:
        """Return the same for other steps of the transform; see `transform.splits`."""
        other = copy(self)
        other.plan = tuple(plan)
        other._coefficients = forward(inverse(self._coefficients, self.plan), plan)
        return other

    def plans(self, limits: Iterable[float]) -> Iterator[tuple[int, ...]]:
        """Steps that `transform.plan_splits` chooses with other limits."""
        values = inverse(self._coefficients, self.plan)
        return (plan_splits(values, rougher) for rougher in limits)

    def mean_squared_error(self, step: float) -> float:
        """Mean squared error of ``encode(step)`` in squared steps, estimated from the coefficients.

        The transform is nearly orthonormal, and so is the estimate nearly right.
        """
        scaled = self._scaled(step)
        squares = np.square(scaled, dtype=np.float64).sum()
        # Most coefficients are zero, and what they are is their error.
        scaled = scaled[scaled >= 0.5 + _DEADZONE]
        squares -= np.square(scaled, dtype=np.float64).sum()
        integers = np.floor(scaled + scaled.dtype.type(0.5 - _DEADZONE)).astype(np.int64)
        shift = np.array([0, *_centres(scaled, integers)]) * _CENTRE_UNIT
        errors = scaled - integers - shift.astype(scaled.dtype)[np.minimum(integers, _CENTRES)]
        squares += np.square(errors, dtype=np.float64).sum()
        return max(float(squares), 0.0) / self._coefficients.size

    def _scaled(self, step: float) -> Floats:
        scaled: Floats = np.abs(self._coefficients)
        scaled /= self._coefficients.dtype.type(step * self._scale)
        return scaled

    def encode(self, step: float) -> bytes:
        """Code the values, with coefficients as multiples of ``step``.

        A coefficient is rounded to the nearest one or to the next smaller, whichever is worth its
        bits in its context.

        Returns
        -------
        bytes
            For `decode` with the same shape and type.
        """
        return self._coded(step)[0]

    def trial(self, step: float) -> tuple[int, float]:
        """Bytes of ``encode(step)``, and its mean squared error in a unit of its own."""
        data, integers, centres = self._coded(step)
        shift = np.array([0, *centres]) * _CENTRE_UNIT
        values = (integers + shift[np.minimum(integers, _CENTRES)]) * (step * self._scale)
        signed = np.copysign(values, self._coefficients).astype(self._coefficients.dtype)
        error = inverse(signed - self._coefficients, self.plan)
        return len(data), float(np.square(error, dtype=np.float64).mean())

    def _coded(self, step: float) -> tuple[bytes, Integers, list[int]]:
        """The stream, magnitudes of the integers in it, and what stands for them."""
        scaled = self._scaled(step)
        integers = np.floor(scaled + scaled.dtype.type(0.5)).astype(np.int64)
        stream, statistics = IntegerEncoder(), adaptive.Statistics(_KINDS)

        def code(where: Box, contexts: Integers) -> Integers:
            magnitudes = integers[where]
            some = np.flatnonzero(magnitudes)
            chosen = magnitudes.ravel()
            chosen[some] -= _too_dear(
                scaled[where].ravel()[some], chosen[some], contexts[some], statistics
            )
            magnitudes[...] = chosen.reshape(magnitudes.shape)
            values = np.where(self._coefficients[where].ravel() < 0, -chosen, chosen)
            statistics.put(stream, contexts, values)
            return values

        _scan(_triple(integers.shape), self.plan, statistics, code)
        centres = _centres(scaled, integers)
        header = _HEADER.pack(self._mean, step, *centres, len(self.plan)) + bytes(self.plan)
        return header + stream.finish(), integers, centres


def _too_dear(
    scaled: Floats, integers: Integers, contexts: Integers, statistics: adaptive.Statistics
) -> NDArray[np.bool_]:
    """Which of some ``integers``, none of them 0, save more by one less than that costs quality."""
    # The squares of the distances to both, less those of the nearer ones.
    worse: Floats = 2 * (scaled - integers) + 1
    result: NDArray[np.bool_] = worse < _ERROR_PER_BIT * statistics.saved_bits(contexts, integers)
    return result


def _centres(scaled: Floats, integers: Integers) -> list[int]:
    """How far coefficients lie beyond the integers 1, 2, and 3 and more, that stand for them."""
    centres = []
    for size in range(1, _CENTRES + 1):
        which = integers == size if size < _CENTRES else integers >= size
        offsets = scaled[which] - integers[which]
        centre = round(float(offsets.mean()) / _CENTRE_UNIT) if offsets.size else 0
        # Few coefficients may all lie beyond what a byte can say.
        centres.append(min(max(centre, -128), 127))
    return centres


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
    if len(data) < _HEADER.size:
        raise FormatError("a coded layer is cut short")
    mean, step, *centres, steps = _HEADER.unpack_from(data)
    position = _HEADER.size + steps
    plan = data[_HEADER.size : position]
    if not (0 < step < math.inf and math.isfinite(mean) and len(plan) == steps):
        raise FormatError("the header of a coded layer is damaged")
    for split in splits(shape, plan):
        if any(a and n < 2 for a, n in zip(split.axes, split.before, strict=True)):
            raise FormatError("a coded layer halves axes that it does not have")
    try:
        with np.errstate(all="ignore"):
            values = _decode(IntegerDecoder(data[position:]), shape, plan, np.array([0, *centres]))
            result = inverse(values.astype(dtype), plan)
            result *= dtype.type(step)
            result += dtype.type(mean)
    except ValueError as error:
        raise FormatError(f"a coded layer is damaged: {error}") from error
    if not np.isfinite(result).all():
        raise FormatError("a coded layer is damaged: it has values that are not finite")
    return result


def _decode(
    stream: IntegerDecoder, shape: Triple, plan: Sequence[int], centres: Integers
) -> NDArray[np.float64]:
    """Coefficients in units of the step."""
    statistics = adaptive.Statistics(_KINDS)
    coefficients = np.zeros(shape)
    shift = centres * _CENTRE_UNIT

    def code(where: Box, contexts: Integers) -> Integers:
        integers = statistics.take(stream, contexts)
        values = integers + np.sign(integers) * shift[np.minimum(np.abs(integers), _CENTRES)]
        place = coefficients[where]
        place[...] = values.reshape(place.shape)
        return integers

    _scan(shape, plan, statistics, code)
    return coefficients


def _triple(shape: tuple[int, ...]) -> Triple:
    z, y, x = shape
    return z, y, x
