"""Headers of unknown origin: every claim is checked before it sizes anything."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import inrvis
from inrvis.container.header import parse_header
from inrvis.container.sections import inflate, read_sections
from inrvis.errors import FormatError, LimitError

pytestmark = pytest.mark.decode_only

Golden = Callable[[str], Path]
Change = tuple[tuple[Any, ...], Any]


@pytest.fixture
def facts(golden: Golden) -> dict[str, Any]:
    """Return the header of a file with two arrays as parsed JSON."""
    stored = read_sections(golden("direct"))["header"]
    value: dict[str, Any] = json.loads(inflate(stored, "header"))
    return value


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Set ``new`` at ``path`` within ``value``."""
    for key in path[:-1]:
        value = value[key]
    value[path[-1]] = new


def parse(facts: Any) -> Any:
    return parse_header(json.dumps(facts).encode())


def test_bytes_and_back(golden: Golden) -> None:
    for name in ("direct", "blocks", "knots"):
        header = parse_header(inflate(read_sections(golden(name))["header"], "header"))
        data = header.to_bytes()
        assert parse_header(data) == header
        assert header.to_bytes() == data


def test_sizes_follow_from_the_facts(golden: Golden) -> None:
    with inrvis.open(golden("direct")) as volume:
        header = volume.header
        assert header.original_bytes == 13 * 11 * 9 * (1 + 3 * 4)
        assert header.channels == 4
        assert header.model.parameters == 189


HUGE = 10**12
TOO_MUCH: list[Change] = [
    (("grid", "extent"), [0, 9999, 0, 9999, 0, 9999]),
    (("grid", "extent"), [0, HUGE, 0, 0, 0, 0]),
    (("model", "lattice", "overlap"), HUGE),
    (("model", "lattice", "overlap"), -1),
    (("model", "lattice", "spacing"), HUGE),
    (("model", "lattice", "spacing"), -1),
    (("model", "lattice", "features"), HUGE),
    (("model", "lattice", "features"), 0),
    (("model", "lattice", "blocks"), [HUGE, 1, 1]),
    (("model", "lattice", "blocks"), [0, 1, 1]),
    (("model", "lattice", "blocks"), [4096, 4096, 4096]),
    (("model", "trunk", 0, 1), [1, HUGE, 3]),
    (("model", "trunk", 0, 1), [1, 1 << 27, 1 << 27]),
    (("model", "trunk", 0, 1), [1, 0, 3]),
    (("model", "trunk", 0, 1), [2, 8, 3]),
    (("model", "trunk", 0, 1), [1, 2, 2, 2, 2, 2]),
    (("model", "head", 0, 1), [20_000, 20_000]),
    (("model", "trunk"), [["w", [1, 1], 0.5, 0]] * 100_000),
    (("model", "trunk", 0, 3), 256),
    (("model", "trunk", 0, 3), -1),
    (("model", "trunk", 0, 0), "w" * 100_000),
    (("model", "name"), "n" * 100_000),
    (("arrays", 0, "name"), "n" * 100_000),
    (("arrays", 0, "components"), HUGE),
    (("arrays", 0, "channel"), 7),
    (("arrays",), []),
    (("times",), [0.0] * 1_000_000),
]
MALFORMED: list[Change] = [
    (("kind",), "hologram"),
    (("kind",), 3),
    (("grid",), None),
    (("grid", "extent"), [0, 1, 0, 1, 0]),
    (("grid", "extent"), [5, 1, 0, 1, 0, 1]),
    (("grid", "extent"), [0.5, 1, 0, 1, 0, 1]),
    (("grid", "extent"), {"0": 1}),
    (("grid", "spacing"), [0.0, 1.0, 1.0]),
    (("grid", "spacing"), [float("nan"), 1.0, 1.0]),
    (("grid", "spacing"), [10**400, 1.0, 1.0]),
    (("grid", "direction"), [0.0] * 9),
    (("grid", "origin"), ["a", 0, 0]),
    (("arrays",), {"a": 1}),
    (("arrays",), [1, 2]),
    (("arrays", 0, "dtype"), "object"),
    (("arrays", 0, "dtype"), "float16"),
    (("arrays", 0, "dtype"), ["uint8"]),
    (("arrays", 0, "name"), ""),
    (("arrays", 0, "name"), 7),
    (("arrays", 0, "name"), "velocity"),
    (("arrays", 0, "name"), "\ud800"),
    (("arrays", 0, "components"), True),
    (("arrays", 0, "components"), 1.0),
    (("arrays", 0, "offset"), [1.0, 2.0]),
    (("arrays", 0, "offset"), [float("inf")]),
    (("arrays", 0, "offset"), [10**400]),
    (("arrays", 0, "scale"), ["1"]),
    (("arrays", 0, "low"), float("nan")),
    (("arrays", 0, "low"), 10**400),
    (("arrays", 0, "low"), 300.0),
    (("arrays", 0, "high"), 1e9),
    (("arrays", 0, "low"), -1.0),
    (("arrays", 0, "metrics"), [1]),
    (("arrays", 0, "metrics"), {"psnr_db": "good"}),
    (("arrays", 0, "metrics"), {"psnr_db": float("inf")}),
    (("model",), []),
    (("model", "lattice"), 1),
    (("model", "lattice", "blocks"), [1, 1]),
    (("model", "lattice", "blocks"), [1.0, 1, 1]),
    (("model", "lattice", "overlap"), 1.5),
    (("model", "trunk"), None),
    (("model", "trunk", 0), ["w0"]),
    (("model", "trunk", 0), "w0"),
    (("model", "trunk", 0, 1), 7),
    (("model", "trunk", 0, 1), [1, True, 3]),
    (("model", "trunk", 0, 2), "fine"),
    (("model", "trunk", 0, 2), float("inf")),
    (("model", "trunk", 0, 2), 10**400),
    (("model", "settings"), 0),
    (("times",), [float("nan")]),
    (("times",), [10**400]),
    (("encoding",), "x"),
]


@pytest.mark.parametrize(("path", "value"), TOO_MUCH + MALFORMED, ids=lambda v: repr(v)[:40])
def test_a_bad_claim(facts: dict[str, Any], path: tuple[Any, ...], value: Any) -> None:
    put(facts, path, value)
    with pytest.raises(FormatError) as caught:
        parse(facts)
    assert len(str(caught.value)) <= 500


def test_a_claim_of_too_many_voxels_is_a_limit(facts: dict[str, Any]) -> None:
    put(facts, ("grid", "extent"), [0, 9999, 0, 9999, 0, 9999])
    with pytest.raises(LimitError, match="1000000000000 voxels"):
        parse(facts)


def keys(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to every key of every object within ``value``."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, item in items:
        if isinstance(value, dict):
            found.append((*path, key))
        if isinstance(item, dict | list):
            found += keys(item, (*path, key))
    return found


def test_every_key_is_needed(facts: dict[str, Any]) -> None:
    # Metrics, settings and facts of the encoding are information: any of them may be absent.
    free = {"metrics", "settings", "encoding"}
    for path in keys(facts):
        if free & set(path[:-1]):
            continue
        changed = json.loads(json.dumps(facts))
        part = changed
        for key in path[:-1]:
            part = part[key]
        del part[path[-1]]
        with pytest.raises(FormatError):
            parse(changed)


@pytest.mark.parametrize(("blocks", "overlap"), [((2, 1, 1), 0), ((4, 1, 1), 4), ((1, 2, 2), 64)])
def test_blocks_that_cannot_blend(golden: Golden, blocks: Any, overlap: int) -> None:
    """Weights of overlapping blocks sum to one only if ramps do not run into one another."""
    facts = json.loads(inflate(read_sections(golden("direct"))["header"], "header"))
    facts["model"]["lattice"].update(blocks=list(blocks), overlap=overlap)
    for tensor in facts["model"]["trunk"]:
        tensor[1][0] = blocks[0] * blocks[1] * blocks[2]
    with pytest.raises(FormatError):
        parse(facts)


def test_weights_beyond_what_the_stream_holds(edited: Callable[..., Path]) -> None:
    def change(facts: dict[str, Any]) -> None:
        put(facts, ("model", "head", 0, 1), [1 << 12, 1 << 12])

    with pytest.raises(LimitError, match="weights"):
        inrvis.open(edited(header=change))


def test_the_command_line_refuses_hostile_headers(
    edited: Callable[..., Path], watch: Callable[..., Any], tmp_path: Path
) -> None:
    bad = []
    for number, (path, value) in enumerate(TOO_MUCH + MALFORMED):

        def change(facts: Any, path: Any = path, value: Any = value) -> None:
            put(facts, path, value)

        bad.append(edited(header=change, name=f"bad{number}"))
    watched = watch([["decode", path, "-o", tmp_path / "o.vti", "--quiet"] for path in bad])
    for outcome in watched.outcomes:
        outcome.assert_one_line(3)
    assert watched.peak_bytes < 400 << 20
