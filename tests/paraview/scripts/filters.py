"""The three filters: FOLDER SOURCE ENCODED."""

from __future__ import annotations

import common
from paraview import servermanager, simple

source, encoded = common.ARGUMENTS
found = {}
image = simple.OpenDataFile(source)
compress = simple.NeuralCompress(Input=image, Target="Maximum Error", Value=0.5, Model="None")
python = compress.GetClientSideObject()
encodings = []
encode = python._encode
python._encode = lambda *arguments: encodings.append(1) or encode(*arguments)


def information():
    compress.UpdatePropertyInformation()
    names = ("ChosenModel", "PSNR", "MaximumError", "CompressionRatio", "EncodedBytes")
    return {name: getattr(compress, name) for name in names}


common.stage("bound")
compress.UpdatePipeline()
found["bound"] = common.save("bound", common.output(compress))
found["bound information"] = information()
fields = common.output(compress).GetFieldData()
found["fields"] = {
    fields.GetArrayName(i): [
        fields.GetAbstractArray(i).GetValue(j)
        for j in range(fields.GetAbstractArray(i).GetNumberOfTuples())
    ]
    for i in range(fields.GetNumberOfArrays())
}
box = simple.ExtractSubset(Input=compress, VOI=[5, 9, 0, 7, 6, 20])
box.UpdatePipeline()
found["box"] = common.save("box", common.output(box))
compress.Layers = "Base Only"
compress.UpdatePipeline()
compress.Layers = "All"
compress.UpdatePipeline()
found["encodings of one setting"] = len(encodings)

common.stage("bad value")
compress.Value = -1
compress.UpdatePipeline()
compress.UpdatePipeline()
found["bad value"] = common.output(compress).GetNumberOfPoints()

common.stage("out of range")
compress.Target = 99
compress.UpdateVTKObjects()

common.stage("stopped")
compress.Target, compress.Model, compress.Value = "Compression Ratio", "SIREN", 4
tag = python.AddObserver("ProgressEvent", lambda *_: python.SetAbortExecute(1))
compress.UpdatePipeline()
encodings.clear()
compress.UpdatePipeline()
python.RemoveObserver(tag)
found["stopped"] = common.output(compress).GetNumberOfPoints()
found["encodings after the stop"] = len(encodings)

common.stage("again")
compress.Target, compress.Model, compress.Value = "PSNR", "None", 40
compress.UpdatePipeline()
found["again"] = information()

common.stage("cells")
wavelet = simple.PointDatatoCellData(Input=simple.Wavelet(WholeExtent=[0, 5, 0, 5, 0, 5]))
simple.NeuralCompress(Input=wavelet, Model="None").UpdatePipeline()

# ---------------------------------------------------------------- Neural Resample

common.stage("resample")
reader = simple.OpenDataFile(encoded)
decodings = []
decode = reader.GetClientSideObject()._decode
reader.GetClientSideObject()._decode = lambda *arguments: (
    decodings.append(common.requested(reader)),
    decode(*arguments),
)[1]
grid = simple.NeuralResample(Input=reader, SamplingDimensions=[9, 10, 11])
grid.UpdatePipeline()
found["grid"] = common.save("grid", common.output(grid))
grid.UseInputBounds, grid.SamplingBounds = 0, [0, 20, 10, 30, 40, 50]
box = simple.ExtractSubset(Input=grid, VOI=[2, 5, 0, 9, 3, 3])
box.UpdatePipeline()
found["part of a box"] = common.save("part", common.output(box))

sphere = simple.Sphere(Center=[8, 35, 50], Radius=16)
group = simple.GroupDatasets(Input=[sphere, simple.Tetrahedralize(Input=simple.Wavelet())])
rectilinear = simple.ImageDatatoPointSet(Input=simple.Wavelet(WholeExtent=[0, 9, 30, 35, 40, 44]))
for name, mesh in (
    ("sphere", sphere),
    ("image", image),
    ("points", rectilinear),
    ("group", group),
):
    common.stage(name)
    resampled = simple.NeuralResample(
        Input=reader, DestinationMesh=mesh, ComputeGradients=int(name == "sphere")
    )
    resampled.UpdatePipeline()
    found[name] = resampled.GetDataInformation().GetDataSetTypeAsString()
    found[f"{name} arrays"] = sorted(resampled.PointData.keys())
    data = common.output(resampled)
    if name == "group":
        found["group sizes"] = [data.GetBlock(i).GetNumberOfPoints() for i in range(2)]
    else:
        common.save_points(name, data)
found["decoded for sampling"] = [extent for extent in decodings if extent[0] <= extent[1]]

common.stage("no reader")
simple.NeuralResample(Input=image).UpdatePipeline()
common.stage("no points")
simple.NeuralResample(Input=reader, SamplingDimensions=[0, 3, 3]).UpdatePipeline()
common.stage("stopped sampling")
python = grid.GetClientSideObject()
tag = python.AddObserver("ProgressEvent", lambda *_: python.SetAbortExecute(1))
grid.SamplingDimensions = [12, 12, 12]
grid.UpdatePipeline()
python.RemoveObserver(tag)
found["stopped sampling"] = common.output(grid).GetNumberOfPoints()

# ---------------------------------------------------------------- Compare

common.stage("compare")
compare = simple.Compare(Original=image, Decoded=reader)
compare.UpdatePipeline()
found["errors"] = common.save("errors", common.output(compare))
table = servermanager.Fetch(compare, idx=1)
found["metrics"] = {
    table.GetColumnName(i): [table.GetColumn(i).GetValue(j) for j in range(table.GetNumberOfRows())]
    for i in range(table.GetNumberOfColumns())
}
common.stage("other dimensions")
simple.Compare(Original=image, Decoded=simple.Wavelet()).UpdatePipeline()

common.stage("end")
common.finish(found)
