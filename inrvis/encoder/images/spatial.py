"""Spatial contexts while they are trained: what `inrvis.decoder.surroundings` gives, in torch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from inrvis.decoder import surroundings


def phases(like: Tensor) -> list[Tensor]:
    """`surroundings.phases` for latents (batch, channels, height, width), as 0 and 1."""
    masks = surroundings.phases(*like.shape[2:])
    return [torch.from_numpy(mask).to(like)[None, None] for mask in masks]


class Surroundings:
    """`surroundings.Surroundings`, not rounded.

    Parameters
    ----------
    known : Tensor
        1 for blocks whose latents are known, (batch, 1, height, width), 0 for others.
    """

    def __init__(self, known: Tensor) -> None:
        self._known, number = known, _sum(known)
        self.count = surroundings.COUNT_UNIT * number
        self._number = number.clamp(min=1)

    def mean(self, values: Tensor) -> Tensor:
        """Mean of ``values`` over known neighbours, (batch, channels, height, width)."""
        return _sum(values * self._known) / self._number


def _sum(values: Tensor) -> Tensor:
    return 9 * functional.avg_pool2d(values, 3, stride=1, padding=1)
