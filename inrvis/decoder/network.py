"""Evaluate a volume's network on boxes of voxels and at points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from inrvis.decoder.blocks import Blocks, Positions
from inrvis.decoder.sessions import Device, Graph
from inrvis.errors import GraphError

Weights = Mapping[str, NDArray[np.float32]]
Index = tuple[int, int, int]
# Evaluations a call, so that the activations of a layer stay in the cache of one core.
_BATCH = 2048
_CUDA_BATCH = 1 << 20


class Network:
    """The trunks and the head of a volume.

    Parameters
    ----------
    graphs : sequence of bytes
        ONNX models ``trunk``, ``interpolate`` and ``head``, in this order.
    trunk, head : mapping of str to ndarray
        Weights by input name; those of the trunk carry a leading block axis.
    blocks : Blocks
        Geometry of the blocks.
    features, channels : int
        Outputs of a trunk and of the head.
    device : {"auto", "cpu", "cuda"}
        Where to run.
    """

    def __init__(
        self,
        graphs: Sequence[bytes],
        trunk: Weights,
        head: Weights,
        blocks: Blocks,
        *,
        features: int,
        channels: int,
        device: Device,
    ) -> None:
        trunk_graph, interpolate_graph, head_graph = graphs
        self._trunk, self._head = Graph(trunk_graph, device), Graph(head_graph, device)
        self._interpolate = Graph(interpolate_graph, device, reshape=True)
        self._trunk_weights, self._head_weights = trunk, head
        self._blocks, self._features, self._channels = blocks, features, channels
        self._direct = blocks.axes[0].spacing == 0
        self.device = self._trunk.device
        self._batch = _BATCH if self.device == "cpu" else _CUDA_BATCH
        for graph, inputs in (
            (self._trunk, {"coordinates", *trunk}),
            (self._interpolate, {"lattice", "weights_x", "weights_y", "weights_z"}),
            (self._head, {"features", *head}),
        ):
            if set(graph.inputs) != inputs:
                raise GraphError("the file's graphs and its tensors do not belong together")

    def box(self, positions: Sequence[Positions]) -> NDArray[np.float32]:
        """Channels at the Cartesian product of voxel ``positions`` along x, y and z.

        Returns
        -------
        ndarray of float32, shape (channels, nz, ny, nx)
        """
        shape = tuple(len(p) for p in reversed(positions))
        runs = [list(a.runs(p)) for a, p in zip(self._blocks.axes, positions, strict=True)]
        result: NDArray[np.float32] | None = None
        for (bx, x, wx), (by, y, wy), (bz, z, wz) in product(*runs):
            part = [p[s] for p, s in zip(positions, (x, y, z), strict=True)]
            values = self._block_box((bx, by, bz), part)
            if values.shape[1:] == shape and all((w == 1).all() for w in (wx, wy, wz)):
                return values
            if result is None:
                result = np.zeros((len(values), *shape), dtype=np.float32)
            result[:, z, y, x] += values * (wz[:, None, None] * wy[:, None] * wx)
        if result is None:
            raise GraphError("the file's blocks do not cover its volume")
        return result

    def points(self, positions: Positions) -> NDArray[np.float32]:
        """Channels at voxel ``positions``, shape (n, 3) in the order x, y, z.

        Returns
        -------
        ndarray of float32, shape (channels, n)
        """
        result: NDArray[np.float32] | None = None
        axes = self._blocks.axes
        near_x, near_y, near_z = (a.near(positions[:, i]) for i, a in enumerate(axes))
        for block in product(near_x, near_y, near_z):
            weight = np.ones(len(positions))
            for i, (axis, b) in enumerate(zip(axes, block, strict=True)):
                weight *= axis.weight(b, positions[:, i])
            (inside,) = np.nonzero(weight)
            if len(inside) == 0:
                continue
            values = self._block_points(block, positions[inside])
            if result is None:
                result = np.zeros((len(values), len(positions)), dtype=np.float32)
            result[:, inside] += values * weight[inside].astype(np.float32)
        if result is None:
            raise GraphError("the file's blocks do not cover its volume")
        return result

    def _block_box(self, block: Index, positions: Sequence[Positions]) -> NDArray[np.float32]:
        shape = [len(p) for p in reversed(positions)]
        if self._direct:
            channels = self._values(self._features_on(block, positions))
            return channels.reshape(-1, *shape)
        axes = self._blocks.axes
        knots, weights = zip(
            *(a.interpolation(b, p) for a, b, p in zip(axes, block, positions, strict=True)),
            strict=True,
        )
        where = [
            a.domain(b)[0] + k * float(a.spacing)
            for a, b, k in zip(axes, block, knots, strict=True)
        ]
        lattice = self._features_on(block, where)
        features = self._interpolate(
            {
                "lattice": lattice.reshape(-1, *(len(k) for k in reversed(knots))),
                "weights_x": weights[0],
                "weights_y": weights[1],
                "weights_z": weights[2],
            }
        )
        return self._values(features).reshape(-1, *shape)

    def _block_points(self, block: Index, positions: Positions) -> NDArray[np.float32]:
        if self._direct:
            return self._values(self._features_at(block, positions))
        axes = self._blocks.axes
        lower, fraction = zip(
            *(
                a.cells(b, positions[:, i])
                for i, (a, b) in enumerate(zip(axes, block, strict=True))
            ),
            strict=True,
        )
        corners = np.stack(
            [np.stack(lower, axis=-1) + step for step in product((0, 1), repeat=3)], axis=1
        )
        # One integer a knot: sorting rows would take ten times as long.
        sides = corners.max(axis=(0, 1)) + 1
        keys, where = np.unique(
            np.ravel_multi_index(tuple(corners.reshape(-1, 3).T), tuple(sides)),
            return_inverse=True,
        )
        distinct = np.stack(np.unravel_index(keys, tuple(sides)), axis=-1)
        first = np.array([a.domain(b)[0] for a, b in zip(axes, block, strict=True)])
        knots = self._features_at(block, first + distinct * float(axes[0].spacing))
        where = where.reshape(len(positions), 8)
        features = np.zeros((len(knots), len(positions)), dtype=np.float32)
        for column, steps in enumerate(product((0, 1), repeat=3)):
            weight = np.ones(len(positions))
            for part, step in zip(fraction, steps, strict=True):
                weight *= part if step else 1 - part
            features += weight.astype(np.float32) * knots[:, where[:, column]]
        return self._values(features)

    def _features_on(self, block: Index, positions: Sequence[Positions]) -> NDArray[np.float32]:
        """Trunk outputs (features, n) on a Cartesian product, x fastest."""
        x, y, z = (
            self._blocks.coordinates(i, b, p)
            for i, (b, p) in enumerate(zip(block, positions, strict=True))
        )
        grid = np.empty((3, len(z), len(y), len(x)), dtype=np.float32)
        grid[0], grid[1], grid[2] = x, y[:, None], z[:, None, None]
        return self._run_trunk(block, grid.reshape(3, -1))

    def _features_at(self, block: Index, positions: Positions) -> NDArray[np.float32]:
        """Trunk outputs (features, n) at positions (n, 3)."""
        grid = [self._blocks.coordinates(i, b, positions[:, i]) for i, b in enumerate(block)]
        return self._run_trunk(block, np.stack(grid))

    def _run_trunk(self, block: Index, coordinates: NDArray[np.float32]) -> NDArray[np.float32]:
        index = self._blocks.flat(block)
        weights = {name: tensor[index] for name, tensor in self._trunk_weights.items()}
        number = coordinates.shape[1]
        features = np.empty((self._features, number), dtype=np.float32)
        for i in range(0, number, self._batch):
            part = np.ascontiguousarray(coordinates[:, i : i + self._batch])
            values = self._trunk({"coordinates": part, **weights})
            if values.shape != (self._features, part.shape[1]):
                raise GraphError("the file's trunk graph gives features of the wrong shape")
            features[:, i : i + self._batch] = values
        return features

    def _values(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        values = self._head({"features": features, **self._head_weights})
        if values.shape != (self._channels, features.shape[1]):
            raise GraphError("the file's head graph gives values of the wrong shape")
        return values
