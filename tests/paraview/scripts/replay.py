"""Run a script that the window recorded, and load a state that it saved: FOLDER TRACE STATE."""

from __future__ import annotations

from pathlib import Path

import common
from paraview import simple

trace, state = common.ARGUMENTS
found = {}


def session():
    """What the pipeline holds."""
    proxies = {proxy.GetXMLName(): proxy for proxy in simple.GetSources().values()}
    reader, contour = proxies["INRReader"], proxies["Contour"]
    contour.UpdatePipeline()
    (extractor,) = simple.GetExtractors()
    writer = extractor.Writer
    return {
        "sources": len(proxies),
        "stride": int(reader.Stride),
        "geometry": common.geometry(common.output(reader)),
        "arrays": sorted(common.arrays(common.output(reader))),
        "contour": common.output(contour).GetNumberOfPoints(),
        "extractor": [
            str(writer.Target).strip("'"),
            writer.Value,
            writer.FileName,
            int(writer.Seed),
        ],
    }


common.stage("trace")
exec(compile(Path(trace).read_text(), trace, "exec"), {"__name__": "__main__"})
found["trace"] = session()
common.stage("state")
simple.ResetSession()
simple.LoadState(state)
view = simple.GetActiveViewOrCreate("RenderView")
simple.Render(view)
simple.SaveScreenshot(str(common.FOLDER / "restored.png"), view)
found["state"] = session()
common.stage("end")
common.finish(found)
