"""Run by every rank: decode its piece, then again with ghosts: FOLDER VOLUME."""

from __future__ import annotations

import common
from paraview import simple
from vtkmodules.vtkParallelCore import vtkMultiProcessController

(volume,) = common.ARGUMENTS
controller = vtkMultiProcessController.GetGlobalController()
rank, ranks = controller.GetLocalProcessId(), controller.GetNumberOfProcesses()

reader = simple.OpenDataFile(volume)
reader.UpdatePipeline()
image = common.output(reader)
piece = common.geometry(image)
if image.GetNumberOfPoints():
    common.save(f"piece{rank}", image)

algorithm = reader.GetClientSideObject()
algorithm.UpdatePiece(rank, ranks, 1)
common.finish(
    {
        "rank": rank,
        "ranks": ranks,
        "piece": piece,
        "with ghosts": list(common.output(reader).GetExtent()),
    }
)
