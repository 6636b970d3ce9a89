"""`inrvis compare`."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from typing import Any

import inrvis
from inrvis import sources
from inrvis.cli.output import lines, to_json
from inrvis.container.series_file import read_kind
from inrvis.errors import TargetMissedError, UsageError
from inrvis.metrics import Metrics, bits_per_value, compression_ratio, measure


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("compare", help="measure an .inr file against its original")
    parser.set_defaults(run=run)
    parser.add_argument("original")
    parser.add_argument("file", metavar="FILE.inr")
    parser.add_argument("--array", metavar="NAME", help="compare this array only")
    parser.add_argument(
        "--time-index", type=int, default=0, metavar="K", help="time step of a series, from 0"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--dimensions", type=int, nargs=3, metavar=("NX", "NY", "NZ"))
    parser.add_argument("--dtype", help="type of a raw original")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--min-psnr", type=float, metavar="DB", help="fail below this")
    parser.add_argument("--max-error", type=float, metavar="E", help="fail above this")


def run(arguments: argparse.Namespace) -> int:
    """Print the metrics; status 1 if a check fails."""
    if read_kind(arguments.file) == "images":
        raise UsageError(
            f"{arguments.file} holds images, and volumes are compared; inrvis info tells the "
            "quality of images"
        )
    with inrvis.open(
        arguments.file, time_index=arguments.time_index, device=arguments.device
    ) as volume:
        encoded_bytes = volume.encoded_bytes
        names = [volume.array(arguments.array).name] if arguments.array else list(volume.arrays)
        image = sources.read(
            arguments.original,
            arrays=names,
            dimensions=tuple(arguments.dimensions) if arguments.dimensions else None,
            dtype=arguments.dtype,
        )
        if image.grid.dimensions != volume.grid.dimensions:
            raise UsageError(
                f"{arguments.original} has dimensions {image.grid.dimensions}, "
                f"{arguments.file} {volume.grid.dimensions}: they cannot be compared"
            )
        decoded = volume.decode_arrays(names)
    arrays: dict[str, Metrics] = {}
    for name, values in zip(names, decoded, strict=True):
        original = image.arrays[name]
        if original.shape != values.shape:
            raise UsageError(f"array {name!r} has another number of components in the original")
        arrays[name] = measure(original, values)
    original_bytes = sum(array.nbytes for array in image.arrays.values())
    number = sum(array.size for array in image.arrays.values())
    facts: dict[str, Any] = {
        "psnr_db": min(m.psnr_db for m in arrays.values()),
        "max_abs_error": max(m.max_abs_error for m in arrays.values()),
        "nrmse": max(m.nrmse for m in arrays.values()),
        "ssim": min(m.ssim for m in arrays.values()),
        "compression_ratio": compression_ratio(original_bytes, encoded_bytes),
        "bits_per_value": bits_per_value(encoded_bytes, number),
        "encoded_bytes": encoded_bytes,
        "original_bytes": original_bytes,
    }
    if len(arrays) > 1:
        facts["arrays"] = {name: asdict(metrics) for name, metrics in arrays.items()}
    if arguments.json:
        print(to_json(facts))
    else:
        facts.pop("arrays", None)
        print(lines(facts))
    return _check(arguments, facts)


def _check(arguments: argparse.Namespace, facts: dict[str, Any]) -> int:
    failed = []
    if arguments.min_psnr is not None and not facts["psnr_db"] >= arguments.min_psnr:
        failed.append(f"PSNR {facts['psnr_db']:.3f} dB is below {arguments.min_psnr:g}")
    if arguments.max_error is not None and not facts["max_abs_error"] <= arguments.max_error:
        failed.append(f"error {facts['max_abs_error']:g} is above {arguments.max_error:g}")
    for message in failed:
        print(f"inrvis: {message}", file=sys.stderr)
    return TargetMissedError.exit_status if failed else 0
