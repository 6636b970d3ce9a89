"""Make the fixtures of this folder; run by hand, once for a format version, never by tests.

The expected values come from a plain float64 evaluation below, not from the decoder: the two
agree only if both follow the format. Run from the top folder: ``python tests/golden/make.py``.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np

from inrvis.container.header import (
    ArrayHeader,
    LatticeHeader,
    ModelHeader,
    TensorHeader,
    VolumeHeader,
)
from inrvis.container.volume_file import volume_image
from inrvis.encoder.export import head_graph, interpolate_graph, trunk_graph
from inrvis.files import replacing
from inrvis.grid import ImageGrid

FOLDER = Path(__file__).parent
WIDTH, FEATURES, HEAD = 8, 4, 5
TURNED = (0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)


def tensors(blocks, channels, seed):
    """Integers and headers of random tensors, as an encoder would write them."""
    random = np.random.default_rng(seed)
    trunk = [(3, WIDTH, 2.0), (WIDTH, WIDTH, 0.6), (WIDTH, FEATURES, 0.6)]
    head = [(FEATURES, HEAD, 0.7), (HEAD, channels, 0.35)]
    integers, headers = {}, {"w": [], "h": []}
    for kind, layers in (("w", trunk), ("h", head)):
        lead = (int(np.prod(blocks)),) if kind == "w" else ()
        for index, (columns, rows, spread) in enumerate(layers):
            for name, shape in (
                (f"{kind}{index}", (*lead, rows, columns)),
                (f"{kind}{index}b", (*lead, rows, 1)),
            ):
                step = spread / 32
                values = np.rint(random.normal(size=shape) * spread / step).astype(np.int64)
                # Tables 32 steps wide, of both families; one tensor needs the escape.
                table = 64 if len(headers[kind]) % 2 == 0 else 64 + 128
                if name == "h1b":
                    table = 3
                integers[name] = values
                headers[kind].append(TensorHeader(name, shape, step, table))
    return integers, tuple(headers["w"]), tuple(headers["h"])


def trunk_at(weights, block, coordinates):
    hidden = coordinates
    for index in range(3):
        hidden = weights[f"w{index}"][block] @ hidden + weights[f"w{index}b"][block]
        if index < 2:
            hidden = np.sin(hidden)
    return hidden


def head_at(weights, features):
    for index in range(2):
        features = weights[f"h{index}"] @ np.sin(features) + weights[f"h{index}b"]
    return features


def axis_weight(voxels, blocks, overlap, block, position):
    """Share of ``block`` at a position: ramps of 2 * overlap - 1 voxels around its faces."""
    side = -(-voxels // blocks)
    weight = 1.0
    if block > 0:
        weight = min(weight, (position - (block * side - overlap)) / (2 * overlap - 1))
    if block < blocks - 1:
        weight = min(weight, ((block + 1) * side - 1 + overlap - position) / (2 * overlap - 1))
    return max(weight, 0.0)


def reference(header, integers):
    """Channels (channels, nz, ny, nx) in float64, voxel by voxel."""
    groups = (*header.model.trunk, *header.model.head)
    weights = {t.name: integers[t.name] * t.step for t in groups}
    lattice, dimensions = header.model.lattice, header.grid.dimensions

    def domain(axis, block):
        voxels, blocks = dimensions[axis], lattice.blocks[axis]
        side, overlap = -(-voxels // blocks), lattice.overlap if blocks > 1 else 0
        return max(block * side - overlap, 0), min((block + 1) * side - 1 + overlap, voxels - 1)

    longest = max(np.ptp(domain(axis, lattice.blocks[axis] // 2)) for axis in range(3))
    half = max(longest, 1) / 2

    def trunk(block, flat, position):
        middle = [sum(domain(axis, block[axis])) / 2 for axis in range(3)]
        return trunk_at(weights, flat, (np.array(position) - middle)[:, None] / half)

    def features(block, flat, position):
        if lattice.spacing == 0:
            return trunk(block, flat, position)
        total = 0.0
        scaled = [
            (position[axis] - domain(axis, block[axis])[0]) / lattice.spacing for axis in range(3)
        ]
        lower = np.floor(scaled)
        fraction = scaled - lower
        for corner in product((0, 1), repeat=3):
            share = np.prod(np.where(corner, fraction, 1 - fraction))
            if share > 0:
                first = [domain(axis, block[axis])[0] for axis in range(3)]
                total += share * trunk(block, flat, first + (lower + corner) * lattice.spacing)
        return total

    nx, ny, nz = dimensions
    result = np.zeros((header.channels, nz, ny, nx))
    for z, y, x in product(range(nz), range(ny), range(nx)):
        for flat, (k, j, i) in enumerate(product(*(range(b) for b in reversed(lattice.blocks)))):
            share = 1.0
            for axis, (block, position) in enumerate(zip((i, j, k), (x, y, z), strict=True)):
                if lattice.blocks[axis] > 1:
                    share *= axis_weight(
                        dimensions[axis], lattice.blocks[axis], lattice.overlap, block, position
                    )
            if share > 0:
                values = head_at(weights, features((i, j, k), flat, (x, y, z)))
                result[:, z, y, x] += share * values[:, 0]
    return result


def values_of(array, channels):
    """Real values of an array: scaled and clamped, not yet rounded."""
    part = channels[array.channel : array.channel + array.components]
    shape = (-1, 1, 1, 1)
    values = part * np.reshape(array.scale, shape) + np.reshape(array.offset, shape)
    values = np.clip(values, array.low, array.high)
    return values[0] if array.components == 1 else np.moveaxis(values, 0, -1)


def array_header(name, dtype, channel, components, *, offset, scale, low, high):
    return ArrayHeader(
        name,
        dtype,
        components,
        channel,
        (offset,) * components,
        (scale,) * components,
        low,
        high,
        {"psnr_db": 40.5, "max_abs_error": 3.0, "nrmse": 0.0094, "ssim": 0.97},
    )


def make(name, grid, arrays, *, blocks, overlap, spacing, seed, times=()):
    channels = sum(array.components for array in arrays)
    integers, trunk, head = tensors(blocks, channels, seed)
    model = ModelHeader(
        "siren", LatticeHeader(blocks, overlap, spacing, FEATURES), trunk, head, {"width": WIDTH}
    )
    header = VolumeHeader(grid, arrays, model, times, {"target": "none", "seed": seed})
    graphs = (trunk_graph(3), interpolate_graph(), head_graph(2))
    data = volume_image(header, graphs, integers, integers)
    decoded = reference(header, integers)
    expected = {array.name: values_of(array, decoded) for array in arrays}
    with replacing(FOLDER / f"{name}.inr") as temporary:
        temporary.write_bytes(data)
    np.savez_compressed(
        FOLDER / f"{name}.npz", **{key: value.astype("<f4") for key, value in expected.items()}
    )
    weights = sum(t.size for t in (*trunk, *head))
    print(f"{name}: {len(data)} bytes, {weights} weights")
    for key, value in expected.items():
        print(f"  {key}: {value.min():.4g} .. {value.max():.4g}, {value.std():.4g} deviation")


def main():
    make(
        "format1_direct",
        ImageGrid((2, 14, -3, 7, 0, 8), (0.5, 1.5, 2.0), (-7.0, 0.25, 100.0), TURNED),
        (
            array_header("density", "uint8", 0, 1, offset=120.0, scale=150.0, low=4.0, high=251.0),
            array_header("velocity", "float32", 1, 3, offset=-0.5, scale=2.0, low=-30.0, high=30.0),
        ),
        blocks=(1, 1, 1),
        overlap=0,
        spacing=0,
        seed=1,
        times=(1.5,),
    )
    make(
        "format1_blocks",
        ImageGrid.from_dimensions((19, 16, 5), (1.0, 1.0, 3.0)),
        (
            array_header(
                "height", "int16", 0, 1, offset=100.0, scale=2e4, low=-32000.0, high=32000.0
            ),
        ),
        blocks=(2, 2, 1),
        overlap=2,
        spacing=0,
        seed=2,
    )
    make(
        "format1_knots",
        ImageGrid.from_dimensions((17, 12, 1)),
        (array_header("pressure", "float64", 0, 1, offset=1e5, scale=250.0, low=9e4, high=1.1e5),),
        blocks=(2, 1, 1),
        overlap=2,
        spacing=2,
        seed=3,
    )


if __name__ == "__main__":
    main()
