"""Coding of all images with a trained model, through the networks that a decoder will run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from inrvis.bitstream.latents import NUMBER_OF_SCALES, LatentEncoder, latent_reach, scales
from inrvis.container.images_file import Pair
from inrvis.decoder.pairs import Latents, PairNetworks, Side
from inrvis.decoder.streams import Integers, checksum
from inrvis.encoder.images.model import PairModel
from inrvis.encoder.images.ops import TorchOps
from inrvis.encoder.images.pictures import Pictures
from inrvis.encoder.images.training import Codes

_MOST_SYMBOL = float((1 << 31) - 1)
# The rarest symbol of a table, and 32 bits.
_ESCAPE_BITS = 52.0


class LatentSource:
    """Symbols of an image that is being encoded: rounds what the analysis gave, and writes it.

    Parameters
    ----------
    latents : sequence of ndarray
        Hyperlatents and latents, in latent units.
    worth : float
        Bits that a squared rounding error of one latent, in units of it, is worth.

    Attributes
    ----------
    estimated_bits : float
        What the tables say that the symbols written so far cost.
    """

    def __init__(self, latents: Sequence[NDArray[np.float64]], worth: float = 0.0) -> None:
        self._latents, self._worth = {part.shape[2:]: part[0] for part in latents}, worth
        # No pixel is made of hyperlatents.
        self._worthy = latents[-1].shape[2:]
        self._encoder, self._checksum = LatentEncoder(), 0
        self.estimated_bits = 0.0

    def symbols(
        self, means: NDArray[np.float64], tables: Integers, places: NDArray[np.bool_]
    ) -> Integers:
        """Round latents around their means, and write them."""
        distance = self._latents[places.shape][:, places] - means
        worth = self._worth if places.shape == self._worthy else 0.0
        symbols = _rounded(np.clip(distance, -_MOST_SYMBOL, _MOST_SYMBOL), tables, worth)
        self._encoder.put(symbols, tables)
        self._checksum = checksum(symbols, self._checksum)
        self.estimated_bits += float(_bits(np.abs(symbols), tables).sum())
        return symbols

    def record(self) -> bytes:
        """Checksum and stream, as the file takes them."""
        return self._checksum.to_bytes(4, "little") + self._encoder.finish()


def _rounded(distance: NDArray[np.float64], tables: Integers, worth: float) -> Integers:
    """Nearest integers; outliers are clipped where that saves more bits than it does harm."""
    nearest = np.rint(distance)
    if worth:
        reach = _reaches()[tables]
        clipped = np.clip(nearest, -reach, reach)
        harm = worth * ((distance - clipped) ** 2 - (distance - nearest) ** 2)
        nearest = np.where(harm < _ESCAPE_BITS - _bits(reach, tables), clipped, nearest)
    return np.asarray(nearest.astype(np.int64))


def _bits(magnitudes: Integers, tables: Integers) -> NDArray[np.float64]:
    decay = -0.5 / scales()[tables]
    tail = (2 * magnitudes - 1) * decay + np.log1p(-np.exp(2 * decay)) - np.log(2)
    nothing = np.log1p(-np.exp(decay))
    return np.asarray(np.where(magnitudes > 0, tail, nothing) / -np.log(2))


@cache
def _reaches() -> Integers:
    """Largest magnitude that each table has without an escape."""
    return np.array([latent_reach(i) for i in range(NUMBER_OF_SCALES)])


@dataclass(frozen=True)
class Coded:
    """Records of all images, by number, and the bits that the tables say they cost."""

    records: tuple[bytes, ...]
    estimated_bits: float


class PairCoder:
    """Codes pairs.

    Parameters
    ----------
    model : PairModel
        Trained, for its analysis.
    networks : PairNetworks
        What a decoder of the file will run.
    pictures : Pictures
        All images.
    codes : callable
        Code of an image by its number.
    """

    def __init__(
        self, model: PairModel, networks: PairNetworks, pictures: Pictures, codes: Codes
    ) -> None:
        self._model, self._networks = model, networks
        self._pictures, self._codes = pictures, codes
        self._device = next(model.parameters()).device

    def code(
        self, pair: Pair, known: Latents | None = None
    ) -> tuple[tuple[LatentSource, LatentSource | None], Latents]:
        """Code one pair, or the left image alone; nothing of it where its latents are known."""
        left, right = pair
        latents = self._analyse(left, right if right >= 0 else left)
        first, left_side = self._side(left, latents[0])
        second, right_side = self._side(right, latents[1]) if right >= 0 else (None, None)
        kind = self._pictures.facts.kinds[left]
        return (first, second), self._networks.latents(kind, left_side, right_side, known=known)

    def _side(
        self, image: int, latents: Sequence[NDArray[np.float64]]
    ) -> tuple[LatentSource, Side]:
        cover = self._pictures.whole_cover(image) if self._model.covers else None
        source = LatentSource(latents, self._model.worth)
        return source, Side(self._codes(image), source, cover)

    @torch.no_grad()
    def _analyse(self, left: int, right: int) -> list[list[NDArray[np.float64]]]:
        ops = TorchOps(self._model.analysing)
        seen = self._pictures.filled if self._model.covers else self._pictures.channels
        images = [torch.from_numpy(seen(i)[None]).to(self._device) for i in (left, right)]
        y = self._model.analyse(ops, *images)
        z = self._model.hyper_analyse(ops, *y)
        return [[part.double().cpu().numpy() for part in side] for side in zip(z, y, strict=True)]

    def code_all(
        self, pairs: Sequence[Pair], progress: Callable[[float], None] | None = None
    ) -> Coded:
        """Code all pairs."""
        records: dict[int, bytes] = {}
        bits: dict[int, float] = {}
        before, latents = -1, None
        for done, pair in enumerate(pairs, start=1):
            # Pairs with the same left image follow each other.
            known = latents if pair[0] == before and self._networks.left_alone else None
            sources, latents = self.code(pair, known)
            before = pair[0]
            for image, source in zip(pair, sources, strict=True):
                if source is not None and image not in records:
                    records[image] = source.record()
                    bits[image] = source.estimated_bits
            if progress is not None:
                progress(done / len(pairs))
        return Coded(tuple(records[i] for i in range(len(records))), sum(bits.values()))
