"""What the exact codec starts from: a linear transform of blocks, and how its latents are spread.

A codec that starts as a transform codec, with steps and tables that suit the images, spends its
training on what is beyond that. From random weights, hundreds of steps do not get as far as its
beginning.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from inrvis.container.images_file import Pair
from inrvis.container.images_header import HYPER_STRIDE, LATENT_STRIDE, MAX_SHIFT
from inrvis.decoder.surroundings import MEAN_UNIT, MOST_SEEN
from inrvis.encoder.images.pictures import Pictures
from inrvis.encoder.images.spatial import Surroundings, phases

# Bits that the square of the best rounding step is worth (`best_step`), whatever the trade-off.
WORTH_OF_A_STEP = 6 / math.log(2)
_TILES = 4000
_MOST_PAIRS = 64
# Magnitude that a tile of nothing but zeros is taken to have in all.
_HARDLY_ANY = 0.02
# Hyperlatents that stand for means stay within this.
_REACH = 6.0
# Octaves, over all latents, to one unit of a hyperlatent that tells tables.
_OCTAVES = 8.0


@dataclass(frozen=True)
class Transform:
    """Blocks of pixels to latents and back, and the hyperlatents that tell their tables.

    A hyperlatent stands for a tile, of 4 by 4 blocks. The first few are local means of the first
    latents, the others principal components of what tells the tables.

    Attributes
    ----------
    centre : Tensor
        Median of each channel, shape (channels,): a block of it has latents of 0.
    basis : Tensor
        Orthonormal rows, shape (latents, channels * 64), in the order channel, row, column;
        rows of 0 where there are more latents than values in a block.
    step : float
        Rounding step of the latents, in units of the pixels.
    octaves, right_octaves : Tensor
        Mean of `local_octaves`, shape (latents,): of all latents, and of what is left of right
        ones after what carries over from the left ones.
    carried : Tensor
        What part of each latent of a left image the right one has at the same place, shape
        (latents,): 0 to 1.
    near, near_rest : Tensor
        What part of the mean over neighbours in earlier phases a latent has, shape (latents,): of
        an image's latents, and of what is left of right ones.
    near_octaves, near_right_octaves : Tensor
        As ``octaves`` and ``right_octaves``, after what neighbours tell.
    shift : int
        Doublings of a sixteenth in which the largest latents fit into what networks see.
    mean_units : Tensor
        Latents' units to one of a hyperlatent, for those that stand for means.
    components : Tensor
        Octaves of each latent to one unit of the other hyperlatents, shape (others, latents).
    hyper_means, hyper_scales, hyper_changes : Tensor
        Of the hyperlatents: mean, mean distance from it, and mean distance of a right image's
        from the left one's.
    """

    centre: Tensor
    basis: Tensor
    step: float
    octaves: Tensor
    right_octaves: Tensor
    carried: Tensor
    near: Tensor
    near_rest: Tensor
    near_octaves: Tensor
    near_right_octaves: Tensor
    shift: int
    mean_units: Tensor
    components: Tensor
    hyper_means: Tensor
    hyper_scales: Tensor
    hyper_changes: Tensor


def best_step(trade_off: float) -> float:
    """Rounding step at which a bit saves as much error as it is worth, in units of the range.

    At a high rate an orthonormal coefficient has an error of step² / 12, which a further bit
    divides by four: dD/dR = -2 ln 2 D. Setting it to ``-1 / trade_off`` gives the step;
    ``trade_off`` counts squared 8-bit units.
    """
    return math.sqrt(WORTH_OF_A_STEP / trade_off) / 255


def tile_samples(
    pictures: Pictures, pairs: Sequence[Pair], generator: torch.Generator, *, covers: bool
) -> Tensor:
    """Tiles at the same random places of left and right images.

    With ``covers``, they are of filled images, and something covers a tile of one of both.

    Returns
    -------
    Tensor
        Shape (2, n, channels, 32, 32), from 0 to 1.
    """
    order = torch.randperm(len(pairs), generator=generator)[:_MOST_PAIRS].tolist()
    wanted = -(-_TILES // len(order))
    found = []
    for left, right in (pairs[i] for i in order):
        sides = (left, right if right >= 0 else left)
        seen = pictures.filled if covers else pictures.channels
        both = torch.stack([_tiles(seen(i)) for i in sides])
        if covers:
            cover = torch.stack([_tiles(pictures.cover(i)[None]) for i in sides])
            covered = cover.flatten(2).any(dim=2).any(dim=0)
            # What is all background has no symbols.
            both = both[:, covered] if covered.any() else both
        chosen = torch.randperm(both.shape[1], generator=generator)[:wanted]
        found.append(both[:, chosen].clone())
    return torch.cat(found, dim=1)


def _tiles(pixels: NDArray[Any]) -> Tensor:
    tiles = (
        torch.from_numpy(pixels)
        .unfold(1, HYPER_STRIDE, HYPER_STRIDE)
        .unfold(2, HYPER_STRIDE, HYPER_STRIDE)
    )
    return tiles.flatten(1, 2).transpose(0, 1)


def find_transform(tiles: Tensor, latents: int, hyperlatents: int, trade_off: float) -> Transform:
    """Fit a transform to ``tiles``, as `tile_samples` gives them."""
    centre = tiles.transpose(0, 2).flatten(1).median(dim=1).values
    step = best_step(trade_off)
    blocks = functional.pixel_unshuffle(tiles.flatten(0, 1) - centre[:, None, None], LATENT_STRIDE)
    # (values of a block, all blocks)
    flat = blocks.transpose(0, 1).flatten(1).double()
    vectors = _principal(flat @ flat.T, latents)
    coded = torch.einsum("lv,nvyx->nlyx", vectors.float(), blocks) / step
    number = local_means(hyperlatents)
    means = coded.mean(dim=(2, 3))[:, :number]
    spread = local_octaves(coded, number).flatten(1).double()
    octaves = spread.mean(dim=0)
    spread = spread - octaves
    units = means.abs().amax(dim=0).clamp(min=1) / _REACH
    components = _principal(spread.T @ spread, hyperlatents - number) * _OCTAVES
    hyper = torch.cat([means / units, (spread @ components.T).float() / _OCTAVES**2], dim=1)
    left, right = hyper.chunk(2)
    first, second = coded.chunk(2)
    carried = _part(second, first)
    rest = second - carried[:, None, None] * first.round()
    near, near_octaves = _from_neighbours(coded)
    near_rest, near_right_octaves = _from_neighbours(rest)
    largest = MEAN_UNIT * float(coded.abs().max()) / MOST_SEEN
    middle = hyper.mean(dim=0)
    return Transform(
        centre,
        vectors.float(),
        step,
        octaves.float(),
        local_octaves(rest, number).flatten(1).mean(dim=0),
        carried,
        near,
        near_rest,
        near_octaves,
        near_right_octaves,
        min(max(math.ceil(math.log2(max(largest, 1e-9))), 0), MAX_SHIFT),
        units,
        components.float(),
        middle,
        (hyper - middle).abs().mean(dim=0),
        (right - left).abs().mean(dim=0),
    )


def _from_neighbours(latents: Tensor) -> tuple[Tensor, Tensor]:
    """What part of the mean over known neighbours latents have, and the octaves of the rest."""
    known, found = torch.zeros_like(latents[:, :1]), torch.zeros_like(latents)
    for phase in phases(latents):
        found = found + Surroundings(known).mean(latents.round()) * phase
        known = known + phase
    near = _part(latents, found)
    rest = (latents - near[:, None, None] * found).round().abs()
    # Odd rows are of later phases alone.
    return near, _octaves(rest[:, :, 1::2].mean(dim=(2, 3))).mean(dim=0)


def _part(of: Tensor, given: Tensor) -> Tensor:
    """Factor of ``given`` that is nearest to ``of``, for each channel: 0 to 1."""
    products, squares = ((given * x).sum(dim=(0, 2, 3)) for x in (of, given))
    return (products / squares.clamp(min=1e-9)).clamp(0, 1)


def local_means(hyperlatents: int) -> int:
    """How many of the hyperlatents stand for means."""
    return max(1, hyperlatents // 4)


def local_octaves(latents: Tensor, means: int) -> Tensor:
    """Octaves of the table that suits a tile's latents, shape (n, latents, tiles...).

    Of a Laplace distribution whose rounded values have a mean magnitude s, ``h = exp(-1 / (2 b))``
    solves ``s = h / (1 - h²)``, and tables count ``log2(h / (1 - h))``. The first ``means`` are
    taken around their local means.
    """
    blocks = HYPER_STRIDE // LATENT_STRIDE
    middle = functional.avg_pool2d(latents[:, :means], blocks)
    around = latents[:, :means] - functional.interpolate(middle, scale_factor=blocks)
    rounded = torch.cat([around, latents[:, means:]], dim=1).round().abs()
    return _octaves(functional.avg_pool2d(rounded, blocks))


def _octaves(magnitudes: Tensor) -> Tensor:
    s = magnitudes + _HARDLY_ANY / (HYPER_STRIDE // LATENT_STRIDE) ** 2
    h = (torch.sqrt(1 + 4 * s.square()) - 1) / (2 * s)
    return torch.log2(h / (1 - h))


def _principal(covariance: Tensor, number: int) -> Tensor:
    """Unit vectors of most variance, a row each; rows of 0 beyond what there are."""
    basis = torch.linalg.eigh(covariance)[1].flip(1)[:, :number].T
    # The sign of an eigenvector is any: take one that does not depend on the library.
    largest = basis.gather(1, basis.abs().argmax(dim=1, keepdim=True))
    return functional.pad(basis * largest.sign(), (0, 0, 0, number - len(basis)))
