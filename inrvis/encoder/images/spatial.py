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


def around(latents: Tensor, known: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Means of latents and of their magnitudes over known neighbours, and how many these are."""
    number = _sum(known)
    own = latents * known
    divisor = number.clamp(min=1)
    return _sum(own) / divisor, _sum(own.abs()) / divisor, number


def _sum(values: Tensor) -> Tensor:
    return 9 * functional.avg_pool2d(values, 3, stride=1, padding=1)
