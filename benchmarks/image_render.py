"""A database of renderings by ParaView: a tornado, as an isosurface or a volume, from all sides.

    python -m benchmarks.image_render DIR.cdb [--kind isosurface|volume] [--views 42] [--steps 3]
        [--size 256] [--grid 64] [--minutes 9]

The views are the vertices of a geodesic sphere of frequency f: 10 f² + 2 of them, such as 12, 42,
162, 812 (f = 9). Images that are there already are kept, so a large database is a row of short
runs; the table comes last, when all of them are there. The defaults are small; the largest that
was planned is ``--views 812 --steps 30 --size 1024 --grid 128``.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# The whole of the tornado's 48 steps, whatever the number that is taken of them.
_LAST_TIME = 47
_ISOVALUE = 0.2
_BACKGROUND = (1.0, 1.0, 1.0)


def tornado(count: int, time_step: float) -> Floats:
    """Velocity of the tornado of Crawfis and Max on a cube of points, (z, y, x, 3)."""
    axis = np.arange(count) / (count - 1)
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    dx = x - (0.5 + 0.1 * np.sin(0.04 * time_step + 10 * z))
    dy = y - (0.5 + 0.1 * np.cos(0.03 * time_step + 3 * z))
    radius = 0.1 + 0.4 * z**2 + 0.1 * z * np.sin(8 * z)
    damping = 0.2 + 0.1 * z
    d = np.hypot(dx, dy)
    e = np.abs(radius - d)
    g = np.where(e > damping, 0.8 - e, 1.0)
    h = np.maximum(0, 0.1 * (0.1 - d * z))
    distance = np.sqrt(d**2 + h**2)
    s = (radius + damping - distance) * g / (distance + 1e-11) / (1 + z)
    return np.stack([s * dy + 0.1 * dx, -s * dx + 0.1 * dy, s * h], -1)


def geodesic_views(count: int) -> Floats:
    """Directions to the vertices of a geodesic sphere, (count, 3); ValueError for other counts."""
    frequency = math.isqrt((count - 2) // 10) if count >= 12 else 0
    if 10 * frequency**2 + 2 != count:
        raise ValueError(f"{count} is no number of views; take 12, 42, 92, 162, … 10 f² + 2")
    golden = (1 + math.sqrt(5)) / 2
    ring = [(0.0, a, b * golden) for a in (-1, 1) for b in (-1, 1)]
    corners = np.array([np.roll(point, turn) for turn in range(3) for point in ring])
    near = np.linalg.norm(corners[:, None] - corners[None], axis=2) < 2.01
    found: dict[tuple[float, ...], Floats] = {}
    for a in range(12):
        for b in range(a + 1, 12):
            for c in range(b + 1, 12):
                if not (near[a, b] and near[b, c] and near[a, c]):
                    continue
                for i in range(frequency + 1):
                    for j in range(frequency + 1 - i):
                        k = frequency - i - j
                        point = i * corners[a] + j * corners[b] + k * corners[c]
                        point /= np.linalg.norm(point)
                        found.setdefault(tuple(np.round(point, 6) + 0.0), point)
    return np.array([found[key] for key in sorted(found)])


def angles(direction: Floats) -> tuple[float, float]:
    """Azimuth from 0 to 360 and elevation from -90 to 90 of a direction, degrees."""
    x, y, z = direction.tolist()
    phi = math.degrees(math.atan2(y, x)) % 360
    return phi, math.degrees(math.asin(max(-1.0, min(1.0, z))))


def image_name(view: int, step: int) -> str:
    """Path of an image in the database."""
    return f"image/{step:03d}/{view:04d}.png"


def write_table(folder: Path, views: Floats, times: Floats) -> None:
    """Write ``data.csv``, whole or not at all."""
    part = folder / "data.csv.part"
    with part.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["time", "phi", "theta", "FILE"])
        for step, moment in enumerate(times):
            for view, direction in enumerate(views):
                phi, theta = angles(direction)
                writer.writerow(
                    [f"{moment:g}", f"{phi:.3f}", f"{theta:.3f}", image_name(view, step)]
                )
    part.replace(folder / "data.csv")


# ------------------------------------------------------------------ inside pvpython


def _scene(simple: Any, kind: str, image: Any, size: int) -> tuple[Any, Any, Any]:
    """The source, its view and what must be shown again when the data change."""
    source = simple.TrivialProducer()
    source.GetClientSideObject().SetOutput(image)
    source.UpdatePipeline()
    view = simple.CreateView("RenderView")
    view.ViewSize = [size, size]
    view.OrientationAxesVisibility = 0
    view.UseColorPaletteForBackground = 0
    view.Background = list(_BACKGROUND)
    if kind == "isosurface":
        shown = simple.Contour(Input=source, ContourBy=["POINTS", "magnitude"])
        shown.Isosurfaces = [_ISOVALUE]
        shown.ComputeScalars = 0
        display = simple.Show(shown, view)
        display.DiffuseColor = display.AmbientColor = [0.35, 0.55, 0.85]
        display.Specular = 0.4
        display.ColorArrayName = [None, ""]
    else:
        shown = source
        display = simple.Show(source, view)
        display.SetRepresentationType("Volume")
        simple.ColorBy(display, ("POINTS", "magnitude"))
        colours = simple.GetColorTransferFunction("magnitude")
        colours.RescaleTransferFunction(0.03, 0.32)
        opacity = simple.GetOpacityTransferFunction("magnitude")
        opacity.Points = [0.03, 0, 0.5, 0, 0.15, 0, 0.5, 0, 0.22, 0.15, 0.5, 0, 0.32, 0.7, 0.5, 0]
        display.SetScalarBarVisibility(view, False)
    return source, view, shown


def _image_data(count: int, moment: float) -> Any:
    from vtkmodules.util.numpy_support import numpy_to_vtk
    from vtkmodules.vtkCommonDataModel import vtkImageData

    image = vtkImageData()
    image.SetDimensions(count, count, count)
    image.SetSpacing(*[1 / (count - 1)] * 3)
    magnitude = np.linalg.norm(tornado(count, moment), axis=3).astype(np.float32)
    array = numpy_to_vtk(magnitude.ravel(), deep=True)
    array.SetName("magnitude")
    image.GetPointData().SetScalars(array)
    return image


def render(arguments: argparse.Namespace) -> bool:
    """Render what is missing; False where time ran out first. Runs in pvpython."""
    from paraview import simple

    deadline = time.monotonic() + 60 * arguments.minutes if arguments.minutes else math.inf
    views = geodesic_views(arguments.views)
    times = np.linspace(0, _LAST_TIME, arguments.steps)
    folder: Path = arguments.database
    source: Any = None
    view: Any = None
    for step, moment in enumerate(times):
        missing = [v for v in range(len(views)) if not (folder / image_name(v, step)).exists()]
        if not missing:
            continue
        image = _image_data(arguments.grid, moment)
        (folder / image_name(0, step)).parent.mkdir(parents=True, exist_ok=True)
        if source is None:
            source, view, _ = _scene(simple, arguments.kind, image, arguments.size)
        else:
            source.GetClientSideObject().SetOutput(image)
            source.GetClientSideObject().Modified()
            source.MarkModified(source.SMProxy)
            source.UpdatePipeline()
        for number in missing:
            if time.monotonic() > deadline:
                print(f"time is up at step {step}, view {number}; call again to go on")
                return False
            direction = views[number]
            view.CameraFocalPoint = [0.5, 0.5, 0.5]
            view.CameraPosition = (0.5 + 3.2 * direction).tolist()
            # At a pole every azimuth is the same; some direction must be up.
            view.CameraViewUp = [0, 1, 0] if abs(direction[2]) > 0.999 else [0, 0, 1]
            view.CameraViewAngle = 30
            simple.Render(view)
            path = folder / image_name(number, step)
            part = path.with_suffix(".part.png")
            simple.SaveScreenshot(str(part), view, ImageResolution=[arguments.size] * 2)
            part.replace(path)
        print(f"step {step + 1} of {len(times)}", flush=True)
    write_table(folder, views, times)
    return True


# ------------------------------------------------------------------ command line


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("database", type=Path)
    parser.add_argument("--kind", choices=("isosurface", "volume"), default="isosurface")
    parser.add_argument("--views", type=int, default=42)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--size", type=int, default=256, help="pixels a side")
    parser.add_argument("--grid", type=int, default=64, help="points a side of the volume")
    parser.add_argument("--minutes", type=float, help="stop after so long, to be called again")
    return parser


def main() -> int:
    """Render here if this is pvpython, or start it; exit status 3 where there is more to do."""
    arguments = _parser().parse_args()
    if "paraview" in sys.modules or os.environ.get("INRVIS_RENDERING"):
        status = 0 if render(arguments) else 3
        sys.stdout.flush()
        # ParaView's own end can fail without a window; everything is written by now.
        os._exit(status)
    geodesic_views(arguments.views)
    command = [
        "xvfb-run",
        "-a",
        "-s",
        "-screen 0 1280x1024x24",
        "pvpython",
        __file__,
        *sys.argv[1:],
    ]
    environment = {**os.environ, "INRVIS_RENDERING": "1"}
    # The packages of this environment are not those of ParaView's Python.
    environment.pop("PYTHONPATH", None)
    return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
