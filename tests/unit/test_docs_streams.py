"""Sections 5 and 10 to 13 of docs/format.md, word for word: layers and masks decode by them.

Slow, plain and without any code of the library: what agrees with it follows the document.
"""

from __future__ import annotations

import math
import re
import struct
from bisect import bisect_right
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from inrvis.bitstream.masks import decode_mask, encode_mask
from inrvis.residual import interpolation, wavelet
from inrvis.residual.wavelet import WaveletEncoder

pytestmark = pytest.mark.decode_only

FORMAT = (Path(__file__).resolve().parents[2] / "docs" / "format.md").read_text(encoding="utf-8")
Triple = tuple[int, int, int]


def section(heading: str) -> str:
    start = FORMAT.index(f"## {heading}")
    return FORMAT[start : FORMAT.index("\n## ", start + 1)]


def table(text: str, first_heading: str) -> list[list[str]]:
    start = text.index(f"| {first_heading} |")
    lines = text[start:].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def steps_in(text: str) -> list[Triple]:
    """Triples of integers written with a minus sign."""
    found = re.findall(r"\(([−\d]+),([−\d]+),([−\d]+)\)", text.replace(" ", ""))
    return [tuple(int(n.replace("−", "-")) for n in triple) for triple in found]  # type: ignore[misc]


class Words:
    """Section 5."""

    def __init__(self, stream: bytes) -> None:
        self.words = [int(word) for word in np.frombuffer(stream, dtype="<u4")][::-1]
        self.lower, self.range = 0, 2**64 - 1
        self.point = self.word() << 32
        self.point |= self.word()

    def word(self) -> int:
        return self.words.pop() if self.words else 0

    def symbol(self, c: list[int]) -> int:
        scale = self.range >> 24
        j = bisect_right(c, ((self.point - self.lower) % 2**64) // scale) - 1
        assert j < len(c) - 1
        self.lower = (self.lower + scale * c[j]) % 2**64
        self.range = scale * (c[j + 1] - c[j])
        if self.range < 2**32:
            self.lower = (self.lower << 32) % 2**64
            self.range <<= 32
            self.point = (self.point << 32) % 2**64 | self.word()
        return j

    def bits(self, number: int, w: int) -> list[int]:
        values = [0] * number
        for shift in range(0, w, 8):
            v = min(8, w - shift)
            c = [j << (24 - v) for j in range((1 << v) + 1)]
            values = [value | self.symbol(c) << shift for value in values]
        return values

    def tensor(self, number: int, index: int) -> list[int]:
        """Only tables of the second family, of which the coder of weights uses some."""
        w = (8 + (index - 128) % 8) << ((index - 128) // 8)
        r = (w << 60) // (w + 64)
        a = [1 << 60]
        while len(a) <= 32768 and (following := a[-1] * r >> 60) >= 1 << 40:
            a.append(following)
        total = 2 * sum(a) - a[0]
        half = [max(1, (x << 20) // total) for x in a]
        counts = [*half[:0:-1], *half, 1]
        n, all_ = len(counts), sum(counts)
        c = [sum(counts[:j]) * (2**24 - n) // all_ + j for j in range(n)] + [2**24]
        symbols = [self.symbol(c) for _ in range(number)]
        return [
            sum(self.bits(1, 8)[0] << s for s in (0, 8, 16, 24)) - 2**31
            if j == n - 1
            else j - (n - 2) // 2
            for j in symbols
        ]


def cumulatives(counts: list[int]) -> list[int]:
    scale = (2**24 - len(counts)) / sum(counts)
    below, c = 0, []
    for j, count in enumerate(counts):
        c.append(math.floor(below * scale) + j)
        below += count
    return [*c, 2**24]


def root(v: int) -> int:
    return math.isqrt(256 * min(abs(v), 2**20))


THRESHOLDS = [(256 * 2**o * m) // 4096 for o in range(14) for m in (4096, 4871, 5793, 6889)]


def size_of(e: int) -> int:
    return bisect_right(THRESHOLDS, e)


def low(s: int) -> int:
    return max(0, s // 2 - 10)


class Adaptive:
    """Section 10."""

    def __init__(self, words: Words, kinds: int) -> None:
        self.words, self.kinds = words, kinds
        self.S = []
        for s in range(57):
            q, expected, row = 2**20, max(1, 2 ** (max(s, 1) // 2) // 16 // 2 ** low(s)), []
            for _ in range(16):
                row.append(max(1, (16 * q // (expected + 16)) * 1024 // 2**20))
                q = q * expected // (expected + 16)
            self.S.append(row)
        self.C = [[0] * 16 for _ in range(57 * kinds)]
        self.L = [max(1, 64 // 2 ** (j // 2)) for j in range(53)]
        self.models: dict[int, list[Any]] = {}

    def begin_level(self) -> None:
        for rows in (self.S, self.C):
            for row in rows:
                if (t := sum(row)) > 2048:
                    row[:] = [2048 * x // t for x in row]
        self.models = {}

    def model(self, context: int) -> list[Any]:
        if context not in self.models or self.models[context][1] == 0:
            own, size = self.C[context], self.S[context // self.kinds]
            t, u = sum(own), sum(size)
            if t > 262144:
                own[:] = [x // 2 for x in own]
            if u > 262144:
                size[:] = [x // 2 for x in size]
            counts = [x + max(1, 2048 * y // u) for x, y in zip(own, size, strict=True)]
            self.models[context] = [cumulatives(counts), max(8, t // 64 // 4)]
        return self.models[context]

    def run(self, contexts: list[int]) -> list[int]:
        symbols = [0] * len(contexts)
        for context in sorted(set(contexts)):
            where = [i for i, c in enumerate(contexts) if c == context]
            while where:
                model = self.model(context)
                now, where = where[: model[1]], where[model[1] :]
                for i in now:
                    symbols[i] = self.words.symbol(model[0])
                model[1] -= len(now)
                for i in now:
                    self.C[context][symbols[i]] += 64
                    self.S[context // self.kinds][symbols[i]] += 64
        bits = [low(context // self.kinds) for context in contexts]
        magnitudes = [symbol << b for symbol, b in zip(symbols, bits, strict=True)]
        escaped = [i for i, symbol in enumerate(symbols) if symbol == 15]
        c = cumulatives(self.L)
        lengths = [self.words.symbol(c) for _ in escaped]
        for length in lengths:
            self.L[length] += 64
        for length in sorted(set(lengths)):
            where = [i for i, own in zip(escaped, lengths, strict=True) if own == length]
            for i, b in zip(where, self.words.bits(len(where), length), strict=True):
                magnitudes[i] += 2**length - 1 + b
        for w in sorted(set(bits)):
            where = [i for i, b in enumerate(bits) if b == w and symbols[i] != 15]
            for i, b in zip(where, self.words.bits(len(where), w), strict=True):
                magnitudes[i] += b
        where = [i for i, magnitude in enumerate(magnitudes) if magnitude]
        for i, sign in zip(where, self.words.bits(len(where), 1), strict=True):
            magnitudes[i] *= 1 - 2 * sign
        return magnitudes


PARITIES = [(0, 0, 1), (0, 1, 0), (1, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0), (1, 1, 1)]
OFFSETS = sorted(
    (
        o
        for o in product(range(4), repeat=3)
        if sum(n * n for n in o) in (1, 2, 3, 5, 6, 9, 10, 11, 13, 14)
    ),
    key=lambda o: (sum(n * n for n in o), o),
)


def squares(offset: Triple) -> int:
    return sum(n * n for n in offset)


def images(offset: Triple) -> int:
    return 1 << sum(n > 0 for n in offset)


class Level(NamedTuple):
    halved: Triple
    strides: Triple
    last: Triple

    def parity_at(self, parity: Triple, offset: Triple) -> Triple:
        z, y, x = (h * ((p + n) % 2) for p, n, h in zip(parity, offset, self.halved, strict=True))
        return z, y, x

    def sum(self, of: Any, offset: Triple, index: Triple) -> Any:
        result: Any = None
        for signs in product(*((1, -1) if n else (1,) for n in offset)):
            place = []
            for i, sign, n, h, stride, end in zip(index, signs, offset, *self, strict=True):
                at, apart = i + sign * n, 1 + h
                if at < 0:
                    at %= apart
                elif at > end:
                    at -= -(-(at - end) // apart) * apart
                place.append(at * stride)
            value = of[tuple(place)]
            result = value if result is None else result + value
        return result


def levels_of(shape: Triple, plan: bytes) -> list[Level]:
    levels: list[Level] = []
    strides = (1, 1, 1)
    while any(s < n for s, n in zip(strides, shape, strict=True)):
        mask = plan[len(levels)] if len(levels) < len(plan) else 0
        halved = tuple(
            mask >> b & 1 if mask else int(s < n)
            for b, s, n in zip((2, 1, 0), strides, shape, strict=True)
        )
        last = tuple(-(-n // stride) - 1 for n, stride in zip(shape, strides, strict=True))
        levels.append(Level(halved, strides, last))  # type: ignore[arg-type]
        strides = tuple(s << h for s, h in zip(strides, halved, strict=True))  # type: ignore[assignment]
    return levels


def default_weight(parity: Triple, offset: Triple) -> int:
    n = sum(parity)
    if any(o and not p for p, o in zip(parity, offset, strict=True)):
        return 0
    if n == 1:
        return -32 if sum(offset) == 3 else 0
    return {2: 128, 3: 85}[n] if sum(offset) == 1 else 0


def interpolation_by_the_document(data: bytes, shape: Triple, W: Any) -> Any:  # noqa: C901
    """Section 11."""
    step, first = struct.unpack_from("<dd", data)
    refinement, integer, m = data[16], data[17], data[18]
    plan, words = data[19 : 19 + m], Words(data[19 + m :])
    adaptive = Adaptive(words, 6)
    rows = table(section("11. "), "n")
    entries = {
        (int(row[0]), q): int(cell.replace("−", "-"))
        for row in rows
        for q, cell in zip((1, 2, 3, 5, 9), row[1:], strict=True)
        if cell != "–"
    }
    grid, roots = np.zeros(shape, W), np.zeros(shape, int)
    grid[0, 0, 0] = 0 if integer else W(first)
    stored: dict[Any, list[int]] = {}
    levels = levels_of(shape, plan)
    for number, level in reversed(list(enumerate(levels))):
        adaptive.begin_level()
        f = 1.0
        for _ in range(number):
            f = min(f * refinement / 16, 4.0)
        s = 2 * math.floor(step / f / 2) + 1 if integer else step / f
        done = {(0, 0, 0)}
        for parity in PARITIES:
            if any(p > h for p, h in zip(parity, level.halved, strict=True)):
                continue

            known = [o for o in OFFSETS if level.parity_at(parity, o) in done]
            indices = [
                range(p, end + 1, 1 + h)
                for p, end, h in zip(parity, level.last, level.halved, strict=True)
            ]
            points = list(product(*indices))
            n = sum(parity)
            default = [default_weight(parity, o) for o in known[1:]]
            weights = before = stored.get((parity, level.halved), default)
            if len(points) >= 300 and len(known) > 1:
                (choice,) = words.bits(1, 2)
                if choice == 0:
                    weights = default
                elif choice > 1:
                    coded = [choice == 3 or sum(o) <= 3 for o in known[1:]]
                    index = (152, 160, 168, 176)[words.bits(1, 2)[0]]
                    differences = iter(words.tensor(sum(coded), index))
                    weights = [
                        b + next(differences) if c else 0
                        for b, c in zip(before, coded, strict=True)
                    ]
                stored[parity, level.halved] = weights
            predictions, contexts = [], []
            for index in points:
                means = [level.sum(grid, o, index) * W(1 / images(o)) for o in known]
                p = means[0]
                for mean, w in zip(means[1:], weights, strict=True):
                    if w:
                        p = p + (mean - means[0]) * W(w / 256)
                predictions.append(np.rint(p) if integer else p)
                e, positive = 0, 0
                for o in known:
                    q = squares(o)
                    if (n, q) in entries and (q != 9 or max(o) == 3):
                        h = sum(squares(other) == q for other in known)
                        sum_ = int(level.sum(roots, o, index))
                        e += 16 * entries[n, q] // (images(o) * h) * sum_
                        if o == parity:
                            positive = int(sum_ > 0)
                contexts.append(size_of(e // 16) * 6 + 2 * (n - 1) + positive)
            run = adaptive.run(contexts)
            for index, p, v in zip(points, predictions, run, strict=True):
                place = tuple(i * stride for i, stride in zip(index, level.strides, strict=True))
                grid[place] = p + W(v) * W(s)
                roots[place] = root(v)
            done.add(parity)
    return grid + W(first) if integer else grid


def joined(line: Any, W: Any) -> Any:
    text = section("12. ")
    constant = {
        name: W(float(value.replace("−", "-")))
        for name, value in re.findall(r"([αβγδσ]) = ([−\d.]+)", text)
    }
    half = -(-len(line) // 2)
    low_, high = line[:half] / constant["σ"], line[half:] * constant["σ"]

    def around(of: Any, i: int) -> Any:
        return of[min(max(i, 0), len(of) - 1)] + of[min(i + 1, len(of) - 1)]

    for even, odd in (("δ", "γ"), ("β", "α")):
        low_ = np.array([v - constant[even] * around(high, i - 1) for i, v in enumerate(low_)], W)
        high = np.array([v - constant[odd] * around(low_, i) for i, v in enumerate(high)], W)
    result = np.zeros(len(line), W)
    result[0::2], result[1::2] = low_, high
    return result


def wavelet_by_the_document(data: bytes, shape: Triple, W: Any) -> Any:  # noqa: C901, PLR0912
    """Section 12."""
    mean, step, *centres = struct.unpack_from("<dd3b", data)
    m = data[19]
    plan, words = data[20 : 20 + m], Words(data[20 + m :])
    adaptive = Adaptive(words, 12)
    passes = [
        (steps_in(row[1])[0], [int(cell) for cell in row[2:]])
        for row in table(section("12. "), "pass")
    ]
    splits, box = [], shape
    for mask in plan:
        halved = (mask >> 2 & 1, mask >> 1 & 1, mask & 1)
        after = tuple(-(-n // 2) if h else n for n, h in zip(box, halved, strict=True))
        splits.append((halved, box, after))
        box = after
    bands: list[tuple[int, Triple, Any, Any]] = [(m, (0, 0, 0), [(0, n) for n in box], None)]

    def place_of(high: Triple, split: Any) -> Any:
        return [(a, b) if h else (0, a) for h, b, a in zip(high, split[1], split[2], strict=True)]

    for level in reversed(range(m)):
        for high in product((0, 1), repeat=3):
            if not any(high) or any(h > a for h, a in zip(high, splits[level][0], strict=True)):
                continue
            coarser = [
                s
                for s in splits[level + 1 :]
                if all(h <= a for h, a in zip(high, s[0], strict=True))
            ]
            parent = place_of(high, coarser[0]) if coarser else None
            bands.append((level, high, place_of(high, splits[level]), parent))
    known, coefficients = np.zeros(shape, int), np.zeros(shape, W)
    before: tuple[int, list[Any]] = (-1, [])
    for level, high, place, parent in bands:
        if level != before[0]:
            before = (level, [])
            adaptive.begin_level()
        size = tuple(end - start for start, end in place)
        own = np.zeros(size, int)

        def at(band: Any, index: Any) -> int:
            """Root at an index of a band, 0 where it has none."""
            if any(not 0 <= i < end - start for i, (start, end) in zip(index, band, strict=True)):
                return 0
            return int(known[tuple(i + start for i, (start, _) in zip(index, band, strict=True))])

        for number, (parity, (faces, edges, corners, far, around, earlier)) in enumerate(passes):
            done = {p for p, _ in passes[:number]}
            points = list(product(*(range(p, n, 2) for p, n in zip(parity, size, strict=True))))
            contexts = []
            for index in points:
                e, up, beside = 0, 0, 0
                for o in product((-1, 0, 1), repeat=3):
                    other = tuple(i + d for i, d in zip(index, o, strict=True))
                    if any(o) and tuple(i % 2 for i in other) in done:
                        inside = all(0 <= i < n for i, n in zip(other, size, strict=True))
                        weight = (faces, edges, corners)[sum(map(abs, o)) - 1]
                        e += weight * int(own[other]) if inside else 0
                if parent is not None:
                    ends = [end - start for start, end in parent]
                    there = [i * k // n for i, k, n in zip(index, ends, size, strict=True)]
                    up = at(parent, there)
                    for axis, sign in product(range(3), (-1, 1)):
                        moved = list(there)
                        moved[axis] = min(max(there[axis] + sign, 0), ends[axis] - 1)
                        beside += at(parent, moved)
                e += far * up + around * beside
                if before[1]:
                    e += earlier * (sum(at(band, index) for band in before[1]) // len(before[1]))
                kind = 3 * sum(high) + (2 if up > 0 else int(beside > 0))
                contexts.append(size_of(e) * 12 + kind)
            for index, v in zip(points, adaptive.run(contexts), strict=True):
                own[index] = root(v)
                x = centres[min(abs(v), 3) - 1] * (1 / 200) if v else 0.0
                where = tuple(i + start for i, (start, _) in zip(index, place, strict=True))
                coefficients[where] = W(v + ((v > 0) - (v < 0)) * x)
        known[tuple(slice(*ends) for ends in place)] = own
        before[1].append(place)
    for halved, box, _ in reversed(splits):
        part = coefficients[tuple(slice(n) for n in box)]
        for axis in (2, 1, 0):
            if halved[axis]:
                part[...] = np.apply_along_axis(joined, axis, part, W)
    return coefficients * W(step) + W(mean)


def mask_by_the_document(data: bytes, shape: Triple) -> Any:
    """Section 13, for range-coded bits."""
    assert data[0] == 2
    words = Words(data[1:])
    text = section("13. ")
    steps = steps_in(text[text.index("at these 22 steps") : text.index("All of them are in")])
    assert len(steps) == 22
    axes = sorted(range(3), key=lambda axis: shape[axis])
    lengths = tuple(shape[axis] for axis in axes)

    def grid(values: Any, active: Any) -> Any:
        a, b, c = values.shape
        p = min(max(2**22 // (b * c), 1), a)
        counts: dict[Any, list[int]] = {}
        for first in range(0, a, p):
            waves: dict[int, list[Triple]] = {}
            for i, j, k in product(range(first, min(first + p, a)), range(b), range(c)):
                if active[i, j, k]:
                    waves.setdefault(4 * (i - first) + 2 * j + k, []).append((i, j, k))
            for _, cells in sorted(waves.items()):
                learnt = []
                for cell in cells:
                    P, near = 2**19, []
                    for step in steps:
                        place = tuple(x + d for x, d in zip(cell, step, strict=True))
                        inside = all(0 <= x < n for x, n in zip(place, (a, b, c), strict=True))
                        near.append(int(values[place]) if inside else 0)
                    for n in (3, 9, 22):
                        count = counts.setdefault((n, *near[:n]), [0, 0])
                        P = (2**20 * count[0] + 4 * P) // (count[1] + 4)
                        learnt.append((count, cell))
                    P = min(max(P, 1), 2**20 - 1)
                    values[cell] = words.symbol([0, (2**20 - P) * (2**24 - 2) // 2**20 + 1, 2**24])
                for count, cell in learnt:
                    count[0] += int(values[cell])
                    count[1] += 1
        return values

    cubes = tuple(-(-n // 16) for n in lengths)
    some = grid(np.zeros(cubes, int), np.ones(cubes, int))
    every = grid(np.zeros(cubes, int), some)
    place = np.ix_(*(np.arange(n) // 16 for n in lengths))
    mask = grid(every[place].copy(), (some & (1 - every))[place])
    return mask.transpose(np.argsort(axes)).astype(bool)


def waves(shape: Triple, seed: int) -> Any:
    random = np.random.default_rng(seed)
    z, y, x = np.meshgrid(*(np.arange(n) / 9 for n in shape), indexing="ij")
    smooth = np.sin(2 * x + y) * np.cos(3 * z - y) + np.exp(-((x - 0.5) ** 2) - z * z)
    return smooth + 0.02 * random.normal(size=shape)


# A flat volume leaves axes unsplit; one has more points than weights are fitted for.
SHAPES = [(1, 1, 1), (1, 1, 7), (2, 3, 1), (5, 6, 7), (3, 14, 15), (13, 12, 11)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("dtype", "bound"), [(np.float32, 0.05), (np.float64, 1e-6)])
def test_interpolation(shape: Triple, dtype: Any, bound: float) -> None:
    values = waves(shape, 1).astype(dtype)
    data = interpolation.encode(values, bound)
    decoded = interpolation_by_the_document(data, shape, dtype)
    np.testing.assert_array_equal(interpolation.decode(data, shape, np.dtype(dtype)), decoded)
    assert np.abs(decoded - values).max() <= bound


@pytest.mark.parametrize("refinement", [1, 1.5, 4])
def test_interpolation_of_integers_and_thick_slices(refinement: float) -> None:
    shape = (9, 16, 17)
    values = np.rint(400 * waves(shape, 2)).astype(np.float32) + np.float32(0.25)
    values[::2] += 150
    for bound in (0.499, 2.499):
        data = interpolation.encode(values, bound, refinement)
        assert data[17] == 1
        decoded = interpolation_by_the_document(data, shape, np.float32)
        np.testing.assert_array_equal(
            interpolation.decode(data, shape, np.dtype(np.float32)), decoded
        )


def test_interpolation_of_what_escapes() -> None:
    """Far outliers, and the plans and choices of weights that encoders may make."""
    shape = (20, 21, 22)
    values = waves(shape, 3).astype(np.float32)
    values[3, 4, 5], values[10, 0, 21] = 1e5, -3e6
    data = interpolation.encode(values, 4.0)
    decoded = interpolation_by_the_document(data, shape, np.float32)
    np.testing.assert_array_equal(interpolation.decode(data, shape, np.dtype(np.float32)), decoded)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("dtype", "step"), [(np.float32, 0.1), (np.float64, 1e-5)])
def test_wavelets(shape: Triple, dtype: Any, step: float) -> None:
    values = waves(shape, 4).astype(dtype)
    data = WaveletEncoder(values).encode(step)
    decoded = wavelet_by_the_document(data, shape, dtype)
    np.testing.assert_array_equal(wavelet.decode(data, shape, np.dtype(dtype)), decoded)


def test_wavelets_of_thick_slices_and_outliers() -> None:
    shape = (9, 18, 17)
    values = waves(shape, 5)
    values[::2] += 3
    values[4, 4, 4] = 1e7
    data = WaveletEncoder(values).encode(0.3)
    decoded = wavelet_by_the_document(data, shape, np.float64)
    np.testing.assert_array_equal(wavelet.decode(data, shape, np.dtype(np.float64)), decoded)


@pytest.mark.parametrize("shape", [(40, 37, 33), (20, 65, 18)])
def test_masks(shape: Triple) -> None:
    mask = waves(shape, 6) > 0.7
    mask[:17, :20, :18] = True
    data = encode_mask(mask)
    np.testing.assert_array_equal(mask_by_the_document(data, shape), mask)
    np.testing.assert_array_equal(decode_mask(data, shape), mask)


def test_packed_and_deflated_masks() -> None:
    import zlib

    mask = np.random.default_rng(7).random((3, 5, 7)) > 0.5
    packed = np.packbits(mask).tobytes()
    for data in (b"\0" + packed, b"\1" + zlib.compress(packed)):
        np.testing.assert_array_equal(decode_mask(data, mask.shape), mask)
