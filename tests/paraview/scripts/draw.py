"""Slice, contour and volume rendering: FOLDER VOLUME."""

from __future__ import annotations

import common
from paraview import simple

(volume,) = common.ARGUMENTS
reader = simple.OpenDataFile(volume)
decoded = common.count_decoded_points()
reader.UpdatePipeline()
updated = decoded.pop()
view = simple.GetActiveViewOrCreate("RenderView")
view.ViewSize = [320, 240]


def picture(name, source, kind=None):
    """Show one source alone, and take a picture."""
    simple.HideAll(view)
    shown = simple.Show(source, view)
    if kind is not None:
        shown.SetRepresentationType(kind)
    simple.ColorBy(shown, ("POINTS", "density"))
    simple.ResetCamera(view)
    simple.Render(view)
    simple.SaveScreenshot(str(common.FOLDER / f"{name}.png"), view, TransparentBackground=0)


volume_low, volume_high = reader.PointData["density"].GetRange()
level = (volume_low + volume_high) / 2
plane = simple.Slice(Input=reader)
plane.SliceType.Normal = [0, 0, 1]
contour = simple.Contour(Input=reader, ContourBy=["POINTS", "density"], Isosurfaces=[level])

picture("slice", plane)
picture("contour", contour)
picture("volume", reader, "Volume")
shown = decoded.pop()

common.finish(
    {
        "decoded": [updated, shown],
        "slice": plane.GetDataInformation().GetNumberOfPoints(),
        "contour": contour.GetDataInformation().GetNumberOfPoints(),
    }
)
