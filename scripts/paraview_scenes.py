"""Builds one scene in ParaView's window, for paraview_pictures.py; run by ``paraview --script``.

SCENE, VOLUME, ORIGINAL and NOTE are in the environment. NOTE is written when the scene stands, or
with what went wrong.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from paraview import simple


def brain_colours(display: Any) -> None:
    """Tissue: nothing below 20, grey matter near 150, white matter near 210."""
    colours = simple.GetColorTransferFunction("intensity")
    colours.RGBPoints = [0, 0, 0, 0, 90, 0.45, 0.25, 0.2, 160, 0.9, 0.65, 0.5, 255, 1, 0.97, 0.9]
    opacity = simple.GetOpacityTransferFunction("intensity")
    opacity.Points = [0, 0, 0.5, 0, 60, 0, 0.5, 0, 130, 0.15, 0.5, 0, 255, 0.9, 0.5, 0]
    display.SetScalarBarVisibility(simple.GetActiveView(), False)


def look_at(view: Any, centre: tuple[float, ...], distance: float) -> None:
    view.CameraFocalPoint = centre
    steps = (-0.75, -0.6, 0.3)
    view.CameraPosition = [c + distance * s for c, s in zip(centre, steps, strict=True)]
    view.CameraViewUp = (0, 0, 1)


def scene_gui(path: str) -> None:
    """Volume rendering of the near half and contour of the far one."""
    reader = simple.OpenDataFile(path)
    view = simple.GetActiveViewOrCreate("RenderView")
    near = simple.ExtractSubset(Input=reader, VOI=[0, 98, 0, 232, 0, 188])
    shown = simple.Show(near, view)
    shown.SetRepresentationType("Volume")
    simple.ColorBy(shown, ("POINTS", "intensity"))
    brain_colours(shown)
    shown.Shade = 1
    contour = simple.Contour(Input=reader, ContourBy=["POINTS", "intensity"], Isosurfaces=[90])
    half = simple.Clip(Input=contour)
    half.ClipType.Origin, half.ClipType.Normal = [98, 116, 94], [-1, 0, 0]
    surface = simple.Show(half, view)
    simple.ColorBy(surface, None)
    surface.DiffuseColor = [0.85, 0.7, 0.6]
    simple.Hide(contour, view)
    look_at(view, (98, 116, 94), 480)
    simple.SetActiveSource(reader)


def scene_stride(path: str) -> None:
    """The same contour at three strides."""
    # The first picture of each view would move its camera.
    simple._DisableFirstRenderCameraReset()
    layout = simple.GetLayout()
    layout.SplitHorizontal(0, 1 / 3)
    layout.SplitHorizontal(2, 1 / 2)
    simple.Delete(simple.GetActiveView())
    for hint, stride in ((1, 8), (5, 4), (6, 1)):
        view = simple.CreateRenderView()
        simple.AssignViewToLayout(view, layout, hint)
        reader = simple.OpenDataFile(path)
        simple.RenameSource(f"stride {stride}", reader)
        reader.Stride = stride
        contour = simple.Contour(Input=reader, ContourBy=["POINTS", "intensity"], Isosurfaces=[90])
        surface = simple.Show(contour, view)
        simple.ColorBy(surface, None)
        surface.DiffuseColor = [0.85, 0.7, 0.6]
        title = simple.Show(simple.Text(Text=f"Stride {stride}"), view)
        title.FontSize = 22
        look_at(view, (98, 116, 94), 800)
    simple.SetActiveSource(reader)


def scene_save(path: str) -> None:
    """A slice; the dialog comes by clicks."""
    reader = simple.OpenDataFile(path)
    reader.Stride = 2
    view = simple.GetActiveViewOrCreate("RenderView")
    shown = simple.Show(reader, view)
    shown.SetRepresentationType("Slice")
    shown.SliceMode, shown.Slice = "YZ Plane", 49
    simple.ColorBy(shown, ("POINTS", "intensity"))
    shown.SetScalarBarVisibility(view, False)
    simple.GetColorTransferFunction("intensity").ApplyPreset("Grayscale", True)
    view.CameraFocalPoint, view.CameraPosition = (98, 116, 94), (-400, 116, 94)
    view.CameraViewUp = (0, 0, 1)
    simple.SetActiveSource(reader)


def scene_extractor(path: str) -> None:
    """The same with an extractor, whose properties the panel shows."""
    scene_save(path)
    extractor = simple.CreateExtractor("INR", simple.GetActiveSource(), registrationName="INR1")
    extractor.Writer.FileName, extractor.Writer.TimeSteps = "run.inr", "One File"
    extractor.Writer.TimeBudget = 10
    simple.servermanager.ProxyManager().GetSelectionModel("ActiveSources").SetCurrentProxy(
        extractor.SMProxy, 1
    )


def scene_compress(_path: str) -> None:
    """Decoded values on the left half of a wavelet, their errors on the right."""
    wavelet = simple.Wavelet(WholeExtent=[-30, 30, -30, 30, -30, 30])
    compress = simple.NeuralCompress(Input=wavelet, Target="PSNR", Value=45, Model="None")
    compress.UpdatePipeline()
    view = simple.GetActiveViewOrCreate("RenderView")
    for name, voi in (("RTData", [-30, 0]), ("RTData_error", [0, 30])):
        half = simple.ExtractSubset(Input=compress, VOI=[*voi, -30, 30, -30, 30])
        shown = simple.Show(half, view)
        shown.SetRepresentationType("Surface")
        simple.ColorBy(shown, ("POINTS", name))
        shown.SetScalarBarVisibility(view, True)
    look_at(view, (0, 0, 0), 170)
    simple.SetActiveSource(compress)


def scene_compare(path: str) -> None:
    """The errors of the brain, and the table of measures."""
    original = simple.OpenDataFile(os.environ["ORIGINAL"])
    compare = simple.Compare(Original=original, Decoded=simple.OpenDataFile(path))
    view = simple.GetActiveViewOrCreate("RenderView")
    shown = simple.Show(compare, view)
    shown.SetRepresentationType("Slice")
    shown.SliceMode, shown.Slice = "YZ Plane", 98
    simple.ColorBy(shown, ("POINTS", "intensity_error"))
    simple.GetColorTransferFunction("intensity_error").RescaleTransferFunction(-40, 40)
    view.CameraFocalPoint, view.CameraPosition = (98, 116, 94), (-420, 116, 94)
    view.CameraViewUp = (0, 0, 1)
    layout = simple.GetLayout()
    table = simple.CreateView("SpreadSheetView")
    simple.AssignViewToLayout(table, layout, layout.SplitVertical(0, 0.75))
    simple.Show(simple.OutputPort(compare, 1), table)
    simple.SetActiveView(view)
    simple.SetActiveSource(compare)


def scene_resample(path: str) -> None:
    """A sphere through the brain: values, and the length of the gradient."""
    sphere = simple.Sphere(Center=[98, 116, 94], Radius=55)
    sphere.ThetaResolution = sphere.PhiResolution = 200
    resample = simple.NeuralResample(
        Input=simple.OpenDataFile(path), DestinationMesh=sphere, ComputeGradients=1
    )
    layout = simple.GetLayout()
    layout.SplitHorizontal(0, 1 / 2)
    simple.Delete(simple.GetActiveView())
    for hint, name, map_name, scale in (
        (1, "intensity", "Grayscale", (0, 255)),
        (2, "intensity_gradient", "Viridis (matplotlib)", (0, 60)),
    ):
        view = simple.CreateRenderView()
        simple.AssignViewToLayout(view, layout, hint)
        shown = simple.Show(resample, view)
        simple.ColorBy(shown, ("POINTS", name))
        colours = simple.GetColorTransferFunction(name)
        colours.ApplyPreset(map_name, True)
        colours.RescaleTransferFunction(*scale)
        shown.SetScalarBarVisibility(view, True)
        look_at(view, (98, 116, 94), 250)
    simple.SetActiveSource(resample)


SCENES: Mapping[str, Callable[[str], None]] = {
    "gui": scene_gui,
    "stride": scene_stride,
    "save": scene_save,
    "extractor": scene_extractor,
    "compress": scene_compress,
    "compare": scene_compare,
    "resample": scene_resample,
}


def build(scene: str) -> None:
    SCENES[scene](os.environ["VOLUME"])
    for view in simple.GetRenderViews():
        simple.Render(view)


try:
    build(os.environ["SCENE"])
    told = ""
except Exception:  # noqa: BLE001
    told = traceback.format_exc()
Path(os.environ["NOTE"]).write_text(told)
