"""Our files against those of SZ3, ZFP, SPERR and TTHRESH, at equal quality, on the same arrays.

Usage: python -m benchmarks.volume_rate_distortion FOLDER NAME... [--psnr DB...] [--max-error E...]
       [--model NAME] [--time-budget SECONDS] [--no-ours] [--tthresh PATH] [--peers NAME]
       [--out NAME] [--plots DIR]

NAME is a file of FOLDER without `.vti`, or NAME:ARRAY; the first array is taken by default. Each
peer's best configuration and setting are searched for every target (`benchmarks.peer_search`).
Without a time budget we train the steps of the preset, so that the load of the machine changes
our seconds and not our bytes.
Everything runs in processes of its own; results are saved after every step, and what is there
already from the same sources is not repeated.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.codec_runs import (
    Record,
    Volume,
    apart,
    prepare,
    run_ours,
    run_peer,
    search,
    watched,
)
from benchmarks.peers import Peer, peers
from benchmarks.provenance import git, load, save

KINDS = ("psnr", "max_error")
# What our files are called by the model that was asked for.
OURS = {"auto": "inrvis", "none": "inrvis_layers", "siren": "inrvis_network"}
PEERS = ("sz3", "zfp", "sperr", "tthresh")
_PEER_SOURCES = ("missing.py", "peer_search.py", "peers.py")


@dataclass(frozen=True)
class Targets:
    """What is asked of every codec: PSNRs in dB, and bounds relative to the range."""

    psnr: tuple[float, ...]
    max_error: tuple[float, ...]

    @classmethod
    def missing(cls, arguments: argparse.Namespace, codec: Record, source: str) -> Targets:
        """Return the targets that have no result from these sources yet."""

        def lacks(kind: str, target: float) -> bool:
            record = codec.get(kind, {}).get(f"{target:g}", {})
            return arguments.again or "failed" in record or record.get("source") != source

        return cls(
            tuple(db for db in arguments.psnr if lacks("psnr", db)),
            tuple(bound for bound in arguments.max_error if lacks("max_error", bound)),
        )

    def __iter__(self) -> Iterator[tuple[str, float]]:
        yield from (("psnr", db) for db in self.psnr)
        yield from (("max_error", bound) for bound in self.max_error)


def main() -> None:
    """Run what is missing, print a table after every volume."""
    arguments = _arguments()
    results = _earlier(arguments.out)
    measured = _earlier(arguments.peers) if arguments.peers else {}
    for name in arguments.names:
        entry: Record = results.setdefault(name, measured.get(name, {}))
        with tempfile.TemporaryDirectory() as folder:
            file, _, array = name.partition(":")
            path = arguments.folder / f"{file}.vti"
            volume = apart(prepare, path, array or None, Path(folder))
            if isinstance(volume, dict):
                entry |= volume
                print(f"{name}: {volume['failed']}", flush=True)
                continue
            entry |= volume.describe()

            def keep() -> None:
                save(arguments.out, results)

            for peer in () if arguments.peers else peers(arguments.tthresh):
                _add_peer(entry, volume, peer, arguments, keep)
            if arguments.ours:
                _add_ours(entry, volume, path, arguments, keep)
        print("\n".join(table({name: entry})), flush=True)
    if arguments.plots:
        from benchmarks.plots import plot_volume

        arguments.plots.mkdir(parents=True, exist_ok=True)
        for name in arguments.names:
            plot_volume(name, results[name], arguments.plots / f"{name.replace(':', '_')}.png")


def table(results: Record) -> list[str]:
    """Lines of Markdown: bytes of every codec at every target, and ours over the best peer's."""
    codecs = [
        name
        for name in (*PEERS, *OURS.values())
        if any(name in entry.get("codecs", {}) for entry in results.values())
    ]
    lines = [
        "| volume | target | " + " | ".join(codecs) + " | best peer | bits a value | ours / best |",
        "| --- | --- | " + " --- |" * (len(codecs) + 3),
    ]
    for name, entry in results.items():
        for kind in KINDS:
            keys = {k for codec in entry.get("codecs", {}).values() for k in codec.get(kind, {})}
            for key in sorted(keys, key=float, reverse=kind == "max_error"):
                rows = {c: entry["codecs"].get(c, {}).get(kind, {}).get(key, {}) for c in codecs}
                lines.append(f"| {name} | {_target(kind, key)} | {_row(rows)} |")
    return lines


def _target(kind: str, key: str) -> str:
    return f"{key} dB" if kind == "psnr" else f"error ≤ {key}"


def _row(rows: Record) -> str:
    cells = [f"{r['encoded_bytes']:,}" if "encoded_bytes" in r else "–" for r in rows.values()]
    reached = {c: r for c, r in rows.items() if c in PEERS and "encoded_bytes" in r}
    if not reached:
        return " | ".join([*cells, "–", "–", "–"])
    best = min(reached, key=lambda c: reached[c]["encoded_bytes"])
    fair = [
        r["encoded_bytes"]
        for c, r in rows.items()
        if c not in PEERS and r.get("target_met") and "encoded_bytes" in r
    ]
    ratio = f"{min(fair) / reached[best]['encoded_bytes']:.2f}" if fair else "–"
    return " | ".join([*cells, best, f"{reached[best]['bits_per_value']:.4f}", ratio])


def _add_peer(
    entry: Record,
    volume: Volume,
    peer: Peer,
    arguments: argparse.Namespace,
    keep: Callable[[], None],
) -> None:
    source = _source(*(f"benchmarks/{file}" for file in _PEER_SOURCES))
    codec = entry.setdefault("codecs", {}).setdefault(peer.name, {})
    wanted = Targets.missing(arguments, codec, source)
    if not (wanted.psnr or wanted.max_error):
        return
    found = apart(search, volume, peer, wanted.psnr, wanted.max_error)
    codec["versions"] = _versions(peer)
    if "failed" not in found:
        codec["curve"] = found["curve"]
    for kind, target in wanted:
        if "failed" in found:
            record = found
        elif choices := found[kind].get(target):
            record = apart(run_peer, volume, choices)
        else:
            record = {"failed": "no setting reaches the target"}
        codec.setdefault(kind, {})[f"{target:g}"] = record | {"source": source}
    keep()


def _add_ours(
    entry: Record,
    volume: Volume,
    path: Path,
    arguments: argparse.Namespace,
    keep: Callable[[], None],
) -> None:
    source = _source("inrvis")
    codec = entry.setdefault("codecs", {}).setdefault(OURS[arguments.model], {})
    wanted = Targets.missing(arguments, codec, source)
    for kind, target in wanted:
        words = ["--psnr", f"{target:g}"]
        if kind == "max_error":
            words = ["--max-error", f"{target:g}", "--relative"]
        words += ["--model", arguments.model, "--seed", str(arguments.seed)]
        if arguments.time_budget is None:
            words += ["--preset", arguments.preset]
        else:
            words += ["--time-budget", f"{arguments.time_budget:g}"]
        record = _encode(volume, path, words)
        codec.setdefault(kind, {})[f"{target:g}"] = record | {"source": source}
        keep()


def _encode(volume: Volume, path: Path, words: Sequence[str]) -> Record:
    file = volume.folder / "ours.inr"
    file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "inrvis", "encode", str(path), "-o", str(file)]
    command += ["--array", volume.array, *words, "--quiet", "--json"]
    status, output, errors, seconds, peak = watched(command)
    if status not in (0, 1) or not file.exists() or not output:
        last = (errors.strip().splitlines() or [f"status {status}"])[-1]
        return {"failed": last.replace(str(path.parent), "").replace(str(volume.folder), "")}
    report = json.loads(output)
    record: Record = {
        "settings": " ".join(words),
        "model": report.get("model"),
        "target_met": report.get("target_met", status == 0),
        "encode_seconds": seconds,
        "encode_threads": int(os.environ.get("OMP_NUM_THREADS", len(os.sched_getaffinity(0)))),
        "peak_memory_bytes": peak,
    }
    decoded: Record = apart(run_ours, volume, file)
    return record | decoded


@cache
def _source(*paths: str) -> str:
    """Identity of the sources that a record depends on."""
    # Git shortens one name at a time.
    names = [git("rev-parse", "--short=12", f"HEAD:{path}") for path in paths]
    identity = "-".join(filter(None, names)) or "uncommitted"
    return identity + "+changes" * bool(git("status", "--porcelain", "--", *paths))


def _versions(peer: Peer) -> Record:
    versions = {}
    for package in peer.packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "unknown"
    return versions


def _earlier(name: str) -> Record:
    try:
        return load(name)
    except FileNotFoundError:
        return {}


def _program(text: str) -> Path:
    found = shutil.which(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text} is no program; give the path of TTHRESH's")
    return Path(found)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="+", metavar="NAME")
    add: Any = parser.add_argument
    add("--psnr", type=float, nargs="*", default=[30, 35, 40], metavar="DB")
    add("--max-error", type=float, nargs="*", default=[1e-2, 1e-3, 1e-4], metavar="E")
    add("--model", choices=OURS, default="auto", help="of our files")
    add("--time-budget", type=float, metavar="SECONDS", help="of each of our files, by the clock")
    add("--preset", default="balanced")
    add("--seed", type=int, default=0)
    add("--ours", action=argparse.BooleanOptionalAction, default=True)
    add("--tthresh", type=_program, metavar="PATH", help="TTHRESH's program")
    add("--peers", metavar="NAME", help="results that hold the peers' already: these are not run")
    add("--again", action="store_true", help="repeat what is there already")
    add("--plots", type=Path, metavar="DIR", help="write curves as pictures")
    add("--out", default="volume_rate_distortion", metavar="NAME")
    return parser.parse_args()


if __name__ == "__main__":
    main()
