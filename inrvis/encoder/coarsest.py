"""The smallest file of a trained network that has a quality: its weights on ever coarser grids."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from inrvis.encoder.assembly import Encoded, worst
from inrvis.encoder.models.base import Model
from inrvis.encoder.quantise import Quantiser
from inrvis.encoder.rounding import TRIAL_VOXELS, Trained
from inrvis.encoder.settling import Place, settle_on, settling_seconds
from inrvis.encoder.training import peak_psnr_db

# Grids are looked for so much finer and coarser, in halves of what is left; so many files are made
# of what a sample tells, and so far off it may be.
_FINEST, _COARSEST, _ROUNDINGS, _FILES = 0.25, 4.0, 6, 3
_SAMPLED_DB = 0.3
# Weights that settle again do so in a share of the rounds of the first time, on so many grids at
# most; two grids as near as that are one.
_ROUNDS_SHARE, _FEWEST_ROUNDS, _MOST_GRIDS, _NEAR = 0.25, 8, 10, 1.03
# What a bit of a weight brings at least, in dB, while there are some; and the least and most change
# of a grid, in bits. What lacks more, no finer grid brings.
_DB_PER_BIT, _LEAST_BITS, _MOST_BITS, _MOST_LACK_DB = 1.0, 0.15, 2.0, 1.5

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
        Time for weights that settle again; others take that of up to five files.
    finish : callable
        Makes the file.
    """
    if trained.quantiser is None:
        encoded = finish(trained)
        return encoded if worst(encoded) >= psnr_db else None
    if trained.rounds:
        rounds = max(_FEWEST_ROUNDS, round(_ROUNDS_SHARE * trained.rounds))
        chains = trained.model.chains()
        grids = _grids([settling_seconds([c.weights], rounds) for c in chains], seconds)
        if all(grids):
            before = Place.of(chains)
            try:
                return _by_settling(trained, trained.quantiser, psnr_db, (grids, rounds), finish)
            finally:
                before.back(chains)
    return _by_rounding(trained, trained.quantiser, psnr_db, finish)


def _by_rounding(
    trained: Trained, quantiser: Quantiser, psnr_db: float, finish: Finish
) -> Encoded | None:
    batch = trained.model.draw(TRIAL_VOXELS, 1.0)

    def at(scale: float) -> Quantiser:
        return quantiser.at(scale * quantiser.scale)

    @torch.no_grad()
    def sampled_db(scale: float) -> float:
        losses = trained.model.losses(batch, at(scale).weigh)
        return peak_psnr_db(max(map(float, losses)))

    # Weights have settled on their own grid: a little off it they are worse than far finer.
    best = finish(trained)
    low, high = (1.0, _COARSEST) if worst(best) >= psnr_db else (_FINEST, 1.0)
    # A sample tells what another grid changes, and takes no time.
    offset_db = worst(best) - sampled_db(1.0)
    if low < 1:
        if sampled_db(low) + offset_db < psnr_db - _SAMPLED_DB:
            return None
        best = finish(replace(trained, quantiser=at(low)))
        if worst(best) < psnr_db:
            return None
        offset_db = worst(best) - sampled_db(low)
    for _ in range(_FILES):
        scale, over = low, high
        for _ in range(_ROUNDINGS):
            middle = math.sqrt(scale * over)
            if sampled_db(middle) + offset_db >= psnr_db:
                scale = middle
            else:
                over = middle
        if scale == low:
            break
        encoded = finish(replace(trained, quantiser=at(scale)))
        if worst(encoded) >= psnr_db:
            return encoded
        high, offset_db = scale, worst(encoded) - sampled_db(scale)
    return best


def _grids(costs: Sequence[float], seconds: float) -> list[int]:
    """Grids that there is time for, for each chain of which one takes ``costs`` seconds."""
    grids, left = [0] * len(costs), len(costs)
    # What small networks leave of their shares is for larger ones.
    for number in sorted(range(left), key=costs.__getitem__):
        grids[number] = min(_MOST_GRIDS, int(seconds / left / costs[number]))
        seconds -= grids[number] * costs[number]
        left -= 1
    return grids


def _by_settling(
    trained: Trained,
    quantiser: Quantiser,
    psnr_db: float,
    times: tuple[Sequence[int], int],
    finish: Finish,
) -> Encoded | None:
    """Let each chain's weights settle on so many other grids, in so many rounds each."""
    first = finish(trained)
    if worst(first) < psnr_db - _MOST_LACK_DB:
        return None
    grids, rounds = times
    searches = [
        _Search(trained.model, number, quantiser, own - psnr_db, (grids[number], rounds))
        for number, own in enumerate(_qualities(first))
    ]
    while all(search.run() for search in searches):
        if all(search.quantiser is quantiser for search in searches):
            return first
        encoded = finish(replace(trained, quantiser=_joined(searches)))
        if worst(encoded) >= psnr_db:
            return encoded
        for search, own in zip(searches, _qualities(encoded), strict=True):
            search.take_in(own - psnr_db)
    return None


class _Search:
    """Looks for the coarsest grid that one chain may have.

    Parameters
    ----------
    model : Model
        Its weights have settled on the grid of ``quantiser``.
    number : int
        Of the chain, and of its network.
    quantiser : Quantiser
        Steps of all weights.
    above_db : float
        By how much the network has more than it must have.
    times : tuple of int
        Grids at most, and rounds for each.

    Attributes
    ----------
    quantiser : Quantiser
        Of the grid on which weights are.
    """

    def __init__(
        self,
        model: Model,
        number: int,
        quantiser: Quantiser,
        above_db: float,
        times: tuple[int, int],
    ) -> None:
        self.quantiser, self._model, self._number = quantiser, model, number
        self._chain = model.chains()[number]
        self._grids, self._rounds = times
        self._batch = model.draw(TRIAL_VOXELS, 1.0)
        self._above_db = above_db
        # A sample tells what another grid changes, and takes no time.
        self._offset_db = above_db - self._sampled_db()
        self._reached: list[tuple[Quantiser, Place]] = []
        self._missed = math.inf
        self._note()

    def run(self) -> bool:
        """Let weights settle on the coarsest grid that does; False if there is none."""
        while self._grids and (scale := self._next()) is not None:
            self._grids -= 1
            self._to_reached()
            self.quantiser = self.quantiser.at(scale)
            moved = settle_on((self._chain,), self.quantiser, self._rounds)
            self._above_db = self._sampled_db() + self._offset_db if moved else -math.inf
            self._note()
        return self._to_reached()

    def take_in(self, above_db: float) -> None:
        """Go back if a file with these weights has less than it must have: ``above_db`` below 0."""
        if above_db >= 0:
            return
        self._reached.pop()
        self._above_db, self._offset_db = above_db, above_db - self._sampled_db()
        self._note()

    def steps(self) -> dict[str, float]:
        """Those of the chain's weights and biases, at scale 1."""
        names = self._chain.names
        own = (*names, *(f"{name}b" for name in names))
        return {name: self.quantiser.relative[name] * self.quantiser.scale for name in own}

    def _note(self) -> None:
        if self._above_db >= 0:
            self._reached.append((self.quantiser, Place.of((self._chain,))))
        else:
            self._missed = min(self._missed, self.quantiser.scale)

    def _to_reached(self) -> bool:
        if not self._reached:
            return False
        self.quantiser, place = self._reached[-1]
        place.back((self._chain,))
        return True

    def _next(self) -> float | None:
        """Scale of the next grid; None where another one is of no use."""
        above_db, scale = self._above_db, self.quantiser.scale
        if not self._reached:
            # Weights that did not move have minus infinity: no scale is as fine as that.
            return scale * 2 ** min(above_db, -_LEAST_BITS) or None
        met = self._reached[-1][0].scale
        if self._missed / met < _NEAR:
            return None
        bits = min(max(above_db / _DB_PER_BIT, _LEAST_BITS), _MOST_BITS)
        further = met * 2**bits
        between = above_db < 0 or further >= self._missed
        return math.sqrt(met * self._missed) if between else further

    @torch.no_grad()
    def _sampled_db(self) -> float:
        losses = self._model.losses(self._batch, self.quantiser.weigh)
        return peak_psnr_db(float(losses[self._number]))


def _joined(searches: Sequence[_Search]) -> Quantiser:
    """The steps that each chain's weights have now."""
    relative: dict[str, float] = {}
    for search in searches:
        relative |= search.steps()
    return Quantiser(relative)


def _qualities(encoded: Encoded) -> list[float]:
    """PSNR of the worst array of each network, in dB."""
    return [
        min(
            encoded.metrics[array.name].psnr_db
            for array in encoded.header.arrays
            if array.channel in model.channels
        )
        for model in encoded.header.models
    ]
