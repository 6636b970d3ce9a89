"""Tiles: how a read is cut up, and the small cache of those decoded last."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from itertools import pairwise, product
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

# A tile's features and activations (16 channels of float32 for each voxel) should stay in a
# core's share of the last-level cache; on a GPU, launches should be few instead.
_TILE_SHAPE = {"cpu": (16, 32, 64), "cuda": (64, 128, 128)}


def tiles(
    positions: Sequence[NDArray[np.int64]], stride: int, device: str
) -> list[tuple[slice, slice, slice]]:
    """Cut a read into slices of its output (z, y, x).

    The cuts lie at fixed places of the volume, not of the read: a read that is shifted or grown
    by a ghost layer finds most of its tiles in the cache.

    Parameters
    ----------
    positions : sequence of ndarray
        Voxels read along x, y and z.
    stride : int
        Their distance.
    device : str
        Where the tiles are decoded.
    """
    edges = []
    for along, step in zip(reversed(positions), _TILE_SHAPE[device], strict=True):
        phase = int(along[0]) // stride % step
        cuts = [0, *range(step - phase, len(along), step), len(along)]
        edges.append([slice(a, b) for a, b in pairwise(cuts)])
    return [(z, y, x) for z, y, x in product(*edges)]


class TileCache:
    """The tiles decoded last, up to ``capacity_bytes``; safe to share between threads."""

    def __init__(self, capacity_bytes: int = 64 << 20) -> None:
        self._capacity = capacity_bytes
        self._bytes = 0
        self._tiles: OrderedDict[Hashable, NDArray[Any]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable) -> NDArray[Any] | None:
        """Return the tile of ``key``, or None."""
        with self._lock:
            if key in self._tiles:
                self._tiles.move_to_end(key)
            return self._tiles.get(key)

    def put(self, key: Hashable, tile: NDArray[Any]) -> None:
        """Keep ``tile``, dropping the ones used longest ago."""
        with self._lock:
            if key in self._tiles or tile.nbytes > self._capacity:
                return
            self._tiles[key] = tile
            self._bytes += tile.nbytes
            while self._bytes > self._capacity:
                _, dropped = self._tiles.popitem(last=False)
                self._bytes -= dropped.nbytes

    def clear(self) -> None:
        """Forget every tile."""
        with self._lock:
            self._tiles.clear()
            self._bytes = 0
