"""What the format's section on images states is what the code does."""

from __future__ import annotations

import re
import zlib
from bisect import bisect_right
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inrvis.bitstream import outlines
from inrvis.bitstream.latents import LatentEncoder, latent_counts, scales
from inrvis.container.image_graphs import IMAGE_OPERATORS
from inrvis.container.images_header import ROLES, CodecHeader, ImageKind, ImagesHeader
from inrvis.container.implicit_header import IMPLICIT_ROLES, EmbeddingHeader, ImplicitHeader
from inrvis.container.tensors import TensorHeader
from inrvis.decoder.codes import code_of, grid_of, waves_of
from inrvis.parameters import Cell, Parameter

pytestmark = pytest.mark.decode_only

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "format.md").read_text(encoding="utf-8")
SECTION_19 = TEXT[TEXT.index("## 19. Images of one network") :]
SECTION = TEXT[TEXT.index("## 18. Images") : TEXT.index("## 19. Images of one network")]


def rows(first_heading: str, section: str = SECTION) -> list[list[str]]:
    start = section.index(f"| {first_heading} |")
    lines = section[start:].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def header(exact: bool = True) -> ImagesHeader:
    codec = CodecHeader(
        name="c",
        exact=exact,
        channels=3,
        latents=2,
        hyperlatents=2,
        features=2,
        code_levels=8,
        codes=((-90.0, 1 / 180), (0.0, 0.5)),
        low=0.0,
        high=1.0,
        graphs=dict.fromkeys(ROLES, 0),
        tensors=(TensorHeader("w", (1, 1), 1.0, 0),),
    )
    parameters = (Parameter("theta", ("-90", "0", "37.3")), Parameter("run", ("a", "b", "c")))
    kinds = (ImageKind(4, 5, 3, "uint8"),)
    return ImagesHeader(parameters, ("FILE",), 1, 1, 1, kinds, codec)


def test_header_fields() -> None:
    def keys(value: Any, where: str = "") -> set[str]:
        found = set()
        for key, item in value.items():
            path = f"{where}{key}"
            found.add(path)
            if isinstance(item, dict) and path == "codec":
                found |= keys(item, "codec.")
            if isinstance(item, list) and item and isinstance(item[0], dict):
                found |= keys(item[0], f"{path}[].")
        return found

    stated = {row[0].strip("`") for row in rows("field of images")}
    covered = header()
    covered = replace(covered, codec=replace(covered.codec, covers=True, shift=1))
    assert stated == keys(header().to_json()) | keys(covered.to_json())


def test_roles_and_operators() -> None:
    stated: dict[str, frozenset[str]] = {}
    for roles, inputs, _ in rows("role"):
        names = frozenset(re.findall(r"`(\w+)`", inputs))
        stated |= dict.fromkeys(re.findall(r"`(\w+)`", roles), names)
    assert stated == dict(ROLES)
    start = SECTION.index("without the rule on products:")
    listed = SECTION[start : SECTION.index(".", start)]
    assert set(re.findall(r"`(\w+)`", listed)) == IMAGE_OPERATORS


def table(s: int) -> list[int]:
    """Counts by the document."""
    w = (8 + s % 8) << (s // 8)
    t = 2**60 * w // (w + 2**16)
    q = t * t // 2**60
    a, following = [2**60 - t], t * (2**60 - q) // 2**61
    while following >= 2**40:
        a.append(following)
        following = following * q // 2**60
    half = [max(1, 2**20 * k // 2**60) for k in a]
    return [*half[:0:-1], *half, 1]


def test_tables_of_latents() -> None:
    for s in range(0, 176, 7):
        assert table(s) == latent_counts(s).tolist()
    pinned = rows("latent table")
    assert len(pinned) > 4
    for s, *stated in pinned:
        counts = latent_counts(int(s))
        reach = (len(counts) - 2) // 2
        known = [str(counts[reach + k]) if k <= reach else "–" for k in range(4)]
        assert stated == [str(reach), str(counts.sum()), *known]


class Decoder:
    """Section 5, word for word."""

    def __init__(self, stream: bytes) -> None:
        self.words = [int(word) for word in np.frombuffer(stream, dtype="<u4")]
        self.lower, self.range = 0, 2**64 - 1
        self.point = self.word() << 32
        self.point |= self.word()

    def word(self) -> int:
        return self.words.pop(0) if self.words else 0

    def symbol(self, c: list[int]) -> int:
        scale = self.range >> 24
        q = ((self.point - self.lower) % 2**64) // scale
        j = bisect_right(c, q) - 1
        self.lower = (self.lower + scale * c[j]) % 2**64
        self.range = scale * (c[j + 1] - c[j])
        if self.range < 2**32:
            self.lower = (self.lower << 32) % 2**64
            self.range <<= 32
            self.point = (self.point << 32) % 2**64 | self.word()
        return j

    def latents(self, tables: list[int]) -> list[int]:
        """Decode an array of latents, as section 18 has it."""
        values = [0] * len(tables)
        for s in sorted(set(tables)):
            counts = table(s)
            n, total = len(counts), sum(counts)
            c = [sum(counts[:j]) * (2**24 - n) // total + j for j in range(n)] + [2**24]
            places = [i for i, own in enumerate(tables) if own == s]
            found = [self.symbol(c) for _ in places]
            escapes = [i for i, j in zip(places, found, strict=True) if j == n - 1]
            words = [0] * len(escapes)
            for shift in (0, 8, 16, 24):
                for k in range(len(escapes)):
                    words[k] |= self.symbol([65536 * j for j in range(257)]) << shift
            for i, j in zip(places, found, strict=True):
                values[i] = j - (n - 2) // 2
            for i, word in zip(escapes, words, strict=True):
                values[i] = word - 2**31
        return values

    def bit(self, one: int) -> int:
        """Return a symbol 0 or 1 of the counts 2²⁰ − one and one."""
        counts = [2**20 - one, one]
        c = [sum(counts[:j]) * (2**24 - 2) // 2**20 + j for j in range(2)] + [2**24]
        return self.symbol(c)


def test_arrays_of_latents() -> None:
    random = np.random.default_rng(1)
    tables = random.integers(90, 120, 300)
    values = np.rint(random.laplace(size=300) * scales()[tables]).astype(np.int64)
    values[[3, 50]] = (1 << 20, -4000)
    encoder = LatentEncoder()
    encoder.put(values, tables)
    assert Decoder(encoder.finish()).latents(tables.tolist()) == values.tolist()


STEPS = sorted(
    (s for s in product(range(-3, 4), repeat=2) if s != (0, 0)),
    key=lambda s: (s[0] ** 2 + s[1] ** 2, s[0], s[1]),
)[:20]
LENGTHS = (0, 4, 8, 12, 20)


def contexts_by_the_document(data: bytes) -> list[list[dict[int, int]]]:
    """For each table, for each length, codes by contexts."""
    data = zlib.decompress(data)
    place, result = 0, []
    for _ in range(24):
        lengths = []
        for n in LENGTHS:
            count, width = int.from_bytes(data[place : place + 3], "little"), -(-2 * n // 8)
            place += 3
            planes = [data[place + k * count : place + (k + 1) * count] for k in range(width)]
            place += width * count
            keys = [sum(planes[k][i] << (8 * k) for k in range(width)) for i in range(count)]
            lengths.append(dict(zip(keys, data[place : place + count], strict=True)))
            place += count
        result.append(lengths)
    assert place == len(data)
    return result


def plane_by_the_document(
    decoder: Decoder, contexts: list[list[dict[int, int]]], height: int, width: int
) -> list[list[int]]:
    """States of the pixels of one plane."""

    def decide(table: int, neighbours: list[int]) -> int:
        code = 0
        for n, known in zip(LENGTHS, contexts[table], strict=True):
            code = known.get(sum(neighbours[k] << (2 * k) for k in range(n)), code)
        c = code % 128
        one = 2**20 * (8 + c % 8) >> (4 + c // 8)
        return decoder.bit(one if code < 128 else 2**20 - one)

    def states(level: int, phase: int, around: list[list[int]]) -> list[int]:
        number = (4 * min(level, 2) + phase) * 2
        mixed = [decide(number, own) if level else 0 for own in around]
        return [
            2 if is_mixed else decide(number + 1, own)
            for is_mixed, own in zip(mixed, around, strict=True)
        ]

    def level_states(level: int, phase: int, around: list[list[int]]) -> list[int]:
        # The decisions of a slab: first whether they are mixed, all of them.
        return [
            state
            for start in range(0, len(around), 65536)
            for state in states(level, phase, around[start : start + 65536])
        ]

    sizes = [(height, width)]
    while sizes[-1] != (1, 1):
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    level = len(sizes) - 1
    above = [level_states(level, 0, [[0] * 20])]
    while level:
        level -= 1
        h, w = sizes[level]
        own = [[above[y // 2][x // 2] for x in range(w)] for y in range(h)]
        own = [[3 if state == 2 else state for state in row] for row in own]
        parents = [(r, c) for r, row in enumerate(above) for c, s in enumerate(row) if s == 2]
        for phase, (y, x) in enumerate([(0, 0), (1, 1), (0, 1), (1, 0)]):
            places = [(2 * r + y, 2 * c + x) for r, c in parents]
            places = [(r, c) for r, c in places if r < h and c < w]
            around = [
                [
                    own[r + dy][c + dx] if 0 <= r + dy < h and 0 <= c + dx < w else 0
                    for dy, dx in STEPS
                ]
                for r, c in places
            ]
            for (r, c), state in zip(places, level_states(level, phase, around), strict=True):
                own[r][c] = state
        above = own
    return above


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (33, 18), (40, 64)])
def test_outlines(shape: tuple[int, int]) -> None:
    random = np.random.default_rng(4)
    y, x = np.mgrid[: shape[0], : shape[1]]
    masks = []
    for _ in range(30):
        centre = random.random(2) * shape
        masks.append((np.hypot(y - centre[0], x - centre[1]) < 0.4 * shape[1])[None])
    learned = outlines.learn_outlines(masks)
    mask = np.concatenate([masks[0], random.random((1, *shape)) < 0.5])
    contexts = contexts_by_the_document(learned.to_bytes())
    decoder = Decoder(learned.encode(mask))
    found = [plane_by_the_document(decoder, contexts, *shape) for _ in mask]
    np.testing.assert_array_equal(np.array(found) == 1, mask)


def test_codes() -> None:
    facts = header()
    code = code_of(facts.codec, facts.parameters, Cell((2, 1), (0,))).reshape(2, 8, 2)
    for row, u in zip(code, ((37.3 + 90) / 180, 0.5), strict=True):
        fixed = round(u * 2**16)
        for level, pair in enumerate(row):
            p = fixed * 5**level // 4**level
            waves = [abs(x % 2**17 - 2**16) * 510 // 2**16 - 255 for x in (p + 98304, p)]
            assert pair.tolist() == waves
    floats = code_of(header(exact=False).codec, facts.parameters, Cell((2, 1), (0,)))
    angle = 1.25 ** np.arange(8) * np.pi * 0.5
    waves = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    np.testing.assert_allclose(floats.reshape(2, 8, 2)[1], waves, atol=1e-6)


def implicit_header() -> ImplicitHeader:
    return ImplicitHeader(
        name="n",
        channels=4,
        coverage=True,
        stride=16,
        codes=((-90.0, 1 / 180), (0.0, 1.0)),
        waves=((1.0, 1.25), (2.0,)),
        grid=(1.0, 1.25, 1.5625),
        embedding=EmbeddingHeader(0.0625, (0, -3), (100, 112)),
        low=0.0,
        high=1.0,
        tensors=(TensorHeader("w", (1, 1), 1.0, 0),),
    )


def test_fields_of_an_implicit_codec() -> None:
    stated = {row[0].strip("`") for row in rows("field of an implicit codec", SECTION_19)}
    values = implicit_header().to_json()
    assert stated == {*values, *(f"embedding.{key}" for key in values["embedding"])}
    inputs = {row[0].strip("`") for row in rows("input", SECTION_19)}
    assert inputs == IMPLICIT_ROLES["view"]


def test_inputs_of_an_implicit_network() -> None:
    header, kind = implicit_header(), ImageKind(37, 60, 3, "uint8")
    code = [1.0]
    for u, frequencies in (((37.3 + 90) / 180, (1.0, 1.25)), (1.0, (2.0,))):
        for f in frequencies:
            code += [np.sin(np.pi * f * u), np.cos(np.pi * f * u)]
    found = waves_of(header, [37.3, 1.0])
    np.testing.assert_allclose(found, np.reshape(code, (1, -1, 1, 1)), atol=1e-6)
    y, x = (np.arange(3) + 0.5) * 16 / 37, (np.arange(4) + 0.5) * 16 / 60
    maps = [np.ones((3, 4))]
    for f in (1.0, 1.25, 1.5625):
        for wave in (np.sin, np.cos):
            maps.append(np.repeat(wave(np.pi * f * y)[:, None], 4, axis=1))
            maps.append(np.repeat(wave(np.pi * f * x)[None], 3, axis=0))
    np.testing.assert_allclose(grid_of(header, kind)[0], maps, atol=1e-6)
