"""What the format's section on images states is what the code does."""

from __future__ import annotations

import re
from bisect import bisect_right
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inrvis.bitstream.latents import LatentEncoder, latent_counts, scales
from inrvis.container.header import TensorHeader
from inrvis.container.image_graphs import IMAGE_OPERATORS
from inrvis.container.images_header import ROLES, CodecHeader, ImageKind, ImagesHeader
from inrvis.container.implicit_header import IMPLICIT_ROLES, EmbeddingHeader, ImplicitHeader
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
    assert stated == keys(header().to_json())


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


def test_arrays_of_latents() -> None:
    random = np.random.default_rng(1)
    tables = random.integers(90, 120, 300)
    values = np.rint(random.laplace(size=300) * scales()[tables]).astype(np.int64)
    values[[3, 50]] = (1 << 20, -4000)
    encoder = LatentEncoder()
    encoder.put(values, tables)
    assert Decoder(encoder.finish()).latents(tables.tolist()) == values.tolist()


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
