"""What the documents state is what the code does, and what they link to exists."""

from __future__ import annotations

import base64
import json
import re
import zlib
from bisect import bisect_right
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inrvis.bitstream import IntegerDecoder, IntegerEncoder, counts, outlines, reach, tables
from inrvis.container import (
    graphs,
    header,
    image_graphs,
    images_header,
    implicit_header,
    sections,
    series_file,
)
from inrvis.container.dictionary import DICTIONARIES
from inrvis.container.header import (
    ArrayHeader,
    BoxesHeader,
    ExactHeader,
    LatticeHeader,
    ModelHeader,
    VolumeHeader,
)
from inrvis.container.tensors import TensorHeader, layers
from inrvis.decoder.blocks import Axis
from inrvis.grid import ImageGrid

pytestmark = pytest.mark.decode_only

ROOT = Path(__file__).resolve().parents[2]
FORMAT = (ROOT / "docs" / "format.md").read_text(encoding="utf-8")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
EXAMPLE = ((16, [0, 1, -1, 2, -3, 4, 0, -70000]), (136, [5, 0, -2]))


def rows(first_heading: str) -> list[list[str]]:
    """Return the cells of the table whose first heading is this."""
    start = FORMAT.index(f"| {first_heading} |")
    lines = FORMAT[start:].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def keys(value: Any, where: str = "") -> set[str]:
    """Return the paths of all fields of a header, as the document writes them."""
    found: set[str] = set()
    for key, item in value.items():
        path = f"{where}{key}"
        if path in ("encoding", "models[].settings", "arrays[].metrics"):
            found.add(path)
        elif isinstance(item, dict):
            found |= keys(item, f"{path}.")
        elif isinstance(item, list) and item and isinstance(item[0], dict):
            found |= {path} | keys(item[0], f"{path}[].")
        else:
            found.add(path)
    return found


def test_limits() -> None:
    stated = {m[1]: int(m[2]) for m in re.finditer(r"\| `(MAX_\w+)` \| (\d+) (?=\|)", FORMAT)}
    images = (image_graphs, images_header, implicit_header)
    modules = (graphs, header, *images, outlines, sections, series_file, tables)
    real = {
        name: value
        for module in modules
        for name, value in vars(module).items()
        if name.startswith("MAX_")
    }
    assert stated == real


def test_limits_named_in_the_text_are_listed() -> None:
    listed = set(re.findall(r"\| `(MAX_\w+)` \| \d", FORMAT))
    assert set(re.findall(r"`(MAX_\w+)`", FORMAT)) == listed


def test_header_fields() -> None:
    tensor = TensorHeader("w0", (1, 1, 3), 0.5, 0)
    example = VolumeHeader(
        ImageGrid.from_dimensions((2, 2, 2)),
        (
            replace(
                ArrayHeader("a", "uint8", 1, 0, (0.0,), (1.0,), 0.0, 1.0),
                residual="wavelet",
                levels=(0.0, 1.0),
                exact=(ExactHeader(0.0, (0,)),),
            ),
        ),
        (ModelHeader("siren", LatticeHeader((1, 1, 1), 0, 0, 1), (tensor,), (tensor,), (0,)),),
        masks=1,
    )
    trunk, _ = layers([1], [], "9qG<7P", 1)
    boxed = replace(
        example.models[0],
        lattice=BoxesHeader(((0, 0, 0, 2, 2, 2),), 0, 1),
        graphs=(0, -1, 1),
        trunk=trunk,
        head=(),
    )
    both = (example, replace(example, models=(boxed,)))
    real = set().union(*(keys(header._to_json()) for header in both))
    assert {row[0].strip("`") for row in rows("field")} == real


def test_fields_and_sections_of_a_series() -> None:
    one = series_file.SeriesHeader(
        ImageGrid.from_dimensions((2, 2, 2)), (series_file.StepArray("a", "uint8", 1),), (0.0,)
    )
    real = {key for key in keys(json.loads(one.to_bytes())) if not key.startswith("grid.")}
    assert {row[0].strip("`") for row in rows("field of a series")} == real | {"grid"}
    stated = [row[0] for row in rows("section of a series")]
    assert stated == ["`header`", "`graphs`", "`step_K`"]
    assert series_file._name(12) == "step_12"


def test_types() -> None:
    start = FORMAT.index("The types are ")
    sentence = FORMAT[start : FORMAT.index(".", start)]
    assert tuple(re.findall(r"`(\w+)`", sentence)) == header.DTYPES


def test_magic_version_and_sections() -> None:
    stated = {row[0]: row[2] for row in rows("attribute")}
    assert stated == {"`magic`": f"`{sections.MAGIC}`", "`format`": f"`{sections.FORMAT_VERSION}`"}
    assert [row[0] for row in rows("section")] == [
        "`header`",
        "`graphs`",
        "`weights`",
        "`residuals`",
        "`masks`",
    ]


def test_the_dictionaries_of_zlib_streams() -> None:
    first, graphs, headers, networks = (
        "".join(block.splitlines()).encode("ascii")
        for block in re.findall(r"```text\n(.*?)```", FORMAT[: FORMAT.index("## 2.")], re.DOTALL)
    )
    second = zlib.decompress(base64.b64decode(graphs)) + headers
    third = second[: second.rindex(b'"models"')] + networks
    assert (first, second, third) == DICTIONARIES


def test_the_example_of_layers() -> None:
    start = FORMAT.index('Example: `"trunk":[1]')
    fields, steps, *tensors = re.findall(r"`(.*?)`", FORMAT[start : FORMAT.index("\n\n", start)])
    told = json.loads("{" + fields + "," + steps + "}")
    found, head = layers(told["trunk"], told["head"], told["steps"], 1)
    assert not head
    assert [[t.name, list(t.shape), t.step, t.table] for t in found] == [
        json.loads(tensor) for tensor in tensors
    ]


def test_operators() -> None:
    start = FORMAT.index("this list: ")
    sentence = FORMAT[start : FORMAT.index(".\n", start)]
    assert set(re.findall(r"`(\w+)`", sentence)) == graphs.ALLOWED_OPERATORS


def test_fields_of_graphs() -> None:
    stated = {}
    for row in rows("message"):
        for message, fields in zip(row[::2], row[1::2], strict=True):
            if message:
                found = re.findall(r"(\w+) \((\d+)\)", fields)
                stated[message] = {name: int(number) for name, number in found}
    schema = {
        message: {name: number for name, (number, _, _) in fields.items()}
        for message, fields in graphs._SCHEMA.items()
    }
    assert stated == schema


def test_pinned_tables() -> None:
    pinned = rows("table")
    assert len(pinned) > 5
    for index, *stated in pinned:
        table, limit = counts(int(index)), reach(int(index))
        known = [str(table[limit + k]) if k <= limit else "–" for k in range(4)]
        assert stated == [str(limit), str(table.sum()), *known]


def table_by_the_document(index: int) -> list[int]:
    family, step = divmod(index, 128)
    w = (8 + step % 8) << (step // 8)
    one = 1 << 60
    r = one * w * w // (w * w + 2048) if family == 0 else one * w // (w + 64)
    g = r * r // one if family == 0 else one
    a = [one]
    while len(a) <= 32768 and (following := a[-1] * r // one) >= 1 << 40:
        a.append(following)
        r = r * g // one
    total = 2 * sum(a) - a[0]
    half = [max(1, (a_k << 20) // total) for a_k in a]
    return [*half[:0:-1], *half, 1]


class DecoderByTheDocument:
    """Section 5, word for word, without the coder's library."""

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
        assert q < 1 << 24
        j = bisect_right(c, q) - 1
        self.lower = (self.lower + scale * c[j]) % 2**64
        self.range = scale * (c[j + 1] - c[j])
        if self.range < 2**32:
            self.lower = (self.lower << 32) % 2**64
            self.range <<= 32
            self.point = (self.point << 32) % 2**64 | self.word()
        return j

    def tensor(self, number: int, index: int) -> list[int]:
        table = table_by_the_document(index)
        n, total, below, c = len(table), sum(table), 0, []
        for j, count in enumerate(table):
            c.append(below * (2**24 - n) // total + j)
            below += count
        symbols = [self.symbol([*c, 2**24]) for _ in range(number)]
        uniform = [65536 * j for j in range(257)]
        return [
            sum(self.symbol(uniform) << shift for shift in (0, 8, 16, 24)) - 2**31
            if symbol == n - 1
            else symbol - (n - 2) // 2
            for symbol in symbols
        ]


def test_tables_follow_from_the_document() -> None:
    for index in range(tables.NUMBER_OF_TABLES):
        assert table_by_the_document(index) == counts(index).tolist()


def test_example_of_a_stream() -> None:
    stream = bytes.fromhex(re.findall(r"^    ([0-9a-f]{16,})$", FORMAT, flags=re.MULTILINE)[0])
    coder = IntegerEncoder()
    for index, values in EXAMPLE:
        coder.put(np.array(values), index)
    assert coder.finish() == stream
    reader = IntegerDecoder(stream)
    assert [reader.take(len(v), t).tolist() for t, v in EXAMPLE] == [v for _, v in EXAMPLE]


@pytest.mark.parametrize("index", [0, 1, 16, 40, 64, 90, 127, 128, 129, 150, 190, 220, 255])
def test_streams_decode_by_the_document(index: int) -> None:
    limit = reach(index)
    random = np.random.default_rng(index)
    values = np.rint(random.normal(size=150) * max(limit, 2) / 3).astype(np.int64)
    values[:7] = [0, limit, -limit, limit + 1, -limit - 1, 2**31 - 1, -(2**31)]
    coder = IntegerEncoder()
    coder.put(values, index)
    coder.put(values[::-1], 136)
    reader = DecoderByTheDocument(coder.finish())
    assert reader.tensor(len(values), index) == values.tolist()
    assert reader.tensor(len(values), 136) == values[::-1].tolist()


def test_example_of_blocks() -> None:
    axis = Axis(voxels=20, blocks=3, overlap=3, spacing=0)
    assert axis.side == 7
    assert [axis.domain(block) for block in range(3)] == [(0, 9), (4, 16), (11, 19)]
    weights = [float(axis.weight(block, np.array([6]))[0]) for block in range(3)]
    assert weights == pytest.approx([0.6, 0.4, 0.0])
    assert "have side 7 and the domains 0…9, 4…16, 11…19" in " ".join(FORMAT.split())


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), f"{page.name} links to {target}"
        if anchor and linked.suffix == ".md":
            headings = re.findall(r"^#+ (.+)$", linked.read_text("utf-8"), flags=re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}
            assert anchor in slugs, f"{page.name} links to {target}"


def test_files_named_by_the_architecture_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    suffixes = r"(?:\.py|\.toml|\.txt|\.xml|\.md|/)"
    for name in set(re.findall(rf"`((?:[\w.-]+/)*[\w.-]+{suffixes})`", text)) - {
        "inrvis.plugins.xml"
    }:
        places = (ROOT / name, ROOT / "inrvis" / name, ROOT / "xml" / name)
        assert any(place.exists() for place in places), f"docs/architecture.md names {name}"


def test_pages_name_no_machine() -> None:
    for page in PAGES:
        assert not re.search(r"/(?:home|root|Users|work)/", page.read_text(encoding="utf-8"))
