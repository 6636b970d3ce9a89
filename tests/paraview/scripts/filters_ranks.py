"""The filters run by every rank: FOLDER ENCODED."""

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
compare = simple.Compare(Original=wavelet, Decoded=compress)
compare.UpdatePipeline()
errors = common.save(f"errors{rank}", common.output(compare))
column = compare.GetClientSideObject().GetOutputDataObject(1).GetColumnByName("psnr_db")
(encoded,) = common.ARGUMENTS
grid = simple.NeuralResample(Input=simple.OpenDataFile(encoded), SamplingDimensions=[9, 10, 11])
grid.UpdatePipeline()
common.finish(
    {
        "rank": rank,
        "piece": piece,
        "ghosts": ghosts,
        "psnr_db": compress.PSNR,
        "errors": errors,
        "rows": [column.GetValue(i) for i in range(column.GetNumberOfTuples())] if column else [],
        "grid": common.save(f"grid{rank}", common.output(grid)),
    }
)
