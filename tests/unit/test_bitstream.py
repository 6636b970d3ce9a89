"""The coder's output and its tables are part of the format: pinned, symmetric, near the entropy."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from inrvis.bitstream import NUMBER_OF_TABLES, IntegerDecoder, IntegerEncoder, counts, reach

pytestmark = pytest.mark.decode_only

# A change here makes every file unreadable: it needs a new format version.
WORDS = {
    (3, (0, 0, 1, -1, 0, 2, 0)): "c4b8afdd",
    (64, (5, -17, 0, 31, 200, -4096, 1)): "4298408f00cbf883c099e7dd83d3d7b20052c85c",
    (192, (5, -17, 0, 31, 200, -4096, 1)): "01fd9091397b16693de1538700009faa",
    (255, (2**31 - 1, -(2**31), 0, 32768, -32768)): "ffffffffdd025efd81476436f9ffff53000000ac",
}
TABLES_SHA256 = "9e1095b8edd9b1d4d600eb8b33875101937ce122f772e564c298d5ad2326ae1c"


def encode(values: object, table: int) -> bytes:
    coder = IntegerEncoder()
    coder.put(np.array(values), table)
    return coder.finish()


@pytest.mark.parametrize(("table", "values"), WORDS)
def test_words_are_the_pinned_ones(table: int, values: tuple[int, ...]) -> None:
    stream = encode(values, table)
    assert stream.hex() == WORDS[table, values]
    assert IntegerDecoder(stream).take(len(values), table).tolist() == list(values)


def test_tables_are_the_pinned_ones() -> None:
    digest = hashlib.sha256()
    for table in range(NUMBER_OF_TABLES):
        digest.update(counts(table).astype("<i8").tobytes())
    assert digest.hexdigest() == TABLES_SHA256


def test_counts_of_a_few_tables() -> None:
    assert counts(0).tolist() == [29959, 988657, 29959, 1]
    assert counts(128).tolist() == [
        1,
        14,
        127,
        1150,
        10356,
        93206,
        838861,
        93206,
        10356,
        1150,
        127,
        14,
        1,
        1,
    ]


@pytest.mark.parametrize("table", range(0, NUMBER_OF_TABLES, 5))
def test_a_table_is_a_distribution(table: int) -> None:
    values = counts(table)
    half = reach(table)
    assert len(values) == 2 * half + 2
    assert values.min() >= 1
    assert values.sum() <= (1 << 20) + len(values)
    assert values.sum() >= (1 << 20) - len(values)
    np.testing.assert_array_equal(values[:-1], values[-2::-1])
    assert (np.diff(values[half:-1]) <= 0).all()
    with pytest.raises(ValueError, match="read-only"):
        values[0] = 3


@pytest.mark.parametrize("table", [-1, NUMBER_OF_TABLES])
def test_tables_end_somewhere(table: int) -> None:
    with pytest.raises(ValueError, match="table"):
        counts(table)


@pytest.mark.parametrize("table", [24, 40, 64, 152, 168, 192])
def test_the_size_is_near_the_entropy(table: int) -> None:
    probability = counts(table) / counts(table).sum()
    random = np.random.default_rng(table)
    symbols = random.choice(
        len(probability) - 1, 20_000, p=probability[:-1] / probability[:-1].sum()
    )
    values = symbols - reach(table)
    bits = -np.log2(probability[symbols]).sum()
    assert 8 * len(encode(values, table)) <= 1.002 * bits + 64


def test_arrays_share_a_stream() -> None:
    random = np.random.default_rng(1)
    parts = [
        (random.integers(-50, 50, (4, 5)), 64),
        (np.zeros((0, 3), int), 3),
        (np.arange(9), 192),
    ]
    coder = IntegerEncoder()
    for values, table in parts:
        coder.put(values, table)
    decoder = IntegerDecoder(coder.finish())
    for values, table in parts:
        np.testing.assert_array_equal(decoder.take(values.size, table), values.ravel())


def test_no_integers_at_all() -> None:
    assert IntegerDecoder(IntegerEncoder().finish()).take(0, 7).size == 0


@pytest.mark.parametrize("value", [2**31, -(2**31) - 1])
def test_integers_beyond_32_bits_are_refused(value: int) -> None:
    with pytest.raises(ValueError, match="32 bits"):
        encode([value], 3)


def test_half_a_word_is_refused() -> None:
    with pytest.raises(ValueError, match="words"):
        IntegerDecoder(b"12345")
