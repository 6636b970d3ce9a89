"""Derivatives of the continuous field of a volume."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrvis.decoder.volume import Volume
from inrvis.errors import UsageError

__all__ = ["gradient"]

# Half the distance of the two evaluations, in voxels. A central difference is off by h²/6 of the
# third derivative: 1e-5 of the slope at ten voxels a period, and 1e-2 at a fifth of a voxel, for
# networks that were fitted badly do oscillate between voxels. Shorter steps give noise: networks
# compute in float32, so values are uncertain by some 1e-6 of the range and coordinates by 1e-5
# voxels, over 2h. A power of two keeps positions exact.
_STEP = 2.0**-7


def gradient(
    volume: Volume, array: str | None, points: NDArray[np.floating[Any]]
) -> NDArray[np.float64]:
    """Gradient of the continuous field at `points`, by central differences of `Volume.sample`.

    The field of a network is smooth, except where it was clamped to the range of the source.
    Coded layers are interpolated linearly between grid points: there the gradient is that of the
    interpolation, which at a grid point is the usual central difference of its neighbours.

    Parameters
    ----------
    volume : Volume
        An open volume.
    array : str or None
        Name of the array; None for the first.
    points : ndarray, shape (n, 3)
        World coordinates (x, y, z). Points outside the grid give NaN. Differences are one-sided on
        its faces, and 0 across an axis of length 1.

    Returns
    -------
    ndarray of float64, shape (n, 3) or (n, components, 3)
        Derivatives along the world axes x, y, z, in units of the array by world units.

    Raises
    ------
    ArrayNotFoundError
        If there is no such array.
    UsageError
        If `points` are not of shape (n, 3).
    """
    points = np.asarray(points, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 3:
        raise UsageError(f"points must have shape (n, 3), not {points.shape}")
    grid = volume.grid
    components = volume.array(array).components
    low = np.array(grid.extent[::2], dtype=np.float64)
    high = np.array(grid.extent[1::2], dtype=np.float64)
    indices = grid.world_to_index(points)
    outside = np.any((indices < low - 1e-6) | (indices > high + 1e-6), axis=1)
    indices = np.clip(indices, low, high)
    # Derivatives along the index axes; the last axis of the result.
    along = np.zeros((len(points), components, 3))
    for axis in range(3):
        if low[axis] == high[axis]:
            continue
        before, after = indices.copy(), indices.copy()
        before[:, axis] = np.maximum(indices[:, axis] - _STEP, low[axis])
        after[:, axis] = np.minimum(indices[:, axis] + _STEP, high[axis])
        ends = [
            volume.sample(array, grid.index_to_world(at)).reshape(len(points), components)
            for at in (before, after)
        ]
        length = (after[:, axis] - before[:, axis])[:, None]
        with np.errstate(invalid="ignore"):  # infinities are kept exactly, and have no slope
            along[:, :, axis] = (ends[1] - ends[0]) / length
    # d/di = d/dx · dx/di, so rows are multiplied by the inverse of the steps dx/di.
    steps = grid.index_to_world(np.eye(3)) - grid.index_to_world(np.zeros((1, 3)))
    result: NDArray[np.float64] = along @ np.linalg.inv(steps).T
    result[outside] = np.nan
    return result[:, 0] if components == 1 else result
