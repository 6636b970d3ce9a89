"""Trained networks in whole files: their weights rounded, to a size or as they were trained for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from inrvis.container.tensors import RAW_TABLE, TensorHeader
from inrvis.encoder.assembly import NetworkParts
from inrvis.encoder.models.base import Model, Weigh, plain
from inrvis.encoder.quantise import Quantiser, best_table, coded_bits, scale_for_bits
from inrvis.encoder.start import Start
from inrvis.encoder.training import peak_psnr_db
from inrvis.errors import UsageError

# Voxels of a sample on which weights that are rounded in different ways are compared.
TRIAL_VOXELS = 1 << 17
# Rounds of aiming at a size, and the share of it that is near enough.
_ROUNDS, _NEAR = 8, 0.995


@dataclass(frozen=True)
class Trained:
    """A trained network.

    Attributes
    ----------
    model : Model
        The network.
    quantiser : Quantiser or None
        What it was trained for; None for weights that stay as they are.
    steps : int
        Of the training.
    start : Start or None
        What it started from.
    rounds : int
        Rounds in which its weights settled together; 0 where they were rounded one by one.
    """

    model: Model
    quantiser: Quantiser | None
    steps: int
    start: Start | None = None
    rounds: int = 0


def rounded(trained: Trained, quantiser: Quantiser | None) -> NetworkParts:
    """Round a network with ``quantiser``; None keeps its float32 weights."""
    weights = trained.model.tensors()
    if quantiser is None:
        integers = {name: _bits(tensor) for name, tensor in weights.items()}
    else:
        integers = quantiser.integers(weights)
    headers = {
        name: TensorHeader(
            name,
            _stored_shape(name, values.shape),
            1.0 if quantiser is None else quantiser.step(name),
            RAW_TABLE if quantiser is None else best_table(values)[0],
        )
        for name, values in integers.items()
    }
    exported = trained.model.export(headers)
    tensors = tuple(
        {name: integers[own] for name, own in names.items()} for names in exported.tensors
    )
    return NetworkParts(exported.models, exported.graphs, tensors, trained.steps)


def fit(
    trained: Trained,
    budget_bytes: int,
    parts: Callable[[Trained, Quantiser | None], NetworkParts],
    size_of: Callable[[NetworkParts], int],
) -> NetworkParts:
    """Quantise as finely as ``budget_bytes`` allow for the whole file.

    Parameters
    ----------
    trained : Trained
        The network.
    budget_bytes : int
        Most bytes of the file.
    parts : callable
        Rounds the network with a quantiser.
    size_of : callable
        Bytes of the file that holds a rounded network.

    Raises
    ------
    UsageError
        If not even the coarsest quantisation fits.
    """
    size = size_of(parts(trained, trained.quantiser))
    if trained.quantiser is None:
        if size > budget_bytes:
            raise UsageError(
                f"the unquantised network takes {size} bytes, more than the {budget_bytes} "
                "allowed: ask for a lower ratio"
            )
        return parts(trained, None)
    quantiser, tensors = trained.quantiser, trained.model.tensors()
    coded, first = coded_bits(quantiser, tensors), size
    best: Quantiser | None = None
    for _ in range(_ROUNDS):
        coded += 8.0 * (budget_bytes - size)
        quantiser = scale_for_bits(quantiser, tensors, max(coded, 1.0))
        size = size_of(parts(trained, quantiser))
        if size <= budget_bytes:
            best = quantiser
            if size > _NEAR * budget_bytes:
                break
        # Sizes move in words of the stream: aim a little lower than too high.
        coded -= 32
    if best is None:
        raise UsageError(
            f"the smallest file of this volume takes {size} bytes, more than the "
            f"{budget_bytes} allowed: ask for a lower ratio"
        )
    if first <= budget_bytes:
        # Weights have settled on the grid that they were trained for: another one, though finer,
        # may be worse.
        own, finer = _losses(trained.model, (trained.quantiser, best))
        best = trained.quantiser if own <= finer else best
    return parts(trained, best)


@torch.no_grad()
def qualities(trained: Trained) -> NDArray[np.float64]:
    """PSNR of each network, its weights rounded, on a sample, in dB."""
    batch = trained.model.draw(TRIAL_VOXELS, 1.0)
    losses = trained.model.losses(batch, _weigh(trained.quantiser))
    return np.array([peak_psnr_db(float(own)) for own in losses])


@torch.no_grad()
def _losses(model: Model, quantisers: Sequence[Quantiser | None]) -> list[float]:
    """Mean squared error of weights rounded in several ways, on one sample."""
    batch = model.draw(TRIAL_VOXELS, 1.0)
    return [float(model.loss(batch, _weigh(quantiser))) for quantiser in quantisers]


def _weigh(quantiser: Quantiser | None) -> Weigh:
    return plain if quantiser is None else quantiser.weigh


def _bits(tensor: torch.Tensor) -> NDArray[np.int64]:
    values = tensor.detach().float().cpu().contiguous().numpy()
    return values.view(np.uint32).astype(np.int64)


def _stored_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    # The graphs work on columns of voxels: biases are columns, too.
    return (*shape, 1) if name.endswith("b") else shape
