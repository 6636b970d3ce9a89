"""`inrvis encode`."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import inrvis
from inrvis.cli.image_options import add_image_options, is_image_database, run_images
from inrvis.cli.model_options import add_model_options, model_of
from inrvis.cli.output import ProgressBar, lines, to_json
from inrvis.errors import TargetMissedError, UsageError
from inrvis.targets import BitRate, MaxError, Psnr, Ratio, Target


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("encode", help="encode a volume or a database of images")
    parser.set_defaults(run=run)
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="VTI or another VTK image, NRRD, NIfTI, MetaImage, npy, raw, HDF5, NetCDF or OpenVDB; "
        "FILE:NAME takes one dataset, group, variable or grid, FILE:NAME[K] step K of it; several, "
        "or a .pvd file, are the time steps of a series; a database of images is a folder: "
        "DIR.cdb, or images with a table",
    )
    parser.add_argument("-o", "--output", required=True, metavar="OUT.inr")
    parser.add_argument(
        "--array",
        action="append",
        dest="arrays",
        metavar="NAME",
        help="array to keep; may be given again; all by default",
    )
    target = parser.add_mutually_exclusive_group()
    target.add_argument("--ratio", type=float, metavar="R", help="original bytes / file bytes")
    target.add_argument("--psnr", type=float, metavar="DB", help="least quality")
    target.add_argument("--bpv", type=float, metavar="B", help="bits per value")
    target.add_argument("--max-error", type=float, metavar="E", help="bound on every value")
    parser.add_argument(
        "--relative", action="store_true", help="--max-error is a fraction of the range"
    )
    parser.add_argument("--preset", choices=("fast", "balanced", "best"), default="balanced")
    parser.add_argument("--time-budget", type=float, metavar="SECONDS")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--dimensions", type=int, nargs=3, metavar=("NX", "NY", "NZ"), help="of a raw file"
    )
    parser.add_argument("--dtype", help="type of a raw file, such as uint8 or '>u2'")
    parser.add_argument(
        "--knot-spacing",
        type=int,
        default=0,
        metavar="N",
        help="evaluate the network every N voxels and interpolate: 2 decodes several times "
        "faster and costs about 1 dB",
    )
    add_model_options(parser)
    add_image_options(parser)
    parser.add_argument(
        "--append",
        action="store_true",
        help="add the input to OUT.inr as its next time step, starting from the last one's network",
    )
    parser.add_argument(
        "--start", metavar="FILE.inr", help="start from the network of another file"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Encode and print the report."""
    if is_image_database(arguments):
        return run_images(arguments)
    target = _target(arguments)
    with ProgressBar(arguments.quiet) as bar:
        report = inrvis.encode(
            arguments.inputs if len(arguments.inputs) > 1 else arguments.inputs[0],
            arguments.output,
            target=target,
            arrays=arguments.arrays,
            model=model_of(arguments),
            preset=arguments.preset,
            time_budget=arguments.time_budget,
            device=arguments.device,
            seed=arguments.seed,
            progress=bar.training,
            dimensions=tuple(arguments.dimensions) if arguments.dimensions else None,
            dtype=arguments.dtype,
            knot_spacing=arguments.knot_spacing,
            mode="append" if arguments.append else "write",
            start=arguments.start,
        )
    values = report.to_json()
    if arguments.json:
        print(to_json(values))
    else:
        values.pop("arrays", None)
        print(lines(values))
    if not report.target_met:
        print(
            f"inrvis: the target, {report.target}, was missed: {report.psnr_db:.2f} dB is the best "
            f"found, kept in {arguments.output}; try --preset best or a longer --time-budget",
            file=sys.stderr,
        )
        return TargetMissedError.exit_status
    return 0


def _target(arguments: argparse.Namespace) -> Target:
    if arguments.relative and arguments.max_error is None:
        raise UsageError("--relative goes with --max-error")
    if arguments.ratio is not None:
        return Ratio(arguments.ratio)
    if arguments.psnr is not None:
        return Psnr(arguments.psnr)
    if arguments.bpv is not None:
        return BitRate(arguments.bpv)
    if arguments.max_error is not None:
        return MaxError(arguments.max_error, arguments.relative)
    raise UsageError("say what the file is to reach: --ratio, --psnr, --bpv or --max-error")
