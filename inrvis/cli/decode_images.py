"""`inrvis decode` of a database of images."""

from __future__ import annotations

import argparse
from pathlib import Path

from inrvis.cli.output import ProgressBar
from inrvis.decoder.images import Images
from inrvis.errors import ArrayNotFoundError, UsageError
from inrvis.parameters import Cell
from inrvis.sources.cinema_writer import check_folder, write


def decode_images(arguments: argparse.Namespace) -> int:
    """Decode all images, or those of the wanted columns, into a Cinema database."""
    if (
        arguments.extent
        or arguments.stride != 1
        or arguments.time_index
        or arguments.layers != "all"
    ):
        raise UsageError(
            f"{arguments.file} holds images, which have no --extent, --stride, --time-index or "
            "--layers; leave them out"
        )
    if Path(arguments.output).suffix.lower() in (".vti", ".npy"):
        raise UsageError(
            f"{arguments.file} holds images, which become the folder of a Cinema database; "
            f"{arguments.output} names a file of a volume"
        )
    check_folder(arguments.output)
    with Images(arguments.file, arguments.device) as images:
        columns = list(dict.fromkeys(arguments.arrays or images.columns))
        unknown = [name for name in columns if name not in images.columns]
        if unknown:
            raise ArrayNotFoundError(
                f"{arguments.file} has no column {', '.join(unknown)}; it has "
                f"{', '.join(images.columns)}"
            )
        positions = [images.columns.index(name) for name in columns]
        cells = [Cell(c.values, tuple(c.images[p] for p in positions)) for c in images.cells]
        with ProgressBar(arguments.quiet) as bar:
            write(
                arguments.output,
                images.parameters,
                columns,
                cells,
                images.decode,
                progress=bar.fraction,
            )
    return 0
