"""Values kept within bounds, for training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _Bounded(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor, low: float, high: float) -> Tensor:
        context.save_for_backward(x)
        context.bounds = low, high
        return x.clamp(low, high)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (x,) = context.saved_tensors
        low, high = context.bounds
        # A descent moves against the gradient.
        inward = ((x >= low) | (gradient < 0)) & ((x <= high) | (gradient > 0))
        return gradient * inward, None, None


def bounded(x: Tensor, low: float, high: float = float("inf")) -> Tensor:
    """Clamp, with a gradient out of bounds wherever that leads back inside.

    With the gradient of a plain clamp what is outside never returns; with one that passes always,
    it goes on outwards for ever, and takes the weights along.
    """
    result: Tensor = _Bounded.apply(x, low, high)  # type: ignore[no-untyped-call]
    return result
