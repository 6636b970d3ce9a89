"""What masks of images tell: the pixels that count, and the blocks of latents that have any."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from inrvis.bitstream.masks import decode_mask
from inrvis.container.images_file import StoredImages
from inrvis.container.images_header import ImageKind

Mask = NDArray[np.bool_]
Array = NDArray[np.float32]
# Masks that stay: the two of a pair are wanted for its latents, and again for its pictures.
_RECENT_MASKS = 8


def kept_by(kind: ImageKind, planes: Mask) -> Mask:
    """Pixels that the mask of an image does not leave empty, shape (height, width)."""
    return np.asarray(~planes[0] if kind.mask == "partial" else planes[0])


def cover_of(kind: ImageKind, planes: Mask | None) -> Mask:
    """Pixels that networks have to give.

    Parameters
    ----------
    kind : ImageKind
        What the image is.
    planes : ndarray of bool, shape (planes, height, width), or None
        Its mask, if it has one.

    Returns
    -------
    ndarray of bool, shape (height, width)
        All of them where what the mask leaves empty is not known.
    """
    if planes is None or not kind.is_cut_out:
        return np.ones((kind.height, kind.width), dtype=np.bool_)
    return kept_by(kind, planes)


def padded_cover(kind: ImageKind, cover: Mask) -> Mask:
    """``cover`` as large as the networks' pictures; nothing covers what is added."""
    height, width = kind.padded
    return np.pad(cover, ((0, height - kind.height), (0, width - kind.width)))


def covered_blocks(kind: ImageKind, cover: Mask, stride: int) -> Mask:
    """Blocks of ``stride`` pixels a side that have a covered one."""
    height, width = kind.padded
    blocks = padded_cover(kind, cover).reshape(height // stride, stride, width // stride, stride)
    return np.asarray(blocks.any(axis=(1, 3)))


def background_of(kind: ImageKind, channels: int) -> Array:
    """Channels of what is behind an image, from 0 to 1; 0 where nothing is known of it."""
    found = np.zeros(channels, dtype=np.float32)
    if kind.background is not None:
        found[:3] = np.array(kind.background[:channels], dtype=np.float32) / np.float32(255)
    return found


class Masks:
    """Masks of a file's images.

    Parameters
    ----------
    stored : StoredImages
        The file.
    """

    def __init__(self, stored: StoredImages) -> None:
        self._stored = stored
        self._recent: OrderedDict[int, Mask] = OrderedDict()

    def planes(self, image: int) -> Mask | None:
        """Mask of an image, shape (planes, height, width); None if it has none."""
        kind = self._stored.kind(image)
        if not kind.mask:
            return None
        if image in self._recent:
            self._recent.move_to_end(image)
            return self._recent[image]
        shape = (kind.mask_planes, kind.height, kind.width)
        record, outlines = self._stored.masks[image], self._stored.outlines
        mask = decode_mask(record, shape) if outlines is None else outlines.decode(record, shape)
        self._recent[image] = mask
        if len(self._recent) > _RECENT_MASKS:
            self._recent.popitem(last=False)
        return mask

    def cover(self, image: int) -> Mask:
        """Pixels of an image that networks have to give, shape (height, width)."""
        return cover_of(self._stored.kind(image), self.planes(image))

    def close(self) -> None:
        """Let go of what is cached."""
        self._recent.clear()
