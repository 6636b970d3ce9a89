"""Options of `inrvis encode` that choose and shape a model."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

from inrvis.errors import UsageError

# Options that are None unless given, and the models that take them.
_MODELS_OF = {
    "profile": ("fourier", "sci"),
    "layers": ("fourier", "sci"),
    **dict.fromkeys(
        ("mask", "dilations", "threshold", "keep_mask", "features", "multiplier", "width"),
        ("fourier",),
    ),
    **dict.fromkeys(("blocks", "partition", "allocation", "funnel"), ("sci",)),
}


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add --model and the options of single models."""
    parser.add_argument(
        "--model",
        choices=("auto", "siren", "fourier", "sci", "none"),
        default="auto",
        help="a network, coded layers alone (none), or what keeps the target best (auto)",
    )
    group = parser.add_argument_group("models fourier and sci")
    group.add_argument(
        "--profile",
        choices=("default", "paper"),
        help="paper: the published sizes and optimiser, weights as float32",
    )
    group.add_argument("--layers", type=int, metavar="M", help="fourier: hidden layers; sci: all")
    group.add_argument(
        "--mask", choices=("all", "bbx", "avm"), help="fourier: voxels to train on (all)"
    )
    group.add_argument(
        "--dilations", type=int, metavar="L", help="fourier: grow --mask avm L times"
    )
    group.add_argument(
        "--threshold",
        type=float,
        metavar="F",
        help="fourier: active voxels differ from the background by this fraction of the range",
    )
    group.add_argument(
        "--keep-mask",
        action="store_true",
        default=None,
        help="fourier: restore the background exactly",
    )
    group.add_argument("--features", type=int, metavar="K", help="fourier: Fourier features")
    group.add_argument("--multiplier", type=float, metavar="G", help="fourier: Gauss multiplier")
    group.add_argument("--width", type=int, metavar="N", help="fourier: neurons of a layer")
    group.add_argument("--blocks", type=int, metavar="A", help="sci: blocks at most (a_max)")
    group.add_argument(
        "--partition",
        choices=("octree", "equidistant", "whole"),
        help="sci: by concentration of the spectrum, evenly, or none",
    )
    group.add_argument(
        "--allocation",
        choices=("size_over_concentration", "size", "concentration", "equal"),
        help="sci: what a block's parameters are proportional to",
    )
    group.add_argument("--funnel", type=float, metavar="FR", help="sci: ratio of the funnel")


def model_of(arguments: argparse.Namespace) -> Any:
    """Model of a command line: its name, or its settings where it has any.

    Raises
    ------
    UsageError
        If an option belongs to another model.
    """
    model = arguments.model
    for name, models in _MODELS_OF.items():
        if getattr(arguments, name) is not None and model not in models:
            option = "--" + name.replace("_", "-")
            raise UsageError(f"{option} is an option of --model {' and '.join(models)}")
    if model not in ("fourier", "sci"):
        return model
    from inrvis.encoder.masks import MaskSettings
    from inrvis.encoder.octree import PartitionSettings
    from inrvis.encoder.settings import FourierSettings, SciSettings

    published = arguments.profile == "paper"
    if model == "fourier":
        if arguments.mask != "avm" and arguments.dilations is not None:
            raise UsageError("--dilations goes with --mask avm")
        mask = MaskSettings(
            **_given(
                kind=arguments.mask, dilations=arguments.dilations, threshold=arguments.threshold
            )
        )
        settings = FourierSettings.paper(mask) if published else FourierSettings(mask=mask)
        return replace(
            settings,
            **_given(
                keep_mask=arguments.keep_mask,
                features=arguments.features,
                multiplier=arguments.multiplier,
                layers=arguments.layers,
                width=arguments.width,
            ),
        )
    return replace(
        SciSettings.paper() if published else SciSettings(),
        spectrum=PartitionSettings(**_given(most_blocks=arguments.blocks)),
        **_given(
            partition=arguments.partition,
            allocation=arguments.allocation,
            layers=arguments.layers,
            ratio=arguments.funnel,
        ),
    )


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}
