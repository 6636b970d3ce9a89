"""The size of the exact codec for a database: what weights cost against what they save."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from inrvis.encoder.images.settings import EXACT_SIZES, ExactSettings

if TYPE_CHECKING:
    from inrvis.encoder.images.pair_encoder import PairEncoder

# Part of the time that all trials together may take.
_TRIALS = 0.25
# Weights of a candidate cost at most this many times the smallest one's part of the file.
_BITS_PER_WEIGHT = 5.0
_LEAST_BITS_PER_PIXEL = 0.02


def affordable(encoder: PairEncoder) -> list[ExactSettings]:
    """Sizes whose weights alone do not outweigh the images, the smallest one always."""
    sizes = list(EXACT_SIZES.values())
    most = _LEAST_BITS_PER_PIXEL * encoder.total_pixels / _BITS_PER_WEIGHT
    return [size for i, size in enumerate(sizes) if i == 0 or encoder.stored_weights(size) <= most]


def choose_size(encoder: PairEncoder, output: Path, seconds: float) -> ExactSettings:
    """Size whose file is the best one for this database, by short trainings of each.

    A file is judged by its bits, weights included, plus its error at the trade-off. An
    interrupted training goes on in the size it had.

    Parameters
    ----------
    encoder : PairEncoder
        The database.
    output : Path
        The file to be written.
    seconds : float
        Time for the whole encoding.
    """
    sizes = affordable(encoder)
    for size in sizes:
        encoder.use(size)
        if encoder.checkpoint(output).is_here():
            return size
    if len(sizes) == 1:
        return sizes[0]
    return _best(encoder, sizes, _TRIALS * seconds / len(sizes))


def _best(encoder: PairEncoder, sizes: Sequence[ExactSettings], seconds: float) -> ExactSettings:
    def cost(size: ExactSettings) -> float:
        encoder.use(size)
        trainer = encoder.trainer(encoder.make_model(), seconds)
        trainer.train()
        weights = 8 * encoder.export(trainer).weight_bytes
        return trainer.objective + weights / encoder.total_pixels

    return min(sizes, key=cost)
