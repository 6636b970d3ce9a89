"""`inrvis encode` of a database of images."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from typing import Any

from inrvis.api import encode_images
from inrvis.cli.output import ProgressBar, lines, to_json
from inrvis.errors import UsageError
from inrvis.sources.cinema import is_database


def add_image_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of image databases."""
    group = parser.add_argument_group("databases of images (DIR.cdb)")
    group.add_argument(
        "--trade-off",
        type=float,
        metavar="W",
        help="weight of the squared error against bits a pixel, 0.01 by default: a larger one "
        "gives a better and larger file",
    )
    group.add_argument(
        "--codec",
        choices=("exact", "fcnr", "jct-only", "pe-only", "ecsic"),
        default="exact",
        help="exact decodes alike everywhere; the others are the paper's networks and ablations",
    )
    group.add_argument(
        "--size", choices=("auto", "small", "medium", "large"), default="auto", help="of exact"
    )
    group.add_argument("--channels", type=int, metavar="N", help="of the paper's networks, 192")
    group.add_argument("--latents", type=int, metavar="M", help="of the paper's networks, 48")
    group.add_argument(
        "--pairing",
        choices=("sorted", "sphere"),
        default="sorted",
        help="partners by the order of theta and phi, or the nearest view",
    )
    group.add_argument("--every-view", type=int, metavar="K", help="train on every K-th view")
    group.add_argument("--every-time", type=int, metavar="K", help="train on every K-th time")
    group.add_argument("--steps", type=int, metavar="K", help="steps in place of a time")
    group.add_argument(
        "--force", action="store_true", help="encode even where single images would be smaller"
    )


def is_image_database(arguments: argparse.Namespace) -> bool:
    """Whether a command line encodes a database of images."""
    return len(arguments.inputs) == 1 and is_database(arguments.inputs[0])


def run_images(arguments: argparse.Namespace) -> int:
    """Encode and print the report."""
    if any(v is not None for v in (arguments.ratio, arguments.psnr, arguments.bpv)) or (
        arguments.max_error is not None
    ):
        raise UsageError(
            "a database of images has no --ratio, --psnr, --bpv or --max-error: choose the "
            "quality by --trade-off"
        )
    from inrvis.encoder.images.settings import image_training

    training = image_training(
        arguments.preset, arguments.time_budget, published=arguments.codec != "exact"
    )
    given = {
        "trade_off": arguments.trade_off,
        "every_view": arguments.every_view,
        "every_time": arguments.every_time,
        "steps": arguments.steps,
    }
    training = replace(
        training,
        pairing=arguments.pairing,
        **{name: value for name, value in given.items() if value is not None},
    )
    with ProgressBar(arguments.quiet) as bar:
        report = encode_images(
            arguments.inputs[0],
            arguments.output,
            codec=_codec(arguments),
            training=training,
            device=arguments.device,
            seed=arguments.seed,
            force=arguments.force,
            columns=arguments.arrays,
            progress=bar.training,
        )
    values = report.to_json()
    print(to_json(values) if arguments.json else lines(values))
    if report.stills_bytes < report.encoded_bytes:
        print(
            f"inrvis: single images would be smaller: {report.stills}; train longer, or keep them",
            file=sys.stderr,
        )
    return 0


def _codec(arguments: argparse.Namespace) -> Any:
    from inrvis.encoder.images.settings import EXACT_SIZES, PaperSettings

    if arguments.codec == "exact":
        return None if arguments.size == "auto" else EXACT_SIZES[arguments.size]
    settings = PaperSettings.named(arguments.codec)
    given = {"channels": arguments.channels, "latents": arguments.latents}
    return replace(settings, **{k: v for k, v in given.items() if v is not None})
