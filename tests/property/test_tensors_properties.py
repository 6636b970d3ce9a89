"""Tensors of layers, told in a few bytes: what comes back is what went in."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inrvis.bitstream import NUMBER_OF_TABLES
from inrvis.container.tensors import RAW_TABLE, WIDTHS, TensorHeader, layers, tensors_to_json
from inrvis.errors import FormatError

TABLES = st.one_of(
    st.sampled_from(WIDTHS),
    st.sampled_from(WIDTHS).map(lambda width: NUMBER_OF_TABLES // 2 + width),
    st.just(RAW_TABLE),
)
STEPS = st.builds(
    lambda digits, exponent: float(f"{digits}e{exponent}"),
    st.integers(100, 999),
    st.integers(-10, -2),
)
ROWS = st.lists(st.integers(1, 40), max_size=6)


def tensors(
    rows: list[int], inputs: int, prefix: str, axes: tuple[int, ...], told: list[tuple[float, int]]
) -> tuple[TensorHeader, ...]:
    found = []
    for index, outputs in enumerate(rows):
        for suffix, width in (("", inputs), ("b", 1)):
            name = f"{prefix}{index}{suffix}"
            found.append(TensorHeader(name, (*axes, outputs, width), *told.pop()))
        inputs = outputs
    return tuple(found)


@given(st.data(), ROWS.filter(bool), ROWS, st.integers(1, 9))
def test_layers_come_back(data: st.DataObject, rows: list[int], last: list[int], n: int) -> None:
    number = 2 * (len(rows) + len(last))
    pairs = st.lists(st.tuples(STEPS, TABLES), min_size=number, max_size=number)
    told = data.draw(pairs)
    trunk = tensors(rows, 3, "w", (n,), told)
    head = tensors(last, rows[-1], "h", (), told)
    fields = json.loads(json.dumps(tensors_to_json(trunk, head, n)))
    assert (fields["trunk"], fields["head"]) == (rows, last)
    # Nothing that JSON would have to escape.
    assert json.dumps(fields["steps"]) == f'"{fields["steps"]}"'
    assert layers(rows, last, fields["steps"], n) == (trunk, head)


@pytest.mark.parametrize(
    "other",
    [
        TensorHeader("w0", (2, 5, 3), 0.01234, 50),
        TensorHeader("w0", (2, 5, 3), 10.0, 50),
        TensorHeader("w0", (2, 5, 3), 9.99e-9, 50),
        TensorHeader("w0", (2, 5, 3), 0.0123, 51),
        TensorHeader("w0", (2, 5, 3), 0.0123, 98),
        TensorHeader("w0", (2, 5, 4), 0.0123, 50),
        TensorHeader("w0", (1, 5, 3), 0.0123, 50),
        TensorHeader("w1", (2, 5, 3), 0.0123, 50),
    ],
)
def test_other_tensors_are_listed(other: TensorHeader) -> None:
    usual = TensorHeader("w0", (2, 5, 3), 0.0123, 50)
    bias = TensorHeader("w0b", (2, 5, 1), 0.0123, 50)
    assert "steps" in tensors_to_json((usual, bias), (), 2)
    assert "steps" not in tensors_to_json((usual,), (), 2)
    assert tensors_to_json((other, bias), (), 2) == {
        "trunk": [[t.name, list(t.shape), t.step, t.table] for t in (other, bias)],
        "head": [],
    }


@given(st.text(max_size=8))
def test_any_other_text_is_refused(text: str) -> None:
    try:
        trunk, _ = layers([4], [], text, 1)
    except FormatError:
        return
    assert tensors_to_json(trunk, (), 1)["steps"] == text
