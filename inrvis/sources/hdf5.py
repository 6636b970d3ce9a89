"""Datasets of HDF5 files (``.h5``, ``.hdf5``, ``.he5``, NeXus), also as openPMD lays them out."""

from __future__ import annotations

from pathlib import Path

from inrvis.errors import SourceError
from inrvis.sources import openpmd
from inrvis.sources.files import ReadOptions
from inrvis.sources.image import Image
from inrvis.sources.selection import Selector
from inrvis.sources.variables import Part, from_coordinates, listing, select, to_image

__all__ = ["read"]


def read(path: Path, options: ReadOptions) -> Image:
    """Read datasets of an HDF5 file; the last part of a dataset's path names its array.

    ``file.h5:/path/to/dataset`` selects a dataset: (z, y, x), (y, x), or (z, y, x, component).
    ``file.h5:/path[2]`` takes index 2 of its first axis, ``[2,0]`` fixes two axes.
    ``file.h5:/path/to/group``, or ``file.h5:/`` for the root, takes the group's own datasets,
    which must have one shape; slices and tables are left out where there are volumes. Without a
    selector the file must hold a single volume or, for want of one, a single slice; wanted arrays
    narrow the choice.

    Spacing and origin are those of openPMD's meshes or of regular dimension scales, otherwise 1
    and 0. Missing values and packed integers are treated as in `inrvis.sources.cf.unpack`.
    Nothing outside the file is opened: no external link or storage, no virtual dataset.
    """
    from inrvis.sources import hdf5_file

    with hdf5_file.opened(path) as file:
        parts = select(path, options, hdf5_file.catalogue(path, file), Part)
        # Tables of numbers beside a volume are seldom images.
        parts = [part for part in parts if part.rank == max(p.rank for p in parts)]
        several = bool(options.arrays or Selector.parse(options.selector).name)
        names = {part.variable.name for part in parts}
        shapes = {part.shape[:3] for part in parts}
        if len(parts) > 1 and not (several and len(names) == len(parts) and len(shapes) == 1):
            raise SourceError(
                f"{path} holds several datasets; choose one or a group, as in "
                f"{path.name}:{parts[0].variable.path}, from: {listing(p.variable for p in parts)}"
            )
        parents = hdf5_file.parents(path, file, parts[0].variable.path)
        geometry = openpmd.geometry(parts[0], parents) or from_coordinates(parts[0])
        return to_image(path, parts, geometry)
