"""Weights rounded together, so that each makes up for what the others lose.

Rounded one by one, small networks of smooth fields lose nearly all that training brought. Here
some weights at a time settle on their grid, and those that are still free take back what that does
to the outputs: within a round by the inverse of the Gauss-Newton matrix (Frantar et al., "GPTQ",
2022, do so for each layer), between rounds by a damped Gauss-Newton step at the weights as they
have become (Levenberg and Marquardt). The first rounds are such steps alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inrvis.encoder.models.base import Chain, Model
from inrvis.encoder.quantise import Quantiser, coded_bits
from inrvis.encoder.rounding import TRIAL_VOXELS
from inrvis.encoder.training import Progress, Report, part_of, peak_psnr_db

# Share of a training's time; rounds, and which share of them has no weight settle.
_SHARE = 0.3
_FEWEST_ROUNDS, _MOST_ROUNDS, _FREE_SHARE = 8, 40, 0.3
# Seconds of a round: for the cube of the weights (products of the matrix) and the square (outputs).
# Of more weights, matrices take gigabytes.
_SECONDS_PER_CUBE, _SECONDS_PER_SQUARE, _MOST_WEIGHTS = 6e-11, 3.5e-7, 8192
# Weights that settle come to cost a little more: coarser steps at first, and once more if needed.
_COARSER, _ATTEMPTS = 1.02, 2
# Voxels for each weight whose outputs make the Gauss-Newton matrix, and whose errors make the
# gradient. With fewer errors weights settle for those of a few voxels: 64 lost 0.6 dB on smoke_vdb.
# A matrix of 4 lost 0.15 dB on neghip, of 16 gained nothing.
_MATRIX_VOXELS, _GRADIENT_VOXELS, _FEWEST_VOXELS, _MOST_VOXELS = 8, 256, 1 << 15, 1 << 19
_CHUNK = 4096
# Damping relative to the diagonal: at first, least, and by what it changes.
_DAMPING, _LEAST_DAMPING, _LESS, _MORE, _TRIES = 1e-3, 1e-6, 1 / 3, 4.0, 6
_DAMPINGS = 12
# What all bits of weights are worth, of the error: they take a logarithm of how large weights are.
_RIDGE, _LEAST_SPREAD = 0.15, 0.1


def settling_rounds(weights: Sequence[int], seconds: float) -> int:
    """Rounds for networks of so many weights that a training of ``seconds`` has time for."""
    if not weights or max(weights) > _MOST_WEIGHTS:
        return 0
    rounds = math.floor(_SHARE * seconds / settling_seconds(weights, 1))
    return 0 if rounds < _FEWEST_ROUNDS else min(rounds, _MOST_ROUNDS)


def settling_seconds(weights: Sequence[int], rounds: int) -> float:
    """Seconds that so many rounds take."""
    each = sum(_SECONDS_PER_CUBE * n**3 + _SECONDS_PER_SQUARE * n**2 for n in weights)
    return rounds * each


@torch.no_grad()
def settle(
    model: Model, quantiser: Quantiser, rounds: int, report: Report | None = None
) -> Quantiser:
    """Move the weights of ``model`` onto a grid on which they cost no more bits than now.

    Parameters
    ----------
    model : Model
        Trained for ``quantiser``. Stays as it is where its weights, rounded one by one, are better.
    quantiser : Quantiser
        Steps relative to one another, and what weights may cost.
    rounds : int
        More are better.
    report : callable, optional
        Told of the progress.

    Returns
    -------
    Quantiser
        That of the weights as they are now.
    """
    chains, tensors = model.chains(), model.tensors()
    trained, most = Place.of(chains), coded_bits(quantiser, tensors)
    weights = sum(chain.weights for chain in chains)
    batch = model.draw(TRIAL_VOXELS, 1.0)
    loss = float(model.loss(batch, quantiser.weigh))
    own = quantiser.at(_COARSER * quantiser.scale)
    for _ in range(_ATTEMPTS):
        trained.back(chains)
        if not settle_on(chains, own, rounds, report):
            break
        excess = coded_bits(own, tensors) - most
        if excess <= 0 and float(model.loss(batch, own.weigh)) < loss:
            return own
        if excess <= 0:
            break
        # A step twice as large is a bit less.
        own = own.at(1.01 * 2 ** (excess / weights) * own.scale)
    trained.back(chains)
    return quantiser


@torch.no_grad()
def settle_on(
    chains: Sequence[Chain], quantiser: Quantiser, rounds: int, report: Report | None = None
) -> bool:
    """Move the weights of ``chains`` onto the grid of ``quantiser``, from where they are.

    Where numbers become too large for that, weights stay as they are; returns whether they moved.
    """
    share = 1 / len(chains)
    try:
        settled = [
            _Settling(chain, quantiser, rounds).run(part_of(report, number * share, share))
            for number, chain in enumerate(chains)
        ]
    except _SingularError:
        return False
    Place(settled).back(chains)
    return True


@dataclass(frozen=True)
class Place:
    """Where the weights of chains are, or were: layers of each."""

    layers: Sequence[Sequence[Tensor]]

    @classmethod
    def of(cls, chains: Sequence[Chain]) -> Place:
        """Where they are now."""
        return cls([[layer.detach().clone() for layer in chain.layers] for chain in chains])

    @torch.no_grad()
    def back(self, chains: Sequence[Chain]) -> None:
        """Move them there."""
        for chain, own in zip(chains, self.layers, strict=True):
            for layer, values in zip(chain.layers, own, strict=True):
                layer.copy_(values)


class _SingularError(Exception):
    """No damping makes the matrix positive: numbers have become too large."""


@dataclass(frozen=True)
class _Model:
    """A chain's squared error about some weights, in units of their grid.

    Attributes
    ----------
    loss : float
        Mean squared error.
    matrix : Tensor
        Gauss-Newton matrix.
    slope : Tensor
        Half of what the error falls by, for each weight that grows by a step.
    """

    loss: float
    matrix: Tensor
    slope: Tensor


class _Settling:
    """Rounds of one chain."""

    def __init__(self, chain: Chain, quantiser: Quantiser, rounds: int) -> None:
        self._chain, self._rounds = chain, rounds
        self._steps = _vector([_steps(chain, i, quantiser) for i in range(len(chain.layers))])
        self._place = _vector(chain.layers) / self._steps
        self._free = torch.ones_like(self._place, dtype=torch.bool)
        self._damping, self._worth = _DAMPING, torch.zeros_like(self._place)
        voxels = max(_GRADIENT_VOXELS * chain.weights, _FEWEST_VOXELS)
        self._voxels = min(voxels, _MOST_VOXELS)

    def run(self, report: Report | None) -> list[Tensor]:
        """Values of all layers, on their grid."""
        first = math.floor(_FREE_SHARE * self._rounds)
        for number in range(self._rounds):
            if not self._free.any():
                break
            # Each round sees other voxels.
            coordinates, targets = self._chain.draw(self._voxels)
            inputs = torch.cat([coordinates, torch.ones_like(coordinates[:, :1])], dim=1)
            about = self._about(inputs, targets)
            self._worth = _RIDGE * about.loss / len(self._place) / self._spread()
            if report is not None:
                done = number / self._rounds
                report(Progress(done, peak_psnr_db(about.loss), "quantise"))
            about = self._with_bits(about)
            self._step(about, inputs, targets)
            if number >= first:
                left = int(self._free.sum())
                self._fix(about.matrix, math.ceil(left / (self._rounds - number)))
        return self._matrices(self._place.round())

    def _spread(self) -> Tensor:
        """Mean square of the weights that are coded together, for each weight."""
        parts = self._place.split([layer.numel() for layer in self._chain.layers])
        found = []
        for part, layer in zip(parts, self._chain.layers, strict=True):
            square = part.view(layer.shape).square()
            own = torch.empty_like(square)
            own[:, :-1], own[:, -1] = square[:, :-1].mean(), square[:, -1].mean()
            found.append(own.clamp(min=_LEAST_SPREAD))
        return _vector(found)

    def _with_bits(self, about: _Model) -> _Model:
        """What an error and the bits of the weights come to."""
        matrix = about.matrix.clone()
        matrix.diagonal().add_(self._worth)
        loss = about.loss + float((self._worth * self._place.square()).sum())
        return _Model(loss, matrix, about.slope - self._worth * self._place)

    def _matrices(self, place: Tensor) -> list[Tensor]:
        layers = self._chain.layers
        parts = (place * self._steps).split([layer.numel() for layer in layers])
        return [part.view(layer.shape).to(layer) for part, layer in zip(parts, layers, strict=True)]

    def _loss(self, place: Tensor, inputs: Tensor, targets: Tensor) -> float:
        layers, total = self._matrices(place), 0.0
        for own, wanted in zip(inputs.split(_CHUNK), targets.split(_CHUNK), strict=True):
            total += float((wanted - _outputs(layers, own)[0][-1]).double().square().sum())
        return total / targets.numel() + float((self._worth * place.square()).sum())

    def _about(self, inputs: Tensor, targets: Tensor) -> _Model:
        layers, size = self._matrices(self._place), len(self._place)
        matrix, slope = inputs.new_zeros(size, size), torch.zeros_like(self._place)
        total, seen = 0.0, 0
        for own, wanted in zip(inputs.split(_CHUNK), targets.split(_CHUNK), strict=True):
            angles, entered = _outputs(layers, own)
            errors = wanted - angles[-1]
            total += float(errors.double().square().sum())
            if seen < _MATRIX_VOXELS * size:
                jacobian = _jacobian(layers, angles, entered)
                matrix.addmm_(jacobian.T, jacobian)
                seen += len(own)
            slope += _gradient(layers, angles, entered, errors).double()
        scaled = matrix.double() * (self._steps[:, None] * self._steps)
        number = targets.numel()
        return _Model(
            total / number, scaled / (seen * targets.shape[1]), slope * self._steps / number
        )

    def _factor(self, matrix: Tensor, damping: float) -> Tensor:
        """Cholesky factor of the free weights' matrix, damped as far as it takes to have one."""
        free = matrix[self._free][:, self._free]
        diagonal = free.diagonal().clone()
        for _ in range(_DAMPINGS):
            free.diagonal().copy_(diagonal * (1 + damping) + 1e-9 * diagonal.max())
            factor: Tensor
            factor, failed = torch.linalg.cholesky_ex(free)
            if not failed:
                return factor
            damping = _MORE * max(damping, _LEAST_DAMPING)
        raise _SingularError

    def _step(self, about: _Model, inputs: Tensor, targets: Tensor) -> None:
        """A step of the free weights, if one lowers the error."""
        slope = about.slope[self._free][:, None]
        for _ in range(_TRIES):
            further = self._place.clone()
            factor = self._factor(about.matrix, self._damping)
            further[self._free] += torch.cholesky_solve(slope, factor)[:, 0]
            if self._loss(further, inputs, targets) < about.loss:
                self._place = further
                self._damping = max(_LESS * self._damping, _LEAST_DAMPING)
                return
            self._damping *= _MORE

    def _fix(self, matrix: Tensor, number: int) -> None:
        """Round so many of the free weights; the others make up for it."""
        inverse = torch.cholesky_inverse(self._factor(matrix, max(self._damping, _DAMPING)))
        # What costs most even so goes first, while there are many others.
        order = inverse.diagonal().argsort()
        upper, failed = torch.linalg.cholesky_ex(inverse[order][:, order], upper=True)
        if failed:
            raise _SingularError
        values = self._place[self._free][order]
        for index in range(number):
            lost = (values[index] - values[index].round()) / upper[index, index]
            values[index:] -= lost * upper[index, index:]
        values[:number] = values[:number].round()
        where = self._free.nonzero()[:, 0][order]
        self._place[where] = values
        self._free[where[:number]] = False


def _vector(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors]).double()


def _steps(chain: Chain, index: int, quantiser: Quantiser) -> Tensor:
    """Steps of a layer's weights and biases."""
    name, steps = chain.names[index], torch.empty_like(chain.layers[index])
    steps[:, :-1], steps[:, -1] = quantiser.step(name), quantiser.step(f"{name}b")
    return steps


def _outputs(layers: Sequence[Tensor], inputs: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Outputs of each layer, and what went into it."""
    angles, entered = [inputs @ layers[0].T], [inputs]
    for layer in layers[1:]:
        entered.append(torch.cat([torch.sin(angles[-1]), inputs[:, -1:]], dim=1))
        angles.append(entered[-1] @ layer.T)
    return angles, entered


def _jacobian(layers: Sequence[Tensor], angles: list[Tensor], entered: list[Tensor]) -> Tensor:
    """Derivatives of all outputs, (n * channels, weights)."""
    number, channels = angles[-1].shape
    slopes = torch.eye(channels, dtype=angles[0].dtype, device=angles[0].device)
    slopes = slopes.expand(number, channels, channels)
    parts: list[Tensor] = []
    for index in reversed(range(len(layers))):
        part = slopes[..., None] * entered[index][:, None, None, :]
        parts.append(part.reshape(number * channels, -1))
        if index:
            slopes = (slopes @ layers[index][:, :-1]) * torch.cos(angles[index - 1])[:, None, :]
    return torch.cat(parts[::-1], dim=1)


def _gradient(
    layers: Sequence[Tensor], angles: list[Tensor], entered: list[Tensor], errors: Tensor
) -> Tensor:
    """The transposed derivatives times ``errors``."""
    parts: list[Tensor] = []
    for index in reversed(range(len(layers))):
        parts.append((errors.T @ entered[index]).reshape(-1))
        if index:
            errors = (errors @ layers[index][:, :-1]) * torch.cos(angles[index - 1])
    return torch.cat(parts[::-1])
