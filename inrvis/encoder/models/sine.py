"""Sine layers on columns of voxels, with as few passes over memory as autograd allows.

A layer's weights and biases are one matrix ``[W | b]``, which multiplies columns that end in a
one: biases and their gradients cost no pass of their own. In eager torch, training is bound by
such passes as much as by products and sines.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from inrvis.encoder.models.base import Weigh, plain


class _Sine(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, angles: Tensor) -> Tensor:
        ctx.save_for_backward(angles)
        blocks, rows, number = angles.shape
        columns = angles.new_empty(blocks, rows + 1, number)
        torch.sin(angles, out=columns[:, :rows])
        columns[:, rows] = 1
        return columns

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (angles,) = ctx.saved_tensors
        slope: Tensor = torch.cos(angles)
        return slope.mul_(gradients[0][:, :-1])


def sine(angles: Tensor) -> Tensor:
    """Sines of angles (blocks, rows, n), and a row of ones below them."""
    columns: Tensor = _Sine.apply(angles)  # type: ignore[no-untyped-call]
    return columns


def columns_of(coordinates: Tensor) -> Tensor:
    """Coordinates (blocks, n, 3) as columns (blocks, 4, n) that end in a one."""
    blocks, number, _ = coordinates.shape
    return torch.cat([coordinates.transpose(1, 2), coordinates.new_ones(blocks, 1, number)], dim=1)


def weighed(weigh: Weigh, name: str, layer: Tensor) -> Tensor:
    """The matrix ``[W | b]`` of a layer whose tensors are ``name`` and ``name + "b"``."""
    if weigh is plain:
        return layer
    bias = weigh(f"{name}b", layer[..., -1])
    return torch.cat([weigh(name, layer[..., :-1]), bias[..., None]], dim=-1)
