"""Pictures of the image benchmark: curves, and crops side by side as in Figure 3 of the paper.

python -m benchmarks.image_plots [--results FILE.json] [--folder build/benchmarks]
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.image_database import CROPS, RESULTS, Record
from benchmarks.provenance import ROOT

_COLOURS = {
    "avif": "tab:green",
    "jpegxl": "tab:purple",
    "webp": "tab:gray",
    "x265 pairs": "tab:orange",
    "x265 groups of 16": "tab:brown",
    "svtav1 pairs": "tab:blue",
    "svtav1 groups of 16": "tab:cyan",
}
_OURS = "tab:red"


def _pyplot() -> Any:
    importlib.import_module("matplotlib").use("Agg")
    return importlib.import_module("matplotlib.pyplot")


def codecs_of(entry: Record) -> dict[str, list[Record]]:
    """Records by codec, each from low to high rate."""
    found: dict[str, list[Record]] = {}
    for record in sorted(entry["records"], key=lambda r: r["bits_per_pixel"]):
        found.setdefault(record["codec"], []).append(record)
    return found


def plot_curves(name: str, entry: Record, path: Path) -> None:
    """Write PSNR over bits a pixel, for all pixels and for the foreground, as PNG."""
    plt = _pyplot()
    figure, axes = plt.subplots(1, 2, figsize=(12.5, 4.4), dpi=110)
    measures = {"psnr_db": "PSNR, dB", "foreground_psnr_db": "PSNR of the foreground, dB"}
    for plot, (measure, label) in zip(axes, measures.items(), strict=True):
        for codec, records in codecs_of(entry).items():
            points = [(r["bits_per_pixel"], r[measure]) for r in records if r[measure] is not None]
            if not points:
                continue
            ours = bool(records[0].get("images_in_file"))
            style = {"marker": "*", "markersize": 11} if ours else {"marker": "o", "markersize": 4}
            kind, _, along = codec.partition(" along ")
            colour, line = _COLOURS.get(kind, _OURS), ":" if along else "-"
            plot.plot(
                *zip(*points, strict=True), line, color=colour, label=codec, linewidth=1, **style
            )
        plot.set(xscale="log", xlabel="bits a pixel, everything included", ylabel=label)
        plot.grid(visible=True, which="both", alpha=0.25)
    axes[1].legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.01, 1))
    size = f"{entry['images']} images of {entry['width']} × {entry['height']}"
    figure.suptitle(f"{name}: {size}")
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def nearest_rates(entry: Record, rate: float) -> list[Record]:
    """The record of each codec whose rate is nearest."""
    return [
        min(records, key=lambda r: abs(math.log(r["bits_per_pixel"] / rate)))
        for records in codecs_of(entry).values()
    ]


def plot_crops(name: str, entry: Record, path: Path, rate: float) -> None:
    """Write the same part of one image from each codec near one rate, as PNG, if any is kept."""
    from PIL import Image

    plt = _pyplot()
    folder = CROPS / name
    shown = [(folder / "original_0.png", "original")]
    for record in nearest_rates(entry, rate):
        file = folder / f"{record['codec'].replace(' ', '_')}_{record['setting']:g}.png"
        psnr = record["psnr_db"] or math.inf
        text = f"{record['codec']}\n{record['bits_per_pixel']:.3f} bpp, {psnr:.1f} dB"
        shown.append((file, text))
    shown = [(file, text) for file, text in shown if file.exists()]
    if not shown:
        return
    columns = min(4, len(shown))
    rows = -(-len(shown) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(2.7 * columns, 3.1 * rows), dpi=110, squeeze=False
    )
    for plot in axes.flat:
        plot.axis("off")
    for plot, (file, text) in zip(axes.flat, shown, strict=False):
        plot.imshow(Image.open(file), interpolation="nearest")
        plot.set_title(text, fontsize=8)
    figure.suptitle(f"{name}, near {rate:.3g} bits a pixel")
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def shown_rate(entry: Record) -> float:
    """The rate at which to compare crops: that of our first file, or of AVIF's second setting."""
    ours = [r for r in entry["records"] if r.get("images_in_file")]
    found = ours or sorted(entry["records"], key=lambda r: r["bits_per_pixel"])[1:]
    return float((found or entry["records"])[0]["bits_per_pixel"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Write both pictures of every database."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "benchmarks")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, entry in json.loads(options.results.read_text())["results"].items():
        if entry["records"]:
            plot_curves(name, entry, options.folder / f"{name}_curves.png")
            plot_crops(name, entry, options.folder / f"{name}_crops.png", shown_rate(entry))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
