"""Training of a network that gives whole images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from inrvis.container.implicit_header import ImplicitHeader
from inrvis.decoder.codes import grid_of, waves_of
from inrvis.encoder.images.ops import Weigh
from inrvis.encoder.images.pictures import Pictures
from inrvis.encoder.images.settings import ImageTraining
from inrvis.encoder.images.trainer import ImageTrainer, Loss
from inrvis.encoder.models.nerv import NervModel, ViewBatch
from inrvis.encoder.quantise import scale_for_bits, sensible_steps
from inrvis.encoder.training import Report


@dataclass(frozen=True)
class Place:
    """Where an image stands: a number for each code of the header, and the image's number."""

    values: tuple[float, ...]
    image: int


class ImplicitTrainer(ImageTrainer):
    """Trains one network.

    Parameters
    ----------
    model : NervModel
        On the device it is trained on.
    header : ImplicitHeader
        What codes are made of, and what channels mean.
    pictures : Pictures
        All images.
    places : sequence of Place
        What to train on.
    settings : ImageTraining
        Length and rates.
    foreground : float
        What the foreground counts, against a background of 1.
    weight_bits : float
        Bits that the weights may take.
    seed : int
        Seed of the batches.
    report : callable, optional
        Told of the progress.
    """

    def __init__(
        self,
        model: NervModel,
        header: ImplicitHeader,
        pictures: Pictures,
        places: Sequence[Place],
        settings: ImageTraining,
        *,
        foreground: float,
        weight_bits: float,
        seed: int,
        report: Report | None = None,
    ) -> None:
        super().__init__(model, settings, seed=seed, report=report)
        self.model, self._header, self._pictures = model, header, pictures
        self._foreground, self._weight_bits = foreground, weight_bits
        self._buckets: dict[tuple[int, int], list[Place]] = defaultdict(list)
        for place in places:
            kind = pictures.facts.kinds[place.image]
            self._buckets[kind.height, kind.width].append(place)
        self._flat = list(places)

    @override
    def _loss(self) -> Loss:
        noise = None if self.quantiser is not None else self._generator
        total, error = self._measure(self._draw(), self._weigh(), noise)
        # In units of the range: gradients of 8-bit units would all be clipped.
        return Loss(total / 255**2, torch.zeros(()), error)

    def _draw(self) -> list[Place]:
        """Random places of one size of images."""
        generator = self._generator
        first = self._flat[int(torch.randint(len(self._flat), (), generator=generator))]
        kind = self._pictures.facts.kinds[first.image]
        others = self._buckets[kind.height, kind.width]
        picks = torch.randint(len(others), (self._settings.batch - 1,), generator=generator)
        return [first, *(others[int(i)] for i in picks)]

    def _measure(
        self, places: Sequence[Place], weigh: Weigh | None, noise: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """Weighted squared error of all channels, and plain one of colours, in 8-bit units."""
        pictures, header = self._pictures, self._header
        kind = pictures.facts.kinds[places[0].image]
        images = self._tensor([pictures.channels(p.image, None, header.stride) for p in places])
        codes = torch.from_numpy(np.concatenate([waves_of(header, p.values) for p in places]))
        batch = ViewBatch(
            images, codes.to(self.device), torch.from_numpy(grid_of(header, kind)).to(self.device)
        )
        output = self.model(batch, weigh, noise)[..., : kind.height, : kind.width]
        wanted = images[..., : kind.height, : kind.width]
        squares = (output[:, : header.colours] - wanted).square() * 255**2
        known = self._tensor([_known(pictures, p.image) for p in places])
        plain = (squares * known).mean() / known.mean().clamp(min=1e-6)
        weights = known
        if self._foreground != 1:
            shown = self._tensor([pictures.foreground(p.image) for p in places]).float()
            weights = known * (1 + (self._foreground - 1) * shown)
        total = (squares * weights).mean() / weights.mean().clamp(min=1e-6)
        if header.coverage:
            covered = self._tensor([_covered(pictures, p.image) for p in places])
            total = total + (output[:, header.colours :] - covered).square().mean() * 255**2
        return total, plain

    def _tensor(self, arrays: Sequence[NDArray[np.float32] | NDArray[np.bool_]]) -> Tensor:
        return torch.from_numpy(np.stack(list(arrays))).to(self.device)

    @override
    @torch.no_grad()
    def quantise(self) -> None:
        state = self._generator.get_state()
        places = self._draw()
        tensors = dict(self.model.stored.items())

        def loss(weigh: Weigh) -> float:
            return float(self._measure(places, weigh, None)[0])

        relative = sensible_steps(tensors, loss, self._generator)
        self._generator.set_state(state)
        self.quantiser = scale_for_bits(relative, tensors, self._weight_bits)


def _known(pictures: Pictures, image: int) -> NDArray[np.float32]:
    """1 where a value is known, (1, height, width): NaN is restored whatever a network gives."""
    kind = pictures.facts.kinds[image]
    if kind.mask == "nan":
        return _covered(pictures, image)
    return np.ones((1, kind.height, kind.width), dtype=np.float32)


def _covered(pictures: Pictures, image: int) -> NDArray[np.float32]:
    covered, kind = pictures.covered(image), pictures.facts.kinds[image]
    if covered is None:
        return np.ones((1, kind.height, kind.width), dtype=np.float32)
    return covered.astype(np.float32)
