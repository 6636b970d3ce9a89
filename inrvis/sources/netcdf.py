"""NetCDF: the classic formats (CDF-1, CDF-2, CDF-5) and NetCDF-4, which is HDF5."""

from __future__ import annotations

import math
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from inrvis.errors import SourceError
from inrvis.sources import cf
from inrvis.sources.files import ReadOptions, check_claim, file_size, load_library
from inrvis.sources.image import Image
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
    if start == b"\x89HDF\r\n\x1a\n":
        opening = _netcdf4
    elif start[:3] == b"CDF" and start[3:4] in (b"\x01", b"\x02"):
        opening = _classic
    elif start[:4] == b"CDF\x05":
        opening = _cdf5
    else:
        raise SourceError(f"{path} is not a NetCDF file; give it the extension of its format")
    with opening(path) as catalogue:
        parts = select(path, options, catalogue, _in_space)
        if options.arrays or len(parts) > 1:
            parts = _on_one_grid(path, parts, options)
        return to_image(path, parts, from_coordinates(parts[0]), fills=(cf.NETCDF_FILL,))


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
    scipy_io = load_library("scipy.io", "run: pip install scipy")
    with warnings.catch_warnings():
        # scipy warns where views of its memory map are left; all that is kept are copies.
        warnings.simplefilter("ignore")
        with scipy_io.netcdf_file(path, "r", mmap=True) as file:
            yield _catalogue(path, file.variables, lambda stored: stored.data.dtype)


@contextmanager
def _cdf5(path: Path) -> Iterator[Catalogue]:
    remedy = f"{path} is in the format CDF-5; run: pip install netCDF4, or: nccopy -k nc4 IN OUT"
    netcdf4 = load_library("netCDF4", remedy)
    # An absolute path, because the library takes some names for addresses in the network.
    with netcdf4.Dataset(str(path.absolute()), "r") as file:
        file.set_auto_maskandscale(False)
        file.set_auto_chartostring(False)
        yield _catalogue(path, file.variables, lambda stored: np.dtype(stored.dtype))


def _catalogue(
    path: Path, variables: Mapping[str, Any], dtype_of: Callable[[Any], np.dtype[Any]]
) -> Catalogue:
    """Catalogue of the variables as scipy and netCDF4 alike present them."""

    def variable(name: str) -> Variable:
        stored = variables[name]
        return Variable(
            path=name,
            shape=tuple(map(int, stored.shape)),
            dtype=dtype_of(stored),
            attribute=lambda key: getattr(stored, key, None),
            axes=lambda: tuple(axis(dimension) for dimension in stored.dimensions),
            # A copy, because scipy gives views of its memory map.
            read=lambda indices: np.array(stored[(*indices, ...)]),
            check=lambda claimed_bytes: check_claim(path, claimed_bytes, file_size(path)),
        )

    def axis(name: str) -> Axis:
        # A variable of the same name as a dimension holds its coordinates.
        scale = variables.get(name)
        if scale is None or len(scale.shape) != 1 or dtype_of(scale).kind not in "iuf":
            return Axis(name, cf.is_time(name, lambda _: None), lambda: None)
        is_time = cf.is_time(name, lambda key: getattr(scale, key, None))
        return Axis(name, is_time, lambda: np.array(scale[:]))

    def find(name: str) -> list[Variable] | None:
        name = name.removeprefix("/")
        return [variable(name)] if name in variables else None

    return Catalogue(lambda: [variable(name) for name in variables], find)
