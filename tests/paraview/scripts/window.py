"""What a user does in ParaView's window, by script; run by ``paraview --script``.

Settings are in the environment. Qt draws only after the script, so it leaves a note and `grab.py`
takes the picture.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from paraview import simple, smstate, smtrace

folder = Path(os.environ["TEST_FOLDER"])
bad, good = os.environ["TEST_FILES"].split(":")
found = {}


def points(proxy):
    proxy.UpdatePipeline()
    return proxy.GetDataInformation().GetNumberOfPoints()


def reader_of_session():
    (reader,) = (p for p in simple.GetSources().values() if p.GetXMLName() == "INRReader")
    return reader


def start_again():
    for proxy in [*simple.GetExtractors(), *simple.GetSources().values()]:
        simple.Delete(proxy)
    for view in simple.GetRenderViews():
        simple.Delete(view)


def picture(name, view):
    path = str(folder / name)
    simple.SaveScreenshot(path, view, ImageResolution=[240, 180], TransparentBackground=0)


broken = simple.OpenDataFile(bad)
broken.UpdatePipeline()
simple.Delete(broken)

# Open and show, contour, change a property; all of it recorded as a script.
smtrace.start_trace()
reader = simple.OpenDataFile(good)
view = simple.GetActiveViewOrCreate("RenderView")
shown = simple.Show(reader, view)
shown.SetRepresentationType("Volume")
simple.ColorBy(shown, ("POINTS", "density"))
contour = simple.Contour(Input=reader, ContourBy=["POINTS", "density"], Isosurfaces=[130])
simple.ColorBy(simple.Show(contour, view), None)
reader.Stride = 2
# Only what the window itself changes is recorded: the stride is not.
found["strided"] = points(reader)
simple.Render(view)
(folder / "trace.py").write_text(smtrace.stop_trace())

reader.Stride = 1
simple.SetActiveSource(reader)
view.ResetCamera()
simple.Render(view)
found["points"] = points(reader)
found["contour"] = points(contour)
found["information"] = [reader.Model, reader.CompressionRatio, reader.PSNR]
picture("built.png", view)

# Save data, create an extractor.
simple.SaveData(str(folder / "saved.inr"), proxy=reader, Target="PSNR", Value=50, Model="None")
extractor = simple.CreateExtractor("INR", reader, registrationName="INR1")
extractor.Writer.FileName = "extract_{timestep:03d}.inr"
extractor.Writer.Target, extractor.Writer.Value = "Maximum Error", 2
extractor.Writer.Model = "None"

# Every kind of state brings it back.
reader.Stride = 3
simple.SaveState(str(folder / "state.pvsm"))
(folder / "state.py").write_text(smstate.get_state())
start_again()
exec(compile((folder / "trace.py").read_text(), "trace.py", "exec"), {"__name__": "__main__"})
found["traced"] = [points(reader_of_session()), len(simple.GetSources())]
start_again()
exec(compile((folder / "state.py").read_text(), "state.py", "exec"), {"__name__": "state"})
found["python state"] = [points(reader_of_session()), len(simple.GetSources())]
start_again()
simple.LoadState(str(folder / "state.pvsm"))
reader = reader_of_session()
found["state"] = [points(reader), len(simple.GetSources()), len(simple.GetExtractors())]
reader.Stride = 1
view = simple.GetActiveViewOrCreate("RenderView")
simple.SetActiveSource(reader)
simple.Render(view)
picture("restored.png", view)

note = folder / "note.json"
note.with_suffix(".part").write_text(json.dumps(found))
note.with_suffix(".part").rename(note)
