"""What size of network has what quality: told by trainings of other sizes and lengths."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from inrvis.encoder.settings import TrainingSettings

if TYPE_CHECKING:
    from inrvis.encoder.training import Trial

# What a network takes of a file beside its coded weights, and each further one.
NETWORK_BYTES, FURTHER_NETWORK_BYTES = 105, 65
# No network takes less, about, with and without what every file takes.
SMALLEST_BYTES, SMALLEST_WEIGHTS_BYTES = 520, 140
# What twice the bytes of the weights bring, about; and between what that lies on fields from noisy
# to smooth, where two trainings have told it.
DB_PER_DOUBLING, _LEAST_SLOPE_DB, _MOST_SLOPE_DB = 3.2, 1.5, 16.0
# Sizes so near one another do not tell it, and further from what was trained nothing is told.
_NEAR_OCTAVES, _FARTHEST_OCTAVES = 0.1, 2.0
# What twice the seconds may bring, up to so many and beyond, in dB; and what is added for doubt.
# From 3 to 90 seconds, networks of three volumes gained 6 to 12 dB.
_DB_PER_TIME, _DB_PER_LATE_TIME, _LATE_SECONDS, _DOUBT_DB = 2.5, 1.0, 90.0, 1.0
# What twice the seconds bring for sure. Trainings of few steps gain more: engine_ct had 3.4 dB for
# each doubling from 275 to 824 steps, 2.5 from 350 to 1,000; from 1,000 to 3,000, and on headsq,
# mni152_t1 and tooth_ct_u16, it was 1.0 to 1.2. Those of many gain less: on headsq three times
# 7,000 steps brought a file that was 2 % smaller.
_SURE_DB_PER_TIME, _ENOUGH_STEPS, _MOST_DB_PER_TIME = 1.0, 900, 2.7
_LATE_DB_PER_TIME, LONG_STEPS = 0.3, 6000


class Sizes:
    """Bytes of a file over its quality, from the last two that it was told of.

    Parameters
    ----------
    overhead_bytes : int
        Bytes that a file takes beside its weights.
    """

    def __init__(self, overhead_bytes: int) -> None:
        self._overhead = overhead_bytes
        self._smallest = overhead_bytes + SMALLEST_WEIGHTS_BYTES
        self._octaves, self._psnr_db = 0.0, -math.inf
        self._db_per_doubling, self._foretold = DB_PER_DOUBLING, False

    def learn(self, size: float, psnr_db: float, *, foretold: bool = False) -> None:
        """Take in that a file of ``size`` bytes has ``psnr_db``, or is ``foretold`` to have it.

        What has been foretold and what is so say nothing together of what bytes bring.
        """
        octaves = math.log2(max(size - self._overhead, 1.0))
        apart = octaves - self._octaves
        alike = math.isfinite(self._psnr_db) and foretold == self._foretold
        if alike and abs(apart) >= _NEAR_OCTAVES:
            slope = (psnr_db - self._psnr_db) / apart
            self._db_per_doubling = min(max(slope, _LEAST_SLOPE_DB), _MOST_SLOPE_DB)
        self._octaves, self._psnr_db, self._foretold = octaves, psnr_db, foretold

    def size_for(self, psnr_db: float) -> float:
        """Bytes of a file that should have ``psnr_db``."""
        octaves = (psnr_db - self._psnr_db) / self._db_per_doubling
        octaves = min(max(octaves, -_FARTHEST_OCTAVES), _FARTHEST_OCTAVES)
        return max(self._smallest, self._overhead + 2 ** (self._octaves + octaves))


def gain_db(times: float, steps: int) -> float:
    """What a training brings that is so many times as long as one of so many steps."""
    left = max(0.0, math.log2(times))
    missing = max(0.0, math.log2(_ENOUGH_STEPS / steps))
    early = min(left, missing)
    left -= early
    sure = min(left, max(0.0, math.log2(LONG_STEPS / max(steps, _ENOUGH_STEPS))))
    return (
        min(_SURE_DB_PER_TIME + missing, _MOST_DB_PER_TIME) * early
        + _SURE_DB_PER_TIME * sure
        + _LATE_DB_PER_TIME * (left - sure)
    )


def is_hopeful(psnr_db: float, trial: Trial, training: TrainingSettings) -> bool:
    """Whether ``training`` may have ``psnr_db`` at the size of a trial."""
    before, after = trial.seconds, max(training.seconds, trial.seconds)
    early = min(after, _LATE_SECONDS) / min(before, _LATE_SECONDS)
    late = max(after, _LATE_SECONDS) / max(before, _LATE_SECONDS)
    gain = _DB_PER_TIME * math.log2(early) + _DB_PER_LATE_TIME * math.log2(late)
    return trial.psnr_db + gain + _DOUBT_DB >= psnr_db
