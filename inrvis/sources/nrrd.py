"""NRRD, with the values in the same file (``.nrrd``) or beside it (``.nhdr``)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from inrvis.errors import SourceError
from inrvis.grid import ImageGrid
from inrvis.sources.files import ReadOptions, header_geometry, load_library
from inrvis.sources.image import Image

__all__ = ["read"]

_SPATIAL_KINDS = {"domain", "space"}


def read(path: Path, options: ReadOptions) -> Image:  # noqa: ARG001  (readers share a signature)
    """Read an NRRD image; its array is named ``intensity``.

    ``space directions`` become spacing and direction, ``space origin`` the origin. Coordinates
    stay in the file's own space (LPS, RAS or any other): no axis is flipped. One axis that is not
    spatial holds components.
    """
    nrrd = load_library("nrrd", "run: pip install pynrrd")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values, header = nrrd.read(str(path), index_order="C")
    other = _component_axis(path, header)
    if other is not None:
        # C order turns the axes of the header around.
        values = np.moveaxis(values, values.ndim - 1 - other, -1)
    count = int(header["dimension"]) - (other is not None)
    if count not in (2, 3):
        raise SourceError(f"{path} has {count} spatial axes; give a slice or a volume")
    if count == 2:
        values = values[None]
    nz, ny, nx = values.shape[:3]
    with header_geometry(path):
        grid = ImageGrid.from_axes((nx, ny, nz), _axes(header, other, count), _origin(header))
    return Image(grid, {"intensity": values})


def _component_axis(path: Path, header: Mapping[str, Any]) -> int | None:
    """Index of the axis that is not spatial, in the header's order."""
    kinds = header.get("kinds")
    directions = header.get("space directions")
    if directions is not None:
        spatial = [row is not None and not np.isnan(row).any() for row in directions]
    elif kinds is not None:
        spatial = [kind in _SPATIAL_KINDS for kind in kinds]
    else:
        spatial = [True] * int(header["dimension"])
    others = [axis for axis, is_spatial in enumerate(spatial) if not is_spatial]
    if len(others) > 1 or len(spatial) - len(others) > 3:
        raise SourceError(
            f"{path} has the axes {list(header['sizes'])}; "
            "give three spatial axes and at most one for components, marked by 'kinds'"
        )
    return others[0] if others else None


def _axes(header: Mapping[str, Any], other: int | None, count: int) -> list[list[float]]:
    """Step along each of the three index axes; slices get a third that is perpendicular."""
    directions = header.get("space directions")
    if directions is not None:
        rows = [row for axis, row in enumerate(directions) if axis != other]
        axes = [[*map(float, row), 0.0, 0.0][:3] for row in rows]
    else:
        spacings = [float(step) for step in header.get("spacings", [1.0] * (count + 1))]
        steps = [step for axis, step in enumerate(spacings) if axis != other][:count]
        # An axis without a spacing of its own is marked by NaN.
        lengths = [1.0 if np.isnan(step) else step for step in [*steps, 1.0]]
        axes = np.diag(lengths[:3])[:count].tolist()
    if count == 2:
        normal = np.cross(axes[0], axes[1])
        axes.append((normal / (np.linalg.norm(normal) or 1.0)).tolist())
    return axes


def _origin(header: Mapping[str, Any]) -> tuple[float, float, float]:
    origin = [float(value) for value in header.get("space origin", ())]
    x, y, z = [*origin, 0.0, 0.0, 0.0][:3]
    return x, y, z
