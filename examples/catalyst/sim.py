"""Run the reaction-diffusion simulation with ParaView's Catalyst looking at it.

    python3 sim.py
    mpiexec -np 2 python3 -m mpi4py sim.py

See README.md for the environment that it needs, and ``--help`` for the options.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from cinema_table import write_table
from gray_scott import Domain, GrayScott

HERE = Path(__file__).resolve().parent
# A cold start gets this many times the time of a warm one to catch up.
MOST_TIMES = (1, 2, 4, 8)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dimensions", type=int, nargs=3, default=(48, 48, 48))
    parser.add_argument("--spots", type=int, default=7, help="of the second chemical, at first")
    parser.add_argument("--before", type=int, default=400, help="solver steps before the first")
    parser.add_argument("--every", type=int, default=20, help="solver steps from one to the next")
    parser.add_argument("--steps", type=int, default=6, help="steps that Catalyst sees")
    parser.add_argument("--output", type=Path, default=Path("gray_scott"))
    parser.add_argument("--ratio", type=float, default=60, help="compression of each step")
    parser.add_argument("--time-budget", type=float, default=10, help="seconds to encode a step")
    parser.add_argument("--files", action="store_true", help="also write a file for each step")
    parser.add_argument(
        "--pictures", type=int, default=0, metavar="PIXELS", help="a Cinema database"
    )
    parser.add_argument("--compare", action="store_true", help="measure what the warm start saved")
    parser.add_argument("--crash-at", type=int, metavar="N", help="die when N steps are done")
    return parser.parse_args()


def communicator() -> Any:
    """Return all ranks, where mpiexec started more than one."""
    try:
        from mpi4py import MPI
    except ImportError:
        return None
    return MPI.COMM_WORLD if MPI.COMM_WORLD.size > 1 else None


def tell_the_pipeline(chosen: argparse.Namespace) -> None:
    from inrvis.paraview_environment import paraview_environment

    folder = paraview_environment({})["PV_PLUGIN_PATH"]
    os.environ |= {
        "GRAY_SCOTT_PLUGIN": str(Path(folder) / "inrvis.xml"),
        "GRAY_SCOTT_OUTPUT": str(chosen.output.resolve()),
        "GRAY_SCOTT_RATIO": str(chosen.ratio),
        "GRAY_SCOTT_TIME_BUDGET": str(chosen.time_budget),
        "GRAY_SCOTT_DIMENSIONS": " ".join(map(str, chosen.dimensions)),
        "GRAY_SCOTT_FILES": "1" if chosen.files else "",
        "GRAY_SCOTT_PICTURES": str(chosen.pictures or ""),
    }


def vtk_image(simulation: GrayScott) -> Any:
    """This rank's piece as VTK takes it, without a copy of the values."""
    from vtkmodules.util.numpy_support import numpy_to_vtk
    from vtkmodules.vtkCommonDataModel import vtkImageData

    extent, fields = simulation.piece()
    image = vtkImageData()
    image.SetExtent(extent)
    for name, values in fields.items():
        array = numpy_to_vtk(values.ravel(), deep=False)
        array.SetName(name)
        image.GetPointData().AddArray(array)
    image.GetPointData().SetActiveScalars("v")
    return image


def whole(simulation: GrayScott, ranks: Any) -> Any:
    """Field v of all ranks, on the first one."""
    from inrvis.grid import ImageGrid
    from inrvis.sources import Image, join

    extent, fields = simulation.piece()
    gathered = [(extent, fields["v"])]
    if ranks is not None:
        gathered = ranks.gather(gathered[0])
    if simulation.domain.rank:
        return None
    unit, zero = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)
    return join([Image(ImageGrid(e, unit, zero), {"v": v}) for e, v in gathered])


def main() -> int:
    chosen, ranks = arguments(), communicator()
    domain = Domain(tuple(chosen.dimensions), ranks)
    if domain.rank == 0:
        (chosen.output / "v.cdb").mkdir(parents=True, exist_ok=True)
    tell_the_pipeline(chosen)
    simulation = GrayScott(domain, spots=chosen.spots)
    simulation.advance(chosen.before)

    from paraview.catalyst import bridge

    bridge.initialize()
    bridge.add_pipeline(str(HERE / "pipeline.py"), 2)
    extent = [bound for n in chosen.dimensions for bound in (0, n - 1)]
    times: dict[int, float] = {}
    for number in range(chosen.steps):
        began = time.perf_counter()
        step = simulation.step
        bridge.coprocess(
            simulation.time, step, vtk_image(simulation), name="input", wholeExtent=extent
        )
        times[step] = simulation.time
        if domain.rank == 0:
            after_step(chosen, times, time.perf_counter() - began)
        if number + 1 == chosen.crash_at:
            if ranks is not None:
                ranks.Barrier()
            # Nothing is cleaned up, flushed or closed.
            os.kill(os.getpid(), signal.SIGKILL)
        simulation.advance(chosen.every)
    bridge.finalize()
    if chosen.compare:
        image = whole(simulation, ranks)
        if domain.rank == 0:
            compare(image, chosen)
    return 0


def after_step(chosen: argparse.Namespace, times: dict[int, float], seconds: float) -> None:
    import inrvis

    pictures = write_table(chosen.output / "v.cdb", times) if chosen.pictures else 0
    with inrvis.open(chosen.output / "run.inr", time_index=len(times) - 1) as volume:
        quality = volume.array("v").metrics["psnr_db"]
        trained = volume.header.encoding.get("steps", 0)
    print(
        f"step {max(times)}: {quality:.2f} dB after {trained} steps of training, {seconds:.1f} s "
        f"in Catalyst{f', {pictures} pictures' if pictures else ''}",
        flush=True,
    )


def compare(image: Any, chosen: argparse.Namespace) -> None:
    """Encode the state after the last step from its network, and from none, to equal PSNR."""
    import inrvis

    def encode(kind: str, seconds: float, start: Path | None) -> tuple[float, float]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "step.inr"
            report = inrvis.encode(
                image,
                path,
                target=inrvis.Ratio(chosen.ratio),
                model="siren",
                time_budget=seconds,
                device="cpu",
                start=start,
            )
            with inrvis.open(path, time_index=0) as volume:
                steps = volume.header.encoding["steps"]
        print(
            f"{kind} start: {report.psnr_db:.2f} dB in {report.encode_seconds:.1f} s, "
            f"{steps} steps of training",
            flush=True,
        )
        return report.psnr_db, report.encode_seconds

    reached, warm = encode("warm", chosen.time_budget, chosen.output / "run.inr")
    for times in MOST_TIMES:
        quality, cold = encode("cold", times * chosen.time_budget, None)
        if quality >= reached:
            break
    least = "" if quality >= reached else "more than "
    print(
        f"at {reached:.2f} dB, the warm start saved {least}{cold - warm:.1f} s "
        f"of {cold:.1f} s ({100 * (1 - warm / cold):.0f} %)",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
