"""Read and write files of many time steps: FOLDER RUN LATER LONGER OTHER TRAINED CLOSE."""

from __future__ import annotations

import shutil

import common
from paraview import simple

run, later, longer, other, trained, close = common.ARGUMENTS
found = {}

reader = simple.OpenDataFile(run)
reader.UpdatePipeline()
found["times"] = list(reader.TimestepValues)
found["model"] = reader.Model
for time in (1.5, 0.0, 0.9):
    reader.UpdatePipeline(time)
    image = common.output(reader)
    found[f"at {time}"] = image.GetInformation().Get(image.DATA_TIME_STEP())
    common.save(f"at {time}", image)
found["mixed"] = list(simple.OpenDataFile([later, run]).TimestepValues)
found["twice"] = list(simple.OpenDataFile([run, run]).TimestepValues)

# A file grows, and changes, under an open pipeline.
changing = common.FOLDER / "changing.inr"
shutil.copy(run, changing)
reader = simple.OpenDataFile(str(changing))
reader.UpdatePipeline(1.5)
common.stage("longer")
shutil.copy(longer, changing)
reader.UpdatePipeline(0.5)
found["still"] = common.output(reader).GetNumberOfPoints()
simple.ReloadFiles(reader)
reader.UpdatePipeline()
found["longer"] = list(reader.TimestepValues)
common.stage("other")
shutil.copy(other, changing)
reader.UpdatePipeline(1.5)
found["other"] = common.output(reader).GetNumberOfPoints()
simple.ReloadFiles(reader)
reader.UpdatePipeline()
found["reloaded"] = reader.TimestepValues


def extract(folder, name, file=run, **settings):
    """Write what a reader of the file gives, with an extractor, as a run of steps."""
    source = simple.OpenDataFile(file)
    # The last reader's steps must not count as steps of the run.
    for proxy in list(simple.GetSources().values()):
        if proxy != source:
            simple.Delete(proxy)
    simple.UpdatePipeline(proxy=source)
    simple.GetAnimationScene().UpdateAnimationUsingDataTimeSteps()
    extractor = simple.CreateExtractor("INR", source, registrationName="INR1")
    extractor.Writer.FileName = name
    extractor.Writer.Target, extractor.Writer.Value = "Maximum Error", 0.01
    for key, value in settings.items():
        setattr(extractor.Writer, key, value)
    simple.SaveExtracts(ExtractsOutputDirectory=str(common.FOLDER / folder))
    return extractor


common.stage("one")
again = extract("one", "run.inr", TimeSteps="One File", Model="None")
# The same run again takes the place of the first one, step by step.
simple.SaveExtracts(ExtractsOutputDirectory=str(common.FOLDER / "one"))
simple.Delete(again)
extract("numbered", "run_{timestep:03d}.inr", TimeSteps="One File", Model="None")
# A run that goes on, with or without the network of the step before.
short = {"TimeSteps": "One File", "Model": "SIREN", "TimeBudget": 1}
short |= {"Target": "Compression Ratio", "Value": 4}
for name, warm in (("cold", 0), ("warm", 1)):
    (common.FOLDER / name).mkdir()
    shutil.copy(trained, common.FOLDER / name / "run.inr")
    extract(name, "run.inr", close, **short, WarmStart=warm)
found["written"] = sorted(str(p.relative_to(common.FOLDER)) for p in common.FOLDER.glob("*/*.inr"))
common.finish(found)
