"""Readers of the volumes that users have; a module for each format.

A reader is a function of a path and `inrvis.sources.files.ReadOptions` that returns an `Image`.
Libraries are imported by the reader that needs them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from inrvis.errors import SourceError, UsageError
from inrvis.sources import hdf5, metaimage, netcdf, nifti, npy, nrrd, openvdb, raw, vtk
from inrvis.sources.files import Reader, ReadOptions, file_size, reading
from inrvis.sources.image import Image, from_array, join
from inrvis.sources.selection import split_selector
from inrvis.sources.vtk import from_vtk

__all__ = ["Image", "extensions", "from_array", "from_vtk", "join", "read"]

_READERS: dict[str, Reader] = {
    **vtk.READERS,
    ".bin": raw.read,
    ".cdf": netcdf.read,
    ".h5": hdf5.read,
    ".hdf5": hdf5.read,
    ".he5": hdf5.read,
    ".mha": metaimage.read,
    ".mhd": metaimage.read,
    ".nc": netcdf.read,
    ".nc4": netcdf.read,
    ".nhdr": nrrd.read,
    ".nii": nifti.read,
    ".nii.gz": nifti.read,
    ".npy": npy.read,
    ".nrrd": nrrd.read,
    ".nx": hdf5.read,
    ".nxs": hdf5.read,
    ".raw": raw.read,
    ".vdb": openvdb.read,
}
_SELECTING = {hdf5.read, netcdf.read, openvdb.read}


def extensions() -> tuple[str, ...]:
    """Extensions that `read` knows, sorted."""
    return tuple(sorted(_READERS))


def read(
    path: str | os.PathLike[str],
    *,
    arrays: Sequence[str] | None = None,
    dimensions: Sequence[int] | None = None,
    dtype: str | None = None,
) -> Image:
    """Read a volume; its extension says which format it has.

    Parameters
    ----------
    path : path-like
        File to read. With `dimensions` or `dtype` it is bare values, x fastest, whatever its
        extension. Of files that hold many arrays, ``file:selector`` reads a part: a dataset or
        group of HDF5, a variable of NetCDF, a grid of OpenVDB, as their readers say.
    arrays : sequence of str, optional
        Names of the arrays to read, all of them when omitted. Formats that know no names call
        their one array ``intensity``.
    dimensions : sequence of 3 int, optional
        Number of points (nx, ny, nz) of bare values.
    dtype : str, optional
        Type of bare values in NumPy's notation, such as ``'u1'`` or ``'>f4'``.

    Returns
    -------
    Image
        Grid and arrays, in the source's own data type and native byte order.

    Raises
    ------
    SourceError
        If the file cannot be read: absent, truncated, damaged, of an unknown format or type, or a
        library for it is missing.
    ArrayNotFoundError
        If there is no array of a wanted name.
    UsageError
        If bare values lack `dimensions` or `dtype`, or a file with a header was given them, or
        a format without names a selector.
    """
    path, selector = split_selector(os.fspath(path))
    file_size(path)
    options = ReadOptions(
        arrays=(arrays,) if isinstance(arrays, str) else tuple(arrays or ()),
        selector=selector,
        dimensions=None if dimensions is None else tuple(dimensions),
        dtype=dtype,
    )
    reader = _reader(path, options)
    if selector and reader not in _SELECTING:
        raise UsageError(f"{path} holds nothing to choose by ':{selector}'; give the path alone")
    with reading(path):
        return reader(path, options).select(options.arrays)


def _reader(path: Path, options: ReadOptions) -> Reader:
    name = path.name.lower()
    known = next((e for e in sorted(_READERS, key=len, reverse=True) if name.endswith(e)), None)
    reader = _READERS[known] if known else None
    if options.dimensions is not None or options.dtype is not None:
        if reader not in (None, raw.read):
            raise UsageError(
                f"{path} carries its own dimensions and dtype; leave these options out"
            )
        return raw.read
    if reader is None:
        raise SourceError(
            f"{path} has an unknown extension; give one of {', '.join(extensions())}, "
            "or dimensions and dtype for bare values"
        )
    return reader
