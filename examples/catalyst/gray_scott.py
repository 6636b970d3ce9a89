"""A reaction-diffusion solver in three dimensions, split over MPI ranks.

The model of Gray and Scott: a chemical u is fed at a rate F, turns into v where there is v, and v
decays at a rate F + k,

    du/dt = Du ∇²u - u v² + F (1 - u)        dv/dt = Dv ∇²v + u v² - (F + k) v

on a periodic grid, by explicit Euler steps with the Laplacian of seven points. With the values
below, spots grow, move and divide (Pearson, Science 261, 1993), so no step is like the last one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]


@dataclass(frozen=True)
class Parameters:
    """Diffusion, feed and decay, for a grid of unit spacing; `dt` keeps 6 Du dt below 1."""

    du: float = 0.2
    dv: float = 0.1
    feed: float = 0.03
    kill: float = 0.06
    dt: float = 0.8


class Domain:
    """The part of a periodic grid that this rank owns, and its six neighbours.

    Parameters
    ----------
    dimensions : tuple of 3 int
        Points of the whole grid along x, y and z.
    communicator : mpi4py.MPI.Comm, optional
        Ranks to share the grid among; None for all of it.

    Attributes
    ----------
    start, stop : tuple of 3 int
        First own point along x, y and z, and the one after the last.
    """

    def __init__(self, dimensions: tuple[int, int, int], communicator: Any = None) -> None:
        self.dimensions, self.communicator = dimensions, communicator
        self._cartesian = None
        ranks, place = [1, 1, 1], [0, 0, 0]
        if communicator is not None and communicator.size > 1:
            from mpi4py import MPI

            # The longest axes take the most ranks.
            cuts = sorted(MPI.Compute_dims(communicator.size, 3), reverse=True)
            for axis, cut in zip(sorted(range(3), key=lambda a: -dimensions[a]), cuts, strict=True):
                ranks[axis] = cut
            self._cartesian = communicator.Create_cart(ranks, periods=[True] * 3)
            place = self._cartesian.coords
        cuts = [[n * k // r for k in range(r + 1)] for n, r in zip(dimensions, ranks, strict=True)]
        self.start = tuple(cut[p] for cut, p in zip(cuts, place, strict=True))
        self.stop = tuple(cut[p + 1] for cut, p in zip(cuts, place, strict=True))

    @property
    def rank(self) -> int:
        """Number of this rank."""
        return 0 if self.communicator is None else int(self.communicator.rank)

    @property
    def size(self) -> tuple[int, int, int]:
        """Own points along x, y and z."""
        nx, ny, nz = (b - a for a, b in zip(self.start, self.stop, strict=True))
        return nx, ny, nz

    def fill_halo(self, field: Field) -> None:
        """Copy the neighbours' outermost layers around the own points of ``field`` (z, y, x).

        One axis after the other, halos included, so that edges and corners come along.
        """
        for axis in range(3):
            along = 2 - axis

            def layer(k: int, along: int = along) -> tuple[Any, ...]:
                return tuple(k if a == along else slice(None) for a in range(3))

            for send, receive, step in ((-2, 0, 1), (1, -1, -1)):
                if self._cartesian is None:
                    field[layer(receive)] = field[layer(send)]
                    continue
                source, target = self._cartesian.Shift(axis, step)
                outgoing = np.ascontiguousarray(field[layer(send)])
                incoming = np.empty_like(outgoing)
                self._cartesian.Sendrecv(outgoing, target, 0, incoming, source, 0)
                field[layer(receive)] = incoming


class GrayScott:
    """The state of the simulation on one rank; fields have a halo of one layer on every side."""

    def __init__(
        self, domain: Domain, parameters: Parameters | None = None, spots: int = 12, seed: int = 0
    ) -> None:
        self.domain, self._parameters = domain, parameters or Parameters()
        self.step = 0
        nx, ny, nz = domain.size
        self._u: Field = np.ones((nz + 2, ny + 2, nx + 2), np.float32)
        self._v: Field = np.zeros_like(self._u)
        # Every rank draws the same spots, so that the start does not depend on their number.
        random = np.random.default_rng(seed)
        radius = max(3.0, min(domain.dimensions) / 10)
        axes = [np.arange(a - 1, b + 1) for a, b in zip(domain.start, domain.stop, strict=True)]
        for centre in random.random((spots, 3)) * domain.dimensions:
            x, y, z = (
                np.abs((axis - c + n / 2) % n - n / 2)
                for axis, c, n in zip(axes, centre, domain.dimensions, strict=True)
            )
            inside = z[:, None, None] ** 2 + y[:, None] ** 2 + x**2 < radius**2
            self._u[inside], self._v[inside] = 0.5, 0.25

    @property
    def time(self) -> float:
        """Simulated time."""
        return self.step * self._parameters.dt

    def advance(self, steps: int) -> None:
        """Take time steps."""
        p = self._parameters
        u, v = self._u, self._v
        own = (slice(1, -1),) * 3
        for _ in range(steps):
            self.domain.fill_halo(u)
            self.domain.fill_halo(v)
            reaction = u[own] * v[own] ** 2
            du = p.du * laplacian(u) - reaction + p.feed * (1 - u[own])
            dv = p.dv * laplacian(v) + reaction - (p.feed + p.kill) * v[own]
            u[own] += np.float32(p.dt) * du
            v[own] += np.float32(p.dt) * dv
            self.step += 1

    def piece(self) -> tuple[tuple[int, int, int, int, int, int], dict[str, Field]]:
        """Extent of this rank's points and the fields on it, shape (nz, ny, nx).

        Image data of neighbouring ranks share a layer of points, so that no cell is missing
        between them: the halo above the own points is part of the piece.
        """
        self.domain.fill_halo(self._u)
        self.domain.fill_halo(self._v)
        last = [
            min(s, n - 1) for s, n in zip(self.domain.stop, self.domain.dimensions, strict=True)
        ]
        start = self.domain.start
        box = tuple(slice(1, last[a] - start[a] + 2) for a in (2, 1, 0))
        extent = (start[0], last[0], start[1], last[1], start[2], last[2])
        return extent, {"u": self._u[box].copy(), "v": self._v[box].copy()}


def laplacian(field: Field) -> Field:
    """Seven-point Laplacian of the own points of a field with halo."""
    own = slice(1, -1)
    around = (
        field[:-2, own, own]
        + field[2:, own, own]
        + field[own, :-2, own]
        + field[own, 2:, own]
        + field[own, own, :-2]
        + field[own, own, 2:]
    )
    result: Field = around - 6 * field[own, own, own]
    return result
