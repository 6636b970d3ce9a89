"""What the readers share: their signature, and checks that come before a library sees a file."""

from __future__ import annotations

import importlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from inrvis.errors import InrvisError, SourceError, UsageError
from inrvis.sources.image import Image

# Deflate cannot shrink anything further than 1032 : 1.
DEFLATE_RATIO = 1032


@dataclass(frozen=True)
class ReadOptions:
    """What a caller of `inrvis.sources.read` said beside the path."""

    arrays: tuple[str, ...] = ()
    selector: str = ""
    dimensions: tuple[int, ...] | None = None
    dtype: str | None = None


Reader: TypeAlias = Callable[[Path, ReadOptions], Image]


def file_size(path: Path) -> int:
    """Bytes of a file that can be read and is not empty; SourceError for any other."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise SourceError(f"{path} is a directory; give a file")
        if not stat.S_ISREG(status.st_mode):
            raise SourceError(f"{path} is not a regular file; give a file")
        with path.open("rb"):
            pass
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise SourceError(f"cannot read {path}: {reason}; check the path") from error
    except ValueError as error:
        raise SourceError(f"cannot read {str(path)!r}: {error}; check the path") from error
    if not status.st_size:
        raise SourceError(f"{path} is empty; give a file that holds data")
    return status.st_size


def check_claim(path: Path, claimed_bytes: int, limit_bytes: int | None) -> None:
    """Refuse a header that claims more than the file can hold or the machine can take.

    Parameters
    ----------
    path : Path
        File to name in the message.
    claimed_bytes : int
        Size of the values as the header describes them.
    limit_bytes : int or None
        Most bytes of values that the file can hold; None where that is not known.
    """
    if limit_bytes is not None and claimed_bytes > limit_bytes:
        raise SourceError(
            f"{path} claims {claimed_bytes} bytes of values and holds at most {limit_bytes}; "
            "it is truncated or damaged"
        )
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if claimed_bytes > memory_bytes:
        raise SourceError(
            f"{path} needs {claimed_bytes} bytes of memory and this machine has {memory_bytes}; "
            "use a larger machine or a part of the data"
        )


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever a library raises about a bad file into one SourceError."""
    try:
        yield
    except InrvisError:
        raise
    except MemoryError as error:
        raise SourceError(
            f"{path} does not fit in memory; use a larger machine or a part of the data"
        ) from error
    # Parsers meet arbitrary bytes here and raise arbitrary types.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise SourceError(
            f"cannot read {path}: {reason}; the file is damaged or of another format"
        ) from error


@contextmanager
def header_geometry(path: Path) -> Iterator[None]:
    """Turn what a grid says about a file's own geometry into a SourceError."""
    try:
        yield
    except UsageError as error:
        raise SourceError(f"{path} has a header that is not valid: {error}") from error


def load_library(module: str, remedy: str) -> Any:
    """Import a library that only one reader needs; SourceError with the remedy if missing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise SourceError(f"cannot import {module}; {remedy}") from error
