"""A deblocking filter across the faces of blocks, to compare with blocks that overlap.

SCI smooths the seams of its blocks with the filter of H.264 (List et al. 2003), in two directions
and slice by slice. Here all faces of all three directions are filtered, x first, with thresholds
that follow from one number: how large a step across a face may be and still be taken for an
artefact.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.floating[Any]]
# First voxel and voxels along x, y and z.
Box = Sequence[int]
# Samples on either side of a face that the filter looks at.
_REACH = 4


def deblock(values: Values, boxes: Iterable[Box], step: float) -> Values:
    """Smooth the faces between ``boxes`` where they look like artefacts.

    Parameters
    ----------
    values : ndarray, shape (nz, ny, nx)
        What blocks without overlap decode to.
    boxes : iterable
        The blocks.
    step : float
        Largest step across a face that is smoothed, H.264's alpha; half of it bounds the
        differences on either side, its beta.

    Returns
    -------
    ndarray
        A copy.
    """
    result = np.array(values, dtype=np.float64)
    every = list(boxes)
    for axis in range(3):
        for box in every:
            face = box[axis]
            if not _REACH <= face <= values.shape[2 - axis] - _REACH:
                continue
            sides = [slice(box[i], box[i] + box[i + 3]) for i in range(3)]
            sides[axis] = slice(face - _REACH, face + _REACH)
            z, y, x = reversed(sides)
            _smooth(np.moveaxis(result[z, y, x], 2 - axis, 0), step)
    return result


def _smooth(line: Values, alpha: float) -> None:
    """Filter, in place, samples p3 p2 p1 p0 | q0 q1 q2 q3 along the first axis."""
    beta = alpha / 2
    p3, p2, p1, p0, q0, q1, q2, q3 = line.copy()
    edge = (np.abs(p0 - q0) < alpha) & (np.abs(p1 - p0) < beta) & (np.abs(q1 - q0) < beta)
    flat = np.abs(p0 - q0) < alpha / 4
    for side, (a3, a2, a1, a0, b0, b1) in (
        ((0, 1, 2, 3), (p3, p2, p1, p0, q0, q1)),
        ((7, 6, 5, 4), (q3, q2, q1, q0, p0, p1)),
    ):
        strong = edge & flat & (np.abs(a2 - a0) < beta)
        weak = edge & ~strong
        nearest, next_, third = side[3], side[2], side[1]
        line[nearest] = np.where(strong, (a2 + 2 * a1 + 2 * a0 + 2 * b0 + b1) / 8, line[nearest])
        line[nearest] = np.where(weak, (2 * a1 + a0 + b1) / 4, line[nearest])
        line[next_] = np.where(strong, (a2 + a1 + a0 + b0) / 4, line[next_])
        line[third] = np.where(strong, (2 * a3 + 3 * a2 + a1 + a0 + b0) / 8, line[third])
