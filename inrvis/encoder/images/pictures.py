"""Images of a database as channels of networks, and what masks of them keep."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrvis.container.images_header import (
    HYPER_STRIDE,
    MAX_IMAGE_PIXELS,
    MAX_IMAGE_SIDE,
    ImageKind,
)
from inrvis.decoder.covers import background_of, cover_of, kept_by, padded_cover
from inrvis.encoder.images.filling import filled, inner
from inrvis.errors import SourceError
from inrvis.sources.database import ImageDatabase

_CACHE_BYTES = 3 << 30


@dataclass(frozen=True)
class Facts:
    """What one look at all images tells.

    Attributes
    ----------
    kinds : tuple of ImageKind
        For each image.
    low, high : float
        Range of the values of all float images; 0 and 1 without any.
    channels : int
        Channels that a network for all of them gives.
    """

    kinds: tuple[ImageKind, ...]
    low: float
    high: float
    channels: int

    def limits(self, image: int) -> tuple[float, float]:
        """Values of a float image that stand for 0 and 1."""
        return self.kinds[image].limits or (self.low, self.high)


def look_at(database: ImageDatabase) -> Facts:
    """Read every image once.

    Raises
    ------
    SourceError
        If one cannot be read, or is too large.
    """
    places = database.first_places()
    columns = [places[image][1] for image in range(len(database.images))]
    kinds: list[ImageKind] = []
    ranges: dict[int, tuple[float, float]] = {}
    for number, stored in enumerate(database.images):
        size = (stored.height, stored.width)
        if max(size) > MAX_IMAGE_SIDE or size[0] * size[1] > MAX_IMAGE_PIXELS:
            raise SourceError(f"image {number} is too large: {size[1]}x{size[0]} pixels")
        pixels = stored.load()
        mask = ""
        if stored.dtype == "float32":
            finite = pixels[np.isfinite(pixels)]
            if np.isinf(pixels).any():
                raise SourceError(f"image {number} has infinite values: make them NaN or finite")
            if finite.size < pixels.size:
                mask = "nan"
            if finite.size:
                own = float(finite.min()), float(finite.max())
                low, high = ranges.get(columns[number], own)
                ranges[columns[number]] = min(low, own[0]), max(high, own[1])
        elif stored.channels == 4:
            known = np.isin(pixels[..., 3], (0, 255))
            mask = "alpha" if known.all() else "partial" if known.any() else ""
        kinds.append(ImageKind(*size, stored.channels, stored.dtype, mask))  # type: ignore[arg-type]
    if len(set(ranges.values())) > 1:
        # Columns of depths and of temperatures have nothing in common.
        kinds = [
            replace(kind, limits=ranges.get(column)) if kind.dtype == "float32" else kind
            for kind, column in zip(kinds, columns, strict=True)
        ]
    low = min((low for low, _ in ranges.values()), default=0.0)
    high = max((high for _, high in ranges.values()), default=1.0)
    channels = max((k.coded_channels for k in kinds), default=1)
    return Facts(tuple(kinds), low, high, channels)


def spread(numbers: Sequence[int], most: int) -> list[int]:
    """At most so many of ``numbers``, evenly."""
    places = np.linspace(0, len(numbers) - 1, min(most, len(numbers)))
    return [numbers[i] for i in np.unique(places.round().astype(int))]


def commonest(pixels: NDArray[Any]) -> NDArray[Any]:
    """The commonest value among every fourth pixel of every fourth row, shape (channels,)."""
    some = pixels[::4, ::4].reshape(-1, pixels.shape[2])
    found, counts = np.unique(some, return_counts=True, axis=0)
    value: NDArray[Any] = found[np.argmax(counts)]
    return value


class Pictures:
    """Images as arrays for networks, kept in memory as far as there is room.

    Parameters
    ----------
    database : ImageDatabase
        The images.
    facts : Facts
        What `look_at` gave.
    """

    def __init__(self, database: ImageDatabase, facts: Facts) -> None:
        self._database, self.facts = database, facts
        self._cache: OrderedDict[tuple[str, int], NDArray[Any]] = OrderedDict()
        self._bytes = 0
        # Pixels, the same filled, and covers.
        self._all_stay = 3 * sum(kind.nbytes for kind in facts.kinds) <= _CACHE_BYTES

    def seen_as(self, facts: Facts) -> Pictures:
        """The same images, and what is in memory of them, by other facts."""
        other = Pictures(self._database, facts)
        other._cache.update((k, v) for k, v in self._cache.items() if k[0] == "pixels")
        other._bytes = sum(values.nbytes for values in other._cache.values())
        return other

    def __len__(self) -> int:
        return len(self._database.images)

    def pixels(self, image: int) -> NDArray[Any]:
        """Pixels as the source has them."""
        return self._kept("pixels", image, self._database.images[image].load)

    def _kept(self, what: str, image: int, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        key = what, image
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        values = self._cache[key] = make()
        self._bytes += values.nbytes
        while self._bytes > _CACHE_BYTES and len(self._cache) > 1:
            self._bytes -= self._cache.popitem(last=False)[1].nbytes
        return values

    def mask(self, image: int) -> NDArray[np.bool_] | None:
        """Opaque pixels, or numbers, shape (1, height, width); None if it has no mask.

        Where an alpha lies between, clear pixels and opaque ones, shape (2, height, width).
        """
        kind = self.facts.kinds[image]
        if not kind.mask:
            return None
        pixels = self.pixels(image)
        if kind.mask == "partial":
            return np.asarray(pixels[..., 3] == np.array([0, 255])[:, None, None])
        if kind.mask == "background":
            known = (pixels[..., :3] != np.array(kind.background)).any(axis=2)
        elif kind.mask == "alpha":
            known = pixels[..., 3] == 255
        else:
            known = ~np.isnan(pixels)
        return np.asarray(known[None])

    def whole_cover(self, image: int) -> NDArray[np.bool_]:
        """Pixels that networks have to give, (height, width): all that no mask restores."""
        kind = self.facts.kinds[image]
        return self._kept("cover", image, lambda: cover_of(kind, self.mask(image)))

    def cover(self, image: int, window: tuple[slice, slice] | None = None) -> NDArray[np.bool_]:
        """`whole_cover` of a part, or as large as `channels`; nothing covers what that adds."""
        cover = self.whole_cover(image)
        return padded_cover(self.facts.kinds[image], cover) if window is None else cover[window]

    def background(self, image: int) -> NDArray[np.float32]:
        """Channels of what a mask restores, from 0 to 1, shape (channels,)."""
        return background_of(self.facts.kinds[image], self.facts.channels)

    def covered(self, image: int) -> NDArray[np.bool_] | None:
        """Pixels that its mask does not leave empty, (1, height, width); None without a mask."""
        mask = self.mask(image)
        return None if mask is None else kept_by(self.facts.kinds[image], mask)[None]

    def channels(
        self, image: int, window: tuple[slice, slice] | None = None, stride: int = HYPER_STRIDE
    ) -> NDArray[Any]:
        """Channels from 0 to 1, (channels, height, width) of float32.

        Parameters
        ----------
        image : int
            Its number.
        window : tuple of slice, optional
            Part to be cut out; by default the whole image, its edges repeated to a multiple
            of ``stride``.
        stride : int
            What the size becomes a multiple of.
        """
        return self._channels(image, self.pixels(image), window, stride)

    def filled_pixels(self, image: int) -> NDArray[Any]:
        """Pixels, smooth where nothing covers them.

        Networks that need not give the background would waste bits on its rim. Pixels of the rim
        are replaced, too, where they may be mixed with it.
        """
        cover = self.whole_cover(image)
        return self._kept("filled", image, lambda: self._filled(image, self.pixels(image), cover))

    def filled(self, image: int, window: tuple[slice, slice] | None = None) -> NDArray[np.float32]:
        """`filled_pixels` as channels, like `channels`.

        Of images that do not stay in memory, parts are filled by what is in them alone.
        """
        if window is None or self._all_stay:
            return self._channels(image, self.filled_pixels(image), window, HYPER_STRIDE)
        cover = self.whole_cover(image)[window]
        part = self._filled(image, self.pixels(image)[window], cover)
        return self._channels(image, part, (slice(None), slice(None)), HYPER_STRIDE)

    def _filled(self, image: int, pixels: NDArray[Any], cover: NDArray[np.bool_]) -> NDArray[Any]:
        soft = self.facts.kinds[image].mask == "background"
        return filled(pixels, inner(cover) if soft else cover)

    def _channels(
        self,
        image: int,
        pixels: NDArray[Any],
        window: tuple[slice, slice] | None,
        stride: int,
    ) -> NDArray[np.float32]:
        kind, facts = self.facts.kinds[image], self.facts
        if window is not None:
            pixels = pixels[window]
        if kind.dtype == "float32":
            low, high = facts.limits(image)
            values = (pixels[None] - low) / ((high - low) or 1.0)
            values = np.nan_to_num(values, nan=0.0).astype(np.float32)
        else:
            values = pixels[..., : kind.coded_channels].transpose(2, 0, 1) / np.float32(255)
        missing = facts.channels - len(values)
        if missing:
            values = np.concatenate([values, np.repeat(values[-1:], missing, axis=0)])
        if window is None:
            height, width = kind.padded_to(stride)
            pad = ((0, 0), (0, height - kind.height), (0, width - kind.width))
            values = np.pad(values, pad, mode="edge")
        return np.ascontiguousarray(values, dtype=np.float32)

    def foreground(self, image: int) -> NDArray[np.bool_]:
        """Pixels that its mask keeps, or not of the `commonest` value; (1, height, width)."""
        covered = self.covered(image)
        if covered is not None:
            return covered
        pixels = self.pixels(image)
        values = pixels.reshape(*pixels.shape[:2], -1)
        return np.asarray((values != commonest(values)).any(axis=2)[None])

    def window(self, image: int, side: int, top: float, left: float) -> tuple[slice, slice] | None:
        """Square at a relative place; None where the image is smaller and is taken whole."""
        kind = self.facts.kinds[image]
        if not side or min(kind.height, kind.width) < side:
            return None
        rows, columns = kind.height - side, kind.width - side
        y, x = round(top * rows), round(left * columns)
        return slice(y, y + side), slice(x, x + side)
