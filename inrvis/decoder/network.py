"""Evaluate a volume's network on boxes of voxels and at points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from inrvis.decoder.lattice import Axis, Lattice
from inrvis.decoder.sessions import Device, Graph
from inrvis.errors import GraphError

Weights = Mapping[str, NDArray[np.float32]]
# Knots a call of the trunk: its activations stay in the cache of one core.
_TRUNK_BATCH = 2048
_POINT_BATCH = 65536


class Network:
    """The trunk on the lattice's knots, the interpolation between them, and the head on voxels.

    Parameters
    ----------
    graphs : sequence of bytes
        ONNX models ``trunk``, ``interpolate`` and ``head``, in this order.
    trunk, head : mapping of str to ndarray
        Weights by input name; those of the trunk carry a leading block axis.
    lattice : Lattice
        Where the trunk is evaluated.
    features : int
        Number of features of a knot.
    device : {"auto", "cpu", "cuda"}
        Where to run.
    """

    def __init__(
        self,
        graphs: Sequence[bytes],
        trunk: Weights,
        head: Weights,
        lattice: Lattice,
        features: int,
        device: Device,
    ) -> None:
        self._trunk, self._interpolate, self._head = (Graph(data, device) for data in graphs)
        self._trunk_weights, self._head_weights = trunk, head
        self.lattice, self._features = lattice, features
        self.device = self._trunk.device
        for graph, inputs in (
            (self._trunk, {"coordinates", *trunk}),
            (self._interpolate, {"lattice", "weights_x", "weights_y", "weights_z"}),
            (self._head, {"features", *head}),
        ):
            if set(graph.inputs) != inputs:
                raise GraphError("the file's graphs and its tensors do not belong together")

    def box(self, positions: Sequence[NDArray[np.floating]]) -> NDArray[np.float32]:
        """Channels at the Cartesian product of voxel ``positions`` along x, y and z.

        Returns
        -------
        ndarray of float32, shape (channels, nz, ny, nx)
        """
        knots, weights = zip(
            *(a.interpolation(p) for a, p in zip(self.lattice.axes, positions, strict=True)),
            strict=True,
        )
        features = self._interpolate(
            {
                "lattice": self._knots(knots),
                "weights_x": weights[0],
                "weights_y": weights[1],
                "weights_z": weights[2],
            }
        )
        channels = self._head({"features": features, **self._head_weights})
        return channels.reshape(-1, *(len(p) for p in reversed(positions)))

    def points(self, positions: NDArray[np.floating]) -> NDArray[np.float32]:
        """Channels at voxel ``positions``, shape (n, 3) in the order x, y, z.

        Returns
        -------
        ndarray of float32, shape (channels, n)
        """
        parts = [
            self._some_points(positions[i : i + _POINT_BATCH])
            for i in range(0, len(positions), _POINT_BATCH)
        ]
        return np.concatenate(parts, axis=1)

    def _some_points(self, positions: NDArray[np.floating]) -> NDArray[np.float32]:
        axes = self.lattice.axes
        lower, fraction = zip(
            *(axis.cells(positions[:, i]) for i, axis in enumerate(axes)), strict=True
        )
        corners = np.zeros((len(positions), 8), dtype=np.int64)
        weights = np.ones((len(positions), 8), dtype=np.float32)
        for column, steps in enumerate(product((0, 1), repeat=3)):
            index = np.zeros(len(positions), dtype=np.int64)
            for axis, low, part, step in reversed(
                list(zip(axes, lower, fraction, steps, strict=True))
            ):
                index = index * axis.knots + np.minimum(low + step, axis.knots - 1)
                weights[:, column] *= part if step else 1 - part
            corners[:, column] = index
        distinct, where = np.unique(corners, return_inverse=True)
        where = where.reshape(corners.shape)
        knots = self._scattered_knots(distinct)
        features = np.zeros((len(positions), self._features), dtype=np.float32)
        for column in range(8):
            features += weights[:, column, None] * knots[where[:, column]]
        return self._head(
            {"features": np.ascontiguousarray(features.T), **self._head_weights}
        )

    def _knots(self, knots: Sequence[NDArray[np.int64]]) -> NDArray[np.float32]:
        """Features on the Cartesian product of ``knots`` (x, y, z); shape (features, z, y, x)."""
        shape = tuple(len(k) for k in reversed(knots))
        lattice = np.empty((self._features, *shape), dtype=np.float32)
        runs = [_runs(axis, k) for axis, k in zip(self.lattice.axes, knots, strict=True)]
        for (bx, sx), (by, sy), (bz, sz) in product(*runs):
            x, y, z = (
                self.lattice.coordinates(axis, k[s])
                for axis, k, s in zip(self.lattice.axes, knots, (sx, sy, sz), strict=True)
            )
            grid = np.stack(np.meshgrid(z, y, x, indexing="ij")[::-1], axis=-1)
            values = self._run_trunk(self._block(bx, by, bz), grid.reshape(-1, 3))
            lattice[:, sz, sy, sx] = values.T.reshape(-1, *grid.shape[:3])
        return lattice

    def _scattered_knots(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Features of single knots given by flat index (x fastest); shape (n, features)."""
        x, y, z = self.lattice.axes
        knots = (indices % x.knots, indices // x.knots % y.knots, indices // (x.knots * y.knots))
        grid = np.stack(
            [
                self.lattice.coordinates(axis, k)
                for axis, k in zip(self.lattice.axes, knots, strict=True)
            ],
            axis=-1,
        )
        block = self._block(*(k // a.knots_per_block for a, k in zip((x, y, z), knots, strict=True)))
        values = np.empty((len(indices), self._features), dtype=np.float32)
        for one in np.unique(block):
            values[block == one] = self._run_trunk(int(one), grid[block == one])
        return values

    def _block(self, x: int, y: int, z: int) -> int:
        lattice = self.lattice
        return x + lattice.x.blocks * (y + lattice.y.blocks * z)

    def _run_trunk(self, block: int, coordinates: NDArray[np.float32]) -> NDArray[np.float32]:
        weights = {name: tensor[block] for name, tensor in self._trunk_weights.items()}
        batches = [
            self._trunk({"coordinates": coordinates[i : i + _TRUNK_BATCH], **weights})
            for i in range(0, len(coordinates), _TRUNK_BATCH)
        ]
        features = batches[0] if len(batches) == 1 else np.concatenate(batches)
        if features.shape != (len(coordinates), self._features):
            raise GraphError("the file's trunk graph gives features of the wrong shape")
        return features


def _runs(axis: Axis, knots: NDArray[np.int64]) -> list[tuple[int, slice]]:
    """Split ascending ``knots`` into (block, slice) by the block that owns them."""
    block = knots // axis.knots_per_block
    starts = np.flatnonzero(np.diff(block, prepend=-1))
    stops = np.append(starts[1:], len(knots))
    return [
        (int(block[start]), slice(int(start), int(stop)))
        for start, stop in zip(starts, stops, strict=True)
    ]
