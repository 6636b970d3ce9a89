"""The transform that the exact codec of images starts from."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from inrvis.bitstream.latents import NUMBER_OF_SCALES, scales
from inrvis.encoder.images.bounds import bounded
from inrvis.encoder.images.model import Batch, laplace_bits
from inrvis.encoder.images.pair_encoder import PairEncoder
from inrvis.encoder.images.settings import ExactSettings, ImageTraining
from inrvis.encoder.images.transform import (
    best_step,
    find_transform,
    local_octaves,
    tile_samples,
)
from inrvis.encoder.models.fcnr_start import INTEGER_LAYERS, tables
from inrvis.sources.database import Cell, ImageDatabase, Parameter, StoredImage

SIZE = ExactSettings(channels=8, latents=24, hyperlatents=8, features=16, analysis=16, covers=False)


def disc(angle: float, channels: int) -> np.ndarray[Any, Any]:
    """Return a shaded disc on white that moves with ``angle``."""
    y, x = np.mgrid[:128, :160] / 64 - 1
    x = x - 0.3 - 0.3 * math.cos(angle)
    height = np.sqrt(np.clip(0.5 - x**2 - y**2, 0, None))
    shade = np.stack([height, 0.5 * height + 0.2 * (height > 0), x * (height > 0)], axis=-1)
    picture = np.where(height[..., None] > 0, 0.2 + 0.8 * np.abs(shade), 1.0)
    pixels = np.round(255 * np.clip(picture, 0, 1)).astype(np.uint8)
    if channels == 4:
        pixels = np.concatenate([pixels, np.full_like(pixels[..., :1], 255)], axis=-1)
    return pixels


def encoder_of(trade_off: float = 0.01, channels: int = 3) -> PairEncoder:
    """Return an encoder of eight views."""
    images = []
    for i in range(8):
        pixels = disc(0.7 * i, channels)
        images.append(StoredImage(128, 160, channels, "uint8", lambda own=pixels: own))
    database = ImageDatabase(
        (Parameter("phi", tuple(str(45 * i) for i in range(8))),),
        ("FILE",),
        tuple(Cell((i,), (i,)) for i in range(8)),
        tuple(images),
    )
    training = ImageTraining(steps=1, trade_off=trade_off)
    return PairEncoder(database, SIZE, training, device="cpu", seed=1)


def outcome(encoder: PairEncoder) -> tuple[float, float]:
    """PSNR and bits a pixel of an untrained model, of its first pair."""
    model = encoder.make_model()
    pair = encoder.pairs[0]
    images = [torch.from_numpy(encoder.pictures.channels(i)[None]) for i in pair]
    codes = [torch.from_numpy(encoder.codes(i, exact=True)) for i in pair]
    with torch.no_grad():
        found = model(Batch(*images, *codes), rounded=True)
    error = (found.left - images[0]).square().mean() + (found.right - images[1]).square().mean()
    return -10 * math.log10(float(error) / 2), float(found.left_bits + found.right_bits) / (
        2 * images[0][0, 0].numel()
    )


@pytest.mark.parametrize("channels", [3, 4])
def test_an_untrained_codec_is_a_transform_codec(channels: int) -> None:
    psnr_db, bits_per_pixel = outcome(encoder_of(channels=channels))
    assert psnr_db > 30
    # A disc of a quarter of the image: eight bits a channel would be 24.
    assert bits_per_pixel < 0.8


def test_a_larger_trade_off_is_better_and_larger() -> None:
    coarse, fine = outcome(encoder_of(0.003)), outcome(encoder_of(0.03))
    assert fine[0] > coarse[0]
    assert fine[1] > coarse[1]


def test_the_step_is_where_a_bit_is_worth_its_error() -> None:
    trade_off = 0.01
    step = 255 * best_step(trade_off)
    error = step**2 / 12
    # One more bit quarters the error: d(error)/d(bits) = -2 ln 2 error.
    assert trade_off * 2 * math.log(2) * error == pytest.approx(1)


def test_the_basis_is_orthonormal_and_its_latents_are_sorted() -> None:
    encoder = encoder_of()
    tiles = tile_samples(
        encoder.pictures, encoder.pairs, torch.Generator().manual_seed(0), covers=False
    )
    transform = find_transform(tiles, 24, 8, 0.01)
    np.testing.assert_allclose(transform.basis @ transform.basis.T, np.eye(24), atol=1e-5)
    # The background is white.
    np.testing.assert_array_equal(transform.centre, 1.0)


def test_more_latents_than_values_in_a_block() -> None:
    tiles = torch.rand(2, 40, 1, 32, 32, generator=torch.Generator().manual_seed(2))
    transform = find_transform(tiles, 80, 8, 0.01)
    assert transform.basis.shape == (80, 64)
    np.testing.assert_array_equal(transform.basis[64:], 0.0)


def test_even_images_start_without_numbers_that_are_none() -> None:
    transform = find_transform(torch.full((2, 9, 3, 32, 32), 0.5), 16, 8, 0.01)
    for values in vars(transform).values():
        assert np.isfinite(np.asarray(values)).all()


def test_tables_of_scales_are_those_of_the_coder() -> None:
    """Within an octave the coder counts in equal parts, training in equal ratios."""
    found = tables(torch.from_numpy(scales()))
    np.testing.assert_allclose(found, np.arange(NUMBER_OF_SCALES), atol=0.7)
    np.testing.assert_allclose(found[::8], np.arange(NUMBER_OF_SCALES)[::8], atol=1e-6)


@pytest.mark.parametrize("scale", [0.4, 1.0, 6.0])
def test_local_octaves_choose_a_good_table(scale: float) -> None:
    """Bits with the table they choose are within 3 % of the bits of the best one."""
    generator = np.random.default_rng(5)
    latents = torch.from_numpy(generator.laplace(0, scale, (1, 1, 64, 64))).float()
    whole = torch.round(latents)
    octave = float(local_octaves(torch.cat([latents, latents], dim=1), 1)[:, 1].mean())
    bits = [float(laplace_bits(whole, torch.tensor(b)).sum()) for b in scales()]
    assert bits[round(8 * (octave + 13))] < 1.03 * min(bits)


def test_weights_that_are_rounded_do_not_move_together() -> None:
    """Weights of 0 would all become one unit in the same step, and wreck the tables."""
    model = encoder_of().make_model()
    for name in INTEGER_LAYERS:
        weight = model.stored[f"{name}_w"].detach()
        assert float((weight == 0).float().mean()) < 0.01


def test_a_gradient_beyond_a_bound_leads_back_alone() -> None:
    x = torch.tensor([-2.0, 0.5, 3.0], requires_grad=True)
    for pull, expected in ((1.0, [0.0, 1.0, 1.0]), (-1.0, [-1.0, -1.0, 0.0])):
        (gradient,) = torch.autograd.grad((pull * bounded(x, 0, 1)).sum(), x)
        np.testing.assert_array_equal(gradient, expected)
