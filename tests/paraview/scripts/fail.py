"""Read what cannot be read, then what can: FOLDER VOLUME CUT_SHORT ELSEWHERE."""

from __future__ import annotations

import common
from paraview import simple

volume, cut_short, elsewhere = common.ARGUMENTS
found = {}


def points(reader):
    reader.UpdatePipeline()
    return reader.GetDataInformation().GetNumberOfPoints()


common.stage("cut short")
reader = simple.OpenDataFile(cut_short)
found["cut short"] = points(reader)
points(reader)

common.stage("missing")
found["missing"] = points(simple.INRReader(FileNames=["/nowhere/to/be/found.inr"]))

common.stage("another grid")
found["another grid"] = points(simple.OpenDataFile([volume, elsewhere]))

common.stage("good")
reader.FileNames = [volume]
found["good"] = points(reader)

common.stage("cuda")
reader.Device = "CUDA"
found["cuda"] = [points(reader), reader.DecodeDevice]

common.stage("auto")
reader.Device = "Auto"
found["auto"] = points(reader)

common.stage("stride")
reader.Stride = 99
found["stride"] = points(reader)

common.stage("end")
common.finish(found)
