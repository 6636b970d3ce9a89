"""Load a state file and look at what it brought back: FOLDER STATE."""

from __future__ import annotations

import common
from paraview import simple

(state,) = common.ARGUMENTS
simple.LoadState(state)
view = simple.GetActiveViewOrCreate("RenderView")
simple.Render(view)
simple.SaveScreenshot(str(common.FOLDER / "restored.png"), view)
((_, reader),) = [
    (name, proxy)
    for name, proxy in simple.GetSources().items()
    if proxy.GetXMLName() == "INRReader"
]
reader.UpdatePipeline()
common.finish(
    {
        "stride": int(reader.Stride),
        "selected": list(reader.PointArrays),
        "geometry": common.geometry(common.output(reader)),
        "arrays": sorted(common.arrays(common.output(reader))),
        "sources": len(simple.GetSources()),
    }
)
