"""Shows a volume in ParaView's window; run by ``paraview --script``, settings in the environment.

Qt draws only after the script, so it leaves a note and `grab.py` takes the picture.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from paraview import simple

folder = Path(os.environ["TEST_FOLDER"])
bad, good = os.environ["TEST_FILES"].split(":")

broken = simple.OpenDataFile(bad)
broken.UpdatePipeline()
simple.Delete(broken)

reader = simple.OpenDataFile(good)
view = simple.GetActiveViewOrCreate("RenderView")
shown = simple.Show(reader, view)
name = reader.PointArrays[0]
low, high = reader.PointData[name].GetRange()
shown.SetRepresentationType("Volume")
simple.ColorBy(shown, ("POINTS", name))
contour = simple.Contour(
    Input=reader, ContourBy=["POINTS", name], Isosurfaces=[low + 0.6 * (high - low)]
)
simple.ColorBy(simple.Show(contour, view), None)
simple.SetActiveSource(reader)
simple.ResetCamera(view)
simple.Render(view)

note = folder / "note.json"
note.with_suffix(".part").write_text(
    json.dumps(
        {
            "points": reader.GetDataInformation().GetNumberOfPoints(),
            "contour": contour.GetDataInformation().GetNumberOfPoints(),
            "information": [reader.Model, reader.CompressionRatio, reader.PSNR],
        }
    )
)
note.with_suffix(".part").rename(note)
