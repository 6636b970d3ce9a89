"""The filter Neural Resample: the continuous fields of a file at any points."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.util.vtkAlgorithm import VTKPythonAlgorithmBase
from vtkmodules.vtkCommonDataModel import (
    vtkDataObject,
    vtkDataSet,
    vtkImageData,
    vtkPointSet,
    vtkRectilinearGrid,
)
from vtkmodules.vtkCommonExecutionModel import vtkAlgorithm, vtkStreamingDemandDrivenPipeline

from inrvis.decoder.resampling import GridPoints, Points, Resampled, resample, sampling_grid
from inrvis.decoder.volume import Volume
from inrvis.errors import InrvisError, UsageError
from inrvis.grid import ImageGrid
from inrvis_paraview.images import (
    announce_grid,
    announce_no_points,
    named_array,
    requested_extent,
    requested_time,
    set_grid,
)
from inrvis_paraview.messages import Messages
from inrvis_paraview.reader import INRReader

_KEYS = vtkStreamingDemandDrivenPipeline
_GEOMETRY = (
    _KEYS.WHOLE_EXTENT(),
    vtkDataObject.ORIGIN(),
    vtkDataObject.SPACING(),
    vtkDataObject.DIRECTION(),
)
_GHOSTS = "vtkGhostType"
# The name that ParaView's own resampling filters use.
_VALID = "vtkValidPointMask"


class NeuralResample(VTKPythonAlgorithmBase):
    """Evaluates the fields that an INR Reader has open, at the points of a mesh or of a grid.

    The reader is asked for its open file and never for decoded data. Each rank samples the points
    that it holds.

    The properties are described in ``xml/inrvis.xml``.
    """

    def __init__(self) -> None:
        super().__init__(nInputPorts=2, nOutputPorts=1, outputType="vtkDataSet")
        self._dimensions = (100, 100, 100)
        self._bounds = (0.0, 1.0, 0.0, 1.0, 0.0, 1.0)
        self._own_box = True
        self._gradients = False
        self._pass = {"point": False, "cell": False, "field": True}
        self._messages = Messages("Neural Resample")

    # ------------------------------------------------------------ properties

    def SetComputeGradients(self, on: int) -> None:
        self._set("_gradients", bool(on))

    def SetSamplingDimensions(self, nx: int, ny: int, nz: int) -> None:
        self._set("_dimensions", (nx, ny, nz))

    def SetUseInputBounds(self, on: int) -> None:
        self._set("_own_box", bool(on))

    def SetSamplingBounds(self, *bounds: float) -> None:
        self._set("_bounds", bounds)

    def SetPassPointArrays(self, on: int) -> None:
        self._set("_pass", {**self._pass, "point": bool(on)})

    def SetPassCellArrays(self, on: int) -> None:
        self._set("_pass", {**self._pass, "cell": bool(on)})

    def SetPassFieldArrays(self, on: int) -> None:
        self._set("_pass", {**self._pass, "field": bool(on)})

    def _set(self, name: str, value: Any) -> None:
        if getattr(self, name) != value:
            setattr(self, name, value)
            self._messages.forget()
            self.Modified()

    # ------------------------------------------------------------ pipeline

    def FillInputPortInformation(self, port: int, information: Any) -> int:
        required = ("vtkImageData", "vtkDataSet")[port]
        information.Set(vtkAlgorithm.INPUT_REQUIRED_DATA_TYPE(), required)
        if port == 1:
            information.Set(vtkAlgorithm.INPUT_IS_OPTIONAL(), 1)
        return 1

    def RequestDataObject(self, _request: Any, inputs: Any, outputs: Any) -> int:
        mesh = _mesh(inputs)
        wanted = vtkImageData() if mesh is None else mesh.NewInstance()
        information = outputs.GetInformationObject(0)
        present = information.Get(vtkDataObject.DATA_OBJECT())
        if present is None or present.GetClassName() != wanted.GetClassName():
            information.Set(vtkDataObject.DATA_OBJECT(), wanted)
        return 1

    def RequestInformation(self, _request: Any, inputs: Any, outputs: Any) -> int:
        information = outputs.GetInformationObject(0)
        if inputs[1].GetNumberOfInformationObjects():
            mesh = inputs[1].GetInformationObject(0)
            # The executive has filled in those of the reader.
            for key in _GEOMETRY:
                information.Remove(key)
                if mesh.Has(key):
                    information.CopyEntry(mesh, key)
            return 1
        announce_no_points(information)
        # What is wrong will be told when the data are asked for.
        with suppress(InrvisError):
            announce_grid(information, self._grid(self._reader().volume_at(None)[0]))
        return 1

    def RequestUpdateExtent(self, _request: Any, inputs: Any, _outputs: Any) -> int:
        # Only the open file is wanted: data that the reader has already decoded stay as they are.
        inputs[0].GetInformationObject(0).Set(_KEYS.UPDATE_EXTENT(), (0, -1, 0, -1, 0, -1), 6)
        if inputs[1].GetNumberOfInformationObjects():
            mesh = inputs[1].GetInformationObject(0)
            if not mesh.Has(_KEYS.WHOLE_EXTENT()):
                mesh.Remove(_KEYS.UPDATE_EXTENT())
        return 1

    def RequestData(self, _request: Any, inputs: Any, outputs: Any) -> int:
        output = vtkDataSet.GetData(outputs, 0)
        output.Initialize()
        information = outputs.GetInformationObject(0)
        # An abort of the last run must not stop this one.
        self.SetAbortExecute(0)
        try:
            volume, arrays = self._reader().volume_at(requested_time(information))
            points = self._points(_mesh(inputs), volume, information, output)
            result = resample(
                volume, points, arrays=arrays, gradients=self._gradients, progress=self._progress
            )
            if result is None:
                self.SetAbortExecute(0)
                raise UsageError("stopped; nothing was sampled")
            _add(result, output)
        except InrvisError as error:
            output.Initialize()
            self._messages.error(str(error))
        except MemoryError:
            output.Initialize()
            self._messages.error("not enough memory; choose fewer points")
        return 1

    def _points(self, mesh: Any, volume: Volume, information: Any, output: vtkDataSet) -> Points:
        """Points to sample; `output` gets their structure."""
        if mesh is None:
            extent = requested_extent(information)
            grid = self._grid(volume)
            set_grid(output, grid, extent)
            return np.empty((0, 3)) if extent is None else GridPoints(grid.subgrid(extent))
        output.CopyStructure(mesh)
        for kind in ("Point", "Cell", "Field"):
            there, here = (getattr(data, f"Get{kind}Data")() for data in (mesh, output))
            if self._pass[kind.lower()]:
                here.PassData(there)
            elif there.HasArray(_GHOSTS):
                here.AddArray(there.GetArray(_GHOSTS))
        return _points_of(mesh)

    def _grid(self, volume: Volume) -> ImageGrid:
        bounds = None if self._own_box else self._bounds
        return sampling_grid(volume.grid, self._dimensions, bounds)

    def _reader(self) -> INRReader:
        algorithm = self.GetInputAlgorithm(0, 0)
        # ParaView puts it behind every source; it hands images on as they are.
        if algorithm is not None and algorithm.IsA("vtkPVPostFilter"):
            algorithm = algorithm.GetInputAlgorithm(0, 0)
        if not isinstance(algorithm, INRReader):
            raise UsageError(
                "the input must be an INR Reader, whose file is sampled; for other data there is "
                "Resample With Dataset"
            )
        return algorithm

    def _progress(self, fraction: float) -> bool:
        self.UpdateProgress(fraction)
        return not self.GetAbortExecute()


def _mesh(inputs: Any) -> Any:
    """The destination; None where there is none."""
    return vtkDataSet.GetData(inputs[1], 0) if inputs[1].GetNumberOfInformationObjects() else None


def _points_of(mesh: vtkDataSet) -> Points:
    if mesh.GetNumberOfPoints() == 0:
        return np.empty((0, 3))
    if isinstance(mesh, vtkPointSet):
        points: NDArray[np.floating[Any]] = vtk_to_numpy(mesh.GetPoints().GetData())
        return points
    if isinstance(mesh, vtkImageData):
        matrix = mesh.GetDirectionMatrix()
        direction = tuple(matrix.GetElement(row, column) for row in range(3) for column in range(3))
        return GridPoints(
            ImageGrid(mesh.GetExtent(), mesh.GetSpacing(), mesh.GetOrigin(), direction)
        )
    if isinstance(mesh, vtkRectilinearGrid):
        axes = [vtk_to_numpy(getattr(mesh, f"Get{a}Coordinates")()) for a in "ZYX"]
        z, y, x = np.meshgrid(*axes, indexing="ij")
        corners: NDArray[np.floating[Any]] = np.stack([x, y, z], axis=-1).reshape(-1, 3)
        return corners
    return np.array([mesh.GetPoint(i) for i in range(mesh.GetNumberOfPoints())])


def _add(result: Resampled, output: vtkDataSet) -> None:
    data = output.GetPointData()
    for name, values in result.values.items():
        data.AddArray(named_array(name, values))
        if name in result.gradients:
            slopes = result.gradients[name]
            data.AddArray(named_array(f"{name}_gradient", slopes.reshape(len(slopes), -1)))
    data.AddArray(named_array(_VALID, result.inside.astype(np.int8)))
    if result.values:
        data.SetActiveScalars(next(iter(result.values)))
