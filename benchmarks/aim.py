"""How our files compare with the smallest peer's: the table of docs/benchmarks.md, and the aim.

Usage: python -m benchmarks.aim [--results NAME]

For a PSNR a cell counts the smallest file that has it, of ours as of the peers, be it made for
another target. Peers count with their bare streams, and once more as files: what HDF5 takes at
least around a stream (`hdf5_overhead.json`) is added then; TTHRESH writes files as it is.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.provenance import load
from benchmarks.volume_rate_distortion import OURS, PEERS

Record = dict[str, Any]

PSNRS, BOUNDS = ("30", "35", "40", "45"), ("0.1", "0.01", "0.001", "0.0001")
# Of the smallest peer's bytes, at most, on half of the volumes.
AIMS = {"30": 0.4, "35": 0.4, "40": 0.5}


@dataclass(frozen=True)
class Smallest:
    """Smallest file of some codecs that has what is asked for."""

    size: int
    codec: str


def smallest(
    entry: Record, kind: str, target: str, codecs: Sequence[str], extra: Record | None = None
) -> Smallest | None:
    """Of ``codecs``, with so many bytes ``extra`` for each; None where none has the target."""
    found = []
    for codec in codecs:
        records = entry["codecs"].get(codec, {}).get(kind, {})
        for key, record in records.items():
            if "encoded_bytes" not in record:
                continue
            has = key == target and record.get("target_met", True)
            if kind == "psnr":
                has = has or (record.get("psnr_db") or 0.0) >= float(target)
            if has:
                size = record["encoded_bytes"] + (extra or {}).get(codec, 0)
                found.append(Smallest(size, codec))
    return min(found, key=lambda one: one.size, default=None)


def compared(
    entry: Record, kind: str, target: str, extra: Record | None = None
) -> tuple[float, Smallest, Smallest] | None:
    """Our bytes over the smallest peer's, ours and that peer; None where one of them is missing."""
    ours = smallest(entry, kind, target, tuple(OURS.values()))
    peer = smallest(entry, kind, target, PEERS, extra)
    return (ours.size / peer.size, ours, peer) if ours and peer else None


def row(name: str, entry: Record) -> str:
    """A volume's line of the table."""
    cells = [cell(entry, "psnr", key) for key in PSNRS]
    cells += [cell(entry, "max_error", key) for key in BOUNDS]
    return " | ".join([f"| {name}", *cells]) + " |"


def cell(entry: Record, kind: str, target: str) -> str:
    """Ratio and peer; bold where ours is smaller, with a dot where a network was tried."""
    found = compared(entry, kind, target)
    if found is None:
        return "–"
    ratio, ours, peer = found
    text = f"**{ratio:.2f}**" if ratio < 1 else f"{ratio:.2f}"
    return f"{text} {peer.codec}" + " ●" * (ours.codec != OURS["none"])


def summary(results: Record, kind: str, target: str, extra: Record | None = None) -> str:
    """Volumes on which ours is smaller and has the aim, and the median."""
    found = [compared(entry, kind, target, extra) for entry in results.values()]
    ratios = [one[0] for one in found if one]
    text = f"smaller on {sum(r < 1 for r in ratios)} of {len(ratios)}"
    if ratios:
        text += f", median {statistics.median(ratios):.2f}"
    if kind == "psnr" and target in AIMS:
        aim = AIMS[target]
        text += f", at most {aim} on {sum(r <= aim for r in ratios)}"
    return text


def main() -> None:
    """Print the table and what it comes to."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--results", default="volume_rate_distortion")
    results = load(parser.parse_args().results)
    header = [f"{db} dB" for db in PSNRS] + list(BOUNDS)
    print("| volume | " + " | ".join(header) + " |")
    print("| --- |" + " --- |" * len(header))
    for name, entry in results.items():
        print(row(name, entry))
    files = {peer: sizes["latest"] for peer, sizes in load("hdf5_overhead").items()}
    for kind, targets in (("psnr", PSNRS), ("max_error", BOUNDS)):
        for target in targets:
            print(f"{kind} {target}: against bare streams {summary(results, kind, target)}")
            print(f"{kind} {target}: file against file {summary(results, kind, target, files)}")


if __name__ == "__main__":
    main()
