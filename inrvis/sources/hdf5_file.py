"""Objects of an HDF5 file, without leaving it and without trusting what it claims.

A file from elsewhere must not pull in other files of this machine, so HDF5 never gets to follow
a link: external links, external storage and virtual datasets are refused, soft links resolved
here.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from inrvis.container.hdf5 import h5py
from inrvis.errors import SourceError
from inrvis.sources import cf
from inrvis.sources.files import DEFLATE_RATIO, check_claim, file_size, load_library
from inrvis.sources.image import Values
from inrvis.sources.variables import Axis, Catalogue, Variable

__all__ = ["catalogue", "opened", "parents"]

_MOST_OBJECTS = 10_000
_MOST_SOFT_LINKS = 16
_MOST_ATTRIBUTE_BYTES = 1 << 16
# How h5py says that an object is damaged or of a kind that it does not know.
_UNREADABLE = (LookupError, OSError, RuntimeError, TypeError, ValueError)


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open an HDF5 file for reading."""
    # Some network file systems offer no locks, and reading needs none.
    with h5py.File(path, "r", locking="best-effort") as file:
        yield file


def catalogue(path: Path, file: Any) -> Catalogue:
    """Catalogue of the datasets of an open file; names are paths in it."""

    def find(name: str) -> list[Variable] | None:
        node = _find(path, file, name)
        if isinstance(node, h5py.Group):
            return _children(path, file, name)
        return [_variable(path, _clean(name), node)] if isinstance(node, h5py.Dataset) else None

    return Catalogue(lambda: _everything(path, file), find)


def parents(path: Path, file: Any, name: str) -> list[cf.Attribute]:
    """Attributes of the groups above an object, the nearest first."""
    parts = _clean(name).split("/")[:-1]
    above = ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]
    return [_attributes(_find(path, file, group)) for group in above]


def _clean(name: str) -> str:
    return "/" + "/".join(part for part in name.split("/") if part not in ("", "."))


def _find(path: Path, file: Any, name: str) -> Any:
    """Object of this path, None where there is none; SourceError where it lies outside."""
    if "\0" in name:  # where HDF5 would take the name to end
        return None
    waiting = deque(_clean(name)[1:].split("/") if _clean(name) != "/" else ())
    node, soft = file["/"], 0
    while waiting:
        part = waiting.popleft()
        if not isinstance(node, h5py.Group):
            return None
        raw, links = part.encode("utf-8", "surrogateescape"), node.id.links
        if not links.exists(raw):
            return None
        kind = links.get_info(raw).type
        if kind == h5py.h5l.TYPE_HARD:
            node = node[part]
        elif kind == h5py.h5l.TYPE_SOFT and soft < _MOST_SOFT_LINKS:
            soft += 1
            target = links.get_val(raw).decode("utf-8", "surrogateescape")
            waiting.extendleft(reversed([p for p in target.split("/") if p not in ("", ".")]))
            node = file["/"] if target.startswith("/") else node
        else:
            raise SourceError(
                f"{path} has a link to another file, or one that goes in circles, at {_clean(name)}"
                "; give the file that holds the values"
            )
    return node


def _everything(path: Path, file: Any) -> list[Variable]:
    """Every dataset that lies in the file, once, whatever links there are."""
    found: list[Variable] = []
    number = 0

    def visit(name: str, node: Any) -> bool | None:
        nonlocal number
        number += 1
        if isinstance(node, h5py.Dataset) and _is_local(node):
            found.append(_variable(path, f"/{name}", node))
        return True if number == _MOST_OBJECTS else None

    if file.visititems(visit):
        raise _too_many(path)
    return found


def _children(path: Path, file: Any, name: str) -> list[Variable]:
    group, found = _find(path, file, name), []
    for number, key in enumerate(islice(group, _MOST_OBJECTS)):
        if number == _MOST_OBJECTS - 1:
            raise _too_many(path)
        child = _clean(f"{name}/{key}")
        try:
            node = _find(path, file, child)
        except SourceError:
            continue
        if isinstance(node, h5py.Dataset) and _is_local(node):
            found.append(_variable(path, child, node))
    return found


def _too_many(path: Path) -> SourceError:
    return SourceError(
        f"{path} holds {_MOST_OBJECTS} objects or more; choose a dataset by its path, as in "
        f"{path.name}:/path/to/dataset"
    )


def _is_local(dataset: Any) -> bool:
    """Whether all values are in the file; asked first, as shapes of virtual datasets open files."""
    return not dataset.is_virtual and not dataset.external


def _variable(path: Path, name: str, dataset: Any) -> Variable:
    if not _is_local(dataset):
        raise SourceError(
            f"{path}:{name} keeps its values in other files; give these, or copy them into one"
        )
    try:
        dtype = dataset.dtype
    except (TypeError, ValueError):  # a type that NumPy does not have
        dtype = np.dtype(object)
    # Values of an array type are components.
    shape = (*(dataset.shape or ()), *dtype.shape)
    return Variable(
        path=name,
        shape=shape,
        dtype=dtype.base,
        attribute=_attributes(dataset),
        axes=lambda: tuple(_axis(path, dataset, i, count) for i, count in enumerate(shape)),
        read=lambda indices: np.asarray(dataset[(*indices, ...)]),
        check=lambda claimed_bytes: _check(path, name, dataset, claimed_bytes),
    )


def _attributes(node: Any) -> cf.Attribute:
    """Return a function that gives small attributes; None for others, damaged and absent ones."""

    def attribute(name: str) -> Any:
        try:
            if name not in node.attrs:
                return None
            stored = node.attrs.get_id(name)
            if math.prod(stored.shape) * stored.dtype.itemsize > _MOST_ATTRIBUTE_BYTES:
                return None
            return node.attrs[name]
        except _UNREADABLE:
            return None

    return attribute


def _check(path: Path, name: str, dataset: Any, claimed_bytes: int) -> None:
    """Refuse values that the file cannot hold, or that are coded in an unknown way."""
    properties = dataset.id.get_create_plist()
    for index in range(properties.get_nfilters()):
        code, _, _, label = properties.get_filter(index)
        if h5py.h5z.filter_avail(code):
            continue
        remedy = f"{path}:{name} needs the HDF5 filter {code}; run: pip install hdf5plugin"
        load_library("hdf5plugin", remedy)
        if not h5py.h5z.filter_avail(code):
            shown = label.decode("ascii", "replace") if label else "without a name"
            raise SourceError(
                f"{path}:{name} is coded by the HDF5 filter {code} ({shown!r}), which is not "
                "installed; copy the file with: h5repack -f GZIP=1"
            )
    if not dataset.id.get_storage_size():
        raise SourceError(f"{path}:{name} was never written; choose a dataset that holds values")
    held = file_size(path)
    if dataset.chunks:
        # A library decodes whole chunks. Those that were never written cost the file nothing, so
        # values without a filter get the benefit of deflate's ratio too.
        chunk_bytes = math.prod(dataset.chunks) * dataset.dtype.itemsize
        check_claim(path, max(claimed_bytes, chunk_bytes), held * DEFLATE_RATIO)
    else:
        check_claim(path, claimed_bytes, held)


def _axis(path: Path, dataset: Any, index: int, count: int) -> Axis:
    """Axis as its first dimension scale describes it."""
    try:
        dimension = dataset.dims[index]
        scale = dimension[0] if len(dimension) else None
        name = dimension.label or (scale.name.rpartition("/")[2] if scale is not None else "")
    except (*_UNREADABLE, AttributeError):
        scale, name = None, ""
    attribute: Callable[[str], Any] = _attributes(scale) if scale is not None else _nothing
    return Axis(name, cf.is_time(name, attribute), lambda: _coordinates(path, scale, count))


def _nothing(name: str) -> Any:  # noqa: ARG001  (attributes of what has none)
    return None


def _coordinates(path: Path, scale: Any, count: int) -> Values | None:
    try:
        if scale is None or not _is_local(scale) or scale.shape != (count,):
            return None
        if scale.dtype.kind not in "iuf":
            return None
        _check(path, str(scale.name), scale, count * scale.dtype.itemsize)
        return np.asarray(scale[...])
    # Without coordinates the values are still good.
    except (SourceError, *_UNREADABLE):
        return None
