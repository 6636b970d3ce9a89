"""Looks for coded layers of a size or of a quality."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping

from scipy.optimize import brentq

from inrvis.encoder.aim import Aim
from inrvis.encoder.assembly import Assembly, Encoded, LayerParts, NetworkParts, worst
from inrvis.encoder.grids import GridCoder, WaveletLayers
from inrvis.encoder.settings import TrainingSettings

NO_NETWORKS = NetworkParts()
# Rounds of aiming at a PSNR, and how far above it a file may be.
_AIM_ROUNDS, _AIM_DB = 6, 0.02
# So far beyond the goal where aims swing around it.
_FURTHER_DB = (0.5, 2.0, 6.0, 20.0)
# Share of the time for plans of wavelets, the most encodings for that, and what one takes.
_TRIALS_SHARE, _MOST_TRIALS = 0.05, 100
_TRIAL_SECONDS, _TRIAL_SECONDS_PER_VALUE = 0.03, 3.3e-7
# Steps for a size, relative to the range and in doublings: the first and the last one, how far
# apart they are until one is too fine, and how near to find one; and how much of a size to fill.
_COARSEST_STEP, _FINEST_STEP, _STRIDE, _STEP_TOLERANCE = 2, -22, 3, 0.002
_NEARLY_ALL = 0.998


class LayerSearch:
    """Codes layers of one image until a file has what is asked for.

    Parameters
    ----------
    assembly : Assembly
        The image, and what makes files of it.
    coder : GridCoder
        What codes layers.
    training : TrainingSettings
        Its time, of which layers take a small share.

    Attributes
    ----------
    seconds : float
        Time that the last file of a quality took.
    """

    def __init__(self, assembly: Assembly, coder: GridCoder, training: TrainingSettings) -> None:
        self._assembly, self._coder, self._training = assembly, coder, training
        self.seconds = 0.0

    def of_size(self, budget: int) -> Encoded | None:
        """Best file of layers alone with at most ``budget`` bytes; None if none fit."""
        wavelets = self._coder.wavelets()
        first = self._finest_in(wavelets, budget)
        if first is None:
            return None
        step, layers = first
        files = [self._assembly.attempt(NO_NETWORKS, layers)]
        better = wavelets.rehalved({array.name: step for array in wavelets.arrays}, self._trials)
        if better.plans != wavelets.plans and (finer := self._finest_in(better, budget)):
            files.append(self._assembly.attempt(NO_NETWORKS, finer[1]))
        return max(files, key=worst)

    def _finest_in(self, wavelets: WaveletLayers, budget: int) -> tuple[float, LayerParts] | None:
        """Finest step with which the file has at most ``budget`` bytes, and its layers."""
        best: tuple[float, LayerParts] | None = None

        def excess(doublings: float) -> float:
            nonlocal best
            step = 2.0**doublings
            layers = wavelets.encode(step)
            size = self._assembly.size(NO_NETWORKS, layers)
            if size <= budget and (best is None or step < best[0]):
                best = step, layers
            return math.log(size / max(_NEARLY_ALL * budget, 1.0))

        coarse = _COARSEST_STEP
        if excess(coarse) > 0:
            return best
        # Fine steps take long: they are come to from coarse ones.
        while coarse > _FINEST_STEP:
            fine = coarse - _STRIDE
            if excess(fine) > 0:
                brentq(excess, fine, coarse, xtol=_STEP_TOLERANCE)
                break
            coarse = fine
        return best

    @property
    def _trials(self) -> int:
        """Encodings of wavelets that may be spent on how they halve axes."""
        values = sum(array.size for array in self._assembly.image.arrays.values())
        each = _TRIAL_SECONDS + _TRIAL_SECONDS_PER_VALUE * values
        return min(_MOST_TRIALS, int(_TRIALS_SHARE * self._training.seconds / each))

    def of_quality(self, psnr_db: float, networks: NetworkParts) -> Encoded:
        """Encode with wavelet layers of at least ``psnr_db``, on top of ``networks``."""
        start = time.monotonic()
        encoded = self._of_quality(psnr_db, networks)
        self.seconds = time.monotonic() - start
        return encoded

    def _of_quality(self, psnr_db: float, networks: NetworkParts) -> Encoded:
        channels = self._assembly.base(networks) if networks.models else None
        wavelets = self._coder.wavelets(channels)
        best, steps = self._aimed(psnr_db, networks, wavelets)
        better = wavelets.rehalved(steps, self._trials)
        if better.plans == wavelets.plans:
            return best
        return smallest([best, self._aimed(psnr_db, networks, better)[0]], psnr_db)

    def _aimed(
        self, psnr_db: float, networks: NetworkParts, wavelets: WaveletLayers
    ) -> tuple[Encoded, Mapping[str, float]]:
        """Smallest file of at least ``psnr_db``, or the nearest to it; and its steps."""
        aims = {array.name: Aim(psnr_db) for array in wavelets.arrays}
        candidates: list[tuple[Encoded, Mapping[str, float]]] = []

        def encode_at(aims: Mapping[str, float]) -> Encoded:
            steps = {name: wavelets.step_for(name, aim) for name, aim in aims.items()}
            encoded = self._assembly.attempt(networks, wavelets.encode(steps))
            candidates.append((encoded, steps))
            return encoded

        for _ in range(_AIM_ROUNDS):
            encoded = encode_at({name: aim.psnr_db for name, aim in aims.items()})
            found = {name: metrics.psnr_db for name, metrics in encoded.metrics.items()}
            if all(0 <= db - psnr_db < _AIM_DB for db in found.values()):
                break
            for name, aim in aims.items():
                aim.learn(found[name])
        # Few integers know few qualities, and the aim may swing around one.
        for further in _FURTHER_DB:
            if any(worst(encoded) >= psnr_db for encoded, _ in candidates):
                break
            encode_at(dict.fromkeys(aims, psnr_db + further))
        best = smallest([encoded for encoded, _ in candidates], psnr_db)
        return next((encoded, steps) for encoded, steps in candidates if encoded is best)


def smallest(candidates: Iterable[Encoded], psnr_db: float) -> Encoded:
    """Smallest file of at least ``psnr_db``, or the one that comes nearest to it."""
    files = [*candidates]
    good = [encoded for encoded in files if worst(encoded) >= psnr_db]
    if good:
        return min(good, key=lambda encoded: len(encoded.data))
    return max(files, key=worst)
