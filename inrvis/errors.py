"""Every error that inrvis raises on purpose.

::

    InrvisError
    ├── UsageError               2   the call or the command line is wrong
    │   ├── ArrayNotFoundError       no array of that name
    │   ├── ExtentError              an extent that is inverted or outside the grid
    │   └── DeviceError              CUDA was demanded and is not available
    ├── SourceError              3   an input to encode cannot be read
    ├── FormatError              3   an .inr file cannot be decoded
    │   ├── ChecksumError            bytes differ from those that were written
    │   ├── VersionError             written by a format version not known here
    │   ├── LimitError               sizes beyond what a reader accepts
    │   └── GraphError               a network graph that is not allowed
    ├── OutputError              3   a file could not be written
    └── TargetMissedError        1   the promised rate or quality was not reached

The number is the exit status of the command line. A message is one line that says what to do.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "ArrayNotFoundError",
    "ChecksumError",
    "DeviceError",
    "ExtentError",
    "FormatError",
    "GraphError",
    "InrvisError",
    "LimitError",
    "OutputError",
    "SourceError",
    "TargetMissedError",
    "UsageError",
    "VersionError",
]

_LONGEST = 500


class InrvisError(Exception):
    """Base of all errors that inrvis raises on purpose.

    Parameters
    ----------
    message : str
        What is wrong and what to do. Line breaks become spaces and the end is cut off beyond 500
        characters, because messages quote other libraries and files of unknown origin.

    Attributes
    ----------
    exit_status : int
        Exit status of the command line for this error.
    """

    exit_status: ClassVar[int] = 1

    def __init__(self, message: str) -> None:
        line = " ".join(line.strip() for line in message.splitlines() if line.strip())
        super().__init__(line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…")


class UsageError(InrvisError):
    """The call or the command line is wrong."""

    exit_status = 2


class ArrayNotFoundError(UsageError):
    """No array of that name; the message lists the names there are."""


class ExtentError(UsageError):
    """An extent is inverted or outside the grid."""


class DeviceError(UsageError):
    """CUDA was demanded and is not available."""


class SourceError(InrvisError):
    """An input to encode cannot be read."""

    exit_status = 3


class FormatError(InrvisError):
    """An ``.inr`` file cannot be decoded."""

    exit_status = 3


class ChecksumError(FormatError):
    """Bytes of the file differ from those that were written."""


class VersionError(FormatError):
    """The file was written by a format version that is not known here."""


class LimitError(FormatError):
    """The file states sizes beyond what a reader accepts."""


class GraphError(FormatError):
    """The file holds a network graph that is not allowed."""


class OutputError(InrvisError):
    """A file could not be written, for example because the disk is full."""

    exit_status = 3


class TargetMissedError(InrvisError):
    """The promised rate or quality was not reached."""

    exit_status = 1
