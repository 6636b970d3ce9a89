"""Sine layers against the same written plainly."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from inrvis.encoder.models.base import plain
from inrvis.encoder.models.sine import columns_of, sine, weighed
from inrvis.encoder.muon import orthogonalise


def layers(*widths: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [
        torch.randn(2, rows, columns + 1, generator=generator, dtype=torch.float64)
        .div_(columns**0.5)
        .requires_grad_()
        for columns, rows in pairwise(widths)
    ]


def test_values_and_gradients_are_those_of_plain_layers() -> None:
    first, second = layers(3, 7, 5)
    coordinates = torch.rand(2, 11, 3, dtype=torch.float64)
    ours = torch.bmm(second, sine(torch.bmm(first, columns_of(coordinates)))).transpose(1, 2)

    hidden = coordinates
    for number, layer in enumerate((first, second)):
        hidden = torch.sin(hidden) if number else hidden
        hidden = hidden @ layer[..., :-1].transpose(1, 2) + layer[..., -1][:, None]
    assert torch.allclose(ours, hidden)
    gradients = [torch.autograd.grad(x.square().sum(), (first, second)) for x in (ours, hidden)]
    assert all(torch.allclose(a, b) for a, b in zip(*gradients, strict=True))


def test_the_derivative_of_sines() -> None:
    angles = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(sine, (angles,))


def test_weights_and_biases_are_mapped_by_name() -> None:
    (layer,) = layers(3, 4)
    assert weighed(plain, "w0", layer) is layer
    mapped = weighed(lambda name, values: values * {"w0": 2, "w0b": 3}[name], "w0", layer)
    assert torch.equal(mapped[..., :-1], 2 * layer[..., :-1])
    assert torch.equal(mapped[..., -1], 3 * layer[..., -1])


@pytest.mark.parametrize("shape", [(1, 4, 5), (3, 8, 6), (2, 5, 5)])
def test_steps_are_orthogonal(shape: tuple[int, int, int]) -> None:
    steps = orthogonalise(torch.randn(shape, generator=torch.Generator().manual_seed(0)))
    singular = torch.linalg.svdvals(steps)
    assert ((singular > 0.4) & (singular < 1.4)).all()
