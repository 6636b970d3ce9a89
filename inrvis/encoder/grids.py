"""Code what networks leave over, or everything, as layers on the grid."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from inrvis.container.header import MAX_LEVELS, ArrayHeader
from inrvis.decoder.layers import Chunks
from inrvis.decoder.values import base_values
from inrvis.encoder.assembly import LayerParts
from inrvis.encoder.halving import rehalved
from inrvis.encoder.normalise import Normalised
from inrvis.errors import UsageError
from inrvis.residual import interpolation
from inrvis.residual.wavelet import WaveletEncoder

Channels = NDArray[np.float32]

# How far a network's channels may differ between machines: float32 sums in another order, sines
# of another library. Measured on two CPUs' kernels and all graph optimisations: below 2e-5.
DEVICE_MARGIN = 1e-4
# A bound below this share of the largest magnitude needs double precision.
_SINGLE = 2.0**-18
# What an error of a constant is measured by, relative to it: more than the gaps between doubles.
_OF_A_CONSTANT = 2.0**-40
# Sums of neighbours of larger values may overflow.
_LARGEST_SINGLE = 2.0**120
# Steps of coefficients that are looked at, relative to the range, and how near to find one, in
# doublings: each changes the quality by about 6 dB. Less than that is no error at all.
_STEPS, _STEP_TOLERANCE = (-30, 2), 0.002
_NO_ERROR = 1e-30


@dataclass(frozen=True)
class _Component:
    """A component of an array: its plane in the source's type, and what networks say of it.

    Voxels that are free are restored by masks: a layer may say there what it likes.
    """

    array: ArrayHeader
    plane: NDArray[Any]
    base: NDArray[Any]
    free: NDArray[np.bool_] | None

    def residual(self) -> NDArray[Any]:
        """What is left over, in the precision of the array's layer."""
        left: NDArray[Any] = (self.plane.astype(np.float64) - self.base.astype(np.float64)).astype(
            self.base.dtype
        )
        return left


class GridCoder:
    """Codes layers of one image.

    Parameters
    ----------
    normalised : Normalised
        The image.
    dimensions : tuple of 3 int
        (nx, ny, nz).
    """

    def __init__(self, normalised: Normalised, dimensions: tuple[int, int, int]) -> None:
        self._normalised, self._chunks = normalised, Chunks(dimensions)

    def _components(
        self, arrays: Sequence[ArrayHeader], channels: Channels | None
    ) -> Iterator[_Component]:
        for array in arrays:
            dtype = np.dtype(np.float32 if array.precision == "single" else np.float64)
            planes = self._normalised.planes[array.channel : array.channel + array.components]
            if channels is None:
                # As the decoder computes it from channels of zero.
                bases = [np.full(planes[0].shape, dtype.type(o)) for o in array.offset]
            else:
                bases = base_values(array, channels, dtype)
            for i, (plane, base) in enumerate(zip(planes, bases, strict=True)):
                yield _Component(array, plane, base, self._normalised.hidden(array, i))

    def _coded(
        self,
        arrays: Sequence[ArrayHeader],
        channels: Channels | None,
        encode: Callable[[_Component, NDArray[Any], NDArray[np.bool_] | None], bytes],
    ) -> tuple[bytes, ...]:
        streams = []
        for component in self._components(arrays, channels):
            left = component.residual()
            for chunk in self._chunks:
                where = self._chunks.slices(chunk)
                free = None if component.free is None else component.free[where]
                streams.append(encode(component, np.ascontiguousarray(left[where]), free))
        return tuple(streams)

    # Bounds on every error.

    def bounded(
        self,
        bounds: Sequence[float],
        channels: Channels | None = None,
        *,
        shrink: float = 1.0,
    ) -> LayerParts:
        """Layers with which no value is off by more than its array's bound.

        Parameters
        ----------
        bounds : sequence of float
            Largest absolute error of each array.
        channels : ndarray, optional
            What the networks say, shape (channels, nz, ny, nx); None if there are none.
        shrink : float
            Factor below 1 on the steps, for the rare case that rounding broke a bound.

        Raises
        ------
        UsageError
            If a bound is too small for the array's type.
        """
        arrays, steps = [], {}
        for array, bound in zip(self._normalised.arrays, bounds, strict=True):
            coded = self._bounded_header(array, bound)
            arrays.append(coded)
            steps[array.name] = shrink * self._tolerance(coded, bound, channels is not None)

        def encode(
            component: _Component, values: NDArray[Any], free: NDArray[np.bool_] | None
        ) -> bytes:
            name = component.array.name
            try:
                if steps[name] <= 0:
                    raise ValueError("the bound is finer than such values can be computed to")
                # A step that rounds to zero gives no numbers, which the coder refuses.
                with np.errstate(all="ignore"):
                    return interpolation.encode(values, steps[name], free=free)
            except ValueError as error:
                raise UsageError(f"array {name!r}: {error}; ask for a larger one") from error

        return LayerParts(tuple(arrays), self._coded(arrays, channels, encode))

    def by_levels(self, bounds: Sequence[float]) -> LayerParts | None:
        """Layers that code positions in a list of the values that occur; None if too many do.

        For arrays of few, unevenly spread values and bounds that allow no other one.
        """
        arrays: list[ArrayHeader] = []
        planes: list[tuple[NDArray[np.float32], NDArray[np.bool_] | None]] = []
        for array, bound in zip(self._normalised.arrays, bounds, strict=True):
            own = self._normalised.planes[array.channel : array.channel + array.components]
            hidden = [self._normalised.hidden(array, i) for i in range(array.components)]
            levels = _levels(
                [p if h is None or h.all() else p[~h] for p, h in zip(own, hidden, strict=True)]
            )
            # The header holds doubles.
            if levels is None or any(float(v) != v.item() for v in levels):
                return None
            # Doubles: differences of integers may be no integers of their type.
            if 2 * bound >= np.diff(levels.astype(np.float64)).min(initial=math.inf):
                return None
            arrays.append(
                replace(
                    array,
                    residual="interpolation",
                    precision="single",
                    levels=tuple(float(v) for v in levels),
                    offset=(0.0,) * array.components,
                )
            )
            ranks = [np.searchsorted(levels, plane).astype(np.float32) for plane in own]
            planes += zip(ranks, hidden, strict=True)
        streams = [
            interpolation.encode(
                np.ascontiguousarray(plane[where]),
                0.499,
                free=None if free is None else free[where],
            )
            for plane, free in planes
            for where in map(self._chunks.slices, self._chunks)
        ]
        return LayerParts(tuple(arrays), tuple(streams))

    def _bounded_header(self, array: ArrayHeader, bound: float) -> ArrayHeader:
        largest = max(abs(array.low), abs(array.high))
        precision = _precision(array) if bound >= _SINGLE * largest else "double"
        return replace(array, residual="interpolation", precision=precision)

    def _tolerance(self, array: ArrayHeader, bound: float, networks: bool) -> float:
        """Largest error of the layer's values with which the final ones keep the bound."""
        dtype = np.dtype(array.dtype)
        work = np.dtype(np.float32 if array.precision == "single" else np.float64)
        largest = max(abs(array.low), abs(array.high))
        # An error beyond the range means nothing, and multiples of it may be no numbers.
        bound = min(bound, (array.high - array.low) or max(1.0, _OF_A_CONSTANT * largest))
        # What is taken off the original and added to the network is rounded each time.
        rounding = float(np.spacing(work.type(largest)))
        if dtype.kind != "f":
            # Rounding to integers forgives half a unit.
            tolerance = math.floor(bound) + 0.499 - rounding
        else:
            if dtype != work:
                rounding += float(np.spacing(dtype.type(largest))) / 2
            # A value nearer than half a unit in the last place is rounded to the original: with
            # half of the bound either that holds, or the other half covers the rounding.
            tolerance = max(bound / 2, bound - rounding)
        if networks:
            tolerance -= DEVICE_MARGIN * max(array.scale)
        return tolerance

    def base_can_help(self, bounds: Sequence[float]) -> bool:
        """Whether bounds are loose enough for networks, which differ a little between devices."""
        return all(
            self._tolerance(self._bounded_header(array, bound), bound, networks=True)
            > 0.8 * self._tolerance(self._bounded_header(array, bound), bound, networks=False)
            for array, bound in zip(self._normalised.arrays, bounds, strict=True)
        )

    # Least mean squared error.

    def wavelets(self, channels: Channels | None = None) -> WaveletLayers:
        """Layers for a size or a PSNR, on top of ``channels`` if given."""
        arrays = tuple(
            replace(
                array,
                residual="wavelet",
                precision=_precision(array),
            )
            for array in self._normalised.arrays
        )
        parts = []
        for component in self._components(arrays, channels):
            left = component.residual()
            span = component.array.high - component.array.low or 1.0
            for chunk in self._chunks:
                box = np.ascontiguousarray(left[self._chunks.slices(chunk)])
                parts.append(
                    _WaveletPart(component.array.name, span, box.size, WaveletEncoder(box))
                )
        return WaveletLayers(arrays, tuple(parts))


@dataclass(frozen=True)
class _WaveletPart:
    name: str
    span: float
    voxels: int
    encoder: WaveletEncoder


@dataclass(frozen=True)
class WaveletLayers:
    """Wavelet coefficients of all layers, to be coded with one step after another.

    Steps are relative to the range of an array.
    """

    arrays: tuple[ArrayHeader, ...]
    parts: tuple[_WaveletPart, ...]

    def encode(self, step: float | Mapping[str, float]) -> LayerParts:
        """Layers whose coefficients are rounded with one ``step``, or with one for each array."""
        steps = step if isinstance(step, Mapping) else {a.name: step for a in self.arrays}
        return LayerParts(
            self.arrays,
            tuple(part.encoder.encode(steps[part.name] * part.span) for part in self.parts),
        )

    def rehalved(self, steps: Mapping[str, float], trials: int) -> WaveletLayers:
        """Layers with better plans near ``steps``, of up to ``trials`` encodings of everything."""
        parts = (
            replace(part, encoder=rehalved(part.encoder, steps[part.name] * part.span, trials))
            for part in self.parts
        )
        return WaveletLayers(self.arrays, tuple(parts))

    @property
    def plans(self) -> tuple[tuple[int, ...], ...]:
        """Steps of the transform of each part."""
        return tuple(part.encoder.plan for part in self.parts)

    def step_for(self, name: str, psnr_db: float) -> float:
        """Step with which an array has ``psnr_db``, as the coefficients tell it."""
        parts = [part for part in self.parts if part.name == name]
        voxels = sum(part.voxels for part in parts)

        def above(doublings: float) -> float:
            step = 2.0**doublings
            squares = sum(
                part.encoder.mean_squared_error(step * part.span) * part.voxels for part in parts
            )
            return -10 * math.log10(max(squares / voxels * step**2, _NO_ERROR)) - psnr_db

        least, most = _STEPS
        # Nearly that of errors that are even: about as many dB for each doubling all the way.
        near = math.log2(math.sqrt(12)) - psnr_db / (20 * math.log10(2)) - 1
        if not least < near < most or above(near) <= 0:
            near = least
        if above(most) >= 0:
            return 2.0**most
        if near == least and above(least) <= 0:
            return 2.0**least
        return float(2.0 ** brentq(above, near, most, xtol=_STEP_TOLERANCE))


def _precision(array: ArrayHeader) -> str:
    """Single where float32 holds every value, and sums of some."""
    dtype = np.dtype(array.dtype)
    narrow = dtype == np.float32 or (dtype.kind != "f" and dtype.itemsize <= 2)
    small = max(abs(array.low), abs(array.high)) < _LARGEST_SINGLE
    return "single" if narrow and small else "double"


def _levels(planes: Sequence[NDArray[Any]]) -> NDArray[Any] | None:
    """Distinct values of some planes, ascending; None for more than a file may list."""
    for sample in (slice(None, None, 997), slice(None)):
        values = [np.unique(plane.ravel()[sample]) for plane in planes]
        if max(map(len, values)) > MAX_LEVELS:
            return None
    levels = np.unique(np.concatenate(values))
    return levels if len(levels) <= MAX_LEVELS else None
