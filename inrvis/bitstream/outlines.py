"""Lossless coding of flat masks that look alike: outlines, from coarse to fine, by shared tables.

A mask is a pyramid. A block is empty, full or mixed, and only the four children of a mixed block
are coded, in four phases, so that each phase is one step of array arithmetic. A child knows its
neighbours, as far as they are coded or their parents are not mixed. What that says is counted once
for all masks of a file, and kept in tables: for contexts of few neighbours, and for those of more
where these save more bits than they take. Probabilities are dyadic fractions, which float64 holds.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import constriction
import numpy as np
from numpy.typing import NDArray

from inrvis.errors import FormatError

Mask = NDArray[np.bool_]
Integers = NDArray[np.int64]
States = NDArray[np.int8]

_EMPTY, _FULL, _MIXED, _UNKNOWN = range(4)
_MARGIN = 3
# Steps (y, x) to neighbours, the nearest first.
_NEIGHBOURS = sorted(
    (s for s in product(range(-_MARGIN, _MARGIN + 1), repeat=2) if s != (0, 0)),
    key=lambda s: (s[0] ** 2 + s[1] ** 2, s),
)
# Neighbours that a context may have.
ORDERS = (0, 4, 8, 12, 20)
_PHASES = ((0, 0), (1, 1), (0, 1), (1, 0))
# Tables are for pixels, for blocks of two a side, and for all larger ones.
_SIZES = 3
_DECISIONS = 2
NUMBER_OF_TABLES = _SIZES * len(_PHASES) * _DECISIONS
MAX_CONTEXTS = 1 << 16
# Bits that a context takes in the file, about.
_CONTEXT_BITS = 36.0
# Codes of probabilities from here on are those of the others' complements.
_COMPLEMENT = 128
# Places of a phase that are looked at together, and decisions that tables are learned from.
_SLAB, _MOST_SEEN = 1 << 16, 1 << 21
Decide = Callable[[int, States, States], States]


def _probabilities() -> NDArray[np.float64]:
    """Probability of a one for each code: ``(8 + c mod 8) / 2**(4 + c // 8)``, or one minus it."""
    codes = np.arange(_COMPLEMENT)
    small = (8 + codes % 8) / 2.0 ** (4 + codes // 8)
    return np.concatenate([small, 1 - small])


_PROBABILITIES = _probabilities()


@dataclass(frozen=True)
class Outlines:
    """Tables of a file.

    Attributes
    ----------
    contexts : tuple
        For each table, for each of ORDERS: contexts, ascending integers of two bits for each
        neighbour, and the code of the probability of a one in each.
    """

    contexts: tuple[tuple[tuple[Integers, NDArray[np.uint8]], ...], ...]

    def codes(self, table: int, neighbours: States) -> NDArray[np.uint8]:
        """Codes of the longest contexts that ``neighbours`` (n, 20) have in a table."""
        found = np.zeros(len(neighbours), dtype=np.uint8)
        for order, (keys, codes) in zip(ORDERS, self.contexts[table], strict=True):
            if not len(keys):
                continue
            own = keys_of(neighbours, order)
            places = np.minimum(np.searchsorted(keys, own), len(keys) - 1)
            found = np.where(keys[places] == own, codes[places], found)
        return found

    def encode(self, planes: Mask) -> bytes:
        """Code masks of the shape (planes, height, width); the shape is not stored."""
        encoder = constriction.stream.queue.RangeEncoder()
        model = constriction.stream.model.Bernoulli(perfect=False)

        def put(table: int, neighbours: States, ones: States) -> States:
            if len(ones):
                chances = _PROBABILITIES[self.codes(table, neighbours)]
                encoder.encode(ones.astype(np.int32), model, chances)
            return ones

        for plane in planes:
            _walk(plane.shape, put, _pyramid(plane))
        stream: bytes = encoder.get_compressed().astype("<u4").tobytes()
        return stream

    def decode(self, stream: bytes, shape: tuple[int, int, int]) -> Mask:
        """Undo `encode`.

        Raises
        ------
        FormatError
            If no masks of this shape make these bytes, as far as that can be seen. A checksum
            has to guard them.
        """
        if len(stream) % 4:
            raise FormatError("a mask in the file is damaged: it is not a whole number of words")
        words = np.frombuffer(stream, dtype="<u4").astype(np.uint32)
        decoder = constriction.stream.queue.RangeDecoder(words)
        model = constriction.stream.model.Bernoulli(perfect=False)

        def take(table: int, neighbours: States, _: States) -> States:
            if not len(neighbours):
                return np.zeros(0, dtype=np.int8)
            chances = _PROBABILITIES[self.codes(table, neighbours)]
            found: States = decoder.decode(model, chances).astype(np.int8)
            return found

        try:
            planes = [_walk(shape[1:], take, None) == _FULL for _ in range(shape[0])]
        except AssertionError as error:  # how constriction reports an impossible stream
            raise FormatError("a mask in the file is damaged: it cannot be decoded") from error
        if not decoder.maybe_exhausted():
            raise FormatError("a mask in the file is damaged: other data follow it")
        return np.stack(planes)

    def to_bytes(self) -> bytes:
        """As a file keeps them."""
        parts = []
        for table in self.contexts:
            for order, (keys, codes) in zip(ORDERS, table, strict=True):
                octets = keys.astype("<u8").view(np.uint8).reshape(-1, 8)[:, : _width(order)]
                # Bytes of the same place are alike.
                parts += [len(keys).to_bytes(3, "little"), octets.T.tobytes(), codes.tobytes()]
        return zlib.compress(b"".join(parts), 9)


def read_outlines(data: bytes) -> Outlines:
    """Undo `Outlines.to_bytes`.

    Raises
    ------
    FormatError
        If these are no sound tables.
    """
    most = NUMBER_OF_TABLES * len(ORDERS) * (3 + 9 * MAX_CONTEXTS)
    decompressor = zlib.decompressobj()
    try:
        data = decompressor.decompress(data, most)
    except zlib.error as error:
        raise FormatError(f"the tables of outlines are damaged: {error}") from error
    tables, place = [], 0
    for _ in range(NUMBER_OF_TABLES):
        table = []
        for order in ORDERS:
            count = int.from_bytes(data[place : place + 3], "little")
            start, end = place + 3, place + 3 + count * (_width(order) + 1)
            if count > MAX_CONTEXTS or end > len(data):
                raise FormatError("the tables of outlines are damaged: they are cut short")
            octets = np.zeros((count, 8), dtype=np.uint8)
            flat = np.frombuffer(data[start : end - count], dtype=np.uint8)
            octets[:, : _width(order)] = flat.reshape(_width(order), count).T
            keys = octets.view("<u8").ravel().astype(np.int64)
            if (np.diff(keys) <= 0).any() or (count and keys[-1] >> (2 * order)):
                raise FormatError("the tables of outlines are damaged: contexts")
            table.append((keys, np.frombuffer(data[end - count : end], dtype=np.uint8)))
            place = end
        tables.append(tuple(table))
    if place != len(data) or not decompressor.eof:
        raise FormatError("the tables of outlines are damaged: other data follow them")
    return Outlines(tuple(tables))


def learn_outlines(masks: Sequence[Mask]) -> Outlines:
    """Tables for masks that are like these, each of the shape (planes, height, width)."""
    seen: dict[int, list[tuple[States, States]]] = defaultdict(list)

    def note(table: int, neighbours: States, ones: States) -> States:
        seen[table].append((neighbours, ones))
        return ones

    for planes in masks:
        if sum(len(ones) for notes in seen.values() for _, ones in notes) > _MOST_SEEN:
            break
        for plane in planes:
            _walk(plane.shape, note, _pyramid(plane))
    return Outlines(tuple(_learned(seen.get(i, [])) for i in range(NUMBER_OF_TABLES)))


def _learned(
    seen: Sequence[tuple[States, States]],
) -> tuple[tuple[Integers, NDArray[np.uint8]], ...]:
    """Contexts that are worth their bits, shorter ones first."""
    empty = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.uint8)
    if not sum(len(ones) for _, ones in seen):
        return (empty,) * len(ORDERS)
    neighbours = np.concatenate([own for own, _ in seen])
    ones = np.concatenate([own for _, own in seen]).astype(np.int64)
    codes = np.zeros(len(ones), dtype=np.uint8)
    result = []
    for order in ORDERS:
        keys, places = np.unique(keys_of(neighbours, order), return_inverse=True)
        places = places.ravel()
        total = np.bincount(places)
        positive = np.bincount(places, ones).astype(np.int64)
        best = _nearest_codes(positive, total)
        before = np.bincount(places, _bits(codes, ones))
        after = positive * _bits(best, 1) + (total - positive) * _bits(best, 0)
        kept = before - after > _CONTEXT_BITS
        codes = np.where(kept[places], best[places], codes)
        result.append((keys[kept], best[kept]))
    return tuple(result)


def _bits(codes: NDArray[np.uint8], ones: Integers | int) -> NDArray[np.float64]:
    chances = _PROBABILITIES[codes]
    return np.asarray(-np.log2(np.where(ones, chances, 1 - chances)))


def _nearest_codes(positive: Integers, total: Integers) -> NDArray[np.uint8]:
    """Codes of the probabilities nearest to counts, a little towards a half."""
    wanted = (positive + 0.4) / (total + 0.8)
    order = np.argsort(_PROBABILITIES, kind="stable")
    ascending = _PROBABILITIES[order]
    middles = (ascending[1:] + ascending[:-1]) / 2
    return order[np.searchsorted(middles, wanted)].astype(np.uint8)


def keys_of(neighbours: States, order: int) -> Integers:
    """Contexts of the nearest ``order`` neighbours as integers."""
    keys = np.zeros(len(neighbours), dtype=np.int64)
    for number in range(order):
        keys |= neighbours[:, number].astype(np.int64) << (2 * number)
    return keys


def _width(order: int) -> int:
    return (2 * order + 7) // 8


def _pyramid(mask: Mask) -> list[States]:
    """States of pixels, of blocks of two a side, and so on up to a single one."""
    some, every = mask, mask
    levels = [np.where(mask, _FULL, _EMPTY).astype(np.int8)]
    while some.size > 1:
        some, every = _halved(some), ~_halved(~every)
        levels.append(np.where(every, _FULL, np.where(some, _MIXED, _EMPTY)).astype(np.int8))
    return levels


def _halved(mask: Mask) -> Mask:
    """Blocks of two pixels a side that have a one."""
    height, width = mask.shape
    padded = np.pad(mask, ((0, height % 2), (0, width % 2)))
    height, width = padded.shape
    return np.asarray(padded.reshape(height // 2, 2, width // 2, 2).any(axis=(1, 3)))


def _sizes(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    height, width = shape
    sizes = [(height, width)]
    while (height, width) != (1, 1):
        height, width = (height + 1) // 2, (width + 1) // 2
        sizes.append((height, width))
    return sizes


def _walk(shape: tuple[int, ...], decide: Decide, levels: list[States] | None) -> States:
    """Visit what is coded of a mask, from coarse to fine; return the states of its pixels.

    ``decide`` takes the number of a table, the neighbours of each place, and which places have a
    one by ``levels``, the states that are there, if they are given. It returns which have one.
    """
    sizes = _sizes(shape)
    states = np.full((1, 1), _MIXED, dtype=np.int8)
    none = np.zeros((1, ORDERS[-1]), dtype=np.int8)
    top = len(sizes) - 1
    unknown = np.zeros(_SLAB, dtype=np.int8)
    wanted = levels[top].ravel() if levels is not None else unknown[:1]
    states[0, 0] = _decided(_table(top, 0), none, decide, wanted, last=top == 0)[0]
    for level in reversed(range(top)):
        height, width = sizes[level]
        rows, columns = np.nonzero(states == _MIXED)
        known = np.repeat(np.repeat(states, 2, axis=0), 2, axis=1)[:height, :width]
        known = np.where(known == _MIXED, _UNKNOWN, known)
        around = np.pad(known, _MARGIN)
        for phase, (y, x) in enumerate(_PHASES):
            own = (2 * rows + y < height) & (2 * columns + x < width)
            places = 2 * rows[own] + y, 2 * columns[own] + x
            found = np.empty(len(places[0]), dtype=np.int8)
            # Children of one phase do not know of each other, so that slabs need not wait.
            for start in range(0, len(found), _SLAB):
                slab = slice(start, start + _SLAB)
                place = places[0][slab], places[1][slab]
                number = len(place[0])
                wanted = levels[level][place] if levels is not None else unknown[:number]
                table = _table(level, phase)
                neighbours = _gathered(around, *place)
                found[slab] = _decided(table, neighbours, decide, wanted, last=level == 0)
            around[places[0] + _MARGIN, places[1] + _MARGIN] = found
        states = around[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN].copy()
    return states


def _table(level: int, phase: int) -> int:
    return (min(level, _SIZES - 1) * len(_PHASES) + phase) * _DECISIONS


def _gathered(around: States, rows: Integers, columns: Integers) -> States:
    steps = np.array(_NEIGHBOURS[: ORDERS[-1]]) + _MARGIN
    return np.asarray(around[rows[:, None] + steps[:, 0], columns[:, None] + steps[:, 1]])


def _decided(
    table: int,
    neighbours: States,
    decide: Decide,
    wanted: States,
    *,
    last: bool,
) -> States:
    """States of children: whether each is mixed, and whether those that are not are full."""
    mixed = np.zeros(len(neighbours), dtype=np.int8)
    if not last:
        mixed = decide(table, neighbours, (wanted == _MIXED).astype(np.int8))
    plain = mixed == 0
    full = decide(table + 1, neighbours[plain], (wanted[plain] == _FULL).astype(np.int8))
    result = np.full(len(neighbours), _MIXED, dtype=np.int8)
    result[plain] = np.where(full == 1, _FULL, _EMPTY)
    return result
