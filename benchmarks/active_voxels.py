"""Training on the active voxels, on these and a halo, and on all: Table 2 of the paper, scaled.

Usage: python -m benchmarks.active_voxels SMOKE.vti CACHE_FOLDER [--samples N] [--volumes V...]

Relations of Zurkova et al., "Accelerated Volumetric Compression without Hierarchies", on a smoke
simulation and on `benchmarks.plume`. One network, batch, rate and seed for all masks of a volume,
and equally many epochs over the voxels of a mask, so that time follows their number. All measures
are over the whole grid, of the decoded file, with the variables of a volume normalised and taken
together. Seconds are those of one thread. Writes docs/images/active-voxels.png.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import inrvis
from benchmarks.plume import cached
from benchmarks.provenance import ROOT, save
from inrvis import sources
from inrvis.encoder.assembly import Assembly, Encoded
from inrvis.encoder.masks import MaskSettings, training_mask
from inrvis.encoder.models.fourier import FourierNetwork, parameter_count
from inrvis.encoder.normalise import normalise
from inrvis.encoder.rounding import Trained
from inrvis.encoder.sampling import TrainingData
from inrvis.encoder.settings import FourierSettings, TrainingSettings
from inrvis.encoder.training import Trainer, planned_steps
from inrvis.encoder.volume import VolumeEncoder
from inrvis.grid import ImageGrid
from inrvis.sources import Image

# BBX of the paper is the whole grid.
MASKS = {
    "AVM": MaskSettings("avm"),
    "l = 1": MaskSettings("avm", 1),
    "l = 2": MaskSettings("avm", 2),
    "l = 5": MaskSettings("avm", 5),
    "l = 10": MaskSettings("avm", 10),
    "AVM, 5 %": MaskSettings("avm"),
    "BBX": MaskSettings("all"),
}
# As many cycles a voxel as in the paper: 2.5 along 387. Higher frequencies, which these smaller
# volumes do not need, lose what a halo teaches within a few voxels of it.
CYCLES = 2.5 / 387
NETWORK = FourierSettings(features=64, layers=4, width=64, spread=0.5)
# Not of the paper: active voxels, and a few of all others, the same in every epoch.
FEW = 0.05
BATCH = 8192
# Rounding is not what is compared: enough bits to leave no trace of it.
BITS_PER_WEIGHT = 12
SCORE_PSNR_DB = 48
# Height of the slices in the picture: the paper's 200 of 387.
SLICE = 200 / 387
SHOWN = ("AVM", "l = 1", "BBX")
# What the paper says of l = 5 and l = 10 against BBX.
MOST_DB, MOST_SSIM, MOST_TIME = 0.6, 0.008, 0.5


def train(
    assembly: Assembly,
    network: FourierSettings,
    mask: NDArray[np.bool_],
    epochs: float,
    seed: int,
) -> Trained:
    """Train ``network`` for as many epochs over the voxels of ``mask``."""
    device = torch.device("cpu")
    generator = torch.Generator().manual_seed(seed)
    known = None if mask.all() else mask
    data = TrainingData(
        assembly.normalised.values, device, torch.Generator(device).manual_seed(seed), known
    )
    model = FourierNetwork(network, data, generator)
    settings = TrainingSettings(seconds=1e6, batch=BATCH, first_batch=BATCH)
    steps = math.ceil(epochs * np.count_nonzero(mask) / BATCH)
    settings = replace(settings, seconds=1e6 * steps / planned_steps(model, settings))
    trainer = Trainer(model, settings)
    bits = BITS_PER_WEIGHT * parameter_count(network, data.channels)
    return Trained(model, trainer.train(bits, generator), trainer.steps)


def measures(image: Image, encoded: Encoded) -> dict[str, float]:
    """Return the paper's measures, all variables normalised and taken together.

    Its NRMSE is over the root mean square of the original: over the range, 0.081 would be
    21.8 dB and not 32.6.
    """
    arrays = image.arrays.values()
    found = [encoded.metrics[name] for name in image.arrays]
    over_range = math.sqrt(np.mean([metrics.nrmse**2 for metrics in found]))
    squares = [np.mean((a / np.float64(np.ptp(a))) ** 2) for a in arrays]
    over_rms = over_range / math.sqrt(np.mean(squares))
    psnr = -20 * math.log10(over_range)
    ssim = float(np.mean([metrics.ssim for metrics in found]))
    return {
        "psnr_db": psnr,
        "nrmse_range": over_range,
        "nrmse_rms": over_rms,
        "ssim": ssim,
        "score": (psnr / SCORE_PSNR_DB + (1 - over_rms) + ssim) / 3,
    }


def compare_masks(image: Image, samples: float, seed: int) -> tuple[dict[str, Any], list[Any]]:
    """Results of all masks, and the slices of the first variable for the picture."""
    assembly = Assembly(image, normalise(image), {"seed": seed})
    first = next(iter(image.arrays.values()))
    epochs = samples / first.size
    network = replace(NETWORK, multiplier=CYCLES * max(image.grid.dimensions))
    row = round(SLICE * len(first))
    rows: dict[str, Any] = {}
    slices = []
    for name, settings in MASKS.items():
        mask = training_mask(image.arrays, settings)
        if name == "AVM, 5 %":
            mask |= np.random.default_rng(seed).random(mask.shape) < FEW
        start = time.process_time()
        trained = train(assembly, network, mask, epochs, seed)
        seconds = time.process_time() - start
        encoder = VolumeEncoder(assembly, network, device="cpu", seed=seed)
        encoded = assembly.finish(encoder.parts(trained, trained.quantiser))
        rows[name] = measures(image, encoded) | {
            "voxels": float(mask.mean()),
            "steps": trained.steps,
            "cpu_seconds": seconds,
            "encoded_bytes": len(encoded.data),
        }
        if name in SHOWN:
            slices.append((name, _decoded(encoded)[row]))
        _say(name, rows[name])
    slices.append(("original", first[row]))
    whole = rows["BBX"]
    for found in rows.values():
        found["behind_db"] = whole["psnr_db"] - found["psnr_db"]
        found["behind_ssim"] = whole["ssim"] - found["ssim"]
        found["time_of_whole"] = found["cpu_seconds"] / whole["cpu_seconds"]
        found["holds"] = (
            found["behind_db"] <= MOST_DB
            and found["behind_ssim"] <= MOST_SSIM
            and found["time_of_whole"] <= MOST_TIME
        )
    parameters = parameter_count(network, len(image.arrays))
    entry = {
        "dimensions": image.grid.dimensions,
        "variables": list(image.arrays),
        "epochs": epochs,
        "multiplier": network.multiplier,
        "parameters": parameters,
        "values_per_weight": sum(a.size for a in image.arrays.values()) / parameters,
        "masks": rows,
    }
    return entry, slices


def _decoded(encoded: Encoded) -> NDArray[Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "volume.inr"
        path.write_bytes(encoded.data)
        with inrvis.open(path, device="cpu") as volume:
            return volume.decode(volume.arrays[0])


def _say(name: str, found: dict[str, float]) -> None:
    print(
        f"  {name:8s} {100 * found['voxels']:5.1f} %  {found['psnr_db']:6.2f} dB  "
        f"nrmse {found['nrmse_rms']:.3f}  ssim {found['ssim']:.3f}  score {found['score']:.2f}  "
        f"{found['steps']:6.0f} steps  {found['cpu_seconds']:6.1f} s",
        flush=True,
    )


def plot(rows: dict[str, list[Any]], path: Path) -> None:
    """Write a row of slices for each volume as PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    columns = len(next(iter(rows.values())))
    heights = [len(slices[-1][1]) / slices[-1][1].shape[1] for slices in rows.values()]
    figure, axes = plt.subplots(
        len(rows),
        columns,
        figsize=(2.4 * columns, 2.4 * sum(heights) + 0.4 * len(rows)),
        dpi=100,
        height_ratios=heights,
        squeeze=False,
    )
    for line, (name, slices) in zip(axes, rows.items(), strict=True):
        low, high = slices[-1][1].min(), slices[-1][1].max()
        for axis, (label, values) in zip(line, slices, strict=True):
            axis.imshow(values, origin="lower", vmin=low, vmax=high, cmap="inferno")
            axis.set(title=f"{name}: {label}", xticks=[], yticks=[])
            axis.title.set_fontsize(9)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def main() -> None:
    """Run, print, save and draw."""
    parser = argparse.ArgumentParser()
    parser.add_argument("smoke", type=Path)
    parser.add_argument("cache", type=Path, help="folder that keeps the simulated plume")
    parser.add_argument("--samples", type=float, default=1.4e7, help="voxels seen with BBX")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--volumes", nargs="+", default=["plume", "smoke_vdb"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    plume = cached(arguments.cache / "plume.npz")
    dimensions = plume["density"].shape[::-1]
    images = {
        "plume": Image(ImageGrid.from_dimensions(dimensions), plume),
        "smoke_vdb": sources.read(arguments.smoke),
    }
    file = ROOT / "benchmarks" / "results" / "active_voxels.json"
    results = json.loads(file.read_text())["results"] if file.exists() else {}
    pictures = {}
    for name in arguments.volumes:
        print(name, flush=True)
        entry, pictures[name] = compare_masks(images[name], arguments.samples, arguments.seed)
        results[name] = entry | {"samples": arguments.samples, "seed": arguments.seed}
        save("active_voxels", results)
        # The paper's picture is of its burner: without the plume there is none.
        if "plume" in pictures:
            plot(pictures, ROOT / "docs" / "images" / "active-voxels.png")


if __name__ == "__main__":
    main()
