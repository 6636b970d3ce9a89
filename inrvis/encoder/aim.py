"""What to ask of a coder that only estimates its quality, so that a file just has enough of it."""

from __future__ import annotations

# Above a quality that is asked for, but not by much.
_ABOVE_DB = 0.02
# More than this much beyond the goal means nothing: an exact array has no PSNR.
_MOST_DB = 20.0
# How near to an end of what is left of the search its next point may lie.
_LEAST_SHARE = 0.1
# What a step grows by after each miss.
_GROWTH = 4.0


class Aim:
    """Search for the estimate with which one array just reaches a PSNR.

    Parameters
    ----------
    psnr_db : float
        The goal, and the first estimate to ask for.

    Attributes
    ----------
    psnr_db : float
        Estimate to ask for next.
    """

    def __init__(self, psnr_db: float) -> None:
        self.psnr_db = self._goal = psnr_db
        self._missed: tuple[float, float] | None = None
        self._reached: tuple[float, float] | None = None
        self._last: bool | None = None
        self._stride = 1.0

    def learn(self, found_db: float) -> None:
        """Take note that the last estimate gave a file of ``found_db``."""
        over = min(found_db - self._goal, _MOST_DB)
        again = self._last == (over >= 0)
        self._last = over >= 0
        if over >= 0:
            self._reached = self.psnr_db, over
        else:
            self._missed = self.psnr_db, over
        if self._missed and self._reached:
            (low, missing), (high, excess) = self._missed, self._reached
            least = _LEAST_SHARE * (high - low)
            straight = high + _ABOVE_DB - excess
            if over >= 0 and straight >= low + least:
                # Where quality follows the estimate, one follows the other.
                self.psnr_db = min(straight, high - least)
                return
            share = (_ABOVE_DB - missing) / (excess - missing)
            # Twice on one side: the relation is no straight line.
            share = 0.5 if again else min(max(share, _LEAST_SHARE), 1 - _LEAST_SHARE)
            self.psnr_db = low + share * (high - low)
            return
        self.psnr_db += self._stride * (_ABOVE_DB - over)
        if self._missed:
            # What lacks little may still need an estimate that is far from the first.
            self._stride *= _GROWTH
            # Below what a network has by itself all estimates end alike: go half of the way.
            self.psnr_db = max(self.psnr_db, (self._missed[0] + self._goal) / 2)
