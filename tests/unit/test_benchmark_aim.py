"""The table of docs/benchmarks.md is that of the results, and counts what it says it does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.aim import cell, compared, row, smallest, summary
from benchmarks.provenance import load

DOCS = Path(__file__).parents[2] / "docs" / "benchmarks.md"


def entry(**codecs: dict[str, Any]) -> dict[str, Any]:
    return {"codecs": codecs}


def found(size: int, psnr_db: float, *, met: bool = True) -> dict[str, Any]:
    return {"encoded_bytes": size, "psnr_db": psnr_db, "target_met": met}


def test_the_table_is_that_of_the_results() -> None:
    lines = DOCS.read_text(encoding="utf-8").splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith("| volume | 30 dB | 35 dB"))
    stated = []
    for line in lines[first + 2 :]:
        if not line.startswith("|"):
            break
        stated.append(line)
    results = load("volume_rate_distortion")
    measured = {name: row(name, one) for name, one in results.items()}
    names = [line.split("|")[1].strip() for line in stated]
    assert stated == [measured[name] for name in names]
    # What is left out has nothing of ours to compare.
    left_out = set(measured) - set(names)
    assert all(set(measured[name].split(" | ")[1:]) <= {"–", "– |"} for name in left_out)


def test_the_smallest_that_has_a_quality_counts_whatever_it_was_made_for() -> None:
    peers = {"psnr": {"30": found(900, 31.0), "35": found(800, 35.5), "40": {"failed": "no"}}}
    ours = {"psnr": {"30": found(700, 30.2), "40": found(600, 38.0, met=False)}}
    one = entry(sz3=peers, inrvis=ours)
    best = smallest(one, "psnr", "30", ("sz3",))
    assert best is not None
    assert best.size == 800
    # A missed target has what it has.
    assert compared(one, "psnr", "35", None)[0] == 600 / 800  # type: ignore[index]
    assert compared(one, "psnr", "40", None) is None
    assert smallest(one, "psnr", "30", ("zfp",)) is None


def test_bounds_count_for_themselves() -> None:
    one = entry(
        sz3={"max_error": {"0.1": found(100, 20.0), "0.01": found(400, 40.0)}},
        inrvis_layers={"max_error": {"0.1": found(90, 20.0, met=False), "0.01": found(300, 40.0)}},
    )
    assert cell(one, "max_error", "0.1") == "–"
    assert cell(one, "max_error", "0.01") == "**0.75** sz3"


def test_cells_name_the_peer_and_tell_whether_a_network_was_tried() -> None:
    peers = {"psnr": {"40": found(500, 40.0)}}
    one = entry(sperr=peers, zfp={"psnr": {"40": found(400, 40.1)}})
    one["codecs"]["inrvis_layers"] = {"psnr": {"40": found(420, 40.0)}}
    assert cell(one, "psnr", "40") == "1.05 zfp"
    one["codecs"]["inrvis"] = {"psnr": {"40": found(200, 40.0)}}
    assert cell(one, "psnr", "40") == "**0.50** zfp ●"
    # As files, what a filter's container takes counts, too.
    extra = {"zfp": 2000}
    ratio, _, peer = compared(one, "psnr", "40", extra)  # type: ignore[misc]
    assert (ratio, peer.codec, peer.size) == (200 / 500, "sperr", 500)


@pytest.mark.parametrize(("target", "aim"), [("30", "0.4 on 1"), ("40", "0.5 on 1")])
def test_a_summary_counts(target: str, aim: str) -> None:
    results = {
        name: entry(
            sz3={"psnr": {target: found(1000, 50.0)}}, inrvis={"psnr": {target: found(size, 50.0)}}
        )
        for name, size in (("a", 350), ("b", 900), ("c", 1100))
    }
    text = summary(results, "psnr", target)
    assert text == f"smaller on 2 of 3, median 0.90, at most {aim}"
    assert summary({}, "psnr", target).startswith("smaller on 0 of 0")
