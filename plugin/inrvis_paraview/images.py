"""Between inrvis' grids and numpy arrays and VTK's image data and pipeline keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray
from vtkmodules.util.numpy_support import numpy_to_vtk
from vtkmodules.vtkCommonDataModel import vtkDataObject, vtkImageData
from vtkmodules.vtkCommonExecutionModel import vtkAlgorithm, vtkStreamingDemandDrivenPipeline

from inrvis.grid import Extent, ImageGrid

_NO_POINTS = (0, -1, 0, -1, 0, -1)


def announce_grid(information: Any, grid: ImageGrid) -> None:
    """Tell the pipeline the geometry of the whole image, and that parts of it can be had."""
    keys = vtkStreamingDemandDrivenPipeline
    information.Set(keys.WHOLE_EXTENT(), grid.extent, 6)
    information.Set(vtkDataObject.ORIGIN(), grid.origin, 3)
    information.Set(vtkDataObject.SPACING(), grid.spacing, 3)
    information.Set(vtkDataObject.DIRECTION(), grid.direction, 9)
    information.Set(vtkAlgorithm.CAN_PRODUCE_SUB_EXTENT(), 1)


def announce_no_points(information: Any) -> None:
    """Tell the pipeline that there is nothing to ask for."""
    information.Set(vtkStreamingDemandDrivenPipeline.WHOLE_EXTENT(), _NO_POINTS, 6)


def announce_times(information: Any, times: Sequence[float]) -> None:
    """Tell the pipeline the time steps; without any, that there is no time."""
    keys = vtkStreamingDemandDrivenPipeline
    information.Remove(keys.TIME_STEPS())
    information.Remove(keys.TIME_RANGE())
    if times:
        information.Set(keys.TIME_STEPS(), times, len(times))
        information.Set(keys.TIME_RANGE(), (times[0], times[-1]), 2)


def requested_extent(information: Any) -> Extent | None:
    """Extent that the pipeline asks for; None when this piece is empty, or not asked for."""
    if not information.Has(vtkStreamingDemandDrivenPipeline.UPDATE_EXTENT()):
        return None
    x0, x1, y0, y1, z0, z1 = information.Get(vtkStreamingDemandDrivenPipeline.UPDATE_EXTENT())
    empty = x1 < x0 or y1 < y0 or z1 < z0
    return None if empty else (x0, x1, y0, y1, z0, z1)


def requested_time(information: Any) -> float | None:
    """Time that the pipeline asks for, if it asks for one."""
    key = vtkStreamingDemandDrivenPipeline.UPDATE_TIME_STEP()
    return float(information.Get(key)) if information.Has(key) else None


def set_grid(image: vtkImageData, grid: ImageGrid, extent: Extent | None) -> None:
    """Give an image the geometry of a grid and an extent within it; None for no points."""
    image.SetExtent(extent or _NO_POINTS)
    image.SetOrigin(grid.origin)
    image.SetSpacing(grid.spacing)
    image.SetDirectionMatrix(grid.direction)


def add_point_array(image: vtkImageData, name: str, values: NDArray[Any]) -> None:
    """Add an array of shape (nz, ny, nx) or (nz, ny, nx, components) without copying it.

    The first one becomes the active scalars.
    """
    rows = values.reshape(-1) if values.ndim == 3 else values.reshape(-1, values.shape[3])
    data = image.GetPointData()
    data.AddArray(named_array(name, rows))
    if data.GetScalars() is None:
        data.SetActiveScalars(name)


def named_array(name: str, values: NDArray[Any]) -> Any:
    """VTK array of values of shape (n,) or (n, components), without copying them."""
    # The VTK array holds a reference to the numpy array, so the memory lives as long as it does.
    array = numpy_to_vtk(values, deep=False)
    array.SetName(name)
    return array
