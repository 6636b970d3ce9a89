"""`inrvis encode` of a database of images."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from inrvis.api import encode_images
from inrvis.cli.output import ProgressBar, lines, to_json
from inrvis.errors import UsageError
from inrvis.sources.cinema import is_database
from inrvis.targets import BitRate, Ratio


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
        choices=("exact", "fcnr", "jct-only", "pe-only", "ecsic", "e-nerv", "hnerv"),
        default="exact",
        help="exact decodes alike everywhere; fcnr to ecsic are the paper's networks and "
        "ablations; e-nerv and hnerv are one network for all images, of the size that --ratio or "
        "--bpv asks for, and show views between the stored ones",
    )
    group.add_argument(
        "--size", choices=("auto", "small", "medium", "large"), default="auto", help="of exact"
    )
    group.add_argument(
        "--covers",
        choices=("auto", "on", "off"),
        default="auto",
        help="of exact: leave backgrounds to masks, so that networks give only what covers them; "
        "auto does so where it is smaller",
    )
    group.add_argument("--channels", type=int, metavar="N", help="of the paper's networks, 192")
    group.add_argument("--latents", type=int, metavar="M", help="of the paper's networks, 48")
    group.add_argument(
        "--pairing",
        metavar="BY",
        help="partners: sorted views by theta and phi, sphere for the nearest views, a parameter "
        "such as time for neighbours along it, or auto for those that are most alike",
    )
    group.add_argument("--every-view", type=int, metavar="K", help="train on every K-th view")
    group.add_argument("--every-time", type=int, metavar="K", help="train on every K-th time")
    group.add_argument(
        "--foreground",
        type=float,
        metavar="W",
        help="of e-nerv and hnerv: what the foreground counts in the loss, the background being 1",
    )
    group.add_argument(
        "--embedding", type=int, metavar="E", help="of hnerv: channels of an image's embedding, 8"
    )
    group.add_argument("--steps", type=int, metavar="K", help="steps in place of a time")
    group.add_argument(
        "--force", action="store_true", help="encode even where single images would be smaller"
    )


def is_image_database(arguments: argparse.Namespace) -> bool:
    """Whether a command line encodes a database of images."""
    return len(arguments.inputs) == 1 and is_database(arguments.inputs[0])


def run_images(arguments: argparse.Namespace) -> int:
    """Encode and print the report."""
    from inrvis.encoder.images.settings import image_training

    codec = _codec(arguments)
    training = image_training(arguments.preset, arguments.time_budget, codec)
    given = {
        "trade_off": arguments.trade_off,
        "every_view": arguments.every_view,
        "every_time": arguments.every_time,
        "steps": arguments.steps,
        "pairing": arguments.pairing,
    }
    training = replace(
        training,
        **{name: value for name, value in given.items() if value is not None},
    )
    with ProgressBar(arguments.quiet) as bar:
        report = encode_images(
            arguments.inputs[0],
            arguments.output,
            codec=codec,
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
    from inrvis.encoder.images.settings import PaperSettings

    if arguments.codec != "exact" and arguments.covers != "auto":
        raise UsageError(f"the codec {arguments.codec} has no --covers; leave it out")
    if arguments.codec in ("e-nerv", "hnerv"):
        return _network(arguments)
    quality = (arguments.ratio, arguments.bpv, arguments.psnr, arguments.max_error)
    if any(value is not None for value in quality):
        raise UsageError(
            f"the codec {arguments.codec} has no --ratio, --psnr, --bpv or --max-error: choose the "
            "quality by --trade-off"
        )
    _refuse(arguments, ("foreground", "embedding"))
    if arguments.codec == "exact":
        return _exact(arguments)
    settings = PaperSettings.named(arguments.codec)
    given = {"channels": arguments.channels, "latents": arguments.latents}
    return replace(settings, **{k: v for k, v in given.items() if v is not None})


def _exact(arguments: argparse.Namespace) -> Any:
    from inrvis.encoder.images.settings import EXACT_SIZES, ExactSettings

    auto = arguments.size == "auto"
    codec = ExactSettings(channels=0) if auto else EXACT_SIZES[arguments.size]
    covers = {"auto": None, "on": True, "off": False}[arguments.covers]
    return replace(codec, covers=covers)


def _network(arguments: argparse.Namespace) -> Any:
    from inrvis.encoder.images.settings import NervSettings

    _refuse(arguments, ("trade_off", "psnr", "max_error", "channels", "latents"))
    settings = NervSettings(arguments.codec)
    if arguments.ratio is not None:
        settings = replace(settings, target=Ratio(arguments.ratio))
    if arguments.bpv is not None:
        settings = replace(settings, target=BitRate(arguments.bpv))
    given = {"foreground": arguments.foreground, "embedding": arguments.embedding}
    return replace(settings, **{k: v for k, v in given.items() if v is not None})


def _refuse(arguments: argparse.Namespace, names: Sequence[str]) -> None:
    for name in names:
        if getattr(arguments, name) is not None:
            option = "--" + name.replace("_", "-")
            raise UsageError(f"the codec {arguments.codec} has no {option}; leave it out")
