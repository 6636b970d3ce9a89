"""Quantisation of weights: how fine each tensor is, what it costs, and training through it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inrvis.bitstream import NUMBER_OF_TABLES, counts, reach
from inrvis.bitstream.tables import TOTAL, WIDTHS_PER_FAMILY
from inrvis.container.tensors import WIDTHS

_ESCAPE_BITS = 32.0
_WIDTHS = (*WIDTHS, *range(WIDTHS[-1] + 2, WIDTHS_PER_FAMILY, 2))
_MOST_STEPS = 1 << 20
# Disturbance of a tensor whose effect is measured, relative to its root mean square.
_DISTURBANCE = 0.03
# How far a tensor's relative step may be from the typical one.
_SPREAD = 16.0
# Halvings of twenty octaves: the last is a thousandth of a bit of a weight.
_SCALE_ROUNDS = 15


@dataclass(frozen=True)
class Quantiser:
    """Step sizes of all tensors, relative to one another.

    Attributes
    ----------
    relative : mapping of str to float
        Step of each tensor at scale 1.
    scale : float
        Factor on all of them: the one knob of the rate.
    """

    relative: Mapping[str, float]
    scale: float = 1.0

    def step(self, name: str) -> float:
        """Step of tensor ``name``, as the file stores it."""
        # Digits take bytes of the header, and a step need not be exact.
        return float(f"{self.relative[name] * self.scale:.3g}")

    def at(self, scale: float) -> Quantiser:
        """Return the same at another scale."""
        return Quantiser(self.relative, scale)

    def weigh(self, name: str, weight: Tensor) -> Tensor:
        """Quantised weight whose gradient is that of the weight (straight through)."""
        step = self.step(name)
        return weight + (torch.round(weight.detach() / step) * step - weight.detach())

    def integers(self, tensors: Mapping[str, Tensor]) -> dict[str, NDArray[np.int64]]:
        """Round all tensors to integers."""
        return {
            name: torch.round(tensor.detach().double() / self.step(name)).long().cpu().numpy()
            for name, tensor in tensors.items()
        }


@lru_cache(maxsize=NUMBER_OF_TABLES)
def _code_lengths(table: int) -> NDArray[np.float64]:
    """Bits of the magnitudes 0 .. reach, and of an escaped one."""
    symbols = counts(table)[reach(table) :].astype(np.float64)
    lengths = math.log2(TOTAL) - np.log2(symbols)
    lengths[-1] += _ESCAPE_BITS
    return lengths


@lru_cache(maxsize=64)
def _candidates(centre: int) -> tuple[tuple[int, ...], NDArray[np.float64]]:
    """Tables of both families about ``centre``, and the bits of each magnitude with each.

    The last row is that of all larger magnitudes. Widths that headers have a digit for are enough:
    those between would save a thousandth.
    """
    steps = [width for width in _WIDTHS if abs(width - centre) <= 8]
    tables = tuple(family + step for family in (0, WIDTHS_PER_FAMILY) for step in steps)
    lengths = [_code_lengths(table) for table in tables]
    bits = np.empty((max(map(len, lengths)), len(tables)))
    for column, own in enumerate(lengths):
        bits[: len(own) - 1, column] = own[:-1]
        bits[len(own) - 1 :, column] = own[-1]
    return tables, bits


def best_table(integers: NDArray[np.int64]) -> tuple[int, float]:
    """Table that codes ``integers`` in the fewest bits, and those bits."""
    deviation = math.sqrt(float(np.mean(integers.astype(np.float64) ** 2)))
    # Widths are 2**(step / 8) / 8 of a deviation of one; look around the one that fits.
    centre = round(8 * math.log2(max(deviation, 1 / 8) * 8))
    tables, bits = _candidates(min(centre, WIDTHS_PER_FAMILY - 25))
    histogram = np.bincount(np.minimum(np.abs(integers), len(bits) - 1).ravel())
    totals = histogram @ bits[: len(histogram)]
    best = int(totals.argmin())
    return tables[best], float(totals[best])


def coded_bits(quantiser: Quantiser, tensors: Mapping[str, Tensor]) -> float:
    """Bits that all tensors cost at the quantiser's steps, each with its best table."""
    return sum(best_table(q)[1] for q in quantiser.integers(tensors).values())


def scale_for_bits(quantiser: Quantiser, tensors: Mapping[str, Tensor], bits: float) -> Quantiser:
    """Finest scale at which the tensors cost at most ``bits``."""
    # Finer steps than a millionth of a weight buy nothing, and integers must fit the coder.
    finest = max(
        float(tensor.detach().abs().max()) / (quantiser.relative[name] * _MOST_STEPS)
        for name, tensor in tensors.items()
    )
    low = max(quantiser.scale / 1024, finest)
    high = max(quantiser.scale, low) * 1024
    for _ in range(_SCALE_ROUNDS):
        middle = math.sqrt(low * high)
        if coded_bits(quantiser.at(middle), tensors) <= bits:
            high = middle
        else:
            low = middle
    return quantiser.at(high)


def sensible_steps(
    tensors: Mapping[str, Tensor],
    loss: Callable[[Callable[[str, Tensor], Tensor]], float],
    generator: torch.Generator,
) -> Quantiser:
    """Steps at which every tensor's rounding costs the loss equally much for each bit it saves.

    For a loss that grows by ``s * d**2 / 12`` for each weight rounded with step ``d``, rate and
    loss balance (at high resolution) where ``s * d**2`` is the same for all tensors. ``s`` is
    measured by disturbing one tensor at a time.

    Parameters
    ----------
    tensors : mapping of str to Tensor
        Trained weights.
    loss : callable
        Loss of a fixed batch as a function of a map over weights.
    generator : torch.Generator
        Source of the disturbance.
    """
    baseline = loss(lambda _, weight: weight)
    sizes, relative = {}, {}
    for name, tensor in tensors.items():
        sizes[name] = size = float(tensor.detach().square().mean().sqrt()) or 1.0
        noise = (2 * torch.rand(tensor.shape, generator=generator) - 1).to(tensor.device)
        shift = noise * (size * _DISTURBANCE)

        def disturbed(sign: float, name: str = name, shift: Tensor = shift) -> float:
            return loss(lambda other, w: w + sign * shift if other == name else w)

        # Both signs: the slope, which is not yet zero where training has not ended, cancels.
        rise = (disturbed(1.0) + disturbed(-1.0)) / 2 - baseline
        sensitivity = max(rise, baseline * 1e-9) / float(shift.square().sum())
        relative[name] = 1 / math.sqrt(sensitivity)
    # One disturbance is one sample: keep each tensor near the typical relation of step and size.
    typical = float(np.median([relative[name] / sizes[name] for name in tensors]))
    for name, size in sizes.items():
        low, high = typical * size / _SPREAD, typical * size * _SPREAD
        relative[name] = min(max(relative[name], low), high)
    # Scale 1 shall be a usable start: steps of about a tenth of the typical weight.
    weights = max(tensors, key=lambda name: tensors[name].numel())
    unit = 0.1 * sizes[weights] / relative[weights]
    return Quantiser({name: step * unit for name, step in relative.items()})
