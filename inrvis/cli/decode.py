"""`inrvis decode`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import inrvis
from inrvis.cli.output import ProgressBar
from inrvis.container.series_file import read_kind
from inrvis.sources.image import Image
from inrvis.writers import check_output, write_image


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("decode", help="decode an .inr file into a file of voxels")
    parser.set_defaults(run=run)
    parser.add_argument("file", metavar="FILE.inr")
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="OUT",
        help=".vti, .npy for a single array, or for images the folder of a Cinema database",
    )
    parser.add_argument("--array", action="append", dest="arrays", metavar="NAME")
    parser.add_argument(
        "--time-index", type=int, default=0, metavar="K", help="time step of a series, from 0"
    )
    parser.add_argument("--extent", type=int, nargs=6, metavar=("X0", "X1", "Y0", "Y1", "Z0", "Z1"))
    parser.add_argument("--stride", type=int, default=1)
    parser.add_argument(
        "--layers",
        choices=("all", "base"),
        default="all",
        help="base: what networks say, without the coded layers on top of them",
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(arguments: argparse.Namespace) -> int:
    """Decode and write."""
    if read_kind(arguments.file) == "images":
        from inrvis.cli.decode_images import decode_images

        return decode_images(arguments)
    with inrvis.open(
        arguments.file, time_index=arguments.time_index, device=arguments.device
    ) as volume:
        names = arguments.arrays or list(volume.arrays)
        check_output(Path(arguments.output), len(names))
        with ProgressBar(arguments.quiet) as bar:
            decoded = volume.decode_arrays(
                names,
                extent=arguments.extent,
                stride=arguments.stride,
                layers=arguments.layers,
                progress=bar.fraction,
            )
        grid = volume.grid.subgrid(arguments.extent, arguments.stride)
        time = volume.times[0] if volume.times else None
    image = Image(grid, dict(zip(names, decoded, strict=True)), time)
    write_image(image, Path(arguments.output))
    return 0
