"""SCI against JPEG, H.264, HEVC and two other networks: its paper's Table 1, on public volumes.

Usage: python -m benchmarks.sci_comparison FOLDER NAME... [--crop N] [--rates BITS...]
       [--methods M...] [--seconds S] [--out NAME]
       python -m benchmarks.sci_comparison --table [--picture PATH]

`sci`, `siren` (one network of 7 layers of one width) and `nerf` (`benchmarks.sci_positional`) are
trained in the same way, ours: for equal CPU time, with quantised and coded weights, for files of
the given bits a voxel. Codecs run through their qualities (`benchmarks.sci_codecs`). Every size is
that of a file, every quality that of what is decoded from it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.provenance import ROOT
from benchmarks.sci_codecs import FrameCodec, frame_codecs, round_trip
from benchmarks.sci_positional import PositionalEncoder
from benchmarks.sci_training import Record, add_results, cropped, record, train_for
from inrvis import sources
from inrvis.encoder.assembly import Assembly
from inrvis.encoder.normalise import normalise
from inrvis.encoder.settings import SciSettings
from inrvis.encoder.training import Report
from inrvis.encoder.volume import VolumeEncoder
from inrvis.errors import UsageError
from inrvis.metrics import bits_per_value, measure
from inrvis.sources import Image

NETWORKS = ("sci", "siren", "nerf")
METHODS = ("sci", "jpeg", "h264", "hevc", "siren", "nerf")
_LABELS = {
    "sci": ("SCI", "tab:red"),
    "jpeg": ("JPEG", "tab:green"),
    "h264": ("H.264", "tab:orange"),
    "hevc": ("HEVC", "tab:blue"),
    "siren": ("SIREN", "tab:brown"),
    "nerf": ("NeRF", "tab:purple"),
}
# The paper's range, bits a voxel; codecs go a little beyond, so that curves span it.
_RANGE = (0.01, 0.25)
_BEYOND = 1.3
# SIREN's own frequency factor, within the range that the paper searched.
_SIREN = replace(SciSettings(), partition="whole", ratio=1.0, frequency=30.0)


def run_codec(codec: FrameCodec, values: Any) -> list[Record]:
    """Points of a codec from the coarsest quality to the finest within the range."""
    points: list[Record] = []
    for quality in codec.qualities:
        start = time.process_time()
        size, decoded = round_trip(codec, values, quality)
        seconds = time.process_time() - start
        found = measure(values, decoded)
        points.append(
            {
                "encoded_bytes": size,
                "bits_per_value": bits_per_value(size, values.size),
                "psnr_db": found.psnr_db,
                "ssim": found.ssim,
                "quality": quality,
                "cpu_seconds": seconds,
            }
        )
        _say(codec.name, points[-1])
        if points[-1]["bits_per_value"] > _RANGE[1] * _BEYOND:
            break
    return points


def run_network(
    name: str, image: Image, rates: Sequence[float], seconds: float, seed: int
) -> list[Record]:
    """Points of a network at rates that leave room for one."""
    assembly = Assembly(image, normalise(image), {"seed": seed})
    voxels = image.grid.number_of_points

    def build(report: Report | None) -> VolumeEncoder:
        if name == "nerf":
            return PositionalEncoder(assembly, device="cpu", seed=seed, report=report)
        settings = SciSettings() if name == "sci" else _SIREN
        return VolumeEncoder(assembly, settings, device="cpu", seed=seed, report=report)

    points = []
    for rate in rates:
        try:
            run = train_for(build, voxels, int(rate * voxels / 8), seconds)
        except UsageError as error:
            print(f"  {name} at {rate}: {error}", flush=True)
            continue
        found = record(assembly.finish(run.networks), run.steps, run.cpu_seconds)
        found["bits_per_value"] = bits_per_value(found["encoded_bytes"], voxels)
        points.append(found)
        _say(name, found)
    return points


def at_rate(points: Sequence[Record], rate: float, key: str) -> float | None:
    """Quality at a rate, between points along the logarithm of theirs; None beyond them."""
    front = sorted((p["bits_per_value"], p[key]) for p in points)
    rates = np.log([r for r, _ in front])
    where = np.log(rate)
    # Files are a few bytes smaller than their rates.
    if not rates[0] - 0.01 <= where <= rates[-1] + 0.01:
        return None
    return float(np.interp(where, rates, [quality for _, quality in front]))


def mean_over(points: Sequence[Record], low: float, high: float, key: str) -> float:
    """Mean quality over a range of rates, each as much as any other, as in the paper's table."""
    found = [at_rate(points, rate, key) for rate in np.linspace(low, high, 200)]
    return float(np.mean([quality for quality in found if quality is not None]))


def common_range(methods: Record) -> tuple[float, float]:
    """Rates that all methods reach."""
    spans = [[p["bits_per_value"] for p in points] for points in methods.values()]
    return (
        max(_RANGE[0], *(min(span) for span in spans)),
        min(_RANGE[1], *(max(span) for span in spans)),
    )


def table(results: Record, rates: Sequence[float]) -> list[str]:
    """Lines of Markdown: PSNR and SSIM at rates, and their means over the common range."""
    lines = []
    heads = [f"{rate:g}" for rate in rates]
    lines.append("| volume | method | " + " | ".join(heads) + " | mean over | PSNR, dB | SSIM |")
    lines.append("| --- | --- | " + "--- | " * len(heads) + "--- | --- | --- |")
    for name, entry in results.items():
        methods = entry["runs"]
        low, high = common_range(methods)
        for method in (m for m in METHODS if m in methods):
            points = methods[method]
            cells = []
            for rate in rates:
                db, ssim = (at_rate(points, rate, key) for key in ("psnr_db", "ssim"))
                cells.append("–" if db is None or ssim is None else f"{db:.1f} / {ssim:.3f}")
            means = [mean_over(points, low, high, key) for key in ("psnr_db", "ssim")]
            lines.append(
                f"| {name} | {_LABELS[method][0]} | {' | '.join(cells)} | {low:.3f}–{high:.2f} | "
                f"{means[0]:.2f} | {means[1]:.4f} |"
            )
    return lines


def draw(results: Record, path: Path) -> None:
    """Write PSNR and SSIM over bits a voxel, two plots for every volume."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, grid = plt.subplots(
        2, len(results), figsize=(3.6 * len(results), 6.2), dpi=110, squeeze=False
    )
    for column, (name, entry) in zip(grid.T, results.items(), strict=True):
        for axes, key in zip(column, ("psnr_db", "ssim"), strict=True):
            for method, (label, colour) in _LABELS.items():
                points = sorted(
                    (p["bits_per_value"], p[key]) for p in entry["runs"].get(method, [])
                )
                points = [(b, q) for b, q in points if b <= _RANGE[1] * _BEYOND]
                if points:
                    axes.plot(
                        *zip(*points, strict=True), "o-", color=colour, label=label, markersize=3
                    )
            axes.set(xscale="log", xlabel="bits a voxel")
            axes.set_xticks([0.01, 0.03, 0.1, 0.25], ["0.01", "0.03", "0.1", "0.25"])
            axes.minorticks_off()
            axes.grid(visible=True, alpha=0.25)
        column[0].set_title(name)
    for axes, text in zip(grid[:, 0], ("PSNR over the range, dB", "SSIM"), strict=True):
        axes.set_ylabel(text)
    grid[0, 0].legend()
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def _say(name: str, point: Record) -> None:
    steps = f"{point['steps']} steps" if "steps" in point else f"quality {point['quality']}"
    print(
        f"  {name:6s} {point['encoded_bytes']:8d} B  {point['bits_per_value']:.4f} bits  "
        f"{point['psnr_db']:6.2f} dB  ssim {point['ssim']:.4f}  {steps}",
        flush=True,
    )


def main() -> None:
    """Run, or print the table and draw the picture of what was run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--rates", type=float, nargs="+", default=[0.02, 0.05, 0.1, 0.25])
    parser.add_argument("--crop", type=int, help="largest side of the middle that is taken")
    parser.add_argument("--seconds", type=float, default=30.0, help="CPU time of a training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="sci_comparison")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    settings = {"seconds": arguments.seconds, "seed": arguments.seed, "crop": arguments.crop}
    for name in arguments.names:
        image = cropped(sources.read(arguments.folder / f"{name}.vti"), arguments.crop)
        (values,) = image.arrays.values()
        print(name, image.grid.dimensions, flush=True)
        for codec in frame_codecs():
            if codec.name in arguments.methods:
                runs = {codec.name: run_codec(codec, values)}
                add_results(arguments.out, (name,), settings, runs)
        for method in (m for m in NETWORKS if m in arguments.methods):
            points = run_network(method, image, arguments.rates, arguments.seconds, arguments.seed)
            add_results(arguments.out, (name,), settings, {method: points})
    if arguments.table or arguments.picture:
        file = ROOT / "benchmarks" / "results" / f"{arguments.out}.json"
        results = json.loads(file.read_text())["results"]
        if arguments.table:
            print("\n".join(table(results, arguments.rates)))
        if arguments.picture:
            draw(results, arguments.picture)


if __name__ == "__main__":
    main()
