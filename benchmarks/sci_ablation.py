"""What each part of SCI brings at equal file sizes, and the default profile against the paper's.

Usage: python -m benchmarks.sci_ablation FOLDER NAME... [--seconds S] [--rows R...]
       python -m benchmarks.sci_ablation FOLDER NAME... --profiles [--seconds S] [--times T]
       python -m benchmarks.sci_ablation FOLDER NAME... --seams [--seconds S]

Rows are those of the paper's Table 2, and variants without the mean in the measure of a spectrum.
Every row has the same bytes on disk and the same training time by the clock: nominal time would
favour many small blocks, which take longer on one thread than the cost model of steps says.
Results are added to those that the file of results already holds.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.deblocking import deblock
from benchmarks.provenance import ROOT, save
from inrvis import sources
from inrvis.container.header import BoxesHeader, ModelHeader
from inrvis.decoder.blocks import blocks_of
from inrvis.encoder.assembly import Assembly, Encoded, NetworkParts
from inrvis.encoder.models.sci import plan_sci
from inrvis.encoder.normalise import normalise
from inrvis.encoder.octree import PartitionSettings
from inrvis.encoder.sampling import TrainingData
from inrvis.encoder.settings import SciSettings, TrainingSettings
from inrvis.encoder.training import Trainer
from inrvis.encoder.volume import Trained, VolumeEncoder
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
# Steps across a face that the filter smooths, relative to the range.
_SEAM_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2)


def encode(
    assembly: Assembly, settings: SciSettings, file_bytes: int, seconds: float, seed: int
) -> dict[str, Any]:
    """Encode into at most ``file_bytes`` with the default profile."""
    trained, networks, cpu = _trained(assembly, settings, file_bytes, seconds, seed)
    return _record(assembly.finish(networks), trained, cpu)


def _trained(
    assembly: Assembly, settings: SciSettings, file_bytes: int, seconds: float, seed: int
) -> tuple[Trained, NetworkParts, float]:
    encoder = VolumeEncoder(assembly, settings, device="cpu", seed=seed)
    start = time.process_time()
    trained = encoder.train(file_bytes, TrainingSettings(seconds=seconds, clocked=True))
    networks = encoder.fit(trained, file_bytes)
    return trained, networks, time.process_time() - start


def encode_as_published(
    assembly: Assembly, settings: SciSettings, weight_bytes: int, seconds: float, seed: int
) -> dict[str, Any]:
    """Encode with Adamax and float32 weights of ``weight_bytes``: the header comes on top."""
    device = torch.device("cpu")
    image, normalised = assembly.image, assembly.normalised
    training = TrainingSettings(
        seconds=seconds,
        clocked=True,
        batch=min(65536, max(2048, image.grid.number_of_points // 8)),
        optimiser="adamax",
        adam_rate=1e-3,
    )
    generator = torch.Generator().manual_seed(seed)
    start = time.process_time()
    data = TrainingData(normalised.values, device, torch.Generator(device).manual_seed(seed))
    model = plan_sci(settings, normalised, weight_bytes // 4, data, generator)
    trainer = Trainer(model, training, 20 * math.log10(2))
    trainer.train(8.0 * weight_bytes, generator)
    trained = Trained(model, None, trainer.steps)
    networks = VolumeEncoder(assembly, settings, device="cpu").parts(trained, None)
    seconds_taken = time.process_time() - start
    return _record(assembly.finish(networks), trained, seconds_taken)


def _record(encoded: Encoded, trained: Trained, seconds: float) -> dict[str, Any]:
    metrics = next(iter(encoded.metrics.values()))
    models, dimensions = encoded.header.models, encoded.header.grid.dimensions
    return {
        "encoded_bytes": len(encoded.data),
        "psnr_db": metrics.psnr_db,
        "ssim": metrics.ssim,
        "blocks": sum(len(blocks_of(dimensions, model.lattice)) for model in models),
        "widths": [model.settings["widths"] for model in models],
        "parameters": sum(math.prod(t.shape) for model in models for t in model.trunk),
        "steps": trained.steps,
        "training_cpu_seconds": seconds,
    }


def compare_rows(
    image: Image, rows: Sequence[str], ratio: float, seconds: float, seed: int
) -> dict[str, Any]:
    """Rows at a ratio of whole files."""
    assembly = Assembly(image, normalise(image), {"seed": seed})
    budget = int(sum(array.nbytes for array in image.arrays.values()) / ratio)
    results = {}
    for name in rows:
        results[name] = encode(assembly, ROWS[name], budget, seconds, seed)
        _say(name, results[name])
    return results


def compare_profiles(image: Image, seconds: float, times: float, seed: int) -> dict[str, Any]:
    """Paper's profile, then the default one in as many bytes and a fraction of the time."""
    assembly = Assembly(image, normalise(image), {"seed": seed})
    original = sum(array.nbytes for array in image.arrays.values())
    results: dict[str, Any] = {}
    for ratio in _PROFILE_RATIOS:
        paper = encode_as_published(
            assembly, SciSettings.paper(), original // ratio, seconds * times, seed
        )
        _say(f"{ratio}: paper", paper)
        own = encode(assembly, SciSettings(), paper["encoded_bytes"], seconds, seed)
        _say(f"{ratio}: default", own)
        results[str(ratio)] = {"paper": paper, "default": own}
    return results


def compare_seams(image: Image, ratio: float, seconds: float, seed: int) -> dict[str, Any]:
    """Blocks that overlap, blocks that do not, and these with a filter across their faces."""
    assembly = Assembly(image, normalise(image), {"seed": seed})
    (original,) = image.arrays.values()
    budget = int(original.nbytes / ratio)
    results: dict[str, Any] = {}
    eight = replace(SciSettings(), spectrum=PartitionSettings(most_blocks=8))
    for overlap in (3, 0):
        settings = replace(eight, overlap=overlap)
        trained, networks, cpu = _trained(assembly, settings, budget, seconds, seed)
        record = _record(assembly.finish(networks), trained, cpu)
        results[f"overlap {overlap}"] = record
        _say(f"overlap {overlap}", record)
    boxes = [box for model in networks.models for box in _boxes(model)]
    low, high = float(original.min()), float(original.max())
    (array,) = assembly.normalised.arrays
    channels = assembly.base(networks)[0].astype(np.float64)
    plain = channels * array.scale[0] + array.offset[0]
    for step in _SEAM_STEPS:
        smooth = deblock(plain, boxes, step * (high - low)).clip(low, high)
        if original.dtype.kind != "f":
            smooth = np.rint(smooth)
        quality = measure(original, smooth.astype(original.dtype))
        key = f"overlap 0, filter {step:g}"
        results[key] = record | {"psnr_db": quality.psnr_db, "ssim": quality.ssim}
        _say(key, results[key])
    return results


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
    parser.add_argument("--seconds", type=float, default=20.0, help="training of a row")
    parser.add_argument("--ratio", type=float, default=64.0)
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--profiles", action="store_true")
    parser.add_argument("--seams", action="store_true", help="overlap or filter")
    parser.add_argument("--times", type=float, default=20.0, help="the paper's share of time")
    parser.add_argument("--out", default="sci_ablation")
    arguments = parser.parse_args()
    # As many as there are would not be comparable between machines.
    torch.set_num_threads(1)
    file = ROOT / "benchmarks" / "results" / f"{arguments.out}.json"
    results = json.loads(file.read_text())["results"] if file.exists() else {}
    settings = {"seconds": arguments.seconds, "seed": arguments.seed}
    for name in arguments.names:
        image = sources.read(arguments.folder / f"{name}.vti")
        print(name, flush=True)
        if arguments.profiles:
            entry = compare_profiles(image, arguments.seconds, arguments.times, arguments.seed)
            settings["times"] = arguments.times
        elif arguments.seams:
            entry = compare_seams(image, arguments.ratio, arguments.seconds, arguments.seed)
            settings["ratio"] = arguments.ratio
        else:
            entry = compare_rows(
                image, arguments.rows, arguments.ratio, arguments.seconds, arguments.seed
            )
            settings["ratio"] = arguments.ratio
        key = "profiles" if arguments.profiles else "seams" if arguments.seams else "rows"
        kept = results.setdefault(key, {}).setdefault(name, {"runs": {}})
        kept["settings"] = settings
        kept["runs"].update(entry)
        save(arguments.out, results)


if __name__ == "__main__":
    main()
