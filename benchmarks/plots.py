"""Pictures of results.

Usage: python -m benchmarks.plots PICTURE [--results NAME] [--columns N]

draws a small plot for every volume of `benchmarks.volume_rate_distortion`.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

from benchmarks.provenance import load

_STYLES = {
    "sz3": ("SZ3", "tab:orange"),
    "zfp": ("ZFP", "tab:green"),
    "sperr": ("SPERR", "tab:blue"),
    "tthresh": ("TTHRESH", "tab:purple"),
    "inrvis": ("inrvis", "tab:red"),
    "inrvis_layers": ("inrvis, layers alone", "tab:pink"),
    "inrvis_network": ("inrvis, network alone", "tab:brown"),
}
_DECIBELS = (24.0, 50.0)
_RELATION = 1.32


def plot_volume(name: str, entry: dict[str, Any], path: Path) -> None:
    """Write PSNR over bits a value, a line for every codec, as PNG."""
    plt = _pyplot()
    figure, axes = plt.subplots(figsize=(6.4, 4.4), dpi=120)
    _draw(axes, entry)
    axes.set(xlabel="bits a value", ylabel="PSNR over the range, dB", title=name)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def plot_grid(results: dict[str, Any], path: Path, columns: int = 4) -> None:
    """Write one picture with a small plot for every volume."""
    plt = _pyplot()
    rows = math.ceil(len(results) / columns)
    width = 3.4
    figure, grid = plt.subplots(
        rows, columns, figsize=(width * columns, width / _RELATION * rows + 0.5), dpi=90
    )
    for axes in grid.flat[len(results) :]:
        axes.set_axis_off()
    shown: dict[str, Any] = {}
    for axes, (name, entry) in zip(grid.flat, results.items(), strict=False):
        _draw(axes, entry)
        axes.set_title(name, fontsize=10)
        axes.tick_params(labelsize=8)
        handles, labels = axes.get_legend_handles_labels()
        shown |= dict(zip(labels, handles, strict=True))
    figure.supxlabel("bits a value")
    figure.supylabel("PSNR over the range, dB")
    order = [label for label, _ in _STYLES.values() if label in shown]
    figure.legend([shown[label] for label in order], order, loc="upper center", ncols=len(order))
    figure.tight_layout(rect=(0.01, 0.01, 1, 1 - 0.45 / figure.get_figheight()))
    figure.savefig(path)
    plt.close(figure)


def _pyplot() -> Any:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    return plt


def _draw(axes: Any, entry: dict[str, Any]) -> None:
    n_values = math.prod(entry["shape"])
    for codec, (label, colour) in _STYLES.items():
        results = entry.get("codecs", {}).get(codec, {})
        records = [r for r in results.get("psnr", {}).values() if "encoded_bytes" in r]
        points = sorted((r["bits_per_value"], r["psnr_db"]) for r in records)
        points = [(bits, db) for bits, db in points if db <= _DECIBELS[1]]
        mask = entry["mask_bytes"]
        line = [(8 * (size + mask) / n_values, db) for size, db in results.get("curve", [])]
        line = [(bits, db) for bits, db in line if _DECIBELS[0] <= db <= _DECIBELS[1]] or points
        if not points:
            continue
        axes.plot(*zip(*line, strict=True), "-", color=colour, linewidth=1)
        axes.plot(*zip(*points, strict=True), "o", color=colour, label=label, markersize=4)
    axes.set(xscale="log")
    axes.grid(visible=True, which="both", alpha=0.25)


def main() -> None:
    """Draw all volumes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("picture", type=Path)
    parser.add_argument("--results", default="volume_rate_distortion", metavar="NAME")
    parser.add_argument("--columns", type=int, default=4)
    arguments = parser.parse_args()
    plot_grid(load(arguments.results), arguments.picture, arguments.columns)


if __name__ == "__main__":
    main()
