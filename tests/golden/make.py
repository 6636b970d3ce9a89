"""Make the fixtures of this folder; run by hand, once for a format version, never by tests.

The expected values come from a plain float64 evaluation below, not from the decoder, and for
coded layers from what was coded: they agree with a decoder only if both follow the format. Run
from the top folder: ``python tests/golden/make.py``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import numpy as np

from inrvis.bitstream.masks import encode_mask
from inrvis.container.header import (
    ArrayHeader,
    BoxesHeader,
    ExactHeader,
    LatticeHeader,
    ModelHeader,
    VolumeHeader,
)
from inrvis.container.sections import deflate, file_image, inflate, read_sections
from inrvis.container.series_file import append_volume
from inrvis.container.tensors import RAW_TABLE, TensorHeader
from inrvis.container.volume_file import Contents, volume_image
from inrvis.encoder.export import head_graph, interpolate_graph, trunk_graph
from inrvis.files import replacing
from inrvis.grid import ImageGrid
from inrvis.residual import interpolation
from inrvis.residual.wavelet import WaveletEncoder

FOLDER = Path(__file__).parent
WIDTH, FEATURES, HEAD = 8, 4, 5
TURNED = (0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)
METRICS = {"psnr_db": 40.5, "max_abs_error": 3.0, "nrmse": 0.0094, "ssim": 0.97}
CHUNK = 256


@dataclass(frozen=True)
class Net:
    """A network of random weights: its header, and the integers of its tensors."""

    header: ModelHeader
    integers: Mapping[str, np.ndarray]
    weights: Mapping[str, np.ndarray]


@dataclass
class Layers:
    """Coded layers and masks of a file, in the order in which they are added."""

    dimensions: tuple[int, int, int]
    residuals: list[bytes] = field(default_factory=list)
    masks: list[bytes] = field(default_factory=list)

    def pieces(self, values):
        """Chunks of a volume, cut evenly, x fastest."""
        cuts = []
        for n in self.dimensions:
            number = -(-n // CHUNK)
            side = -(-n // number)
            cuts.append([slice(i * side, min((i + 1) * side, n)) for i in range(number)])
        for z, y, x in product(*reversed(cuts)):
            yield np.ascontiguousarray(values[z, y, x])

    def add_bounded(self, values, bound):
        self.residuals += [interpolation.encode(p, bound) for p in self.pieces(values)]

    def add_wavelet(self, values, step):
        self.residuals += [WaveletEncoder(p).encode(step) for p in self.pieces(values)]

    def add_mask(self, mask):
        self.masks += [encode_mask(piece) for piece in self.pieces(mask)]
        return (len(self.masks) - 1) // len(list(self.pieces(mask)))


def network(lattice, channels, seed, *, graphs=(0, -1, 1), head=True, raw=""):
    """Random weights for ``lattice``, rounded as an encoder would write them."""
    random = np.random.default_rng(seed)
    blocks = len(lattice.boxes) if isinstance(lattice, BoxesHeader) else np.prod(lattice.blocks)
    trunk = [(3, WIDTH, 2.0), (WIDTH, WIDTH, 0.6), (WIDTH, lattice.features, 0.6)]
    heads = [(lattice.features, HEAD, 0.7), (HEAD, len(channels), 0.35)] if head else []
    integers, weights, headers = {}, {}, {"w": [], "h": []}
    for kind, layers in (("w", trunk), ("h", heads)):
        lead = (int(blocks),) if kind == "w" else ()
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
                integers[name], weights[name] = values, values * step
                if name == raw:
                    table, weights[name] = RAW_TABLE, weights[name] * np.pi
                    integers[name] = weights[name].astype("<f4").view("<u4").astype(np.int64)
                headers[kind].append(TensorHeader(name, shape, step, table))
    header = ModelHeader(
        "siren",
        lattice,
        tuple(headers["w"]),
        tuple(headers["h"]),
        tuple(channels),
        graphs,
        {"width": WIDTH},
    )
    return Net(header, integers, weights)


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


def blocks_of_lattice(net, dimensions):
    """Yield a function from a position to weight and values, for each block of a lattice."""
    lattice = net.header.lattice

    def domain(axis, block):
        voxels, blocks = dimensions[axis], lattice.blocks[axis]
        side, overlap = -(-voxels // blocks), lattice.overlap if blocks > 1 else 0
        return max(block * side - overlap, 0), min((block + 1) * side - 1 + overlap, voxels - 1)

    longest = max(np.ptp(domain(axis, lattice.blocks[axis] // 2)) for axis in range(3))
    half = max(longest, 1) / 2

    def trunk(block, flat, position):
        middle = [sum(domain(axis, block[axis])) / 2 for axis in range(3)]
        return trunk_at(net.weights, flat, (np.array(position) - middle)[:, None] / half)

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

    for flat, (k, j, i) in enumerate(product(*(range(b) for b in reversed(lattice.blocks)))):

        def at(position, block=(i, j, k), flat=flat):
            share = 1.0
            for axis in range(3):
                if lattice.blocks[axis] > 1:
                    share *= axis_weight(
                        dimensions[axis],
                        lattice.blocks[axis],
                        lattice.overlap,
                        block[axis],
                        position[axis],
                    )
            return share, lambda: features(block, flat, position)

        yield at


def blocks_of_boxes(net, dimensions):
    """As `blocks_of_lattice`, for boxes: weights need not sum to one."""
    overlap = net.header.lattice.overlap
    for flat, box in enumerate(net.header.lattice.boxes):

        def at(position, flat=flat, box=box):
            share, coordinates = 1.0, []
            for p, first, size, voxels in zip(position, box[:3], box[3:], dimensions, strict=True):
                last = first + size - 1
                if first > 0:
                    share = min(max((p - first + overlap) / (2 * overlap - 1), 0), 1) * share
                if last < voxels - 1:
                    share = min(max((last + overlap - p) / (2 * overlap - 1), 0), 1) * share
                # Between two faces that are near each other the lesser of both ramps counts.
                assert size >= 2 * overlap
                low, high = max(first - overlap, 0), min(last + overlap, voxels - 1)
                coordinates.append((p - (low + high) / 2) / (max(high - low, 1) / 2))
            return share, lambda: trunk_at(net.weights, flat, np.array(coordinates)[:, None])

        yield at


def reference(nets: Sequence[Net], dimensions, channels):
    """Channels (channels, nz, ny, nx) in float64, voxel by voxel."""
    nx, ny, nz = dimensions
    result = np.zeros((channels, nz, ny, nx))
    for net in nets:
        boxes = isinstance(net.header.lattice, BoxesHeader)
        blocks = list((blocks_of_boxes if boxes else blocks_of_lattice)(net, dimensions))
        for z, y, x in product(range(nz), range(ny), range(nx)):
            total, shares = 0.0, 0.0
            for block in blocks:
                share, features = block((x, y, z))
                if share > 0:
                    values = features()
                    if net.header.head:
                        values = head_at(net.weights, values)
                    total, shares = total + share * values[:, 0], shares + share
            assert boxes or abs(shares - 1) < 1e-12
            result[list(net.header.channels), z, y, x] = total / shares
    return result


def scaled(array, channels):
    """Values of an array, (components, nz, ny, nx), as its networks give them."""
    part = channels[array.channel : array.channel + array.components]
    shape = (-1, 1, 1, 1)
    return part * np.reshape(array.scale, shape) + np.reshape(array.offset, shape)


def values_of(array, channels):
    """Real values of an array: scaled and clamped, not yet rounded."""
    values = np.clip(scaled(array, channels), array.low, array.high)
    return values[0] if array.components == 1 else np.moveaxis(values, 0, -1)


def array_header(name, dtype, channel, components, *, offset, scale, low, high, **options):
    offsets, scales = (offset,) * components, (scale,) * components
    return ArrayHeader(
        name, dtype, components, channel, offsets, scales, low, high, METRICS, **options
    )


def coded_header(name, values, channel, codec="interpolation", **options):
    """Header of an array that coded layers hold on their own."""
    finite = values[np.isfinite(values)]
    offset = float(np.rint(finite.mean()))
    return array_header(
        name,
        values.dtype.name,
        channel,
        1 if values.ndim == 3 else values.shape[3],
        offset=0.0 if options.get("levels") else offset,
        scale=1.0,
        low=float(finite.min()),
        high=float(finite.max()),
        residual=codec,
        **options,
    )


def write(name, grid, arrays, expected, *, nets=(), graphs=(), layers=None, times=(), seed=0):
    """Write a fixture and what it must decode to."""
    masks = len(layers.masks) // len(list(layers.pieces(np.zeros(grid.shape)))) if layers else 0
    header = VolumeHeader(
        grid,
        tuple(arrays),
        tuple(net.header for net in nets),
        masks,
        times,
        {"target": "none", "seed": seed},
    )
    data = volume_image(
        header,
        Contents(
            graphs,
            [net.integers for net in nets],
            layers.residuals if layers else (),
            layers.masks if layers else (),
        ),
    )
    with replacing(FOLDER / f"{name}.inr") as temporary:
        temporary.write_bytes(data)
    np.savez_compressed(FOLDER / f"{name}.npz", **expected)
    print(f"{name}: {len(data)} bytes, {header.parameters} weights, {masks} masks")
    for key, value in expected.items():
        finite = value[np.isfinite(value)].astype(float)
        print(f"  {key}: {finite.min():.4g} .. {finite.max():.4g}, {finite.std():.4g} deviation")


def make_network(name, grid, arrays, *, blocks, overlap, spacing, seed, times=()):
    """Write a fixture of one network on a lattice of blocks."""
    channels = sum(array.components for array in arrays)
    lattice = LatticeHeader(blocks, overlap, spacing, FEATURES)
    graphs = [trunk_graph(3), head_graph(2)]
    if spacing:
        graphs.append(interpolate_graph())
    net = network(lattice, range(channels), seed, graphs=(0, 2 if spacing else -1, 1))
    decoded = reference([net], grid.dimensions, channels)
    expected = {array.name: values_of(array, decoded).astype("<f4") for array in arrays}
    write(name, grid, arrays, expected, nets=[net], graphs=graphs, times=times, seed=seed)


def make_boxes():
    """Two networks: boxes that meet in T-junctions, and a trunk without a head."""
    grid = ImageGrid.from_dimensions((17, 14, 9), (1.0, 1.0, 2.0))
    boxes = (
        (0, 0, 0, 9, 14, 9),
        (9, 0, 0, 8, 7, 9),
        (9, 7, 0, 8, 7, 4),
        (9, 7, 4, 8, 7, 5),
    )
    graphs = (trunk_graph(3), head_graph(2))
    nets = [
        network(LatticeHeader((1, 2, 1), 2, 0, 2), (0, 2), 5, graphs=(0, -1, -1), head=False),
        network(BoxesHeader(boxes, 2, FEATURES), (1,), 4, raw="w2b"),
    ]
    arrays = (
        array_header("flow", "float32", 0, 2, offset=0.5, scale=3.0, low=-30.0, high=30.0),
        array_header("density", "uint16", 2, 1, offset=3e4, scale=1e4, low=0.0, high=65535.0),
    )
    decoded = reference(nets, grid.dimensions, 3)
    expected = {array.name: values_of(array, decoded).astype("<f4") for array in arrays}
    write("format1_boxes", grid, arrays, expected, nets=nets, graphs=graphs, seed=4)


def smooth(dimensions) -> Callable[..., np.ndarray]:
    """Return a function that makes smooth fields of these dimensions."""
    x, y, z = (np.arange(n) / max(dimensions) for n in dimensions)
    z, y, x = np.meshgrid(z, y, x, indexing="ij")
    return lambda a, b, c: np.sin(9 * a * x + b) * np.cos(7 * c * y - a * z) + 0.5 * b * x * z


def make_levels():
    """Labels without a network, in two chunks: each value is a position in a list."""
    grid = ImageGrid.from_dimensions((259, 7, 5))
    levels = (0.0, 3.0, 4.0, 1000.0, 65535.0)
    ranks = np.clip(np.rint(2 + 2.4 * smooth(grid.dimensions)(4, 0.3, 3)), 0, 4)
    labels = np.array(levels)[ranks.astype(int)].astype("<u2")
    layers = Layers(grid.dimensions)
    layers.add_bounded(ranks.astype(np.float32), 0.499)
    arrays = [coded_header("labels", labels, 0, levels=levels)]
    write("format1_levels", grid, arrays, {"labels": labels}, layers=layers)


def make_gaps():
    """Coded layers without a network, in single and double precision, with what is no number."""
    grid = ImageGrid((0, 14, 5, 17, -7, 4), (0.5, 0.25, 1.0), (3.0, 0.0, -1.0))
    fields = smooth(grid.dimensions)
    depth = (40 + 9 * fields(3, 0.2, 2)).astype("<f4")
    wind = 1e6 + np.stack([fields(2, 0.5, 4), 1e-3 * fields(1, 0.1, 3)], axis=-1)
    layers, arrays = Layers(grid.dimensions), []
    land = fields(1, 0.9, 5) > 0.6
    hole = np.zeros(grid.shape, dtype=bool)
    hole[4:7, 6:, 3:9] = True
    arrays.append(
        coded_header(
            "depth", depth, 0, exact=(ExactHeader(float("nan"), (layers.add_mask(land),)),)
        )
    )
    missing = layers.add_mask(hole)
    infinite = layers.add_mask(~hole & land)
    arrays.append(
        coded_header(
            "wind",
            wind,
            1,
            precision="double",
            exact=(
                ExactHeader(float("nan"), (missing, missing)),
                ExactHeader(float("-inf"), (-1, infinite)),
                ExactHeader(1e6, (0, -1)),
            ),
        )
    )
    layers.add_bounded(depth - np.float32(arrays[0].offset[0]), 0.01)
    for component in range(2):
        layers.add_bounded(wind[..., component] - arrays[1].offset[component], 1e-5)
    depth[land] = np.nan
    wind[hole] = np.nan
    wind[~hole & land, 1] = -np.inf
    wind[land, 0] = 1e6
    write("format1_gaps", grid, arrays, {"depth": depth, "wind": wind}, layers=layers)


def make_layers():
    """A network and layers on top of it, of both codecs; the second array has a mask, too."""
    grid = ImageGrid.from_dimensions((21, 18, 10), (1.0, 2.0, 1.0))
    fields = smooth(grid.dimensions)
    net = network(LatticeHeader((2, 1, 1), 3, 0, FEATURES), (0, 1), 6)
    arrays = [
        array_header(
            "height",
            "int16",
            0,
            1,
            offset=100.0,
            scale=5e3,
            low=-9000.0,
            high=9000.0,
            residual="interpolation",
        ),
        array_header(
            "heat",
            "float32",
            1,
            1,
            offset=300.0,
            scale=40.0,
            low=100.0,
            high=500.0,
            residual="wavelet",
            exact=(ExactHeader(0.0, (0,)),),
        ),
    ]
    channels = reference([net], grid.dimensions, 2)
    height = np.clip(np.rint(4000 * fields(5, 0.4, 2) - 300), -9000, 9000)
    heat = np.clip(300 + 90 * fields(2, 0.7, 3), 100, 500)
    layers = Layers(grid.dimensions)
    layers.add_bounded((height - scaled(arrays[0], channels)[0]).astype(np.float32), 0.25)
    layers.add_wavelet((heat - scaled(arrays[1], channels)[0]).astype(np.float32), 0.05)
    outside = fields(3, 0.1, 6) < -0.7
    layers.add_mask(outside)
    heat[outside] = 0
    write(
        "format1_layers",
        grid,
        arrays,
        {"height": height.astype("<i2"), "heat": heat.astype("<f4")},
        nets=[net],
        graphs=(trunk_graph(3), head_graph(2)),
        layers=layers,
        times=(-2.0,),
        seed=6,
    )


def make_series():
    """Steps of the volume `direct`, whose values they have, at several times."""
    with replacing(FOLDER / "format1_series.inr") as path:
        path.unlink()
        sections = read_sections(FOLDER / "format1_direct.inr")
        facts = json.loads(inflate(sections["header"], "header"))
        for time in (-0.5, 1.5, 4.0):
            sections["header"] = deflate(json.dumps({**facts, "times": [time]}).encode())
            append_volume(path, file_image(sections))


def make_attribute():
    """The small sections of `layers` in one attribute, on the format's second dictionary."""
    sections = read_sections(FOLDER / "format1_layers.inr")
    for name in ("header", "graphs"):
        sections[name] = deflate(inflate(sections[name], name))
    (FOLDER / "format1_attribute.inr").write_bytes(file_image(sections))


def main():
    make_network(
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
    make_network(
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
    make_network(
        "format1_knots",
        ImageGrid.from_dimensions((17, 12, 1)),
        (array_header("pressure", "float64", 0, 1, offset=1e5, scale=250.0, low=9e4, high=1.1e5),),
        blocks=(2, 1, 1),
        overlap=2,
        spacing=2,
        seed=3,
    )
    make_boxes()
    make_levels()
    make_gaps()
    make_layers()
    make_series()
    make_attribute()


if __name__ == "__main__":
    main()
