"""A client that has nothing of inrvis works with a server that has: FOLDER VOLUME PORT."""

from __future__ import annotations

import importlib.util

import common
from paraview import servermanager, simple

PACKAGES = ("inrvis", "inrvis_paraview", "onnxruntime", "constriction", "torch")

volume, port = common.ARGUMENTS
simple.Connect("localhost", int(port))
reader = simple.OpenDataFile(volume)
reader.UpdatePipeline()
ranks = servermanager.ActiveConnection.GetNumberOfDataPartitions()
found = {
    "ranks": ranks,
    "client has": [name for name in PACKAGES if importlib.util.find_spec(name)],
    "bounds": reader.GetDataInformation().GetBounds(),
    "device": reader.DecodeDevice,
    "selected": list(reader.PointArrays),
}
# Pieces of several ranks come back as something else than an image.
if ranks == 1:
    found["geometry"] = common.save("fetched", servermanager.Fetch(reader))
reader.Stride = 4
reader.UpdatePipeline()
found["strided"] = list(reader.GetDataInformation().DataInformation.GetExtent())
reader.Stride = 1

compress = simple.NeuralCompress(Input=reader, Target="Maximum Error", Value=1, Model="None")
compress.UpdatePipeline()
compress.UpdatePropertyInformation()
found["compressed"] = [compress.MaximumError, compress.CompressionRatio]
errors = compress.PointData["density_error"].GetRange()
found["errors"] = [abs(error) for error in errors]

sphere = simple.Sphere(Radius=5, Center=[-5, 40, 50])
resample = simple.NeuralResample(Input=reader, DestinationMesh=sphere)
resample.UpdatePipeline()
found["resampled"] = sorted(resample.PointData.keys())

compare = simple.Compare(Original=reader, Decoded=compress)
compare.UpdatePipeline()
table = servermanager.Fetch(compare, idx=1)
found["largest errors"] = [
    table.GetColumnByName("max_abs_error").GetValue(i) for i in range(table.GetNumberOfRows())
]

saved = str(common.FOLDER / "saved.inr")
simple.SaveData(saved, proxy=reader, Target="Maximum Error", Value=1, Model="None")
view = simple.GetActiveViewOrCreate("RenderView")
view.ViewSize = [240, 180]
shown = simple.Show(reader, view)
shown.SetRepresentationType("Surface")
simple.ColorBy(shown, ("POINTS", "density"))
simple.ResetCamera(view)
simple.Render(view)
simple.SaveScreenshot(str(common.FOLDER / "remote.png"), view)
common.finish(found)
simple.Disconnect()
