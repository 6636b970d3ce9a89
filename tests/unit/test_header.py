"""Headers of unknown origin: every claim is checked before it sizes anything."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import inrvis
from inrvis import residual
from inrvis.container import header
from inrvis.container.header_parser import parse_header
from inrvis.container.sections import inflate, read_sections
from inrvis.errors import FormatError, LimitError

pytestmark = pytest.mark.decode_only

Golden = Callable[[str], Path]
Change = tuple[tuple[Any, ...], Any]


@pytest.fixture
def facts(golden: Golden) -> dict[str, Any]:
    """Return the header of a file with two arrays as parsed JSON."""
    return facts_of(golden("direct"))


def facts_of(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(inflate(read_sections(path)["header"], "header"))
    return value


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Set ``new`` at ``path`` within ``value``."""
    for key in path[:-1]:
        value = value[key]
    value[path[-1]] = new


def parse(facts: Any) -> Any:
    return parse_header(json.dumps(facts).encode())


def test_bytes_and_back(golden: Golden) -> None:
    for name in ("direct", "blocks", "knots", "boxes", "levels", "gaps", "layers"):
        parsed = parse_header(inflate(read_sections(golden(name))["header"], "header"))
        data = parsed.to_bytes()
        # NaN is no number that equals itself: a header that has one equals by its words.
        assert repr(parse_header(data)) == repr(parsed)
        assert parsed.to_bytes() == data


def test_codecs_are_those_there_are() -> None:
    assert header.CODECS == residual.CODECS


def test_sizes_follow_from_the_facts(golden: Golden) -> None:
    with inrvis.open(golden("direct")) as volume:
        assert volume.header.original_bytes == 13 * 11 * 9 * (1 + 3 * 4)
        assert volume.header.channels == 4
        assert volume.header.parameters == volume.header.models[0].parameters == 189
    with inrvis.open(golden("boxes")) as volume:
        assert volume.header.parameters == sum(m.parameters for m in volume.header.models) == 835
        assert [m.number_of_blocks for m in volume.header.models] == [2, 4]
        assert volume.header.model_name == "siren"
    with inrvis.open(golden("layers")) as volume:
        assert volume.header.model_name == "siren+interpolation+wavelet"
    with inrvis.open(golden("gaps")) as volume:
        assert (volume.header.parameters, volume.header.masks) == (0, 3)


HUGE = 10**12
TOO_MUCH: list[Change] = [
    (("grid", "extent"), [0, 9999, 0, 9999, 0, 9999]),
    (("grid", "extent"), [0, HUGE, 0, 0, 0, 0]),
    (("models", 0, "lattice", "overlap"), HUGE),
    (("models", 0, "lattice", "overlap"), -1),
    (("models", 0, "lattice", "spacing"), HUGE),
    (("models", 0, "lattice", "spacing"), -1),
    (("models", 0, "lattice", "features"), HUGE),
    (("models", 0, "lattice", "features"), 0),
    (("models", 0, "lattice", "blocks"), [HUGE, 1, 1]),
    (("models", 0, "lattice", "blocks"), [0, 1, 1]),
    (("models", 0, "lattice", "blocks"), [4096, 4096, 4096]),
    (("models", 0, "trunk", 0, 1), [1, HUGE, 3]),
    (("models", 0, "trunk", 0, 1), [1, 1 << 27, 1 << 27]),
    (("models", 0, "trunk", 0, 1), [1, 0, 3]),
    (("models", 0, "trunk", 0, 1), [2, 8, 3]),
    (("models", 0, "trunk", 0, 1), [1, 2, 2, 2, 2, 2]),
    (("models", 0, "head", 0, 1), [20_000, 20_000]),
    (("models", 0, "trunk"), [["w", [1, 1], 0.5, 0]] * 100_000),
    (("models", 0, "trunk", 0, 3), 257),
    (("models", 0, "trunk", 0, 3), -1),
    (("models", 0, "trunk", 0, 0), "w" * 100_000),
    (("models", 0, "name"), "n" * 100_000),
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
    (("models",), {}),
    (("models",), [[]]),
    (("models",), []),
    (("models", 0, "lattice"), 1),
    (("models", 0, "lattice", "blocks"), [1, 1]),
    (("models", 0, "lattice", "blocks"), [1.0, 1, 1]),
    (("models", 0, "lattice", "overlap"), 1.5),
    (("models", 0, "trunk"), None),
    (("models", 0, "trunk", 0), ["w0"]),
    (("models", 0, "trunk", 0), "w0"),
    (("models", 0, "trunk", 0, 1), 7),
    (("models", 0, "trunk", 0, 1), [1, True, 3]),
    (("models", 0, "trunk", 0, 2), "fine"),
    (("models", 0, "trunk", 0, 2), float("inf")),
    (("models", 0, "trunk", 0, 2), 10**400),
    (("models", 0, "settings"), 0),
    (("times",), [float("nan")]),
    (("times",), [10**400]),
    (("encoding",), "x"),
]


BOXES: list[Change] = [
    (("models", 1, "lattice", "boxes"), []),
    (("models", 1, "lattice", "boxes"), {}),
    (("models", 1, "lattice", "boxes"), [[0, 0, 0, 17, 14, 9]]),
    (("models", 1, "lattice", "boxes"), [[0, 0, 0, 1, 1, 1]] * 20_000),
    (("models", 1, "lattice", "boxes", 1), [9, 0, 0, 9, 7, 9]),
    (("models", 1, "lattice", "boxes", 1), [17, 0, 0, 1, 7, 9]),
    (("models", 1, "lattice", "boxes", 1), [-1, 0, 0, 8, 7, 9]),
    (("models", 1, "lattice", "boxes", 1), [9, 0, 0, 8, 0, 9]),
    (("models", 1, "lattice", "boxes", 1), [9, 0, 0, 8, 7, HUGE]),
    (("models", 1, "lattice", "boxes", 1), [9, 0, 0, 8, 7]),
    (("models", 1, "lattice", "boxes", 1), [9, 0, 0, 8, 7, 9.0]),
    (("models", 1, "lattice", "boxes", 1), "box"),
    (("models", 1, "lattice"), {"features": 4, "overlap": 2}),
    (("models", 1, "lattice", "overlap"), 65),
    (("models", 1, "lattice", "overlap"), -1),
    (("models", 1, "lattice", "features"), 0),
    (("models", 0, "lattice", "features"), 3),
    (("models", 0, "channels"), []),
    (("models", 0, "channels"), {}),
    (("models", 0, "channels"), [0, 0]),
    (("models", 0, "channels"), [0, 3]),
    (("models", 0, "channels"), [0, -1]),
    (("models", 0, "channels"), [0, 2.0]),
    (("models", 0, "channels"), [0, True]),
    (("models", 0, "channels"), list(range(300))),
    (("models", 1, "channels"), [0]),
    (("models", 1, "channels"), [1, 2]),
    (("models", 0, "graphs"), [0, -1, 1]),
    (("models", 0, "graphs"), [-1, -1, -1]),
    (("models", 0, "graphs"), [0, 1, -1]),
    (("models", 0, "graphs"), [0, -1]),
    (("models", 0, "graphs"), [0, -1, -2]),
    (("models", 0, "graphs"), [HUGE, -1, -1]),
    (("models", 0, "graphs"), "012"),
    (("models", 1, "graphs"), [0, -1, -1]),
    (("models", 1, "trunk", 0, 0), "w1"),
    (("models", 1, "trunk", 0, 0), "h1"),
    (("models", 1, "trunk", 0, 1), [3, 8, 3]),
    (("models",), [{}] * 65),
    (("masks",), 0.0),
]
GAPS: list[Change] = [
    (("masks",), -1),
    (("masks",), 2),
    (("masks",), HUGE),
    (("masks",), 3.0),
    (("masks",), True),
    (("masks",), [3]),
    (("arrays", 0, "residual"), ""),
    (("arrays", 0, "residual"), "zip"),
    (("arrays", 0, "residual"), "w" * 100_000),
    (("arrays", 0, "residual"), 1),
    (("arrays", 0, "residual"), None),
    (("arrays", 0, "precision"), "half"),
    (("arrays", 0, "precision"), ""),
    (("arrays", 0, "precision"), 64),
    (("arrays", 0, "exact"), {}),
    (("arrays", 0, "exact"), [["nan", [0]]] * 2000),
    (("arrays", 0, "exact", 0), "nan"),
    (("arrays", 0, "exact", 0), ["nan"]),
    (("arrays", 0, "exact", 0), ["nan", [0], 0]),
    (("arrays", 0, "exact", 0), ["nan", 0]),
    (("arrays", 0, "exact", 0), ["nan", []]),
    (("arrays", 0, "exact", 0), ["nan", [0, 0]]),
    (("arrays", 0, "exact", 0), ["nan", [3]]),
    (("arrays", 0, "exact", 0), ["nan", [-2]]),
    (("arrays", 0, "exact", 0), ["nan", [0.0]]),
    (("arrays", 0, "exact", 0), ["nan", [False]]),
    (("arrays", 0, "exact", 0), ["NaN", [0]]),
    (("arrays", 0, "exact", 0), [float("nan"), [0]]),
    (("arrays", 0, "exact", 0), [float("inf"), [0]]),
    (("arrays", 0, "exact", 0), [1e300, [0]]),
    (("arrays", 0, "exact", 0), [10**400, [0]]),
    (("arrays", 0, "exact", 0), [None, [0]]),
    (("arrays", 0, "exact", 0), [[], [0]]),
]
LEVELS: list[Change] = [
    (("arrays", 0, "levels"), "many"),
    (("arrays", 0, "levels"), {}),
    (("arrays", 0, "levels"), [0.0] * 5000),
    (("arrays", 0, "levels"), [float(i) for i in range(1_000_000)]),
    (("arrays", 0, "levels", 0), float("nan")),
    (("arrays", 0, "levels", 0), "0"),
    (("arrays", 0, "levels", 0), True),
    (("arrays", 0, "levels", 0), -1.0),
    (("arrays", 0, "levels", 0), 65536.0),
    (("arrays", 0, "levels", 0), 0.5),
    (("arrays", 0, "levels", 0), 10**400),
    (("arrays", 0, "high"), 1000.0),
    (("arrays", 0, "offset"), [1.0]),
    (("arrays", 0, "exact"), [["nan", [-1]]]),
    (("arrays", 0, "exact"), [[0.5, [-1]]]),
    (("arrays", 0, "exact"), [[65536, [-1]]]),
]
LAYERS: list[Change] = [
    # What a network gives cannot be a position in a list.
    (("arrays", 0, "levels"), [0.0, 1.0]),
    (("models",), [{}]),
    (("arrays", 1, "name"), "height"),
    (("arrays", 1, "channel"), 0),
]
CLAIMS = [
    (source, path, value)
    for source, changes in {
        "direct": TOO_MUCH + MALFORMED,
        "boxes": BOXES,
        "gaps": GAPS,
        "levels": LEVELS,
        "layers": LAYERS,
    }.items()
    for path, value in changes
]


@pytest.mark.parametrize(("source", "path", "value"), CLAIMS, ids=lambda v: repr(v)[:40])
def test_a_bad_claim(golden: Golden, source: str, path: tuple[Any, ...], value: Any) -> None:
    facts = facts_of(golden(source))
    put(facts, path, value)
    with pytest.raises(FormatError) as caught:
        parse(facts)
    assert len(str(caught.value)) <= 500


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("masks",), 1025),
        (("arrays", 0, "levels"), [0.0] * 4097),
        (("arrays", 0, "exact"), [["nan", [0]]] * 1025),
        (("models",), [{}] * 65),
    ],
    ids=repr,
)
def test_a_claim_of_too_many(golden: Golden, path: tuple[Any, ...], value: Any) -> None:
    facts = facts_of(golden("gaps"))
    put(facts, path, value)
    with pytest.raises(LimitError):
        parse(facts)


@pytest.mark.parametrize(("dtype", "value"), [("int64", 2.0**63), ("uint64", 2.0**64)])
def test_values_that_a_type_has_only_once_rounded(golden: Golden, dtype: str, value: float) -> None:
    facts = facts_of(golden("levels"))
    facts["arrays"][0].update(dtype=dtype, high=value, exact=[[value, [-1]]])
    with pytest.raises(FormatError, match=dtype):
        parse(facts)
    facts["arrays"][0].update(exact=[[value / 2, [-1]]])
    assert parse(facts).arrays[0].exact[0].value == value / 2


def test_what_nothing_gives(golden: Golden) -> None:
    facts = facts_of(golden("gaps"))
    for key in ("residual", "precision"):
        del facts["arrays"][1][key]
    with pytest.raises(FormatError, match="nothing gives"):
        parse(facts)
    facts = facts_of(golden("layers"))
    del facts["arrays"][1]["residual"]
    assert parse(facts).arrays[1].residual == ""


def test_levels_need_a_layer(golden: Golden) -> None:
    facts = facts_of(golden("boxes"))
    facts["arrays"][1]["levels"] = [0.0, 1.0]
    with pytest.raises(FormatError, match="levels"):
        parse(facts)


def test_networks_of_boxes_may_share_their_channels(golden: Golden) -> None:
    facts = facts_of(golden("boxes"))
    facts["models"].append(json.loads(json.dumps(facts["models"][1])))
    assert [m.channels for m in parse(facts).models] == [(0, 2), (1,), (1,)]
    facts["models"][2]["channels"] = [0]
    with pytest.raises(FormatError, match="share"):
        parse(facts)
    facts["models"][2] = facts["models"][0]
    with pytest.raises(FormatError, match="share"):
        parse(facts)


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


@pytest.mark.parametrize("name", ["direct", "boxes", "levels", "gaps", "layers"])
def test_every_key_is_needed(golden: Golden, name: str) -> None:
    facts = facts_of(golden(name))
    # Metrics, settings and facts of the encoding are information: any of them may be absent. So
    # may be what not every array has.
    free = {"metrics", "settings", "encoding"}
    optional = {"levels", "exact"} | ({"residual"} if name == "layers" else set())
    for path in keys(facts):
        if free & set(path[:-1]) or path[-1] in optional:
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
    facts = facts_of(golden("direct"))
    facts["models"][0]["lattice"].update(blocks=list(blocks), overlap=overlap)
    for tensor in facts["models"][0]["trunk"]:
        tensor[1][0] = blocks[0] * blocks[1] * blocks[2]
    with pytest.raises(FormatError):
        parse(facts)


def test_weights_beyond_what_the_stream_holds(edited: Callable[..., Path]) -> None:
    def change(facts: dict[str, Any]) -> None:
        put(facts, ("models", 0, "head", 0, 1), [1 << 12, 1 << 12])

    with pytest.raises(LimitError, match="weights"):
        inrvis.open(edited(header=change))


def test_the_command_line_refuses_hostile_headers(
    edited: Callable[..., Path], watch: Callable[..., Any], tmp_path: Path
) -> None:
    bad = []
    for number, (source, path, value) in enumerate(CLAIMS):

        def change(facts: Any, path: Any = path, value: Any = value) -> None:
            put(facts, path, value)

        bad.append(edited(source, header=change, name=f"bad{number}"))
    watched = watch([["decode", path, "-o", tmp_path / "o.vti", "--quiet"] for path in bad])
    for outcome in watched.outcomes:
        outcome.assert_one_line(3)
    assert watched.peak_bytes < 400 << 20
