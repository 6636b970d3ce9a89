"""Training of a codec for pairs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from inrvis.container.images_file import Pair
from inrvis.encoder.images.model import Batch, Cutout, PairModel
from inrvis.encoder.images.ops import Weigh
from inrvis.encoder.images.pictures import Pictures
from inrvis.encoder.images.settings import ImageTraining
from inrvis.encoder.images.trainer import ImageTrainer, Loss
from inrvis.encoder.quantise import Quantiser, coded_bits, sensible_steps
from inrvis.encoder.training import Report

# Step of weights that are to stay what they are, relative to their root mean square.
_FINE_STEP = 1 / 64
_SCALES = tuple(2.0**k for k in np.arange(-3, 3.5, 0.5))
# Windows that may be looked at for one with anything in it.
_MOST_TRIES = 8
Codes = Callable[[int], NDArray[np.float32]]
Window = tuple[slice, slice] | None


class PairTrainer(ImageTrainer):
    """Trains one model of pairs.

    Parameters
    ----------
    model : PairModel
        On the device it is trained on.
    pictures : Pictures
        All images.
    codes : callable
        Code of an image by its number.
    pairs : sequence of pairs
        Pairs to train on; an image alone is trained on as a pair with itself.
    settings : ImageTraining
        Length and rates.
    total_pixels : int
        Pixels of the whole database: what a bit of the weights is worth.
    seed : int
        Seed of the batches.
    report : callable, optional
        Told of the progress.
    """

    def __init__(
        self,
        model: PairModel,
        pictures: Pictures,
        codes: Codes,
        pairs: Sequence[Pair],
        settings: ImageTraining,
        *,
        total_pixels: int,
        seed: int,
        report: Report | None = None,
    ) -> None:
        super().__init__(model, settings, seed=seed, report=report)
        self.model, self._pictures, self._codes = model, pictures, codes
        self._total_pixels = total_pixels
        self._buckets: dict[tuple[int, int], list[Pair]] = defaultdict(list)
        for left, right in pairs:
            size = pictures.facts.kinds[left].padded
            self._buckets[size].append((left, right if right >= 0 else left))
        self._lefts = len({left for left, _ in pairs}) / len(pairs)
        self._flat = [(size, pair) for size, own in self._buckets.items() for pair in own]

    @property
    def objective(self) -> float:
        """Bits a pixel of the streams, plus the error at what it is worth, smoothed."""
        return self.bits_per_pixel + self._settings.trade_off * self.squared_error

    @override
    def _loss(self) -> Loss:
        bits, error = self._measure(self.draw(), self._weigh())
        worth = self._settings.trade_off
        return Loss((bits + worth * error) / (1 + worth), bits, error)

    def _measure(self, batch: Batch, weigh: Weigh | None) -> tuple[Tensor, Tensor]:
        """Bits a pixel and mean squared error, in 8-bit units, of a batch."""
        outcome = self.model(batch, weigh, self._generator)
        pixels = batch.left.shape[0] * batch.left.shape[2] * batch.left.shape[3]
        both = (outcome.left, batch.left), (outcome.right, batch.right)
        left, right = ((found - wanted).square().mean() for found, wanted in both)
        bits = self._mean(outcome.left_bits, outcome.right_bits) / pixels
        # Windows that were taken, of those that were tried: what there is to a pixel on the whole.
        taken, tried = self._counts.tolist()
        share = taken / max(tried, 1)
        return bits * share, self._mean(left, right) * share * 255**2

    def _mean(self, left: Tensor, right: Tensor) -> Tensor:
        """Mean over all images: a left one counts once, whatever pairs it is in."""
        return (self._lefts * left + right) / (self._lefts + 1)

    def draw(self) -> Batch:
        """Random pairs of one size, cut at the same random places."""
        settings, generator = self._settings, self._generator
        size, first = self._flat[int(torch.randint(len(self._flat), (), generator=generator))]
        others = self._buckets[size]
        picks = torch.randint(len(others), (settings.batch - 1,), generator=generator)
        chosen = [first, *(others[int(i)] for i in picks)]
        sides: tuple[list[tuple[int, Window]], list[tuple[int, Window]]] = ([], [])
        for pair in chosen:
            window = self._window(pair)
            for side, image in zip(sides, pair, strict=True):
                side.append((image, window))
        codes = [np.concatenate([self._codes(pair[i]) for pair in chosen]) for i in (0, 1)]
        images = [self._stacked(self._pictures.channels, side) for side in sides]
        cutouts = None
        if self.model.covers:
            cutouts = self._cutout(sides[0]), self._cutout(sides[1])
        tensors = [torch.from_numpy(code).to(self.device) for code in codes]
        return Batch(images[0], images[1], tensors[0], tensors[1], cutouts)

    def _window(self, pair: Pair) -> Window:
        """A random place; of a codec with covers, one that has a covered pixel if it is found."""
        pictures, crop = self._pictures, self._settings.crop
        for _ in range(_MOST_TRIES):
            top, left = torch.rand(2, generator=self._generator).tolist()
            window = pictures.window(pair[0], crop, top, left)
            self._counts[1] += 1
            if window is None or not self.model.covers:
                break
            if any(pictures.cover(image)[window].any() for image in pair):
                break
        self._counts[0] += 1
        return window

    def _cutout(self, side: Sequence[tuple[int, Window]]) -> Cutout:
        pictures = self._pictures
        filled = self._stacked(pictures.filled, side)
        covers = self._stacked(lambda image, window: pictures.cover(image, window)[None], side)
        behind = self._stacked(lambda image, _: pictures.background(image)[:, None, None], side)
        return Cutout(filled, covers.float(), behind)

    def _stacked(
        self,
        part: Callable[[int, Window], NDArray[Any]],
        side: Sequence[tuple[int, Window]],
    ) -> Tensor:
        return torch.from_numpy(np.stack([part(*place) for place in side])).to(self.device)

    def float_tensors(self) -> dict[str, Tensor]:
        """Stored tensors of networks on floats; those of integer networks are rounded as such."""
        return {n: p for n, p in self.model.stored.items() if n not in self.model.integer_names}

    @override
    @torch.no_grad()
    def quantise(self) -> None:
        """Find the steps at which the whole file is best: bits of weights against the error."""
        tensors = self.float_tensors()
        if not self.model.exact:
            # As published, weights are not quantised: steps so fine that it does not show.
            sizes = {n: float(t.square().mean().sqrt()) or 1.0 for n, t in tensors.items()}
            self.quantiser = Quantiser(sizes, _FINE_STEP)
            return
        state = self._generator.get_state()
        batch = self.draw()

        def loss(weigh: Weigh) -> float:
            self._generator.set_state(state)  # the same noise each time
            bits, error = self._measure(
                batch, lambda name, w: weigh(name, w) if name in tensors else w
            )
            return float(bits + self._settings.trade_off * error)

        relative = sensible_steps(tensors, loss, self._generator)

        def cost(scale: float) -> float:
            quantiser = relative.at(scale)
            return loss(quantiser.weigh) + coded_bits(quantiser, tensors) / self._total_pixels

        self.quantiser = relative.at(min(_SCALES, key=cost))
