"""A burner-like plume of density and temperature with a missing quadrant, simulated.

Usage: python -m benchmarks.plume OUT.vti|OUT.npz [--dimensions NX NY NZ] [--seed N]

Stands in for the gas burner of the Fourier-feature paper, which is not public: two variables on
one grid, values exactly 0 around the flame, and a quadrant cut out without any transition.

The flow is incompressible and buoyant: semi-Lagrangian advection, vorticity confinement, and a
projection by FFT, periodic in x and y, with solid floor and ceiling. Units are voxels and steps.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inrvis import sources
from inrvis.grid import ImageGrid
from inrvis.sources import Image
from inrvis.writers import write_image

Field = NDArray[np.float32]

DIMENSIONS = (96, 96, 160)
# At the height of DIMENSIONS; other heights take steps in proportion, of the same size in voxels.
HEIGHT, STEPS = 160, 90
HEAT_LIFT, SMOKE_WEIGHT = 0.28, 0.03
CONFINEMENT = 0.22
BURNED, COOLED = 0.03, 0.01
INFLOW = 2.0
RADIUS = 0.23
FASTEST = 6.0
# Below these the plume is background, exactly 0.
LEAST_DENSITY, LEAST_TEMPERATURE = 0.005, 0.01


def plume(dimensions: tuple[int, int, int] = DIMENSIONS, seed: int = 0) -> dict[str, Field]:
    """Density and temperature, each (nz, ny, nx) and from 0 to about 1, after the rise.

    The flow is chaotic: equal seeds give equal arrays with one version of numpy.
    """
    nx, ny, nz = dimensions
    scale = HEIGHT / nz
    solver = _pressure_solver((nz, ny, nx))
    # Velocity u, v, w, then temperature and density: one gather fetches them all.
    state = np.zeros((nz, ny, nx, 5), dtype=np.float32)
    phases = np.random.default_rng(seed).uniform(0, 2 * np.pi, 5)
    for step in range(round(STEPS / scale)):
        _feed(state, step * scale, phases)
        _push(state, scale)
        _project(state, solver)
        state = _advected(state)
    temperature, density = state[..., 3].copy(), state[..., 4].copy()
    temperature[temperature < LEAST_TEMPERATURE] = 0
    density[density < LEAST_DENSITY] = 0
    for values in (temperature, density):
        values[:, : ny // 2, nx // 2 :] = 0
    return {"density": density, "temperature": temperature}


def cached(
    path: Path, dimensions: tuple[int, int, int] = DIMENSIONS, seed: int = 0
) -> dict[str, Field]:
    """Return what is in ``path`` (.vti or .npz), after simulating it if nothing is there."""
    if not path.exists():
        arrays = plume(dimensions, seed)
        if path.suffix == ".npz":
            np.savez_compressed(path, **arrays)
        else:
            write_image(Image(ImageGrid.from_dimensions(dimensions), arrays), path)
    if path.suffix == ".npz":
        with np.load(path) as stored:
            arrays = {name: stored[name] for name in ("density", "temperature")}
    else:
        arrays = sources.read(path).arrays
    if arrays["density"].shape != dimensions[::-1]:
        raise ValueError(f"{path} holds a plume of another size: remove it")
    return arrays


def _feed(state: Field, when: float, phases: NDArray[np.float64]) -> None:
    """Hold a flickering disc at the floor hot; it wobbles around the axis."""
    nz, ny, nx, _ = state.shape
    depth = max(nz // 20, 1)
    y, x = np.ogrid[:ny, :nx]
    # Slow, incommensurate swings.
    cx = nx * (0.5 + 0.03 * np.sin(0.11 * when + phases[0]) + 0.02 * np.sin(0.29 * when))
    cy = ny * (0.5 + 0.03 * np.sin(0.13 * when + phases[1]) + 0.02 * np.sin(0.23 * when))
    angle = np.arctan2(y - cy, x - cx)
    radius = RADIUS * min(nx, ny) * (1 + 0.15 * np.sin(5 * angle + 0.3 * when + phases[2]))
    disc = np.hypot(y - cy, x - cx) < radius
    # Smooth, so that no detail is finer than the flow makes it.
    waves = np.sin(8 * np.pi * x / nx + 0.5 * when + phases[3]) * np.sin(
        8 * np.pi * y / ny + 0.4 * when + phases[4]
    )
    flicker = (0.8 + 0.2 * waves)[disc].astype(np.float32)
    floor = state[:depth]
    floor[:, disc, 3] = flicker
    floor[:, disc, 4] = 0.3 * flicker
    floor[:, disc, 2] = INFLOW * flicker


def _push(state: Field, scale: float) -> None:
    """Burn, lift and swirl."""
    temperature, density = state[..., 3], state[..., 4]
    burned = BURNED * scale * temperature
    density += burned
    temperature -= burned + COOLED * scale * temperature
    density *= 1 - COOLED * scale
    # A smaller voxel and a shorter step: accelerations shrink with the one they share.
    state[..., 2] += scale * (HEAT_LIFT * temperature - SMOKE_WEIGHT * density)
    u, v, w = (np.ascontiguousarray(state[..., c]) for c in range(3))
    curl_x = _slope(w, 1) - _slope(v, 0)
    curl_y = _slope(u, 0) - _slope(w, 2)
    curl_z = _slope(v, 2) - _slope(u, 1)
    strength = np.sqrt(curl_x**2 + curl_y**2 + curl_z**2)
    x, y, z = (_slope(strength, axis) for axis in (2, 1, 0))
    push = CONFINEMENT * scale / (np.sqrt(x**2 + y**2 + z**2) + 1e-5)
    state[..., 0] += push * (y * curl_z - z * curl_y)
    state[..., 1] += push * (z * curl_x - x * curl_z)
    state[..., 2] += push * (x * curl_y - y * curl_x)
    np.clip(state[..., :3], -FASTEST, FASTEST, out=state[..., :3])


def _slope(values: Field, axis: int) -> Field:
    """Central difference; periodic in y and x (axes 1 and 2), one-sided at floor and ceiling."""
    if axis == 0:
        slope: Field = np.gradient(values, axis=0)
        return slope
    return (np.roll(values, -1, axis) - np.roll(values, 1, axis)) * np.float32(0.5)


def _pressure_solver(shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """Factors that turn the spectrum of a divergence, mirrored in z, into that of a pressure."""
    nz, ny, nx = shape
    # Central differences twice are -sin^2 k along each axis: exactly what `_project` applies.
    z, y, x = (-(np.sin(2 * np.pi * np.fft.fftfreq(n)) ** 2) for n in (2 * nz, ny, nx))
    laplacian = z[:, None, None] + y[None, :, None] + x[None, None, : nx // 2 + 1]
    unseen = laplacian > -1e-9
    factors: NDArray[np.float64] = np.where(unseen, 0, 1 / np.where(unseen, 1, laplacian))
    return factors


def _project(state: Field, solver: NDArray[np.float64]) -> None:
    """Take the gradient of a pressure from the velocity: no divergence is left."""
    nz = len(state)
    # w is odd about floor and ceiling (nothing flows through), the others and pressure are even.
    w = state[..., 2]
    below, above = np.concatenate([-w[:1], w[:-1]]), np.concatenate([w[1:], -w[-1:]])
    divergence = (above - below) / 2 + _slope(state[..., 1], 1) + _slope(state[..., 0], 2)
    mirrored = np.concatenate([divergence, divergence[::-1]])
    spectrum = np.fft.rfftn(mirrored) * solver
    pressure = np.fft.irfftn(spectrum, mirrored.shape)[:nz].astype(np.float32)
    state[..., 0] -= _slope(pressure, 2)
    state[..., 1] -= _slope(pressure, 1)
    below = np.concatenate([pressure[:1], pressure[:-1]])
    above = np.concatenate([pressure[1:], pressure[-1:]])
    state[..., 2] -= (above - below) / 2


def _advected(state: Field) -> Field:
    """Each voxel takes what was upstream of it one step ago, by linear interpolation."""
    nz, ny, nx, fields = state.shape
    rows = state.reshape(-1, fields)
    result = np.empty_like(state)
    y, x = np.ogrid[:ny, :nx]
    for k in range(nz):
        u, v, w = (state[k, ..., c] for c in range(3))
        low_x, fx = _split((x - u) % nx)
        low_y, fy = _split((y - v) % ny)
        low_z, fz = _split(np.clip(k - w, 0, nz - 1))
        high_z = np.minimum(low_z + 1, nz - 1)
        planes = []
        for z in (low_z, high_z):
            lines = []
            for row in (low_y % ny, (low_y + 1) % ny):
                base = (z * ny + row) * nx
                left, right = (rows.take(base + (low_x + s) % nx, axis=0) for s in (0, 1))
                lines.append(left + fx * (right - left))
            planes.append(lines[0] + fy * (lines[1] - lines[0]))
        result[k] = planes[0] + fz * (planes[1] - planes[0])
    return result


def _split(position: Field) -> tuple[NDArray[np.int64], Field]:
    """Whole part and fraction, the latter with an axis for the fields."""
    low = np.floor(position)
    return low.astype(np.int64), (position - low)[..., None].astype(np.float32)


def main() -> None:
    """Simulate, write, and say what came out."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--dimensions", type=int, nargs=3, default=DIMENSIONS)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    start = time.perf_counter()
    arrays = cached(arguments.out, tuple(arguments.dimensions), arguments.seed)
    print(f"{time.perf_counter() - start:.1f} s")
    for name, values in arrays.items():
        print(f"{name}: up to {values.max():.3f}, {100 * np.mean(values > 0):.1f} % active")


if __name__ == "__main__":
    main()
