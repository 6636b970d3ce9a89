"""What lies behind the images of a database, and whether to leave it to masks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from inrvis.bitstream.masks import encode_mask
from inrvis.container.images_header import ImageKind
from inrvis.encoder.images.pictures import Facts, Pictures, commonest, spread
from inrvis.encoder.images.stills import still_bytes

Colour = tuple[int, int, int]
# Part of an image that must have the colour of a background.
_LEAST_PART = 0.02
# Images on which masks are tried, and those that are asked for the colour.
_SAMPLES, _MOST_VOTES = 6, 48


def cut_out(pictures: Pictures, columns: Sequence[int], *, wanted: bool | None) -> Facts | None:
    """Facts by which masks restore backgrounds, or None where that is not wanted.

    A mask of the background is a stream more in each image. Masks of an alpha and of NaN are
    there anyway, and what they leave empty can be left out at no cost.

    Parameters
    ----------
    pictures : Pictures
        The images by what `look_at` gave.
    columns : sequence of int
        Column of each image: those of one have one background.
    wanted : bool, optional
        Whether to do so; by default where files of stills say that it pays.
    """
    if wanted is False:
        return None
    facts = pictures.facts
    kinds = list(facts.kinds)
    for column in sorted(set(columns)):
        own = [i for i, k in enumerate(kinds) if k.dtype == "uint8" and columns[i] == column]
        colour = _commonest(pictures, spread(own, _MOST_VOTES))
        changed = {i: _behind(pictures.pixels(i), kinds[i], colour) for i in spread(own, _SAMPLES)}
        if wanted is None and not _pays(pictures, changed):
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
    if (pixels[::4, ::4, :3] == colour).all(axis=2).mean() < _LEAST_PART:
        return kind
    return replace(kind, mask="background", background=colour)


def _commonest(pictures: Pictures, numbers: Sequence[int]) -> Colour | None:
    """The colour that is the commonest one in most images."""
    votes = Counter(_colour(commonest(pictures.pixels(image)[..., :3])) for image in numbers)
    return votes.most_common(1)[0][0] if votes else None


def _colour(values: NDArray[np.uint8]) -> Colour:
    red, green, blue = (int(v) for v in values)
    return red, green, blue


def _pays(pictures: Pictures, changed: Mapping[int, ImageKind]) -> bool:
    """Whether masks and stills without a background are smaller than stills."""
    kinds = tuple(changed.get(i, kind) for i, kind in enumerate(pictures.facts.kinds))
    pictures = pictures.seen_as(replace(pictures.facts, kinds=kinds))
    chosen = [i for i, kind in changed.items() if kind.mask == "background"]
    plain = still_bytes([pictures.pixels(i)[..., :3] for i in chosen])
    smooth = still_bytes([pictures.filled_pixels(i)[..., :3] for i in chosen])
    masks = [pictures.mask(i) for i in chosen]
    return smooth + sum(len(encode_mask(m)) for m in masks if m is not None) < plain
