"""Read a volume in the ways that need no picture: FOLDER VOLUME LATER WITHOUT_TIME."""

from __future__ import annotations

import gc
import shutil

import common
from paraview import simple

volume, later, without_time = common.ARGUMENTS
found = {}

reader = simple.OpenDataFile(volume)
reader.UpdatePipeline()
# The memory of the arrays must outlive every Python object around them.
gc.collect()
found["whole"] = common.save("whole", common.output(reader))
found["scalars"] = common.output(reader).GetPointData().GetScalars().GetName()
found["information"] = {
    name: getattr(reader, name) for name in ("Model", "CompressionRatio", "PSNR", "DecodeDevice")
}
found["offered"] = list(reader.PointArrays)

fresh = simple.OpenDataFile(volume)
box = simple.ExtractSubset(Input=fresh, VOI=[5, 9, 0, 7, 6, 20])
box.UpdatePipeline()
found["box"] = common.save("box", common.output(box))
found["asked for box"] = list(common.output(fresh).GetExtent())

reader.PointArrays = ["speed"]
reader.UpdatePipeline()
found["deselected"] = common.save("deselected", common.output(reader))
found["deselected scalars"] = common.output(reader).GetPointData().GetScalars().GetName()

reader.PointArrays = ["density", "speed"]
reader.Stride = 3
reader.UpdatePipeline()
found["strided"] = common.save("strided", common.output(reader))
reader.Stride = 1

algorithm = reader.GetClientSideObject()
tag = algorithm.AddObserver("ProgressEvent", lambda *_: algorithm.SetAbortExecute(1))
reader.UpdatePipeline()
found["aborted"] = sorted(common.arrays(common.output(reader)))
algorithm.RemoveObserver(tag)
simple.ReloadFiles(reader)
reader.UpdatePipeline()
found["after abort"] = sorted(common.arrays(common.output(reader)))


def times(proxy):
    """Time steps, and the time of the data that is shown at several times."""
    seen = []
    for time in (0, 1, 2.5, 3, 9):
        proxy.UpdatePipeline(time)
        image = common.output(proxy)
        seen.append(image.GetInformation().Get(image.DATA_TIME_STEP()))
    # ParaView unwraps lists of one.
    values = proxy.TimestepValues
    steps = [values] if isinstance(values, float) else list(values or ())
    return {"steps": steps, "seen": seen}


found["one time"] = times(reader)
found["stored times"] = times(simple.OpenDataFile([later, volume]))
found["numbered"] = times(simple.OpenDataFile([without_time, volume]))
found["no time"] = times(simple.OpenDataFile(without_time))

changing = common.FOLDER / "changing.inr"
shutil.copy(without_time, changing)
reader = simple.OpenDataFile(str(changing))
reader.UpdatePipeline()
shutil.copy(later, changing)
simple.ReloadFiles(reader)
reader.UpdatePipeline()
found["reloaded"] = reader.TimestepValues

common.finish(found)
