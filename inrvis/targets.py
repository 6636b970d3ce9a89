"""What an encoding promises: a rate (`Ratio`, `BitRate`) or a quality (`Psnr`, `MaxError`)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

from inrvis.errors import UsageError

__all__ = ["BitRate", "MaxError", "Psnr", "Ratio", "Target", "byte_budget"]


@dataclass(frozen=True)
class Ratio:
    """Size of the source divided by the size of the file.

    Parameters
    ----------
    value : float
        Positive and finite, counted against the source's own data type.

    Raises
    ------
    UsageError
        If `value` is not a positive finite number.
    """

    value: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", _positive("ratio", self.value))

    def describe(self) -> str:
        """One short phrase for people."""
        return f"compression ratio {self.value:g}"


@dataclass(frozen=True)
class Psnr:
    """Peak signal-to-noise ratio to reach.

    Parameters
    ----------
    db : float
        Decibels, positive and finite.

    Raises
    ------
    UsageError
        If `db` is not a positive finite number.
    """

    db: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "db", _positive("PSNR", self.db))

    def describe(self) -> str:
        """One short phrase for people."""
        return f"PSNR {self.db:g} dB"


@dataclass(frozen=True)
class BitRate:
    """Bits of the file for each value of the source.

    Parameters
    ----------
    bits_per_value : float
        Positive and finite.

    Raises
    ------
    UsageError
        If `bits_per_value` is not a positive finite number.
    """

    bits_per_value: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "bits_per_value", _positive("bits per value", self.bits_per_value))

    def describe(self) -> str:
        """One short phrase for people."""
        return f"{self.bits_per_value:g} bits per value"


@dataclass(frozen=True)
class MaxError:
    """Bound on the absolute error of every value.

    Parameters
    ----------
    bound : float
        Positive and finite; in the units of the data, or a fraction of their range.
    relative : bool
        Whether `bound` is a fraction of the range (largest minus smallest value) of the source.

    Raises
    ------
    UsageError
        If `bound` is not a positive finite number.
    """

    bound: float
    relative: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "bound", _positive("maximum error", self.bound))

    def describe(self) -> str:
        """One short phrase for people."""
        return f"maximum error {self.bound:g}" + (" of the range" if self.relative else "")


Target: TypeAlias = Ratio | Psnr | BitRate | MaxError


def byte_budget(target: Target, original_bytes: int, n_values: int) -> int | None:
    """Largest size of the file that meets a rate target.

    Parameters
    ----------
    target : Target
        What was promised.
    original_bytes : int
        Size of the source in its own data type.
    n_values : int
        Number of values of the source.

    Returns
    -------
    int or None
        Bytes, rounded down; None for a quality target, which sets no budget.
    """
    match target:
        case Ratio(value):
            return math.floor(original_bytes / value)
        case BitRate(bits_per_value):
            return math.floor(n_values * bits_per_value / 8)
        case _:
            return None


def _positive(name: str, value: float) -> float:
    try:
        number = math.nan if isinstance(value, (bool, str, bytes)) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise UsageError(f"{name} {value!r} is not a positive finite number")
    return number
