"""What lies behind the images of a database, and whether to leave it to masks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from inrvis.bitstream.masks import encode_mask
from inrvis.container.images_header import ImageKind
from inrvis.encoder.images.pictures import Facts, Pictures, spread
from inrvis.encoder.images.stills import still_bytes
from inrvis.sources.database import ImageDatabase

Colour = tuple[int, int, int]
# Part of an image that must have the colour of a background.
_LEAST_PART = 0.02
# Images on which masks are tried, and those that are asked for the colour.
_SAMPLES, _MOST_VOTES = 6, 48


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
        own = [i for i, k in enumerate(kinds) if k.dtype == "uint8" and places[i][1] == column]
        colour = _commonest(pictures, spread(own, _MOST_VOTES))
        changed = {i: _behind(pictures.pixels(i), kinds[i], colour) for i in spread(own, _SAMPLES)}
        if wanted is None and not _pays(database, facts, changed):
            colour = None
        for image in own:
            kinds[image] = _behind(pictures.pixels(image), kinds[image], colour)
    if not any(kind.is_cut_out for kind in kinds):
        return None
    channels = max(kind.coded_channels for kind in kinds)
    return replace(facts, kinds=tuple(kinds), channels=channels)


def _behind(pixels: NDArray[np.uint8], kind: ImageKind, colour: Colour | None) -> ImageKind:
    """The kind of an image with what its mask, or one of the background, restores."""
    alpha = pixels[..., 3] if kind.channels == 4 else None
    if alpha is not None and kind.mask and not (alpha == 255).all():
        clear = pixels[alpha == 0, :3]
        if len(clear) and (clear == clear[0]).all():
            return replace(kind, background=_colour(clear[0]))
        return kind
    if colour is None or (alpha is not None and not kind.mask):
        return kind
    if (_some(pixels) == colour).all(axis=1).mean() < _LEAST_PART:
        return kind
    return replace(kind, mask="background", background=colour)


def _some(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Colours of every fourth pixel of every fourth row."""
    return pixels[::4, ::4, :3].reshape(-1, 3)


def _commonest(pictures: Pictures, numbers: Sequence[int]) -> Colour | None:
    """The colour that is the commonest one in most images."""
    votes: Counter[Colour] = Counter()
    for image in numbers:
        colours, counts = np.unique(_some(pictures.pixels(image)), axis=0, return_counts=True)
        votes[_colour(colours[counts.argmax()])] += 1
    return votes.most_common(1)[0][0] if votes else None


def _colour(values: NDArray[np.uint8]) -> Colour:
    red, green, blue = (int(v) for v in values)
    return red, green, blue


def _pays(database: ImageDatabase, facts: Facts, changed: Mapping[int, ImageKind]) -> bool:
    """Whether masks and stills without a background are smaller than stills."""
    kinds = tuple(changed.get(i, kind) for i, kind in enumerate(facts.kinds))
    pictures = Pictures(database, replace(facts, kinds=kinds))
    chosen = [i for i, kind in changed.items() if kind.mask == "background"]
    plain = still_bytes([pictures.pixels(i)[..., :3] for i in chosen])
    smooth = still_bytes([pictures.filled_pixels(i)[..., :3] for i in chosen])
    masks = [pictures.mask(i) for i in chosen]
    return smooth + sum(len(encode_mask(m)) for m in masks if m is not None) < plain
