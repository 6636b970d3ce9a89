"""Whatever integers go in, with whatever tables, come out again."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from inrvis.bitstream import NUMBER_OF_TABLES, IntegerDecoder, IntegerEncoder, reach

ANY = st.integers(-(2**31), 2**31 - 1)
SMALL = st.integers(-40, 40)
PARTS = st.lists(
    st.tuples(st.lists(st.one_of(SMALL, ANY), max_size=60), st.integers(0, NUMBER_OF_TABLES - 1)),
    max_size=6,
)


@settings(max_examples=150)
@given(PARTS)
def test_what_goes_in_comes_out(parts: list[tuple[list[int], int]]) -> None:
    coder = IntegerEncoder()
    for values, table in parts:
        coder.put(np.array(values, dtype=np.int64), table)
    stream = coder.finish()
    assert len(stream) % 4 == 0
    decoder = IntegerDecoder(stream)
    for values, table in parts:
        assert decoder.take(len(values), table).tolist() == values


@settings(max_examples=60)
@given(st.integers(0, NUMBER_OF_TABLES - 1))
def test_the_ends_of_a_table_and_beyond(table: int) -> None:
    limit = reach(table)
    values = [limit, -limit, limit + 1, -limit - 1, 2**31 - 1, -(2**31), 0]
    coder = IntegerEncoder()
    coder.put(np.array(values), table)
    assert IntegerDecoder(coder.finish()).take(len(values), table).tolist() == values


@settings(max_examples=100)
@given(st.binary(max_size=64), st.integers(0, NUMBER_OF_TABLES - 1), st.integers(0, 500))
def test_any_bytes_decode_or_are_refused(data: bytes, table: int, number: int) -> None:
    try:
        values = IntegerDecoder(data).take(number, table)
    except ValueError:
        return
    assert values.shape == (number,)
    assert (np.abs(values) <= 2**31).all()
