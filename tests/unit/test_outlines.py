"""Masks by shared tables: lossless whatever the tables, small where masks are alike."""

from __future__ import annotations

import hashlib
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inrvis.bitstream.masks import encode_mask
from inrvis.bitstream.outlines import (
    NUMBER_OF_TABLES,
    Outlines,
    learn_outlines,
    read_outlines,
)
from inrvis.errors import FormatError

EMPTY = Outlines((((np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.uint8)),) * 5,) * 24)


def discs(number: int, side: int = 150) -> list[Any]:
    """Return discs of many sizes and places, shape (1, side, side + 13)."""
    random = np.random.default_rng(3)
    y, x = np.mgrid[:side, : side + 13]
    found = []
    for _ in range(number):
        centre, radius = side * (0.3 + 0.4 * random.random(2)), side * (0.1 + 0.2 * random.random())
        found.append((np.hypot(y - centre[0], x - centre[1]) < radius)[None])
    return found


@pytest.fixture(scope="module")
def tables() -> Outlines:
    return learn_outlines(discs(40))


@settings(max_examples=60)
@given(
    planes=hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, max_side=19)),
    own=st.booleans(),
)
def test_any_mask_comes_back(planes: Any, own: bool, tables: Outlines) -> None:
    for outlines in (EMPTY, learn_outlines([planes]) if own else tables):
        stream = outlines.encode(planes)
        np.testing.assert_array_equal(outlines.decode(stream, planes.shape), planes)


def test_tables_come_back(tables: Outlines) -> None:
    data = tables.to_bytes()
    again = read_outlines(data)
    assert again.to_bytes() == data
    mask = discs(1)[0]
    assert again.encode(mask) == tables.encode(mask)
    assert read_outlines(EMPTY.to_bytes()).encode(mask) == EMPTY.encode(mask)


def test_masks_that_are_alike_take_less(tables: Outlines) -> None:
    others = discs(60)[40:]
    alone = sum(len(encode_mask(mask)) for mask in others)
    shared = sum(len(tables.encode(mask)) for mask in others)
    assert shared < 0.7 * alone
    assert len(tables.to_bytes()) < 3000


def test_large_masks_are_walked_in_slabs(monkeypatch: pytest.MonkeyPatch, tables: Outlines) -> None:
    mask = np.random.default_rng(0).random((1, 90, 70)) < 0.5
    first = tables.encode(mask)
    monkeypatch.setattr("inrvis.bitstream.outlines._SLAB", 50)
    # Slabs are a part of the format: neighbours are alike, the order of symbols is not.
    assert tables.encode(mask) != first
    np.testing.assert_array_equal(tables.decode(tables.encode(mask), mask.shape), mask)


def test_streams_are_pinned(tables: Outlines) -> None:
    """A change of these is a change of the format."""
    data = tables.to_bytes()
    assert hashlib.sha256(zlib.decompress(data)).hexdigest()[:16] == "1ae7b7340c06fa6e"
    assert hashlib.sha256(tables.encode(discs(1)[0])).hexdigest()[:16] == "48c3acbec5ce4a41"


def test_damaged_tables_are_refused(tables: Outlines) -> None:
    raw = zlib.decompress(tables.to_bytes())
    for bad in (
        raw[:-1],
        raw + b"\0",
        b"\xff\xff\xff" + raw[3:],
        b"\2\0\0\0\0" + raw[3:],
        b"",
    ):
        with pytest.raises(FormatError):
            read_outlines(zlib.compress(bad))
    with pytest.raises(FormatError):
        read_outlines(b"no zlib")


def test_contexts_ascend() -> None:
    keys, codes = np.array([5, 3]), np.array([1, 1], dtype=np.uint8)
    table = [(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.uint8))] * 5
    table[1] = keys, codes
    bad = Outlines((tuple(table),) * NUMBER_OF_TABLES)
    with pytest.raises(FormatError):
        read_outlines(bad.to_bytes())


def test_damaged_streams(tables: Outlines) -> None:
    mask = discs(1)[0]
    stream = tables.encode(mask)
    for bad in (stream[:-1], stream + bytes(8)):
        with pytest.raises(FormatError):
            tables.decode(bad, mask.shape)
