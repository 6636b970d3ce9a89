"""Run by every rank: its part of an image, then again with ghosts: FOLDER VIEWS."""

from __future__ import annotations

import common
import numpy as np
from paraview import simple
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkParallelCore import vtkMultiProcessController

(views,) = common.ARGUMENTS
controller = vtkMultiProcessController.GetGlobalController()
rank, ranks = controller.GetLocalProcessId(), controller.GetNumberOfProcesses()

reader = simple.OpenDataFile(views)
reader.Parameter1 = "phi=240.00"
reader.UpdatePipeline(0.5)
image = common.output(reader)
piece = list(image.GetExtent())
pixels = vtk_to_numpy(image.GetPointData().GetArray("Pixels"))
np.save(common.FOLDER / f"piece{rank}.npy", pixels)
reader.GetClientSideObject().UpdatePiece(rank, ranks, 1)
ghosts = list(common.output(reader).GetExtent())
common.finish({"rank": rank, "piece": piece, "with ghosts": ghosts})
