"""NetCDF: the classic formats (CDF-1, CDF-2, CDF-5) and NetCDF-4, which is HDF5."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from inrvis.errors import SourceError
from inrvis.sources import cf
from inrvis.sources.files import ReadOptions, check_claim, file_size
from inrvis.sources.image import Image
from inrvis.sources.netcdf_classic import read_variables
from inrvis.sources.variables import (
    Axis,
    Catalogue,
    Part,
    Variable,
    from_coordinates,
    listing,
    select,
    to_image,
)

__all__ = ["read"]


def read(path: Path, options: ReadOptions) -> Image:
    """Read variables of a NetCDF file; each names its array.

    ``file.nc:variable`` selects a variable, ``file.nc:group/variable`` one in a group. Its last
    three axes are (z, y, x); a variable of two is a slice. Of further leading axes, such as time,
    the first index is taken, or the one that the selector says: ``file.nc:variable[3]`` for time
    step 3, ``[3,0]`` for two leading axes, ``[-1]`` for the last step, and ``file.nc:[3]`` for
    step 3 of all variables. A variable (time, y, x) is a volume through time, and a slice if an
    index is given.

    Without a name, all variables of one grid are read: of the grids in space, the one that holds
    the most values in all. Wanted arrays that are of one grid can be any.

    Coordinates give origin and spacing along each axis on which they are regular, else these are
    0 and 1. Missing values and packed integers are treated as in `inrvis.sources.cf.unpack`.
    """
    with path.open("rb") as file:
        start = file.read(8)
    classic = start[:4] in (b"CDF\x01", b"CDF\x02", b"CDF\x05")
    if not classic and start != b"\x89HDF\r\n\x1a\n":
        raise SourceError(f"{path} is not a NetCDF file; give it the extension of its format")
    opening = _classic if classic else _netcdf4
    with opening(path) as catalogue:
        parts = select(path, options, catalogue, _in_space)
        if options.arrays or len(parts) > 1:
            parts = _on_one_grid(path, parts, options)
        # Of variables with and without a time axis, one of the former knows the time.
        geometry = from_coordinates(max(parts, key=lambda part: len(part.indices)))
        return to_image(path, parts, geometry, fills=(cf.NETCDF_FILL,))


def _in_space(variable: Variable, indices: tuple[int, ...]) -> Part:
    """Part of at most three axes."""
    further = len(variable.shape) - 3 - len(indices)
    return Part(variable, indices + (0,) * further)


def _on_one_grid(path: Path, parts: Sequence[Part], options: ReadOptions) -> list[Part]:
    grids: dict[Any, list[Part]] = defaultdict(list)
    for part in parts:
        axes = part.variable.axes()[len(part.indices) :]
        in_space = part.rank == 3 and not any(axis.is_time for axis in axes)
        grids[in_space, part.rank, tuple(axis.name for axis in axes), part.shape].append(part)
    if options.arrays and len(grids) > 1:
        raise SourceError(
            f"{path}: these arrays are not on one grid: {listing(p.variable for p in parts)}; "
            "encode one grid at a time"
        )
    _, best = max(
        grids.items(),
        key=lambda item: (*item[0][:2], math.prod(item[0][3]) * len(item[1])),
    )
    # Groups may repeat a name.
    if len({part.variable.name for part in best}) < len(best):
        raise SourceError(
            f"{path} holds several variables of one name; choose one, as in "
            f"{path.name}:{best[0].variable.path}, from: {listing(p.variable for p in best)}"
        )
    return best


@contextmanager
def _netcdf4(path: Path) -> Iterator[Catalogue]:
    from inrvis.sources import hdf5_file

    with hdf5_file.opened(path) as file:
        yield hdf5_file.catalogue(path, file)


@contextmanager
def _classic(path: Path) -> Iterator[Catalogue]:
    stored = read_variables(path)

    def variable(name: str) -> Variable:
        found = stored[name]
        return Variable(
            path=name,
            shape=found.values.shape,
            dtype=found.values.dtype,
            attribute=found.attributes.get,
            axes=lambda: tuple(axis(dimension) for dimension in found.dimensions),
            # A copy, because a view of the file would fault when it changes.
            read=lambda indices: np.array(found.values[indices]),
            check=lambda claimed_bytes: check_claim(path, claimed_bytes, file_size(path)),
        )

    def axis(name: str) -> Axis:
        # A variable of the same name as a dimension holds its coordinates.
        scale = stored.get(name)
        if scale is None or scale.values.ndim != 1 or scale.values.dtype.kind not in "iuf":
            return Axis(name, cf.is_time(name, lambda _: None), lambda: None)
        is_time = cf.is_time(name, scale.attributes.get)
        return Axis(name, is_time, lambda: np.array(scale.values))

    def find(name: str) -> list[Variable] | None:
        name = name.removeprefix("/")
        return [variable(name)] if name in stored else None

    yield Catalogue(lambda: [variable(name) for name in stored], find)
