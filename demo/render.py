"""Runs in pvpython: volume renderings of the original, the decoded file and the difference."""

from __future__ import annotations

import sys
from pathlib import Path

import paraview.simple
from paraview.simple import (
    AssignViewToLayout,
    ColorBy,
    CreateLayout,
    CreateRenderView,
    GetColorTransferFunction,
    GetOpacityTransferFunction,
    OpenDataFile,
    Render,
    SaveScreenshot,
    Show,
    Text,
)

# The first Render of a session would move its camera to the whole of the data.
paraview.simple._DisableFirstRenderCameraReset()

folder = Path(sys.argv[1])
SIZE = 420
# The template: nothing below 20, grey matter near 150, white matter near 210.
OPACITY = [0, 0, 0.5, 0, 40, 0, 0.5, 0, 120, 0.06, 0.5, 0, 180, 0.25, 0.5, 0, 255, 0.7, 0.5, 0]
COLOURS = [0, 0, 0, 0, 90, 0.35, 0.2, 0.15, 160, 0.85, 0.6, 0.45, 255, 1, 0.97, 0.9]

layout = CreateLayout("comparison")
layout.SplitHorizontal(0, 1 / 3)
layout.SplitHorizontal(2, 1 / 2)
panels = (
    ("original.vti", "original"),
    ("mni152.inr", "decoded from .inr"),
    ("difference.vti", "difference, same scale"),
)
for hint, (file, label) in zip((1, 5, 6), panels, strict=True):
    view = CreateRenderView()
    view.ViewSize = [SIZE, SIZE]
    view.OrientationAxesVisibility = 0
    view.UseColorPaletteForBackground = 0
    view.Background = [0.08, 0.09, 0.11]
    AssignViewToLayout(view, layout, hint)
    source = OpenDataFile(str(folder / file))
    source.UpdatePipeline()
    array = source.PointData.GetArray(0).Name
    display = Show(source, view)
    display.Representation = "Volume"
    ColorBy(display, ("POINTS", array))
    display.SetScalarBarVisibility(view, False)
    GetColorTransferFunction(array).RGBPoints = COLOURS
    GetOpacityTransferFunction(array).Points = OPACITY
    title = Show(Text(Text=label), view)
    title.FontSize = 12
    x0, x1, y0, y1, z0, z1 = source.GetDataInformation().GetBounds()
    centre = [(x0 + x1) / 2, (y0 + y1) / 2, (z0 + z1) / 2]
    # Set outright: a reset would depend on the size of the window at that moment.
    view.CameraFocalPoint = centre
    view.CameraPosition = [c + d for c, d in zip(centre, (270, 245, 150), strict=True)]
    view.CameraViewUp = [0, 0, 1]
    view.CameraViewAngle = 30
    Render(view)
layout.SetSize(3 * SIZE, SIZE)
SaveScreenshot(str(folder / "comparison.png"), layout, ImageResolution=[3 * SIZE, SIZE])
