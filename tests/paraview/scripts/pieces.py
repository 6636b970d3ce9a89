"""Run by every rank: decode its piece, then again with ghosts: FOLDER VOLUME."""

from __future__ import annotations

import common
import numpy as np
from paraview import simple
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkParallelCore import vtkMultiProcessController

(volume,) = common.ARGUMENTS
controller = vtkMultiProcessController.GetGlobalController()
rank, ranks = controller.GetLocalProcessId(), controller.GetNumberOfProcesses()

reader = simple.OpenDataFile(volume)
decoded = common.count_decoded_points()
reader.UpdatePipeline()
found = {"decoded": decoded.pop()}
image = common.output(reader)
piece = common.geometry(image)
if image.GetNumberOfPoints():
    common.save(f"piece{rank}", image)

algorithm = reader.GetClientSideObject()
algorithm.UpdatePiece(rank, ranks, 1)
ghosts = common.output(reader)
flags = ghosts.GetPointData().GetArray("vtkGhostType")
if ghosts.GetNumberOfPoints():
    common.save(f"ghosts{rank}", ghosts)
common.finish(
    {
        **found,
        "decoded for ghosts": decoded.pop(),
        "ghost points": int(np.count_nonzero(vtk_to_numpy(flags))) if flags else 0,
        "rank": rank,
        "ranks": ranks,
        "piece": piece,
        "with ghosts": list(ghosts.GetExtent()),
    }
)
