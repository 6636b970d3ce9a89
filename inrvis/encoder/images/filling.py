"""Images whose background is to be left out, made smooth where it was."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]
_NEIGHBOURS = np.ones((3, 3), dtype=np.bool_)
# How far from inner pixels those of the rim may lie for their colours to be of no use.
_REACH = 2


def inner(cover: Mask) -> Mask:
    """Covered pixels that are not mixed with the background: none of their neighbours is of it.

    Where there is no such pixel nearby, as in lines, the rim is all there is and stays.
    """
    found = ndimage.binary_erosion(cover, _NEIGHBOURS, border_value=True)
    near = ndimage.binary_dilation(found, _NEIGHBOURS, iterations=_REACH)
    return np.asarray(found | (cover & ~near))


def filled(pixels: NDArray[Any], known: Mask) -> NDArray[Any]:
    """Replace all pixels but the known ones by means of those around, the nearest scale first.

    Parameters
    ----------
    pixels : ndarray, shape (height, width) or (height, width, channels)
        Image.
    known : ndarray of bool, shape (height, width)
        Pixels to be kept.

    Returns
    -------
    ndarray
        Of the same shape and type.
    """
    if known.all() or not known.any():
        return pixels
    values = pixels.reshape(*known.shape, -1).astype(np.float32)
    values[~known] = 0
    result = _filled(values, known.astype(np.float32))
    if pixels.dtype == np.uint8:
        result = np.rint(result)
    return np.asarray(result.astype(pixels.dtype).reshape(pixels.shape))


def _filled(values: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Push the known values down a pyramid, and pull means up to where there are none."""
    if weights.all():
        return values
    height, width = weights.shape
    pad = ((0, height % 2), (0, width % 2))
    padded = np.pad(values * weights[..., None], (*pad, (0, 0)))
    total = _halved(np.pad(weights, pad)[..., None])
    means = _halved(padded) / np.maximum(total, 1e-9)
    coarse = _filled(means, (total[..., 0] > 0).astype(np.float32))
    fine = ndimage.zoom(coarse, (2, 2, 1), order=1, mode="nearest", grid_mode=True)
    fine = fine[:height, :width]
    return np.where(weights[..., None] > 0, values, fine).astype(np.float32)


def _halved(values: NDArray[np.float32]) -> NDArray[np.float32]:
    height, width, channels = values.shape
    blocks = values.reshape(height // 2, 2, width // 2, 2, channels)
    return np.asarray(blocks.mean(axis=(1, 3), dtype=np.float32))
