"""``file:selector``: which part to read of a file that holds many arrays."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Selector", "split_selector"]

_INDICES = re.compile(r"(.*)\[\s*(-?\d{1,9}(?:\s*,\s*-?\d{1,9})*)\s*\]", re.DOTALL)


@dataclass(frozen=True)
class Selector:
    """Name of an object inside a file, and indices of its leading axes.

    Parameters
    ----------
    name : str
        Path of a dataset or group, name of a variable or grid; empty for whatever the file holds.
    indices : tuple of int
        One for each leading axis that is not read, a negative one counts from the end.
    """

    name: str = ""
    indices: tuple[int, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Selector:
        """Selector of ``NAME``, ``NAME[K]``, ``NAME[K,L]`` or ``[K]``."""
        match = _INDICES.fullmatch(text)
        if not match:
            return cls(text)
        return cls(match[1], tuple(int(number) for number in match[2].split(",")))


def split_selector(text: str) -> tuple[Path, str]:
    """Path and selector of ``path`` or ``path:selector``.

    Colons are legal in both. What exists under the full text is the path; otherwise the longest
    part before a colon that is a file. Where there is none, all of the text is the path.
    """
    if not os.path.lexists(text):
        for position in (match.start() for match in reversed([*re.finditer(":", text)])):
            # Unlike Path.is_file, this is False, not an error, for a name that is too long.
            if os.path.isfile(text[:position]):  # noqa: PTH113
                return Path(text[:position]), text[position + 1 :]
    return Path(text), ""
