"""Neural Compress with several settings: FOLDER SOURCE."""

from __future__ import annotations

import common
from paraview import simple

(source,) = common.ARGUMENTS
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

common.stage("end")
common.finish(found)
