"""An image database in pvpython: FOLDER VIEWS DAMAGED VOLUME NETWORK."""

from __future__ import annotations

import common
import numpy as np
from paraview import simple
from vtkmodules.util.numpy_support import vtk_to_numpy

views, damaged, volume, network = common.ARGUMENTS
found = {}

reader = simple.OpenDataFile(views)
found["reader"] = [reader.GetXMLName(), simple.OpenDataFile(volume).GetXMLName()]
reader.UpdatePipelineInformation()


def offered(name):
    """Values that a property offers."""
    return list(reader.GetProperty(name).Available)


def shown(name, time=None):
    """Keep the image of the present choices."""
    reader.UpdatePipeline(*([] if time is None else [time]))
    image = common.output(reader)
    data = image.GetPointData()
    pixels = vtk_to_numpy(data.GetArray(0))
    width, height, _ = image.GetDimensions()
    np.save(common.FOLDER / f"{name}.npy", pixels.reshape(height, width, -1))
    reader.UpdatePipelineInformation()
    found[name] = [reader.Shown, data.GetArrayName(0), data.GetNumberOfArrays()]


found["offered"] = {
    name: offered(name)
    for name in ("Column", "TimeParameter", "Parameter1", "Parameter2", "Parameter3", "Parameter4")
}
found["times"] = list(reader.TimestepValues)
shown("first")
reader.Parameter1 = "phi=120.00"
shown("exact", 1.0)
# The texts of a parameter's name and of exact values may be left out.
reader.Parameter1 = "230"
shown("nearest", 0.4)
reader.Column = "FILE_vtk"
shown("float", 0.0)
found["floating"] = common.output(reader).GetPointData().GetArray(0).GetDataTypeAsString()
reader.Column = "FILE_png"
reader.TimeParameter = "phi"
reader.UpdatePipelineInformation()
found["turning"] = [list(reader.TimestepValues), offered("Parameter1"), offered("Parameter3")]
reader.Parameter3 = "time=1"
shown("turned", 119.0)
reader.TimeParameter = "none"
reader.Parameter1 = "phi=000.00"
reader.UpdatePipelineInformation()
found["untimed"] = list(reader.TimestepValues or [])
shown("untimed_image")
reader.TimeParameter = "time"

subset = simple.ExtractSubset(Input=reader, VOI=[3, 12, 5, 9, 0, 0])
subset.UpdatePipeline(0.0)
np.save(
    common.FOLDER / "subset.npy",
    vtk_to_numpy(common.output(subset).GetPointData().GetArray(0)).reshape(5, 10, -1),
)

reader.UpdatePipelineInformation()
found["information"] = [
    reader.Model,
    reader.CompressionRatio,
    reader.PSNR,
    reader.DecodeDevice,
]

stored_only = reader
reader.BetweenStored = "Interpolated"
reader.Parameter1 = "phi=100"
shown("cannot", 0.0)
found["cannot"].append(reader.Interpolated)
reader.Parameter1 = "phi=000.00"
reader = simple.INRImageReader(FileName=network, Parameter1="phi=100")
for between in ("Nearest", "Interpolated"):
    reader.BetweenStored = between
    shown(between, 0.25)
    found[between].append(reader.Interpolated)
reader.Parameter1 = "phi=120"
shown("met", 0.5)
found["met"].append(reader.Interpolated)
simple.Delete(reader)
reader = stored_only

view = simple.CreateView("RenderView")
view.ViewSize = [45, 37]
view.OrientationAxesVisibility = 0
display = simple.Show(reader, view)
found["representation"] = str(display.Representation).strip("'")
display.MapScalars = 0
# The first picture sets the camera by itself.
simple.Render(view)
view.CameraParallelProjection = 1
view.CameraFocalPoint, view.CameraPosition = [22, 18, 0], [22, 18, 100]
view.CameraParallelScale = 37 / 2
simple.GetAnimationScene().AnimationTime = 0.0
simple.Render(view)
simple.SaveScreenshot(str(common.FOLDER / "picture.png"), view, ImageResolution=[45, 37])
reader.Parameter1 = "phi=240.00"
simple.SaveState(str(common.FOLDER / "state.pvsm"))


def points(source):
    """Number of points, of which there are none after an error."""
    source.UpdatePipeline()
    return source.GetDataInformation().GetNumberOfPoints()


common.stage("column")
reader.Column = "FILE_jpg"
points(reader)
common.stage("value")
reader.Column = "FILE_png"
reader.Parameter2 = "producer=nobody"
points(reader)
reader.UpdatePipelineInformation()
found["shown after an error"] = reader.Shown
common.stage("time")
reader.Parameter2 = "producer=PNG1"
reader.TimeParameter = "producer"
points(reader)
common.stage("good")
reader.TimeParameter = "time"
found["good"] = points(reader)
common.stage("damaged")
broken = simple.INRImageReader(FileName=damaged)
found["damaged"] = points(broken)
common.stage("none")
found["none"] = points(simple.INRImageReader())
common.stage("volume")
found["volume"] = points(simple.INRImageReader(FileName=volume))
common.stage("state")
simple.ResetSession()
simple.LoadState(str(common.FOLDER / "state.pvsm"))
(reader,) = (p for p in simple.GetSources().values() if p.GetXMLName() == "INRImageReader")
shown("restored", 0.5)
common.stage("end")
common.finish(found)
