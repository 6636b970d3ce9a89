"""`inrvis info`."""

from __future__ import annotations

import argparse
from itertools import chain
from pathlib import Path
from typing import Any

from inrvis.cli.info_images import image_facts, image_rows
from inrvis.cli.output import lines, to_json
from inrvis.container.sections import FORMAT_VERSION
from inrvis.container.series_file import read_kind, read_series, read_step, read_step_headers
from inrvis.metrics import bits_per_value, compression_ratio


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("info", help="say what an .inr file holds")
    parser.set_defaults(run=run)
    parser.add_argument("file", metavar="FILE.inr")
    parser.add_argument("--json", action="store_true")


def run(arguments: argparse.Namespace) -> int:
    """Print the facts of a file."""
    path = Path(arguments.file)
    kind = read_kind(path)
    if kind == "images":
        images = image_facts(path)
        print(to_json(images) if arguments.json else lines(image_rows(images)))
        return 0
    series = read_series(path)
    steps = max(1, len(series.header.times))
    # Of a series the last step speaks for the network: it is what the next one starts from.
    stored = read_step(path, steps - 1)
    header = stored.header
    original_bytes = steps * header.original_bytes
    values = steps * header.grid.number_of_points * header.channels
    worst: dict[str, float] = {}
    headers = read_step_headers(path)
    for array in chain.from_iterable(step.arrays for step in headers):
        for name, value in array.metrics.items():
            pick = min if name in ("psnr_db", "ssim") else max
            worst[name] = pick(worst.get(name, value), value)
    facts: dict[str, Any] = {
        "kind": kind,
        "format": FORMAT_VERSION,
        "dimensions": list(header.grid.dimensions),
        "spacing": list(header.grid.spacing),
        "origin": list(header.grid.origin),
        "direction": list(header.grid.direction),
        "arrays": [
            {
                "name": a.name,
                "dtype": a.dtype,
                "components": a.components,
                "range": [a.low, a.high],
                "layer": a.residual or None,
                **a.metrics,
            }
            for a in header.arrays
        ],
        "times": list(series.header.times),
        "model": header.model_name,
        "parameters": header.parameters,
        "encoded_bytes": series.encoded_bytes,
        "original_bytes": original_bytes,
        "compression_ratio": compression_ratio(original_bytes, series.encoded_bytes),
        "bits_per_value": bits_per_value(series.encoded_bytes, values),
        **worst,
        "models": [
            {
                "name": model.name,
                "parameters": model.parameters,
                "blocks": model.number_of_blocks,
                "knot_spacing": model.lattice.spacing,
                **model.settings,
            }
            for model in header.models
        ],
        "encoding": dict(header.encoding),
    }
    if arguments.json:
        print(to_json(facts))
        return 0
    facts["arrays"] = ", ".join(
        f"{a.name} ({a.dtype}, {a.components} component{'s'[: a.components > 1]})"
        for a in header.arrays
    )
    facts["models"] = "; ".join(
        ", ".join(f"{key} {value}" for key, value in model.items()) for model in facts["models"]
    )
    facts["encoding"] = ", ".join(f"{k} {v}" for k, v in header.encoding.items())
    print(lines({name: fact for name, fact in facts.items() if fact not in ("", [])}))
    return 0
