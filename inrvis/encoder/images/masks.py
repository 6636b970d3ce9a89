"""Masks of all images, coded by shared tables of outlines or each for itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inrvis.bitstream.masks import encode_mask
from inrvis.bitstream.outlines import learn_outlines
from inrvis.encoder.images.pictures import Pictures, spread

# Masks that tables are learned from, and those that tell whether they pay.
_MOST_LEARNED, _MOST_TRIED = 256, 8


@dataclass(frozen=True)
class CodedMasks:
    """Masks as a file takes them.

    Attributes
    ----------
    records : mapping of int to bytes
        By the numbers of the images that have one.
    outlines : bytes
        The tables they are coded with; empty if each stands for itself.
    """

    records: Mapping[int, bytes]
    outlines: bytes = b""


def coded_masks(pictures: Pictures) -> CodedMasks:
    """Code the masks of all images in the way that takes less."""
    numbers = [i for i in range(len(pictures)) if pictures.facts.kinds[i].mask]
    if not numbers:
        return CodedMasks({})
    outlines = learn_outlines([_mask(pictures, i) for i in spread(numbers, _MOST_LEARNED)])
    tables = outlines.to_bytes()
    tried = [_mask(pictures, i) for i in spread(numbers, _MOST_TRIED)]
    saved = sum(len(encode_mask(m)) - len(outlines.encode(m)) for m in tried)
    if saved * len(numbers) / len(tried) <= len(tables):
        return CodedMasks({i: encode_mask(_mask(pictures, i)) for i in numbers})
    return CodedMasks({i: outlines.encode(_mask(pictures, i)) for i in numbers}, tables)


def _mask(pictures: Pictures, image: int) -> NDArray[np.bool_]:
    mask = pictures.mask(image)
    if mask is None:
        raise ValueError(f"image {image} has no mask")
    return mask
