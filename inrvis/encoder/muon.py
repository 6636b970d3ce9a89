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
        powers = torch.baddbmm(gram, gram, gram, beta=_B, alpha=_C)
        wide = torch.baddbmm(wide, powers, wide, beta=_A)
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
            # Layers of one shape are one batch: small matrices cost calls more than products.
            alike: dict[torch.Size, list[torch.nn.Parameter]] = {}
            ahead: dict[torch.Size, list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    step = self._ahead(parameter, parameter.grad, group["momentum"])
                    alike.setdefault(parameter.shape[1:], []).append(parameter)
                    ahead.setdefault(parameter.shape[1:], []).append(step)
            for shape, parameters in alike.items():
                rows, columns = shape
                steps = torch.cat(ahead[shape])
                # A tall matrix is semi-orthogonal: its rows need the larger step to move alike.
                rate = group["lr"] * math.sqrt(max(1.0, rows / columns))
                updates = orthogonalise(steps).split([len(p) for p in parameters])
                for parameter, update in zip(parameters, updates, strict=True):
                    parameter[..., :-1].mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(update, alpha=-rate)

    def _ahead(self, parameter: Tensor, gradient: Tensor, momentum: float) -> Tensor:
        """Nesterov's look ahead, after the gradient has entered the momentum."""
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        mean: Tensor = state["momentum"].mul_(momentum).add_(gradient)
        return gradient + momentum * mean
