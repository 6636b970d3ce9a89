"""The smallest file of a trained network that has a quality: its weights on ever coarser grids."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch

from inrvis.encoder.assembly import Encoded, worst
from inrvis.encoder.quantise import Quantiser
from inrvis.encoder.rounding import TRIAL_VOXELS, Trained
from inrvis.encoder.settling import Place, settle_on, settling_seconds
from inrvis.encoder.training import peak_psnr_db

# Grids are looked for so much finer and coarser, in halves of what is left.
_FINEST, _COARSEST, _ROUNDINGS = 0.25, 4.0, 5
# Weights that settle again do so in a share of the rounds of the first time, on so many grids at
# most; two grids as near as that are one.
_ROUNDS_SHARE, _FEWEST_ROUNDS, _MOST_GRIDS, _NEAR = 0.25, 8, 10, 1.03
# What a bit of a weight brings at least, in dB, while there are some; and the least change of a
# grid, in bits. What lacks more, no finer grid brings.
_DB_PER_BIT, _LEAST_BITS, _MOST_LACK_DB = 1.0, 0.15, 1.5

Finish = Callable[[Trained], Encoded]


def coarsest(trained: Trained, psnr_db: float, seconds: float, finish: Finish) -> Encoded | None:
    """Smallest file of ``trained`` that reaches ``psnr_db``, or None if it cannot.

    Parameters
    ----------
    trained : Trained
        Its weights are in the end where they were.
    psnr_db : float
        What all arrays shall have, in dB.
    seconds : float
        Time for weights that settle again; others take next to none.
    finish : callable
        Makes the file.
    """
    if trained.quantiser is None:
        encoded = finish(trained)
        return encoded if worst(encoded) >= psnr_db else None
    if trained.rounds:
        rounds = max(_FEWEST_ROUNDS, round(_ROUNDS_SHARE * trained.rounds))
        weights = [chain.weights for chain in trained.model.chains()]
        grids = min(_MOST_GRIDS, int(seconds / settling_seconds(weights, rounds)))
        if grids:
            before = Place.of(trained.model)
            try:
                return _by_settling(trained, trained.quantiser, psnr_db, (grids, rounds), finish)
            finally:
                before.back(trained.model)
    return _by_rounding(trained, trained.quantiser, psnr_db, finish)


def _by_rounding(
    trained: Trained, quantiser: Quantiser, psnr_db: float, finish: Finish
) -> Encoded | None:
    def at(scale: float) -> Encoded:
        return finish(replace(trained, quantiser=quantiser.at(scale * quantiser.scale)))

    # Weights have settled on their own grid: a little off it they are worse than far finer.
    best = at(1.0)
    low, high = (1.0, _COARSEST) if worst(best) >= psnr_db else (_FINEST, 1.0)
    if low < 1:
        best = at(low)
        if worst(best) < psnr_db:
            return None
    for _ in range(_ROUNDINGS):
        middle = math.sqrt(low * high)
        encoded = at(middle)
        if worst(encoded) >= psnr_db:
            low, best = middle, encoded
        else:
            high = middle
    return best


def _by_settling(
    trained: Trained,
    quantiser: Quantiser,
    psnr_db: float,
    times: tuple[int, int],
    finish: Finish,
) -> Encoded | None:
    """Let weights settle on so many other grids, in so many rounds each."""
    model, (grids, rounds) = trained.model, times
    batch = model.draw(TRIAL_VOXELS, 1.0)

    @torch.no_grad()
    def sampled_db() -> float:
        return peak_psnr_db(float(model.loss(batch, quantiser.weigh)))

    first = finish(trained)
    # A sample tells what another grid changes, and takes no time.
    offset = worst(first) - sampled_db()
    above = worst(first) - psnr_db
    reached: list[tuple[Quantiser, Place]] = []
    missed = math.inf
    for number in range(grids + 1):
        if above >= 0:
            reached.append((quantiser, Place.of(model)))
            bits = min(max(above / _DB_PER_BIT, _LEAST_BITS), math.log2(_COARSEST))
            scale = quantiser.scale * 2**bits
        else:
            missed = min(missed, quantiser.scale)
            if not reached and above < -_MOST_LACK_DB:
                return None
            scale = quantiser.scale * 2 ** min(above, -_LEAST_BITS)
        if reached:
            (met, place) = reached[-1]
            if missed / met.scale < _NEAR:
                break
            place.back(model)
            if scale >= missed or above < 0:
                scale = math.sqrt(met.scale * missed)
        if number == grids:
            break
        quantiser = quantiser.at(scale)
        moved = settle_on(model, quantiser, rounds)
        above = sampled_db() + offset - psnr_db if moved else -math.inf
    while reached:
        quantiser, place = reached.pop()
        if quantiser is trained.quantiser:
            return first
        place.back(model)
        encoded = finish(replace(trained, quantiser=quantiser))
        if worst(encoded) >= psnr_db:
            return encoded
    return None
