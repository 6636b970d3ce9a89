"""Evaluate a volume's network on boxes of voxels and at points."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from inrvis.container.header import ArrayHeader
from inrvis.container.volume_file import StoredModel
from inrvis.decoder.blocks import Boxes, Positions, blocks_of
from inrvis.decoder.sessions import Device, Graph, require_provider
from inrvis.errors import GraphError

# Evaluations a call, so that the activations of a layer stay in the cache of one core.
_BATCH = 2048
_CUDA_BATCH = 1 << 20


class Network:
    """One network: the trunks of its blocks and, if it has one, the head that they share.

    Parameters
    ----------
    stored : StoredModel
        Graphs and weights; those of the trunk carry a leading block axis.
    dimensions : tuple of 3 int
        Voxels of the volume along x, y, z.
    device : {"auto", "cpu", "cuda"}
        Where to run.
    """

    def __init__(
        self, stored: StoredModel, dimensions: tuple[int, int, int], device: Device
    ) -> None:
        self.channels = list(stored.header.channels)
        self._features = stored.header.lattice.features
        self._blocks = blocks_of(dimensions, stored.header.lattice)
        trunk, interpolate, head = stored.graphs
        self._trunk = _graph(trunk, device, {"coordinates", *stored.trunk})
        self._interpolate = self._head = None
        if interpolate is not None:
            weights = {"weights_x", "weights_y", "weights_z"}
            self._interpolate = _graph(interpolate, device, {"lattice", *weights}, reshape=True)
        if head is not None:
            self._head = _graph(head, device, {"features", *stored.head})
        self._trunk_weights, self._head_weights = stored.trunk, stored.head
        self.partial = self._blocks.partial
        self.device = self._trunk.device
        self._batch = _BATCH if self.device == "cpu" else _CUDA_BATCH

    def add_box(self, positions: Sequence[Positions], sums: Sums) -> None:
        """Add this network's part on the Cartesian product of ``positions`` along x, y and z.

        Sums have the shapes (channels, nz, ny, nx) and (nz, ny, nx).
        """
        for block, runs in self._blocks.covering(positions):
            (x, wx), (y, wy), (z, wz) = runs
            part = [p[s] for p, s in zip(positions, (x, y, z), strict=True)]
            weight = wz[:, None, None] * wy[:, None] * wx
            sums.add(self, (z, y, x), self._block_box(block, part), weight)

    def add_points(self, positions: Positions, sums: Sums) -> None:
        """Add this network's part at ``positions``, shape (n, 3) in the order x, y, z.

        Sums have the shapes (channels, n) and (n,).
        """
        for block, weight in self._blocks.near(positions):
            (inside,) = np.nonzero(weight)
            values = self._block_points(block, positions[inside])
            sums.add(self, (inside,), values, weight[inside].astype(np.float32))

    def _block_box(self, block: int, positions: Sequence[Positions]) -> NDArray[np.float32]:
        shape = [len(p) for p in reversed(positions)]
        if self._interpolate is None or isinstance(self._blocks, Boxes):
            channels = self._values(self._features_on(block, positions))
            return channels.reshape(-1, *shape)
        axes, place = self._blocks.axes, self._blocks.at(block)
        knots, weights = zip(
            *(a.interpolation(b, p) for a, b, p in zip(axes, place, positions, strict=True)),
            strict=True,
        )
        where = [
            a.domain(b)[0] + k * float(a.spacing)
            for a, b, k in zip(axes, place, knots, strict=True)
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

    def _block_points(self, block: int, positions: Positions) -> NDArray[np.float32]:
        if self._interpolate is None or isinstance(self._blocks, Boxes):
            return self._values(self._features_at(block, positions))
        axes, place = self._blocks.axes, self._blocks.at(block)
        lower, fraction = zip(
            *(
                a.cells(b, positions[:, i])
                for i, (a, b) in enumerate(zip(axes, place, strict=True))
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
        first = np.array([low for low, _ in self._blocks.domain(block)])
        knots = self._features_at(block, first + distinct * float(axes[0].spacing))
        where = where.reshape(len(positions), 8)
        features = np.zeros((len(knots), len(positions)), dtype=np.float32)
        for column, steps in enumerate(product((0, 1), repeat=3)):
            weight = np.ones(len(positions))
            for part, step in zip(fraction, steps, strict=True):
                weight *= part if step else 1 - part
            features += weight.astype(np.float32) * knots[:, where[:, column]]
        return self._values(features)

    def _features_on(self, block: int, positions: Sequence[Positions]) -> NDArray[np.float32]:
        """Trunk outputs (features, n) on a Cartesian product, x fastest."""
        x, y, z = (self._blocks.coordinates(i, block, p) for i, p in enumerate(positions))
        grid = np.empty((3, len(z), len(y), len(x)), dtype=np.float32)
        grid[0], grid[1], grid[2] = x, y[:, None], z[:, None, None]
        return self._run_trunk(block, grid.reshape(3, -1))

    def _features_at(self, block: int, positions: Positions) -> NDArray[np.float32]:
        """Trunk outputs (features, n) at positions (n, 3)."""
        grid = [self._blocks.coordinates(i, block, positions[:, i]) for i in range(3)]
        return self._run_trunk(block, np.stack(grid))

    def _run_trunk(self, block: int, coordinates: NDArray[np.float32]) -> NDArray[np.float32]:
        weights = {name: tensor[block] for name, tensor in self._trunk_weights.items()}
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
        if self._head is None:
            return features
        values = self._head({"features": features, **self._head_weights})
        if values.shape != (len(self.channels), features.shape[1]):
            raise GraphError("the file's head graph gives values of the wrong shape")
        return values


def _graph(data: bytes, device: Device, inputs: set[str], *, reshape: bool = False) -> Graph:
    graph = Graph(data, device, reshape=reshape)
    if set(graph.inputs) != inputs:
        raise GraphError("the file's graphs and its tensors do not belong together")
    return graph


class Sums:
    """Weighted sums of what networks give, and sums of the weights where these may not be one."""

    def __init__(self, networks: Sequence[Network], channels: int, shape: tuple[int, ...]) -> None:
        self._values = np.zeros((channels, *shape), dtype=np.float32)
        self._weights = {
            tuple(n.channels): np.zeros(shape, dtype=np.float32) for n in networks if n.partial
        }

    def add(
        self,
        network: Network,
        where: tuple[slice, ...] | tuple[NDArray[np.int64]],
        values: NDArray[np.float32],
        weight: NDArray[np.float32],
    ) -> None:
        """Add ``values``, shape (channels, ...), times ``weight``, at ``where``."""
        for channel, row in zip(network.channels, values, strict=True):
            self._values[(channel, *where)] += row * weight
        if network.partial:
            self._weights[tuple(network.channels)][where] += weight

    def means(self) -> NDArray[np.float32]:
        """Channels, shape (channels, ...)."""
        for channels, weights in self._weights.items():
            if not (weights > 0).all():
                raise GraphError("the file's blocks do not cover its volume")
            for channel in channels:
                self._values[channel] /= weights
        return self._values


class Networks:
    """All networks of a volume."""

    def __init__(
        self,
        models: Sequence[StoredModel],
        dimensions: tuple[int, int, int],
        channels: int,
        device: Device,
    ) -> None:
        # A file of coded layers alone makes no session that would notice.
        require_provider(device)
        self._networks = [Network(model, dimensions, device) for model in models]
        self._channels = channels

    @property
    def device(self) -> Literal["cpu", "cuda"]:
        """Where they run."""
        return "cuda" if any(n.device == "cuda" for n in self._networks) else "cpu"

    def give(self, array: ArrayHeader) -> bool:
        """Whether a network gives a component of ``array``."""
        return bool(self._giving([array]))

    def box(
        self, positions: Sequence[Positions], arrays: Sequence[ArrayHeader]
    ) -> NDArray[np.float32]:
        """Channels of ``arrays`` at the Cartesian product of voxel ``positions`` along x, y, z.

        Returns
        -------
        ndarray of float32, shape (channels, nz, ny, nx)
            Zero in channels that no network gives; any others may be zero, too.
        """
        networks = self._giving(arrays)
        sums = Sums(networks, self._channels, tuple(len(p) for p in reversed(positions)))
        for network in networks:
            network.add_box(positions, sums)
        return sums.means()

    def points(self, positions: Positions, array: ArrayHeader) -> NDArray[np.float32]:
        """Channels of ``array`` at voxel ``positions``, shape (n, 3) in the order x, y, z.

        Returns
        -------
        ndarray of float32, shape (channels, n)
        """
        networks = self._giving([array])
        sums = Sums(networks, self._channels, (len(positions),))
        for network in networks:
            network.add_points(positions, sums)
        return sums.means()

    def _giving(self, arrays: Sequence[ArrayHeader]) -> list[Network]:
        """Networks that give a channel of ``arrays``."""
        wanted = {c for a in arrays for c in range(a.channel, a.channel + a.components)}
        return [n for n in self._networks if not wanted.isdisjoint(n.channels)]
