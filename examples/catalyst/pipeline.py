# script-version: 2.0
"""What Catalyst does with each step: neural volumes, and a Cinema database of pictures.

The simulation says by environment variables where the results go and how long a step may take.
"""

import os
from pathlib import Path

from paraview import catalyst
from paraview.simple import (
    Contour,
    CreateExtractor,
    CreateView,
    LoadPlugin,
    PassArrays,
    Show,
    TrivialProducer,
)

output = Path(os.environ["GRAY_SCOTT_OUTPUT"])
LoadPlugin(os.environ["GRAY_SCOTT_PLUGIN"], remote=False, ns=globals())

producer = TrivialProducer(registrationName="input")
chemical = PassArrays(Input=producer, PointDataArrays=["v"])


def neural_volumes(name, file_name, time_steps):
    """Extract v as neural volumes, in the time that a step may take."""
    extractor = CreateExtractor("INR", chemical, registrationName=name)
    writer = extractor.Writer
    writer.FileName, writer.TimeSteps = file_name, time_steps
    writer.Target, writer.Value = "Compression Ratio", float(os.environ["GRAY_SCOTT_RATIO"])
    writer.Model = "SIREN"
    writer.TimeBudget = float(os.environ["GRAY_SCOTT_TIME_BUDGET"])


# Both forms, to show them: one file that grows, and a file for each step.
neural_volumes("run", "run.inr", "One File")
if os.environ.get("GRAY_SCOTT_FILES"):
    neural_volumes("files", "v_{timestep:06d}.inr", "File per Step")

pictures = os.environ.get("GRAY_SCOTT_PICTURES")
if pictures:
    contour = Contour(Input=producer, ContourBy=["POINTS", "v"], Isosurfaces=[0.15])
    view = CreateView("RenderView")
    view.ViewSize = [int(pictures), int(pictures)]
    view.OrientationAxesVisibility = 0
    # Before the first step there is nothing that a camera could be fitted to.
    sides = [int(n) - 1 for n in os.environ["GRAY_SCOTT_DIMENSIONS"].split()]
    centre = [side / 2 for side in sides]
    view.CameraFocalPoint = view.CenterOfRotation = centre
    view.CameraPosition = [centre[0], centre[1], centre[2] + 3.5 * max(sides)]
    Show(contour, view)
    png = CreateExtractor("PNG", view, registrationName="pictures")
    png.Writer.FileName = "v.cdb/v_{timestep:06d}{camera}.png"
    png.Writer.ImageResolution = [int(pictures), int(pictures)]
    png.Writer.CameraMode = "Phi-Theta"
    png.Writer.PhiResolution, png.Writer.ThetaResolution = 4, 3

options = catalyst.Options()
options.GlobalTrigger = "TimeStep"
options.ExtractsOutputDirectory = str(output)
options.EnableCatalystLive = 0
