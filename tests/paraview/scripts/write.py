"""Save data, once for each target, and extract a series; then say what was written."""

from common import ARGUMENTS, FOLDER, finish, stage
from paraview.simple import (
    CreateExtractor,
    GetAnimationScene,
    OpenDataFile,
    SaveData,
    SaveExtracts,
    Wavelet,
)

source = OpenDataFile(ARGUMENTS[0])
for name, options in (
    ("bound", {"Target": "Maximum Error", "Value": 0.25}),
    ("share", {"Target": "Maximum Error of Range", "Value": 0.01}),
    ("psnr", {"Target": "PSNR", "Value": 45}),
    ("network", {"Target": "Compression Ratio", "Value": 2, "Model": "SIREN", "TimeBudget": 1}),
):
    SaveData(str(FOLDER / f"{name}.inr"), proxy=source, **{"Model": "None", **options})
stage("refused")
SaveData(str(FOLDER / "refused.inr"), proxy=source, Target="PSNR", Value=-1)
stage("extracts")
wavelet = Wavelet(WholeExtent=[-6, 6, -5, 5, -4, 4])
extractor = CreateExtractor("INR", wavelet, registrationName="INR1")
extractor.Writer.FileName = "wave_{timestep:03d}.inr"
extractor.Writer.Target, extractor.Writer.Value, extractor.Writer.Model = "PSNR", 50, "None"
GetAnimationScene().NumberOfFrames = 2
SaveExtracts(ExtractsOutputDirectory=str(FOLDER / "extracts"))
finish({"files": sorted(str(p.relative_to(FOLDER)) for p in FOLDER.rglob("*.inr"))})
