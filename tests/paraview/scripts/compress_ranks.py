"""Neural Compress run by every rank, without and with ghosts: FOLDER."""

from __future__ import annotations

import common
from paraview import simple
from vtkmodules.vtkParallelCore import vtkMultiProcessController

controller = vtkMultiProcessController.GetGlobalController()
rank, ranks = controller.GetLocalProcessId(), controller.GetNumberOfProcesses()
wavelet = simple.Wavelet(WholeExtent=[-9, 9, -8, 8, -7, 7])
compress = simple.NeuralCompress(Input=wavelet, Target="PSNR", Value=50, Model="None")
compress.UpdatePipeline()
piece = common.save(f"piece{rank}", common.output(compress))
compress.GetClientSideObject().UpdatePiece(rank, ranks, 1)
ghosts = common.save(f"ghosts{rank}", common.output(compress))
compress.UpdatePropertyInformation()
common.finish(
    {"rank": rank, "ranks": ranks, "piece": piece, "ghosts": ghosts, "psnr_db": compress.PSNR}
)
