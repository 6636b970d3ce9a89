"""`inrvis info` of a database of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from inrvis.container.images_file import read_images
from inrvis.container.images_header import CodecHeader
from inrvis.container.implicit_header import ImplicitHeader
from inrvis.container.sections import FORMAT_VERSION
from inrvis.metrics import compression_ratio


def image_facts(path: Path) -> dict[str, Any]:
    """Facts of a file of images, for JSON."""
    stored = read_images(path)
    header, tables = stored.header, stored.tables
    kinds = [header.kinds[number] for number in tables.kinds]
    original_bytes = sum(kind.nbytes for kind in kinds)
    pixels = sum(kind.height * kind.width for kind in kinds)
    return {
        "kind": "images",
        "format": FORMAT_VERSION,
        "parameters_of_images": {p.name: list(p.values) for p in header.parameters},
        "columns": list(header.columns),
        "cells": header.cells,
        "images": header.images,
        "pairs": sum(right >= 0 for _, right in tables.pairs),
        "sizes": [[k.width, k.height, k.channels, k.dtype] for k in header.kinds],
        "masks": [k.mask for k in header.kinds],
        "model": header.codec.name,
        "arithmetic": _arithmetic(header.codec),
        "between_stored": "interpolated" if header.codec.interpolates else "nearest",
        "parameters": header.codec.parameters,
        "encoded_bytes": stored.encoded_bytes,
        "original_bytes": original_bytes,
        "compression_ratio": compression_ratio(original_bytes, stored.encoded_bytes),
        "bits_per_pixel": 8 * stored.encoded_bytes / pixels,
        **header.metrics,
        "encoding": dict(header.encoding),
    }


def _arithmetic(codec: CodecHeader | ImplicitHeader) -> str:
    """Arithmetic of the networks that pick probabilities; one that gives images picks none."""
    if not isinstance(codec, CodecHeader):
        return "none"
    return "integer" if codec.exact else "float"


def image_rows(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the same for people."""
    rows = dict(facts)
    rows["parameters_of_images"] = ", ".join(
        f"{name} ({len(values)} value{'s'[: len(values) != 1]})"
        for name, values in facts["parameters_of_images"].items()
    )
    rows["columns"] = ", ".join(facts["columns"])
    rows["sizes"] = "; ".join(f"{w}x{h}, {c} x {t}" for w, h, c, t in facts["sizes"])
    rows["masks"] = ", ".join(dict.fromkeys(mask or "none" for mask in facts["masks"]))
    rows["between_stored"] = {
        "interpolated": "interpolated by the network, and said so",
        "nearest": "the nearest stored image",
    }[facts["between_stored"]]
    rows["encoding"] = ", ".join(f"{k} {v}" for k, v in facts["encoding"].items())
    return rows
