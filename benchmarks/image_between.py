"""Views between stored ones: how near a network comes to images that it has not seen.

    python -m benchmarks.image_between DIR.cdb [--parameter NAME] [--codec e-nerv|hnerv]
        [--bpv B] [--steps K]

Every second value of a parameter is left out, the rest is encoded, and the images left out are
compared with what the file shows in their place. Beside it stand what costs no network: the
nearest original, and the mean of the two originals around. Results go to
``benchmarks/results/image_between.json``, a record for each database, codec and number of steps.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.provenance import ROOT, provenance
from inrvis.decoder.images import Images
from inrvis.errors import InrvisError, UsageError
from inrvis.parameters import CIRCLE_DEG, Cell, Parameter, goes_round
from inrvis.sources import cinema
from inrvis.sources.database import ImageDatabase

RESULTS = ROOT / "benchmarks" / "results" / "image_between.json"
Pixels = npt.NDArray[Any]


def every_second(database: ImageDatabase, axis: int) -> ImageDatabase:
    """The cells at every second value of a parameter, and their images."""
    parameter = database.parameters[axis]
    kept = list(range(0, len(parameter.values), 2))
    cells = [cell for cell in database.cells if cell.values[axis] in kept]
    images = sorted({image for cell in cells for image in cell.images if image >= 0})
    numbers = {image: number for number, image in enumerate(images)} | {-1: -1}
    parameters = list(database.parameters)
    parameters[axis] = Parameter(parameter.name, tuple(parameter.values[i] for i in kept))
    return ImageDatabase(
        tuple(parameters),
        database.columns,
        tuple(
            Cell(
                tuple(v // 2 if a == axis else v for a, v in enumerate(cell.values)),
                tuple(numbers[image] for image in cell.images),
            )
            for cell in cells
        ),
        tuple(database.images[image] for image in images),
    )


def neighbours(database: ImageDatabase, axis: int, cell: Cell) -> list[int]:
    """Numbers of the images before and after one that is left out, the nearer one first."""
    parameter = database.parameters[axis]
    numbers, here = parameter.numbers or (), cell.values[axis]
    places = [here - 1, here + 1]
    if goes_round(parameter):
        places = [place % len(numbers) for place in places]
    found = []
    for other in database.cells:
        pairs = enumerate(zip(other.values, cell.values, strict=True))
        same = all(v == w for a, (v, w) in pairs if a != axis)
        if same and other.values[axis] in places and other.images[0] >= 0:
            away = abs(numbers[other.values[axis]] - numbers[here])
            away = min(away, CIRCLE_DEG - away) if goes_round(parameter) else away
            found.append((away, other.images[0]))
    return [image for _, image in sorted(found)]


def psnr_db(original: Pixels, shown: Pixels) -> float:
    """PSNR of 8-bit images; 100 where they are equal."""
    square = float(np.mean((original.astype(np.float64) - shown) ** 2))
    return 100.0 if square == 0 else 10 * math.log10(255**2 / square)


def measure(database: ImageDatabase, axis: int, path: Path) -> dict[str, Any]:
    """Mean PSNR, in decibels, of the images left out, by what is shown in their place."""
    shown: dict[str, list[float]] = {"interpolated": [], "nearest": [], "mean": []}
    with Images(path) as images:
        for cell in database.cells:
            around = neighbours(database, axis, cell)
            if cell.values[axis] % 2 == 0 or cell.images[0] < 0 or len(around) < 2:
                continue
            named = zip(database.parameters, cell.values, strict=True)
            view = images.view(**{p.name: p.values[i] for p, i in named})
            if not view.interpolated:
                raise UsageError("an image that was left out is stored")
            original = database.images[cell.images[0]].load()
            first, second = (database.images[image].load() for image in around)
            blend = (first.astype(np.float64) + second) / 2
            shown["interpolated"].append(psnr_db(original, view.pixels))
            shown["nearest"].append(psnr_db(original, first))
            shown["mean"].append(psnr_db(original, blend))
    means = {f"{name}_psnr_db": float(np.mean(values)) for name, values in shown.items()}
    return {"left_out": len(shown["nearest"]), **means}


def run(arguments: argparse.Namespace) -> None:
    """Encode, measure, and keep the record."""
    from inrvis.encoder.images.encode import encode_images
    from inrvis.encoder.images.settings import ImageTraining, NervSettings
    from inrvis.targets import BitRate

    database = cinema.read(arguments.database)
    names = [p.name for p in database.parameters]
    counts = [len(p.values) if p.numbers else 0 for p in database.parameters]
    if arguments.parameter and arguments.parameter not in names:
        raise UsageError(f"{arguments.database} has no parameter {arguments.parameter}")
    axis = names.index(arguments.parameter) if arguments.parameter else int(np.argmax(counts))
    codec = NervSettings(arguments.codec, BitRate(arguments.bpv))
    training = replace(ImageTraining.implicit(), steps=arguments.steps)
    started = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "views.inr"
        kept = every_second(database, axis)
        report = encode_images(kept, path, codec, training, device=arguments.device, force=True)
        record = {
            "codec": arguments.codec,
            "steps": arguments.steps,
            "seed": 0,
            "parameter": names[axis],
            "stored": report.images,
            "encoded_bytes": report.encoded_bytes,
            "bits_per_pixel": report.bits_per_pixel,
            "stored_psnr_db": report.psnr_db,
            "encode_cpu_seconds": time.process_time() - started,
            **measure(database, axis, path),
        }
    results = json.loads(RESULTS.read_text())["results"] if RESULTS.exists() else {}
    name = arguments.name or arguments.database.stem
    key = ("codec", "steps", "parameter", "encoded_bytes")
    others = [r for r in results.get(name, []) if any(r[k] != record[k] for k in key)]
    results[name] = [*others, record]
    options = f"--codec {arguments.codec} --bpv {arguments.bpv:g} --steps {arguments.steps}"
    options += f" --parameter {names[axis]}"
    facts = {**provenance(), "command": f"python -m benchmarks.image_between {name}.cdb {options}"}
    RESULTS.write_text(json.dumps({"provenance": facts, "results": results}, indent=1) + "\n")
    print(json.dumps(record, indent=1))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("database", type=Path)
    parser.add_argument("--name", help="under which results are kept; the folder's by default")
    parser.add_argument("--parameter", help="the one of most values by default")
    parser.add_argument("--codec", choices=("e-nerv", "hnerv"), default="e-nerv")
    parser.add_argument("--bpv", type=float, default=0.02)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    try:
        run(parser.parse_args(arguments))
    except InrvisError as error:
        parser.exit(error.exit_status, f"{error}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
