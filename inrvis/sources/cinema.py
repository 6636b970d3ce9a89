"""Cinema databases: a folder of images with a table of their parameters (Specification D).

A database is a folder with a table ``data.csv``. Columns whose name begins with ``FILE`` name
files, the others are parameters. A folder of images with a table of another name is read as well,
and so are ParaView's exports without one. Nothing outside the folder is ever opened.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath

from inrvis.errors import ArrayNotFoundError, SourceError
from inrvis.parameters import Cell, Parameter, sort_values
from inrvis.sources.cinema_images import EXTENSIONS, stored_images
from inrvis.sources.cinema_names import table_from_names
from inrvis.sources.database import ImageDatabase, StoredImage
from inrvis.sources.files import file_size, reading

__all__ = ["is_database", "read"]

TABLE = "data.csv"
_FILE = "FILE"
_MOST_TABLE_BYTES = 1 << 28
_MOST_ROWS = 1_000_000
_MOST_COLUMNS = 1_000
# What tables write for a file that is not there; pandas writes nothing, others nan.
_MISSING = {"", "nan", "none"}


def is_database(path: str | os.PathLike[str]) -> bool:
    """Whether `read` is meant for this path: a folder, or what is named as one."""
    return Path(path).is_dir() or Path(path).suffix.lower() == ".cdb"


def read(folder: str | os.PathLike[str], *, columns: Sequence[str] | None = None) -> ImageDatabase:
    """Read the table of a database, and the sizes of its images.

    Parameters
    ----------
    folder : path-like
        Folder with a ``data.csv``, or with images and a single table of another name, or with
        nothing but images as ParaView names them.
    columns : sequence of str, optional
        Columns of files to take; all by default.

    Returns
    -------
    ImageDatabase
        Its images are read from their files when they are asked for; files with equal bytes are
        one image. A file with several channels (``.h5``, ``.npz``) gives a column for each, named
        ``column:channel``.

    Raises
    ------
    SourceError
        If the table or an image cannot be read, or a path leads out of the folder.
    ArrayNotFoundError
        If there is no column of a wanted name.
    """
    root = Path(folder)
    table = _find_table(root)
    wanted = _wanted(table, columns)
    library = _Library(root)
    channels: list[list[dict[str, int]]] = []
    for line, row in table.rows:
        channels.append([library.images(line, row[position]) for position in wanted])
    names, cell_images = _spread([table.names[position] for position in wanted], channels)
    if not library.stored:
        raise SourceError(f"{table.path} names no image; give a database that holds some")
    others = [p for p in range(len(table.names)) if p not in table.files]
    parameters, indices = _parameters(table, others)
    return ImageDatabase(
        parameters=parameters,
        columns=names,
        cells=tuple(Cell(*pair) for pair in zip(indices, cell_images, strict=True)),
        images=tuple(library.stored),
    )


# ------------------------------------------------------------------ the table


@dataclass(frozen=True)
class _Table:
    """Texts of a table; `files` are the positions of its columns of files."""

    path: Path
    names: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]
    files: tuple[int, ...]


def _find_table(root: Path) -> _Table:
    try:
        if not root.is_dir():
            raise SourceError(f"{root} is not a folder; give the folder that holds {TABLE}")
        tables = [root / TABLE] if (root / TABLE).exists() else sorted(root.glob("*.csv"))
        if not tables:
            names = [p.name for p in root.iterdir() if p.name.lower().endswith(EXTENSIONS)]
            rows = table_from_names(names)
            if rows:
                return _to_table(root, list(enumerate(rows, start=1)))
    except (OSError, ValueError) as error:
        raise SourceError(f"cannot read {str(root)!r}: {error}; check the path") from error
    if len(tables) != 1:
        what = "several tables" if tables else "no table"
        raise SourceError(f"{root} holds {what}; it needs one {TABLE} with a row for each image")
    return _read_table(_inside(root, tables[0].name, f"{root} has a table"))


def _read_table(path: Path) -> _Table:
    if file_size(path) > _MOST_TABLE_BYTES:
        raise SourceError(f"{path} is larger than {_MOST_TABLE_BYTES} bytes; split the database")
    rows: list[tuple[int, list[str]]] = []
    with reading(path), path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        for row in reader:
            # Blank lines hold nothing, and of one column the empty text is one, in quotes.
            if not row or (rows and len(rows[0][1]) > 1 and row == [""]):
                continue
            if len(rows) > _MOST_ROWS:
                raise SourceError(f"{path} has over {_MOST_ROWS} rows; split the database")
            rows.append((reader.line_num, row))
    return _to_table(path, rows)


def _to_table(path: Path, lines: Sequence[tuple[int, Sequence[str]]]) -> _Table:
    """Check and name the columns of a table of a header and rows, each with its line."""
    names = tuple(name.strip() for name in lines[0][1]) if lines else ()
    _check_names(path, names)
    rows = [(number, tuple(text.strip() for text in row)) for number, row in lines[1:]]
    for number, row in rows:
        if len(row) != len(names):
            raise SourceError(
                f"line {number} of {path} has {len(row)} fields and the header has {len(names)}; "
                "correct the table"
            )
    if not rows:
        raise SourceError(f"{path} has no rows; give a database that holds images")
    # The specification has capital letters; not everybody has.
    files = _columns_named(names) or _columns_named([name.upper() for name in names])
    if not files:
        files = _columns_of_images(names, rows)
        # A Cinema database knows its columns of files by this word.
        names = tuple(f"{_FILE}_{n}" if p in files else n for p, n in enumerate(names))
        _check_names(path, names)
    if not files:
        raise SourceError(f"{path} has no column of files; name it {_FILE} in the header")
    return _Table(path, names, tuple(rows), files)


def _check_names(path: Path, names: Sequence[str]) -> None:
    if len(names) > _MOST_COLUMNS:
        raise SourceError(f"{path} has over {_MOST_COLUMNS} columns; give a table of parameters")
    if not names or not all(names):
        raise SourceError(f"{path} has a column without a name; name every column in line 1")
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise SourceError(f"{path} has two columns named {double!r}; rename one")
    odd = next((name for name in names if not name.isprintable()), None)
    if odd is not None:
        raise SourceError(f"{path} has a column named {odd!r}; use printable characters")


def _columns_named(names: Sequence[str]) -> tuple[int, ...]:
    return tuple(position for position, name in enumerate(names) if name.startswith(_FILE))


def _columns_of_images(
    names: Sequence[str], rows: Iterable[tuple[int, tuple[str, ...]]]
) -> tuple[int, ...]:
    """Columns in which every text, where there is one, ends like the name of an image."""
    found = []
    for position in range(len(names)):
        texts = {row[position].lower() for _, row in rows} - _MISSING
        if texts and all(text.endswith(EXTENSIONS) for text in texts):
            found.append(position)
    return tuple(found)


def _wanted(table: _Table, columns: Sequence[str] | None) -> tuple[int, ...]:
    if columns is None:
        return table.files
    offered = {table.names[position]: position for position in table.files}
    unknown = [name for name in columns if name not in offered]
    if unknown or not columns:
        raise ArrayNotFoundError(
            f"{table.path} has no column of files {', '.join(unknown) or 'that is wanted'}; "
            f"it has {', '.join(offered)}"
        )
    return tuple(offered[name] for name in dict.fromkeys(columns))


def _parameters(
    table: _Table, positions: Sequence[int]
) -> tuple[tuple[Parameter, ...], list[tuple[int, ...]]]:
    parameters, columns = [], []
    for position in positions:
        texts = [row[position] for _, row in table.rows]
        parameter = Parameter(table.names[position], sort_values(texts))
        index = {value: i for i, value in enumerate(parameter.values)}
        parameters.append(parameter)
        columns.append([index[text] for text in texts])
    rows = range(len(table.rows))
    return tuple(parameters), [tuple(column[row] for column in columns) for row in rows]


# ------------------------------------------------------------------ the images


@dataclass
class _Library:
    """The images of the files that a table names, each file once."""

    root: Path
    stored: list[StoredImage] = field(default_factory=list)
    _known: dict[Path, dict[str, int]] = field(default_factory=dict)
    _by_size: defaultdict[tuple[str, int], list[Path]] = field(
        default_factory=lambda: defaultdict(list)
    )
    _digests: dict[Path, bytes] = field(default_factory=dict)

    def images(self, line: int, text: str) -> dict[str, int]:
        """Numbers of the images of one file, by channel; none where there is no file."""
        if text.lower() in _MISSING:
            return {}
        path = _inside(self.root, text, f"line {line} of the table")
        if path not in self._known:
            twin = self._twin(path)
            self._known[path] = self._known[twin] if twin is not None else self._add(path)
        return self._known[path]

    def _add(self, path: Path) -> dict[str, int]:
        numbers = {}
        for channel, image in stored_images(path).items():
            numbers[channel] = len(self.stored)
            self.stored.append(image)
        return numbers

    def _twin(self, path: Path) -> Path | None:
        """A known file of the same bytes; only files of the same size are compared."""
        # The extension decides how a file is read, so equal bytes may be different images.
        alike = self._by_size[path.suffix.lower(), file_size(path)]
        twin = None
        if alike:
            digest = self._digest(path)
            twin = next((other for other in alike if self._digest(other) == digest), None)
        if twin is None:
            alike.append(path)
        return twin

    def _digest(self, path: Path) -> bytes:
        if path not in self._digests:
            with reading(path), path.open("rb") as file:
                self._digests[path] = hashlib.file_digest(file, "sha256").digest()
        return self._digests[path]


def _inside(root: Path, text: str, who: str) -> Path:
    """Path that a table names, if it lies in the folder, links followed; else SourceError."""
    windows = PureWindowsPath(text)
    if (
        windows.drive
        or windows.root
        or "\\" in text
        or ".." in windows.parts
        or not text.isprintable()
    ):
        raise SourceError(f"{who} names {text!r}; a path must lie in the folder of the database")
    try:
        path, top = (root / text).resolve(strict=True), root.resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise SourceError(
            f"{who} names {text!r}, which cannot be found in {root}; copy the database in full"
        ) from error
    if not path.is_relative_to(top):
        raise SourceError(f"{who} names {text!r}, a link out of the folder; copy the file itself")
    return path


def _spread(
    names: Sequence[str], rows: Sequence[Sequence[dict[str, int]]]
) -> tuple[tuple[str, ...], list[tuple[int, ...]]]:
    """Columns with one for each channel, and the images of each row in them."""
    columns: list[tuple[int, str]] = []
    for position in range(len(names)):
        channels = dict.fromkeys(channel for row in rows for channel in row[position])
        # A column that names no file at all is still one.
        columns += [(position, channel) for channel in channels or [""]]
    spread = tuple(f"{names[p]}:{channel}" if channel else names[p] for p, channel in columns)
    images = [tuple(row[p].get(channel, -1) for p, channel in columns) for row in rows]
    return spread, images
