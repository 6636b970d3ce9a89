"""What lies behind the images of a database, and whether to leave it to masks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from inrvis.bitstream.masks import encode_mask
from inrvis.container.images_header import ImageKind
from inrvis.encoder.images.pictures import Facts, Pictures
from inrvis.encoder.images.stills import still_bytes
from inrvis.sources.database import ImageDatabase

Colour = tuple[int, int, int]
# Part of an image that must have the colour of a background.
_LEAST_PART = 0.02
# Images on which masks are tried.
_SAMPLES = 6


def cut_out(database: ImageDatabase, facts: Facts, *, wanted: bool | None) -> Facts | None:
    """Facts by which masks restore backgrounds, or None where that is not wanted.

    A mask of the background is a stream more in each image. Masks of an alpha and of NaN are
    there anyway, and what they leave empty can be left out at no cost.

    Parameters
    ----------
    database : ImageDatabase
        The images.
    facts : Facts
        What `look_at` gave.
    wanted : bool, optional
        Whether to do so; by default where files of stills say that it pays.
    """
    if wanted is False:
        return None
    pictures = Pictures(database, facts)
    kinds = list(facts.kinds)
    places = database.first_places()
    for column in range(len(database.columns)):
        numbers = [i for i in range(len(kinds)) if places[i][1] == column]
        own = [i for i in numbers if kinds[i].dtype == "uint8"]
        colour = _commonest(pictures, own)
        for image in own:
            kinds[image] = _behind(pictures.pixels(image), kinds[image], colour)
    found = replace(facts, kinds=tuple(kinds))
    found = replace(found, channels=max(k.coded_channels for k in kinds))
    if not any(kind.is_cut_out for kind in kinds):
        return None
    added = [i for i, kind in enumerate(kinds) if kind.mask == "background"]
    if added and wanted is None and not _pays(Pictures(database, found), added):
        return None
    return found


def _behind(pixels: NDArray[np.uint8], kind: ImageKind, colour: Colour | None) -> ImageKind:
    """The kind of an image with what its mask, or one of the background, restores."""
    alpha = pixels[..., 3] if kind.channels == 4 else None
    if alpha is not None and kind.mask and not (alpha == 255).all():
        clear = pixels[alpha == 0, :3]
        if len(clear) and (clear == clear[0]).all():
            return replace(kind, background=_colour(clear[0]))
        return kind
    if (alpha is not None and not kind.mask) or colour is None:
        return kind
    part = (pixels[..., :3] == np.array(colour, dtype=np.uint8)).all(axis=2).mean()
    if part < _LEAST_PART:
        return kind
    return replace(kind, mask="background", background=colour)


def _commonest(pictures: Pictures, numbers: Sequence[int]) -> Colour | None:
    """The colour that is the commonest one in most images."""
    votes: Counter[Colour] = Counter()
    for image in numbers:
        # Every fourth pixel of every fourth row tells.
        some = pictures.pixels(image)[::4, ::4, :3].reshape(-1, 3)
        colours, counts = np.unique(some, axis=0, return_counts=True)
        votes[_colour(colours[counts.argmax()])] += 1
    return votes.most_common(1)[0][0] if votes else None


def _colour(values: NDArray[np.uint8]) -> Colour:
    red, green, blue = (int(v) for v in values)
    return red, green, blue


def _pays(pictures: Pictures, numbers: Sequence[int]) -> bool:
    """Whether masks and stills without a background are smaller than stills."""
    places = np.unique(np.linspace(0, len(numbers) - 1, _SAMPLES).round().astype(int))
    chosen = [numbers[i] for i in places]
    plain = still_bytes([pictures.pixels(i)[..., :3] for i in chosen])
    smooth = [
        np.rint(pictures.filled(i)[:3] * 255).astype(np.uint8).transpose(1, 2, 0) for i in chosen
    ]
    masks = [pictures.mask(i) for i in chosen]
    return still_bytes(smooth) + sum(len(encode_mask(m)) for m in masks if m is not None) < plain
