"""NIfTI-1 and NIfTI-2 (``.nii``, ``.nii.gz``)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from inrvis.errors import SourceError
from inrvis.grid import ImageGrid
from inrvis.sources.files import (
    DEFLATE_RATIO,
    ReadOptions,
    check_claim,
    file_size,
    header_geometry,
    load_library,
)
from inrvis.sources.image import Image, Values

__all__ = ["read"]


def read(path: Path, options: ReadOptions) -> Image:  # noqa: ARG001  (readers share a signature)
    """Read a NIfTI image; its array is named ``intensity``.

    The affine becomes origin, spacing and direction, in NIfTI's own RAS coordinates. Values keep
    the type they have on disk; where the header scales them they become float32. An image that
    holds several time steps is refused; a fifth axis holds components.
    """
    nibabel = load_library("nibabel", "run: pip install nibabel")
    # nibabel logs oddities of headers to standard error.
    with nibabel.imageglobals.LoggingOutputSuppressor():
        image = nibabel.load(path)
        header = image.header
        shape = tuple(int(count) for count in header.get_data_shape())
        dtype = header.get_data_dtype()
        ratio = DEFLATE_RATIO if path.name.lower().endswith(".gz") else 1
        check_claim(path, math.prod(shape) * dtype.itemsize, file_size(path) * ratio)
        values = _values(image, dtype)
    dimensions, values = _spatial(path, shape, values)
    axes, origin = _geometry(header)
    with header_geometry(path):
        grid = ImageGrid.from_axes(dimensions, axes, origin)
    return Image(grid, {"intensity": values})


def _values(image: Any, dtype: np.dtype[Any]) -> Values:
    slope, intercept = image.dataobj.slope, image.dataobj.inter
    if slope == 1 and intercept == 0:
        return np.asarray(image.dataobj.get_unscaled())
    if dtype.kind not in "iuf":
        raise SourceError(f"values of type {dtype} cannot be scaled; store them unscaled")
    return np.asarray(image.get_fdata(caching="unchanged", dtype=np.float32))


def _spatial(
    path: Path, shape: tuple[int, ...], values: Values
) -> tuple[tuple[int, int, int], Values]:
    """Dimensions (nx, ny, nz), and the values as (nz, ny, nx) or (nz, ny, nx, component)."""
    nx, ny, nz, steps, components, *rest = *shape, *([1] * max(0, 5 - len(shape)))
    if steps != 1 or any(count != 1 for count in rest):
        raise SourceError(
            f"{path} has the axes {shape}, which is a series; give one time step as a volume"
        )
    if values.dtype.names:
        fields = [values[name] for name in values.dtype.names]
        values = np.stack(fields, axis=-1)
        components *= len(fields)
    # The file is x-fastest with components last; nibabel's axes are in the file's order.
    if components == 1:
        return (nx, ny, nz), values.reshape((nx, ny, nz)).T
    return (nx, ny, nz), values.reshape((nx, ny, nz, components)).transpose(2, 1, 0, 3)


def _geometry(header: Any) -> tuple[npt.NDArray[np.float64], tuple[float, float, float]]:
    if header["sform_code"] == 0 and header["qform_code"] == 0:
        # "Method 1" of the standard: only the spacing is known.
        zooms = [float(zoom) or 1.0 for zoom in header.get_zooms()[:3]]
        steps = [*zooms, *([1.0] * (3 - len(zooms)))]
        return np.diag(steps), (0.0, 0.0, 0.0)
    affine = np.asarray(header.get_best_affine(), dtype=np.float64)
    x, y, z = affine[:3, 3].tolist()
    return affine[:3, :3].T, (x, y, z)
