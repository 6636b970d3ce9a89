"""Write a Cinema database (Specification D), whole or not at all."""

from __future__ import annotations

import csv
import importlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from inrvis.container.hdf5 import h5py
from inrvis.errors import OutputError, UsageError
from inrvis.parameters import Cell, Parameter
from inrvis.sources.cinema import TABLE
from inrvis.sources.cinema_vtk import write_pixels
from inrvis.sources.database import Pixels

__all__ = ["check_folder", "write"]

_IMAGES = "image"

# A group of columns and the images of a cell in them: what one file holds.
_Key: TypeAlias = tuple[tuple[int, ...], tuple[int, ...]]


def check_folder(folder: str | os.PathLike[str]) -> None:
    """Fail before the work if the folder cannot be made.

    Raises
    ------
    OutputError
        If it exists and is not empty, or its parent is no folder.
    """
    target = Path(folder)
    if not target.absolute().parent.is_dir():
        raise OutputError(f"cannot write {target}: {target.parent} is no folder; make it first")
    if os.path.lexists(target) and not (target.is_dir() and not any(target.iterdir())):
        raise OutputError(f"{target} exists; remove it or choose another name")


def write(
    folder: str | os.PathLike[str],
    parameters: Sequence[Parameter],
    columns: Sequence[str],
    cells: Sequence[Cell],
    decode: Callable[[int], Pixels],
    *,
    progress: Callable[[float], object] | None = None,
) -> None:
    """Write a database.

    Colours are written as PNG, floats as legacy ``.vtk`` images, and the columns
    ``column:channel`` of one column together as ``.h5`` with a dataset for each channel: what
    ParaView and pycinema read. An image that several cells name is written once.

    Parameters
    ----------
    folder : path-like
        Folder to make. It appears under its name when all of it is there.
    parameters, columns, cells
        As in `inrvis.sources.database.ImageDatabase`.
    decode : callable
        Pixels of an image by its number.
    progress : callable, optional
        Called with the fraction done.

    Raises
    ------
    OutputError
        If it cannot be written, or the folder exists and is not empty.
    UsageError
        If Pillow is needed and missing.
    """
    check_folder(folder)
    groups = _groups(columns)
    with _replacing_folder(Path(folder)) as temporary:
        (temporary / _IMAGES).mkdir()
        files: dict[_Key, str] = {(group, (-1,) * len(group)): "" for group in groups}
        wanted = dict.fromkeys((g, _images(cell, g)) for cell in cells for g in groups)
        for number, (group, images) in enumerate(wanted):
            if max(images) >= 0:
                channels = [columns[position].partition(":")[2] for position in group]
                pixels = [decode(image) if image >= 0 else None for image in images]
                name = f"{_IMAGES}/{number:06d}"
                files[group, images] = name + _write_file(temporary / name, channels, pixels)
            if progress is not None:
                progress((number + 1) / len(wanted))
        # The table is last: a folder without it is no database.
        with (temporary / TABLE).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([*(p.name for p in parameters), *_headings(columns, groups)])
            for cell in cells:
                values = [p.values[i] for p, i in zip(parameters, cell.values, strict=True)]
                writer.writerow([*values, *(files[g, _images(cell, g)] for g in groups)])


def _groups(columns: Sequence[str]) -> list[tuple[int, ...]]:
    """Columns that share files: the channels of one, and any other by itself."""
    groups: dict[tuple[str, bool], list[int]] = {}
    for position, column in enumerate(columns):
        base, _, channel = column.partition(":")
        groups.setdefault((base, bool(channel)), []).append(position)
    return [tuple(group) for group in groups.values()]


def _headings(columns: Sequence[str], groups: Sequence[tuple[int, ...]]) -> list[str]:
    """Names of the columns of files, also where one has files with and without channels."""
    plain = {column for column in columns if ":" not in column}
    parts = (columns[group[0]].partition(":") for group in groups)
    return [f"{base}_channels" if colon and base in plain else base for base, colon, _ in parts]


def _images(cell: Cell, group: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(cell.images[position] for position in group)


def _write_file(path: Path, channels: Sequence[str], pixels: Sequence[Pixels | None]) -> str:
    """Write an image under this name and its extension, which is returned."""
    named = {c: p for c, p in zip(channels, pixels, strict=True) if p is not None}
    if "" not in named:
        with h5py.File(path.with_suffix(".h5"), "w") as file:
            # pycinema demands both groups.
            file.create_group("meta")
            group = file.create_group("channels")
            for channel, values in named.items():
                group.create_dataset(channel, data=values, compression="gzip")
        return ".h5"
    values = named[""]
    if values.dtype == np.float32:
        write_pixels(path.with_suffix(".vtk"), values)
        return ".vtk"
    _pillow().fromarray(np.ascontiguousarray(values)).save(path.with_suffix(".png"), format="PNG")
    return ".png"


def _pillow() -> Any:
    try:
        return importlib.import_module("PIL.Image")
    except ImportError as error:
        raise UsageError("writing images needs Pillow; run: pip install pillow") from error


@contextmanager
def _replacing_folder(target: Path) -> Iterator[Path]:
    temporary: Path | None = None
    try:
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.absolute().parent))
        yield temporary
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o777 & ~mask)
        # A folder may take the place of an empty one, never of one that holds something.
        temporary.rename(target)
    except OSError as error:
        reason = error.strerror or str(error).splitlines()[0]
        raise OutputError(f"cannot write {target}: {reason}") from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
