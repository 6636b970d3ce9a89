"""Save an image that several ranks hold pieces of."""

from common import FOLDER, finish
from paraview.simple import SaveData, Wavelet

wavelet = Wavelet(WholeExtent=[-9, 9, -8, 8, -7, 7])
options = {"Target": "Maximum Error", "Value": 0.5, "Model": "None"}
SaveData(str(FOLDER / "pieces.inr"), proxy=wavelet, **options)
finish({"files": sorted(p.name for p in FOLDER.glob("*.inr"))})
