"""Lossless coding of boolean volumes: where values are missing, or exactly the background.

Cells are coded in wavefronts, the sets of equal ``x + 2 y + 4 z`` with x along the longest axis.
A cell then knows neighbours before it along all three axes, and no two cells of a wavefront know
of each other, so a wavefront is one step of array arithmetic. The probability of a one comes from
counts of what followed the same neighbourhood so far. They adapt while the stream is read, so
nothing about them is stored. Cubes of 16 cells a side are coded first: whether they hold a one,
and whether only ones. Cells of the others follow.

Counts and probabilities are integers; the coder gets dyadic fractions that float64 holds exactly.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise, product
from math import prod

import constriction
import numpy as np
from numpy.typing import NDArray

from inrvis.errors import FormatError, LimitError

# Also keeps the counts within 32 bits.
MAX_MASK_VOXELS = 1 << 31

_PACKED, _DEFLATED, _CODED = b"\0", b"\1", b"\2"
_CUBE = 16
_MARGIN = 2
# Steps (z, y, x) to cells of earlier wavefronts, the nearest first.
_NEIGHBOURS = sorted(
    (s for s in product(range(-_MARGIN, _MARGIN + 1), repeat=3) if 4 * s[0] + 2 * s[1] + s[2] < 0),
    key=lambda s: (s[0] ** 2 + s[1] ** 2 + s[2] ** 2, s),
)
# Few neighbours teach fast, many tell more: each estimate starts from the one with fewer, as if
# that had been _TRUST observations.
_ORDERS = (3, 9, 22)
_TRUST = 4
_ONE = 1 << 20
# Working memory is about 32 bytes for each cell of a slab, which is at least one plane.
_SLAB_CELLS = 1 << 22
_MAX_PLANE_CELLS = 1 << 24
# A wavefront takes the time of hundreds of cells: shapes with many short ones are deflated.
_FREE_WAVEFRONTS = 1 << 12
_CELLS_PER_WAVEFRONT = 1 << 8
_MAX_WAVEFRONTS = 1 << 16

Mask = NDArray[np.bool_]
# Codes the cells at flat positions, given probabilities of a one, and returns their values.
Coder = Callable[[NDArray[np.float64], NDArray[np.int64]], NDArray[np.uint8]]


def encode_mask(mask: Mask) -> bytes:
    """Code a boolean volume.

    Parameters
    ----------
    mask : (nz, ny, nx) ndarray of bool
        Any shape without an empty axis.

    Returns
    -------
    bytes
        At most one byte longer than `numpy.packbits` makes it. The shape is not stored.
    """
    if mask.ndim != 3 or mask.dtype != np.bool_ or not mask.size:
        raise ValueError("a mask is a boolean array with the axes z, y, x")
    packed = np.packbits(mask).tobytes()
    candidates = [_PACKED + packed, _DEFLATED + zlib.compress(packed, 9)]
    if _is_codable(mask.shape):
        candidates.append(_CODED + _encode_wavefronts(mask))
    return min(candidates, key=len)


def decode_mask(data: bytes, shape: tuple[int, int, int]) -> Mask:
    """Undo `encode_mask`.

    Parameters
    ----------
    data : bytes
        What `encode_mask` returned; may come from anywhere.
    shape : tuple of 3 int
        (nz, ny, nx) of the mask.

    Returns
    -------
    (nz, ny, nx) ndarray of bool

    Raises
    ------
    LimitError
        If the shape has more than MAX_MASK_VOXELS.
    FormatError
        If no mask of this shape makes these bytes, as far as that can be seen. Damaged bytes may
        also decode to a wrong mask: a checksum has to guard them.
    """
    cells = prod(shape)
    if min(shape) < 1 or cells > MAX_MASK_VOXELS:
        raise LimitError(f"the file has a mask of {shape}; the limit is {MAX_MASK_VOXELS} voxels")
    kind, body = data[:1], data[1:]
    if kind == _CODED and _is_codable(shape):
        return _decode_wavefronts(body, shape)
    packed_bytes = -(-cells // 8)
    if kind == _DEFLATED:
        decompressor = zlib.decompressobj()
        try:
            body = decompressor.decompress(body, packed_bytes + 1)
        except zlib.error as error:
            raise FormatError(f"a mask in the file is damaged: {error}") from error
        if not decompressor.eof:
            raise FormatError("a mask in the file is cut short, or too long for the volume")
    elif kind != _PACKED:
        raise FormatError("a mask in the file is of an unknown kind; update inrvis")
    if len(body) != packed_bytes:
        raise FormatError("a mask in the file is damaged: its size does not fit the volume")
    bits = np.unpackbits(np.frombuffer(body, dtype=np.uint8), count=cells)
    return bits.view(np.bool_).reshape(shape)


def _encode_wavefronts(mask: Mask) -> bytes:
    mask = mask.transpose(_axes(mask.shape))
    encoder = constriction.stream.queue.RangeEncoder()
    model = constriction.stream.model.Bernoulli(perfect=False)

    def put(values: Mask, start: Mask, active: Mask) -> None:
        source = _padded(values).reshape(-1)

        def code(ones: NDArray[np.float64], cells: NDArray[np.int64]) -> NDArray[np.uint8]:
            symbols = source[cells]
            encoder.encode(symbols.astype(np.int32), model, ones)
            return symbols

        _code(_padded(start), active, code)

    some, every = _reduced(np.logical_or, mask), _reduced(np.logical_and, mask)
    nothing = np.zeros_like(some)
    put(some, nothing, ~nothing)
    put(every, nothing, some)
    put(mask, _enlarged(every, mask.shape), _enlarged(some & ~every, mask.shape))
    stream: bytes = encoder.get_compressed().astype("<u4").tobytes()
    return stream


def _decode_wavefronts(stream: bytes, shape: tuple[int, int, int]) -> Mask:
    if len(stream) % 4:
        raise FormatError("a mask in the file is damaged: it is not a whole number of words")
    words = np.frombuffer(stream, dtype="<u4").astype(np.uint32)
    decoder = constriction.stream.queue.RangeDecoder(words)
    model = constriction.stream.model.Bernoulli(perfect=False)

    def code(ones: NDArray[np.float64], _: NDArray[np.int64]) -> NDArray[np.uint8]:
        symbols: NDArray[np.uint8] = decoder.decode(model, ones).astype(np.uint8)
        return symbols

    def take(start: Mask, active: Mask) -> Mask:
        known = _padded(start)
        _code(known, active, code)
        inner = slice(_MARGIN, -_MARGIN)
        return known[inner, inner, inner].view(np.bool_)

    axes = _axes(shape)
    coded_shape = tuple(shape[axis] for axis in axes)
    nothing = np.zeros([-(-n // _CUBE) for n in coded_shape], dtype=np.bool_)
    try:
        some = take(nothing, ~nothing)
        every = take(nothing, some)
        mask = take(_enlarged(every, coded_shape), _enlarged(some & ~every, coded_shape))
    except AssertionError as error:  # how constriction reports an impossible stream
        raise FormatError("a mask in the file is damaged: it cannot be decoded") from error
    if not decoder.maybe_exhausted():
        raise FormatError("a mask in the file is damaged: other data follow it")
    return np.ascontiguousarray(mask.transpose(np.argsort(axes)))


def _axes(shape: tuple[int, ...]) -> list[int]:
    """Axes from the shortest to the longest: the fewest wavefronts."""
    return sorted(range(3), key=lambda axis: shape[axis])


def _planes(shape: tuple[int, ...]) -> int:
    """Planes of a slab."""
    return min(max(_SLAB_CELLS // (shape[1] * shape[2]), 1), shape[0])


def _is_codable(shape: tuple[int, ...]) -> bool:
    nz, ny, nx = sorted(shape)
    planes = _planes((nz, ny, nx))
    wavefronts = nx + 2 * ny + 4 * planes
    most = _FREE_WAVEFRONTS + planes * ny * nx // _CELLS_PER_WAVEFRONT
    return ny * nx <= _MAX_PLANE_CELLS and wavefronts <= min(most, _MAX_WAVEFRONTS)


def _padded(cells: Mask) -> NDArray[np.uint8]:
    return np.pad(cells.view(np.uint8), _MARGIN)


def _reduced(combine: np.ufunc, mask: Mask) -> Mask:
    for axis, length in enumerate(mask.shape):
        mask = combine.reduceat(mask, range(0, length, _CUBE), axis)
    return mask


def _enlarged(cubes: Mask, shape: tuple[int, ...]) -> Mask:
    enlarged: Mask = cubes[np.ix_(*(np.arange(n) // _CUBE for n in shape))]
    return enlarged


def _wavefronts(known: NDArray[np.uint8], active: Mask) -> Iterator[NDArray[np.int64]]:
    """Flat positions in ``known`` of the active cells, one wavefront at a time."""
    planes = _planes(active.shape)
    depth, row, _ = known.strides
    for first in range(0, len(active), planes):
        inside = active[first : first + planes]
        z, y, x = np.ogrid[tuple(slice(n) for n in inside.shape)]
        wavefront = (x + 2 * y + 4 * z).astype(np.uint16)[inside]
        # A stable sort of 16-bit integers is a radix sort.
        order = np.argsort(wavefront, kind="stable")
        corner = (first + _MARGIN) * depth + _MARGIN * (row + 1)
        cells = (corner + depth * z + row * y + x)[inside][order]
        ends = np.flatnonzero(np.diff(wavefront[order])) + 1
        for start, stop in pairwise([0, *ends.tolist(), len(cells)]):
            yield cells[start:stop]


def _code(known: NDArray[np.uint8], active: Mask, code: Coder) -> None:
    """Code the active cells of ``known``, which has a margin, and fill them in."""
    flat = known.reshape(-1)
    depth, row, _ = known.strides
    steps = [depth * z + row * y + x for z, y, x in _NEIGHBOURS]
    counts = [(np.zeros(1 << n, np.uint32), np.zeros(1 << n, np.uint32)) for n in _ORDERS]
    for cells in _wavefronts(known, active):
        near = np.zeros(len(cells), dtype=np.int64)
        ones = np.full(len(cells), _ONE // 2, dtype=np.int64)
        seen = []
        for (start, stop), (set_count, count) in zip(pairwise((0, *_ORDERS)), counts, strict=True):
            for bit in range(start, stop):
                near |= flat[cells + steps[bit]].astype(np.int64) << bit
            ones = _ONE * set_count[near].astype(np.int64) + _TRUST * ones
            ones //= count[near].astype(np.int64) + _TRUST
            seen.append(near.copy())
        symbols = code(np.clip(ones, 1, _ONE - 1) / _ONE, cells)
        flat[cells] = symbols
        # With any other type of addend, `at` is fifty times slower.
        addend = symbols.astype(np.uint32)
        for near, (set_count, count) in zip(seen, counts, strict=True):
            np.add.at(set_count, near, addend)
            np.add.at(count, near, np.uint32(1))
