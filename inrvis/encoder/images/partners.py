"""Which pairing serves a database best: by what partners save, before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn

from inrvis.container.images_file import Pair
from inrvis.container.images_header import LATENT_STRIDE
from inrvis.encoder.images.pairing import groups_of, paired, varying
from inrvis.encoder.images.pictures import Pictures, spread
from inrvis.encoder.images.transform import best_step
from inrvis.sources.database import ImageDatabase

# Images that are compared with others, and how far these lie along a parameter.
_SAMPLES, _MOST_REACH = 12, 4

Coefficients = NDArray[np.float64]


def choose_pairing(
    database: ImageDatabase,
    pictures: Pictures,
    wanted: str,
    trade_off: float,
    *,
    shared: bool,
    covers: bool,
) -> tuple[str, int]:
    """Name and reach of a pairing, as `paired` takes them.

    Parameters
    ----------
    database : ImageDatabase
        The images.
    pictures : Pictures
        The same as networks see them.
    wanted : str
        A pairing, of which the reach is to be chosen, or "auto".
    trade_off : float
        As in `ImageTraining`: it tells what is too small to be coded.
    shared : bool
        Whether a left image may have several partners.
    covers : bool
        Whether backgrounds are left to masks.
    """
    if wanted in ("sorted", "sphere"):
        return wanted, 0
    compared = _Compared(pictures, best_step(trade_off), covers=covers)
    names = varying(database) if wanted == "auto" else [wanted]
    # Of equals the first is taken.
    bits = {choice: b for name in names for choice, b in _along(database, name, compared, shared)}
    if wanted == "auto":
        for name in ("sorted", "sphere"):
            both = [pair for pair in paired(database, name) if pair[1] >= 0]
            if both:
                bits[name, 0] = _bits_of_all(len(both), len(pictures), compared.part(both))
    default = ("sorted" if wanted == "auto" else wanted, 0)
    return min(bits, key=lambda choice: bits[choice], default=default)


def _along(
    database: ImageDatabase, name: str, compared: _Compared, shared: bool
) -> list[tuple[tuple[str, int], float]]:
    """Bits of all images, for each reach along a parameter."""
    groups = [group.images for group in groups_of(database, name)]
    parts, found = 0.0, []
    for reach in range(1, _MOST_REACH + 1):
        both = [p for images in groups for p in zip(images, images[reach:], strict=False)]
        if not both:
            break
        parts += compared.part(both)
        choice = name, reach if shared else 0
        rights = sum(right >= 0 for _, right in paired(database, name, reach=choice[1]))
        found.append((choice, _bits_of_all(rights, len(database.images), parts / reach)))
        if not shared:
            break
    return found


def _bits_of_all(rights: int, images: int, part: float) -> float:
    """Bits of all images, if right ones take a ``part`` of what they take alone."""
    return 1 - rights / images * (1 - part)


class _Compared:
    """Images against images, by the bits of block transforms.

    A coefficient c that is coded in steps of D takes about ``log2(1 + (c / D)²) / 2`` bits. That
    of a right image may be predicted by the rounded one of the left, in each frequency or not.
    Means of blocks are left out: neighbouring blocks tell them as well.
    """

    def __init__(self, pictures: Pictures, step: float, *, covers: bool) -> None:
        self._seen = pictures.filled if covers else pictures.channels
        self._step = step

    def part(self, pairs: Sequence[Pair]) -> float:
        """Bits of right images, given the left ones, over bits of these alone; of some pairs."""
        given = alone = 0.0
        for left, right in (pairs[i] for i in spread(range(len(pairs)), _SAMPLES)):
            first, second = self._transformed(left), self._transformed(right)
            own = _rates(second)
            alone += float(own.sum())
            given += float(np.minimum(own, _rates(second - np.rint(first))).sum())
        return given / alone if alone else 1.0

    def _transformed(self, image: int) -> Coefficients:
        pixels: NDArray[Any] = self._seen(image)
        channels, height, width = pixels.shape
        side = LATENT_STRIDE
        blocks = pixels.reshape(channels, height // side, side, width // side, side)
        found: Coefficients = dctn(blocks, axes=(2, 4), norm="ortho") / self._step
        found[:, :, 0, :, 0] = 0
        return found


def _rates(coefficients: Coefficients) -> Coefficients:
    """Bits of each frequency."""
    rates: Coefficients = np.log2(1 + coefficients**2).sum(axis=(0, 1, 3)) / 2
    return rates
