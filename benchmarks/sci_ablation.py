"""What each part of SCI brings at equal file sizes, and the default profile against the paper's.

Usage: python -m benchmarks.sci_ablation FOLDER NAME... [--seconds S] [--rows R...] [--crop N]
       python -m benchmarks.sci_ablation FOLDER NAME... --profiles [--ratios R...] [--steps N]
       python -m benchmarks.sci_ablation FOLDER NAME... --seams [--seconds S]

Rows are those of the paper's Table 2, and variants without the mean in the measure of a spectrum.
Every row has the same bytes on disk and the same training time, of one thread's CPU
(`benchmarks.sci_training`). Results are added to those that the file of results already holds.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.deblocking import deblock
from benchmarks.sci_training import (
    Run,
    add_results,
    cropped,
    record,
    train_as_published,
    train_for,
)
from inrvis import sources
from inrvis.container.header import BoxesHeader, ModelHeader
from inrvis.encoder.assembly import Assembly
from inrvis.encoder.normalise import normalise
from inrvis.encoder.octree import PartitionSettings
from inrvis.encoder.settings import SciSettings
from inrvis.encoder.training import Report
from inrvis.encoder.volume import VolumeEncoder
from inrvis.metrics import measure
from inrvis.sources import Image

# The paper's parts, with quantised weights.
_PAPER = replace(SciSettings.paper(), as_published=False)
_CENTRED = replace(_PAPER, spectrum=PartitionSettings(remove_mean=True))
ROWS = {
    "full": _PAPER,
    "EP": replace(_PAPER, partition="equidistant"),
    "NP": replace(_PAPER, partition="whole"),
    "fr = 1": replace(_PAPER, ratio=1.0),
    "fr < 1": replace(_PAPER, ratio=1 / 2.2),
    "by size": replace(_PAPER, allocation="size"),
    "by D": replace(_PAPER, allocation="concentration"),
    "equal": replace(_PAPER, allocation="equal"),
    "full, no mean": _CENTRED,
    "by size, no mean": replace(_CENTRED, allocation="size"),
    "default": SciSettings(),
}
# By the paper's count: the source's bytes over those of the weights alone.
_PROFILE_RATIOS = (64, 256)
# The paper's, and where to look at a training that takes so long.
_PAPER_STEPS = 80_000
_SNAPSHOTS = (0.0125, 0.03125, 0.0625, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875)
# Steps across a face that the filter smooths, relative to the range.
_SEAM_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2)
Keep = Callable[[dict[str, Any]], None]


def encode(
    assembly: Assembly, settings: SciSettings, file_bytes: int, seconds: float, seed: int
) -> dict[str, Any]:
    """Encode into at most ``file_bytes`` with the default profile."""
    run = _train(assembly, settings, file_bytes, seconds, seed)
    return record(assembly.finish(run.networks), run.steps, run.cpu_seconds)


def _train(
    assembly: Assembly, settings: SciSettings, file_bytes: int, seconds: float, seed: int
) -> Run:
    def build(report: Report | None) -> VolumeEncoder:
        return VolumeEncoder(assembly, settings, device="cpu", seed=seed, report=report)

    return train_for(build, assembly.image.grid.number_of_points, file_bytes, seconds)


def compare_rows(
    image: Image, rows: Sequence[str], keep: Keep, *, ratio: float, seconds: float, seed: int
) -> None:
    """Rows at a ratio of whole files."""
    assembly = Assembly(image, normalise(image), {"seed": seed})
    budget = int(sum(array.nbytes for array in image.arrays.values()) / ratio)
    for name in rows:
        found = encode(assembly, ROWS[name], budget, seconds, seed)
        _say(name, found)
        keep({name: found})


def compare_profiles(
    image: Image, ratio: int, keep: Keep, *, steps: int, seconds: Sequence[float], seed: int
) -> None:
    """Paper's profile, its training watched, then the default one in as many bytes."""
    assembly = Assembly(image, normalise(image), {"seed": seed})
    original = sum(array.nbytes for array in image.arrays.values())
    sizes: list[int] = []

    def look(found: dict[str, Any]) -> None:
        sizes.append(found["encoded_bytes"])
        if found["steps"]:
            _say(f"{ratio}: paper", found)
            keep({str(ratio): {f"paper, {found['steps']} steps": found}})

    train_as_published(
        assembly, original // ratio, look, steps=steps, seed=seed, fractions=_SNAPSHOTS
    )
    for budget in seconds:
        found = encode(assembly, SciSettings(), max(sizes), budget, seed)
        _say(f"{ratio}: default", found)
        keep({str(ratio): {f"default, {budget:g} s": found}})


def compare_seams(image: Image, keep: Keep, *, ratio: float, seconds: float, seed: int) -> None:
    """Blocks that overlap, blocks that do not, and these with a filter across their faces."""
    assembly = Assembly(image, normalise(image), {"seed": seed})
    (original,) = image.arrays.values()
    budget = int(original.nbytes / ratio)
    eight = replace(SciSettings(), spectrum=PartitionSettings(most_blocks=8))
    for overlap in (3, 0):
        run = _train(assembly, replace(eight, overlap=overlap), budget, seconds, seed)
        found = record(assembly.finish(run.networks), run.steps, run.cpu_seconds)
        _say(f"overlap {overlap}", found)
        keep({f"overlap {overlap}": found})
    boxes = [box for model in run.networks.models for box in _boxes(model)]
    low, high = float(original.min()), float(original.max())
    (array,) = assembly.normalised.arrays
    channels = assembly.base(run.networks)[0].astype(np.float64)
    plain = channels * array.scale[0] + array.offset[0]
    for step in _SEAM_STEPS:
        smooth = deblock(plain, boxes, step * (high - low)).clip(low, high)
        if original.dtype.kind != "f":
            smooth = np.rint(smooth)
        quality = measure(original, smooth.astype(original.dtype))
        key = f"overlap 0, filter {step:g}"
        filtered = found | {"psnr_db": quality.psnr_db, "ssim": quality.ssim}
        _say(key, filtered)
        keep({key: filtered})


def _boxes(model: ModelHeader) -> Sequence[Sequence[int]]:
    if not isinstance(model.lattice, BoxesHeader):
        raise TypeError("the sci model has boxes")
    return model.lattice.boxes


def _say(name: str, record: dict[str, Any]) -> None:
    print(
        f"  {name:16s} {record['encoded_bytes']:8d} B  {record['psnr_db']:6.2f} dB  "
        f"ssim {record['ssim']:.4f}  {record['blocks']:3d} blocks of {len(record['widths'])} "
        f"widths  {record['parameters']:7d} weights  {record['steps']:6d} steps  "
        f"{record['training_cpu_seconds']:6.1f} s",
        flush=True,
    )


def main() -> None:
    """Run, print and save, one volume after another."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="+")
    parser.add_argument(
        "--seconds", type=float, nargs="+", default=[20.0], help="CPU time of a row's training"
    )
    parser.add_argument("--ratio", type=float, default=64.0)
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--crop", type=int, help="largest side of the middle that is taken")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--profiles", action="store_true")
    parser.add_argument("--ratios", type=int, nargs="+", default=_PROFILE_RATIOS)
    parser.add_argument(
        "--steps", type=int, default=_PAPER_STEPS, help="of the paper's profile; 0 for none"
    )
    parser.add_argument("--seams", action="store_true", help="overlap or filter")
    parser.add_argument("--out", default="sci_ablation")
    arguments = parser.parse_args()
    # As many as there are would not be comparable between machines.
    torch.set_num_threads(1)
    key = "profiles" if arguments.profiles else "seams" if arguments.seams else "rows"
    seconds, seed = arguments.seconds, arguments.seed
    settings = {"seconds": seconds, "seed": seed, "ratio": arguments.ratio, "crop": arguments.crop}
    for name in arguments.names:
        image = cropped(sources.read(arguments.folder / f"{name}.vti"), arguments.crop)
        print(name, image.grid.dimensions, flush=True)

        def keep(runs: dict[str, Any], name: str = name) -> None:
            add_results(arguments.out, (key, name), settings, runs)

        if arguments.profiles:
            for ratio in arguments.ratios:
                compare_profiles(
                    image, ratio, keep, steps=arguments.steps, seconds=seconds, seed=seed
                )
        elif arguments.seams:
            compare_seams(image, keep, ratio=arguments.ratio, seconds=seconds[0], seed=seed)
        else:
            rows, ratio = arguments.rows, arguments.ratio
            compare_rows(image, rows, keep, ratio=ratio, seconds=seconds[0], seed=seed)


if __name__ == "__main__":
    main()
