"""Orthogonalised momentum steps for batches of matrices, with Adam for everything else.

Muon (Jordan et al. 2024): the momentum of a matrix is replaced by the nearest orthogonal one,
through five Newton-Schulz iterations, so that every direction of the layer learns at the same
rate. torch's own takes single matrices; here each block of the network is one of a batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

# Coefficients of the quintic iteration: they push every singular value to around one.
_A, _B, _C = 3.4445, -4.7750, 2.0315


def orthogonalise(matrices: Tensor) -> Tensor:
    """Nearest (semi-)orthogonal matrices, approximately; shape (batch, rows, columns)."""
    wide: Tensor = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-12)
    tall = wide.shape[1] > wide.shape[2]
    if tall:
        wide = wide.transpose(1, 2)
    for _ in range(5):
        gram = wide @ wide.transpose(1, 2)
        wide = _A * wide + (_B * gram + _C * gram @ gram) @ wide
    return wide.transpose(1, 2) if tall else wide


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised, with decoupled decay of all but the bias column."""

    def __init__(
        self, parameters: Iterable[Tensor], lr: float, momentum: float, weight_decay: float
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # noqa: ARG002
        """Take one step."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                momentum = state["momentum"].mul_(group["momentum"]).add_(parameter.grad)
                update = orthogonalise(parameter.grad + group["momentum"] * momentum)
                parameter[..., :-1].mul_(1 - group["lr"] * group["weight_decay"])
                # A tall matrix is semi-orthogonal: its rows need the larger step to move alike.
                scale = math.sqrt(max(1.0, parameter.shape[-2] / parameter.shape[-1]))
                parameter.add_(update, alpha=-group["lr"] * scale)
