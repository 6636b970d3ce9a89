"""A client that has nothing of inrvis reads from a server that has: FOLDER VOLUME PORT."""

from __future__ import annotations

import importlib.util

import common
from paraview import servermanager, simple

volume, port = common.ARGUMENTS
simple.Connect("localhost", int(port))
reader = simple.OpenDataFile(volume)
reader.UpdatePipeline()
found = {
    "client has inrvis": importlib.util.find_spec("inrvis") is not None,
    "geometry": common.save("fetched", servermanager.Fetch(reader)),
    "bounds": reader.GetDataInformation().GetBounds(),
    "device": reader.DecodeDevice,
    "selected": list(reader.PointArrays),
}
reader.Stride = 4
reader.UpdatePipeline()
found["strided"] = list(reader.GetDataInformation().DataInformation.GetExtent())
common.finish(found)
simple.Disconnect()
