"""Pictures of results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_STYLES = {
    "sz3": ("SZ3", "tab:orange"),
    "zfp": ("ZFP", "tab:green"),
    "sperr": ("SPERR", "tab:blue"),
    "tthresh": ("TTHRESH", "tab:purple"),
    "inrvis": ("inrvis", "tab:red"),
    "inrvis_layers": ("inrvis, layers alone", "tab:pink"),
    "inrvis_network": ("inrvis, network alone", "tab:brown"),
}
_DECIBELS = (20.0, 60.0)


def plot_volume(name: str, entry: dict[str, Any], path: Path) -> None:
    """Write PSNR over bits a value, a line for every codec, as PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 4.4), dpi=120)
    n_values = 1
    for side in entry["shape"]:
        n_values *= side
    for codec, (label, colour) in _STYLES.items():
        results = entry.get("codecs", {}).get(codec, {})
        records = [r for r in results.get("psnr", {}).values() if "encoded_bytes" in r]
        points = sorted((r["bits_per_value"], r["psnr_db"]) for r in records)
        mask = entry["mask_bytes"]
        line = [(8 * (size + mask) / n_values, db) for size, db in results.get("curve", [])]
        line = [(bits, db) for bits, db in line if _DECIBELS[0] <= db <= _DECIBELS[1]] or points
        if not points:
            continue
        axes.plot(*zip(*line, strict=True), "-", color=colour, linewidth=1)
        axes.plot(*zip(*points, strict=True), "o", color=colour, label=label, markersize=4)
    axes.set(xscale="log", xlabel="bits a value", ylabel="PSNR over the range, dB", title=name)
    axes.grid(visible=True, which="both", alpha=0.25)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)
