"""Time steps in one file: round trips, growth, damage, hostile headers, and one step at a time."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import inrvis
from inrvis.container import series_file
from inrvis.container.header_parser import parse_header
from inrvis.container.sections import deflate, file_image, inflate, read_sections
from inrvis.container.series_file import append_volume, read_series, read_step, read_step_headers
from inrvis.container.volume_file import split_graphs
from inrvis.decoder.series import Series
from inrvis.decoder.volume import Volume
from inrvis.errors import ChecksumError, FormatError, LimitError, OutputError, UsageError

pytestmark = pytest.mark.decode_only

Edited = Callable[..., Path]


def timed(time: float | None) -> Callable[[Any], None]:
    return lambda facts: facts.update(times=[] if time is None else [time])


@pytest.fixture
def volume(edited: Edited) -> Callable[..., bytes]:
    """Return a function that gives the bytes of a volume file at some time.

    Its steps differ: of a step's metrics and range, an own number is part.
    """

    def make(time: float | None, source: str = "direct", **changes: Any) -> bytes:
        def header(facts: Any) -> None:
            timed(time)(facts)
            facts["arrays"][0]["metrics"] = {"psnr_db": 30.0 + (time or 0)}
            facts.update(changes)

        return edited(source, header=header).read_bytes()

    return make


@pytest.fixture
def series(volume: Callable[..., bytes], tmp_path: Path) -> Path:
    path = tmp_path / "run.inr"
    for time in (0.5, 1.0, 2.5):
        append_volume(path, volume(time))
    return path


def whole(volume: Volume) -> dict[str, np.ndarray]:
    with volume:
        return dict(zip(volume.arrays, volume.decode_arrays(volume.arrays), strict=True))


def assert_equal(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> None:
    assert list(left) == list(right)
    for name, values in left.items():
        assert values.dtype == right[name].dtype
        np.testing.assert_array_equal(values, right[name])


# ---------------------------------------------------------------- what comes back


@pytest.mark.parametrize("source", ["direct", "blocks", "boxes", "gaps", "layers", "levels"])
def test_steps_decode_as_their_volumes_did(
    volume: Callable[..., bytes], tmp_path: Path, source: str
) -> None:
    path, alone = tmp_path / "run.inr", tmp_path / "alone.inr"
    for time in (-1.0, 3.5):
        append_volume(path, volume(time, source))
    with inrvis.open(path) as opened:
        assert isinstance(opened, Series)
        assert opened.times == (-1.0, 3.5)
        assert len(opened) == len(list(opened)) == 2
        for number, time in enumerate(opened.times):
            alone.write_bytes(volume(time, source))
            with inrvis.open(alone, time_index=0) as expected, opened[number] as step:
                assert repr(step.header.arrays) == repr(expected.header.arrays)  # NaN
                assert step.times == (time,)
                assert step.grid == opened.grid == expected.grid
                assert step.arrays == opened.arrays == expected.arrays
                assert_equal(whole(step), whole(expected))
                centre = np.array([step.grid.index_to_world(np.array([[1.0, 1.0, 1.0]]))[0]])
                np.testing.assert_array_equal(
                    step.sample(None, centre), expected.sample(None, centre)
                )


def test_steps_count_from_both_ends(series: Path) -> None:
    with inrvis.open(series) as opened:
        assert [opened[k].times[0] for k in (0, 2, -1, -3, np.int64(1))] == [0.5, 2.5, 2.5, 0.5, 1]
        for beyond in (3, -4):
            with pytest.raises(IndexError):
                opened[beyond]
    with inrvis.open(series, time_index=1) as step:
        assert (step.times, step.time_index) == ((1.0,), 1)
    for beyond in (3, -1):
        with pytest.raises(UsageError, match="3 time step"):
            inrvis.open(series, time_index=beyond)


def test_a_volume_is_its_own_only_step(golden: Callable[[str], Path]) -> None:
    path = golden("direct")
    with inrvis.open(path, time_index=0) as step, inrvis.open(path) as opened:
        assert isinstance(opened, Volume)
        assert_equal(whole(step), whole(opened))
    with pytest.raises(UsageError, match="1 time step"):
        inrvis.open(path, time_index=1)
    assert read_series(path).header.times == step.times


def test_equal_graphs_are_stored_once(volume: Callable[..., bytes], tmp_path: Path) -> None:
    path = tmp_path / "run.inr"
    alone = read_sections(path, volume(0.0))
    sizes = [append_volume(path, volume(float(k))) for k in range(4)]
    sections = read_sections(path)
    assert split_graphs(sections["graphs"]) == split_graphs(alone["graphs"])
    assert sum(sizes) == path.stat().st_size
    # A step costs less than a file of its own: no graphs, and one section in place of four.
    assert all(size < len(volume(0.0)) - len(alone["graphs"]) for size in sizes[1:])


def test_steps_of_several_networks(volume: Callable[..., bytes], tmp_path: Path) -> None:
    """Graphs are numbered through the file, whichever step brought them."""
    path, other = tmp_path / "run.inr", volume(1.0, "direct")
    sections = read_sections(path, other)
    facts = json.loads(inflate(sections["header"], "header"))
    graphs = series_file.split_graphs(sections["graphs"])
    # The same networks, with their graphs in another order and one that nobody names.
    order = list(reversed(range(len(graphs))))
    for model in facts["models"]:
        model["graphs"] = [order.index(n) + 1 if n >= 0 else -1 for n in model["graphs"]]
    sections["graphs"] = series_file.join_graphs([graphs[0], *(graphs[n] for n in order)])
    sections["header"] = deflate(json.dumps(facts).encode())
    append_volume(path, volume(0.0))
    append_volume(path, file_image(sections))
    append_volume(path, volume(2.0))
    with inrvis.open(path) as opened:
        first, *others = [whole(step) for step in opened]
        for values in others:
            assert_equal(first, values)


# ---------------------------------------------------------------- growth


def test_a_volume_file_becomes_the_first_step(volume: Callable[..., bytes], tmp_path: Path) -> None:
    path = tmp_path / "run.inr"
    path.write_bytes(volume(None))
    before = whole(Volume(path))
    append_volume(path, volume(4.0))
    with inrvis.open(path) as opened:
        assert opened.times == (0.0, 4.0)
        assert_equal(whole(opened[0]), before)


def test_what_does_not_fit_changes_nothing(
    series: Path, volume: Callable[..., bytes], tmp_path: Path
) -> None:
    before = series.read_bytes()
    cases = {
        "cannot follow": volume(2.5),
        "needs a time": volume(None),
        "another grid": volume(9.0, "blocks"),
        "other arrays": volume(
            9.0, arrays=[{**a, "name": a["name"] + "s"} for a in _arrays(volume(9.0))]
        ),
    }
    for message, data in cases.items():
        with pytest.raises(UsageError, match=message):
            append_volume(series, data)
    with pytest.raises(FormatError):
        append_volume(series, b"no file of ours")
    with pytest.raises(OutputError):
        append_volume(tmp_path / "nowhere" / "run.inr", volume(9.0))
    assert series.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def _arrays(data: bytes) -> list[dict[str, Any]]:
    arrays = json.loads(inflate(read_sections("x", data)["header"], "header"))["arrays"]
    return list(arrays)


def test_a_damaged_series_is_not_written_over(series: Path, volume: Callable[..., bytes]) -> None:
    series.write_bytes(series.read_bytes()[:-200])
    before = series.read_bytes()
    with pytest.raises(FormatError):
        append_volume(series, volume(9.0))
    assert series.read_bytes() == before
    append_volume(series, volume(9.0), new=True)
    assert read_series(series).header.times == (9.0,)


@pytest.mark.parametrize(
    ("time", "kept"), [(9.0, (0.5, 1.0, 2.5)), (1.5, (0.5, 1.0)), (1.0, (0.5,)), (0.0, ())]
)
def test_a_run_goes_on_from_a_checkpoint(
    series: Path, volume: Callable[..., bytes], time: float, kept: tuple[float, ...]
) -> None:
    size = append_volume(series, volume(time), restart=True)
    assert read_series(series).header.times == (*kept, time)
    assert 0 < size <= series.stat().st_size
    with inrvis.open(series) as opened:
        assert [step.array().metrics["psnr_db"] for step in opened] == [
            30 + t for t in (*kept, time)
        ]


def test_too_many_steps(
    series: Path, volume: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series_file, "MAX_STEPS", 3)
    with pytest.raises(UsageError, match="is full"):
        append_volume(series, volume(9.0))
    monkeypatch.setattr(series_file, "MAX_STEPS", 2)
    with pytest.raises(LimitError):
        inrvis.open(series)


def test_many_steps(volume: Callable[..., bytes], tmp_path: Path) -> None:
    path = tmp_path / "run.inr"
    data = [volume(float(k)) for k in range(40)]
    for step in data:
        append_volume(path, step)
    with inrvis.open(path) as opened:
        assert opened.times == tuple(map(float, range(40)))
        assert opened[37].times == (37.0,)
    assert path.stat().st_size < 0.7 * sum(map(len, data))


def test_a_kill_while_appending_leaves_all_finished_steps(
    series: Path, volume: Callable[..., bytes], tmp_path: Path
) -> None:
    """The process ends, as by a signal, when the new file is complete but has no name yet."""
    step, before = tmp_path / "step.inr", series.read_bytes()
    step.write_bytes(volume(7.0))
    code = (
        "import os, sys, pathlib\n"
        "from inrvis.container.series_file import append_volume\n"
        "pathlib.Path.replace = lambda *_: os._exit(9)\n"
        "append_volume(sys.argv[1], pathlib.Path(sys.argv[2]).read_bytes())"
    )
    done = subprocess.run([sys.executable, "-c", code, series, step], check=False)
    assert done.returncode == 9
    assert series.read_bytes() == before
    append_volume(series, step.read_bytes())
    with inrvis.open(series) as opened:
        assert opened.times == (0.5, 1.0, 2.5, 7.0)


def test_an_open_series_that_changes(series: Path, volume: Callable[..., bytes]) -> None:
    with inrvis.open(series) as opened:
        append_volume(series, volume(3.0))
        assert opened[2].times == (2.5,)
        append_volume(series, volume(0.7), restart=True)
        with pytest.raises(FormatError, match="changed since"):
            opened[1]
        with pytest.raises(FormatError, match="lost steps"):
            opened[2]
        series.unlink()
        with pytest.raises(FormatError, match="does not exist"):
            opened[0]


# ---------------------------------------------------------------- one step, and no other


def test_a_step_is_read_without_the_others(series: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from inrvis.container import sections

    read: list[str] = []
    original = sections.SectionReader.read

    def watched(self: Any, name: str) -> bytes:
        read.append(name)
        return original(self, name)

    monkeypatch.setattr(sections.SectionReader, "read", watched)
    with inrvis.open(series) as opened:
        assert set(read) == {"header"}
        opened[1].close()
    assert set(read) == {"header", "graphs", "step_1"}


def rewritten(path: Path, **sections: bytes | None) -> Path:
    found = {**read_sections(path), **sections}
    path.write_bytes(file_image({n: s for n, s in found.items() if s is not None}, pack=False))
    return path


def test_damage_of_one_step_leaves_the_others(series: Path) -> None:
    rewritten(series, step_1=b"nonsense")
    with inrvis.open(series) as opened:
        good = whole(opened[0])
        with pytest.raises(FormatError, match="step section"):
            opened[1]
        assert_equal(whole(opened[2]), good)


@pytest.mark.parametrize("section", ["header", "graphs", "step_0", "step_2"])
def test_a_section_that_differs_from_its_checksum(series: Path, section: str) -> None:
    from inrvis.container.hdf5 import h5py

    with h5py.File(series, "r+") as file:
        stored = file[section][()]
        stored[3] ^= 1
        file[section][...] = stored
    with pytest.raises(ChecksumError, match=section):
        inrvis.open(series).__getitem__(0 if section != "step_2" else 2)


@pytest.mark.parametrize("section", ["header", "graphs", "step_1"])
def test_a_missing_section(series: Path, section: str) -> None:
    rewritten(series, **{section: None})
    with pytest.raises(FormatError, match=section):
        inrvis.open(series, time_index=0)


def test_truncated_anywhere(series: Path) -> None:
    data = series.read_bytes()
    for length in [*range(0, len(data), 97), len(data) - 1]:
        series.write_bytes(data[:length])
        with pytest.raises(FormatError):
            inrvis.open(series)


def test_a_step_of_another_series(series: Path, volume: Callable[..., bytes]) -> None:
    sections = read_sections(series)
    rewritten(series, step_1=sections["step_0"])
    with pytest.raises(FormatError, match="step 1 does not belong"):
        inrvis.open(series, time_index=1)


# ---------------------------------------------------------------- hostile headers


def change_grid(facts: Any) -> None:
    facts["grid"]["extent"] = [0, 2**20, 0, 2**20, 0, 2**20]


HOSTILE: dict[str, Callable[[Any], Any]] = {
    "no times": lambda facts: facts.update(times=[]),
    "times that fall": lambda facts: facts.update(times=[1.0, 0.5, 2.0]),
    "equal times": lambda facts: facts.update(times=[0.5, 0.5, 2.0]),
    "times of text": lambda facts: facts.update(times=["0", "1", "2"]),
    "times without end": lambda facts: facts.update(times=[0.5, 1.0, 10**400]),
    "booleans for times": lambda facts: facts.update(times=[False, True]),
    "more times than steps": lambda facts: facts.update(times=[0.5, 1.0, 2.5, 3.0]),
    "millions of times": lambda facts: facts.update(times=list(range(200_000))),
    "no list of times": lambda facts: facts.update(times=3),
    "no arrays": lambda facts: facts.update(arrays=[]),
    "arrays of one name": lambda facts: facts.update(arrays=facts["arrays"] * 2),
    "an unknown type": lambda facts: facts["arrays"][0].update(dtype="float16"),
    "too many components": lambda facts: facts["arrays"][0].update(components=10**6),
    "a huge grid": change_grid,
    "no grid": lambda facts: facts.pop("grid"),
    "no object": lambda _: [1, 2],
    "another kind": lambda facts: facts.update(kind="hologram"),
    "no kind": lambda facts: facts.pop("kind"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_headers(series: Path, name: str) -> None:
    facts = json.loads(inflate(read_sections(series)["header"], "header"))
    changed = HOSTILE[name](facts)
    facts = changed if isinstance(changed, list) else facts
    rewritten(series, header=deflate(json.dumps(facts).encode()))
    for read in (inrvis.open, read_step, read_step_headers):
        with pytest.raises(FormatError) as caught:
            read(series)
        assert len(str(caught.value).splitlines()) == 1


def test_a_header_that_expands_without_end(series: Path) -> None:
    rewritten(series, header=deflate(bytes(1 << 25)))
    with pytest.raises(LimitError):
        inrvis.open(series)


def test_a_step_that_claims_too_many_weights(series: Path) -> None:
    sections = read_sections(series)
    parts = series_file.split(sections["step_0"], "step", 4)
    facts = json.loads(inflate(parts[0], "header"))
    facts["models"][0]["trunk"][0][1] = [1, 4096, 4096]
    parts[0] = deflate(json.dumps(facts).encode())
    rewritten(series, step_0=series_file.join(parts))
    with pytest.raises(LimitError, match="claims 16"):
        inrvis.open(series, time_index=0)


def test_many_links_to_one_step(series: Path) -> None:
    """A small file must not claim the memory of thousands of steps."""
    from inrvis.container.hdf5 import h5py

    facts = json.loads(inflate(read_sections(series)["header"], "header"))
    facts["times"] = list(range(1000))
    rewritten(series, header=deflate(json.dumps(facts).encode()), step_0=bytes(200_000))
    with h5py.File(series, "r+") as file:
        for number in range(1000):
            if number:
                if f"step_{number}" in file:
                    del file[f"step_{number}"]
                file[f"step_{number}"] = file["step_0"]
    with pytest.raises(LimitError, match="share bytes"):
        read_step_headers(series)


def test_a_reader_of_volumes_alone_says_what_it_met(series: Path) -> None:
    """Programs that know format 1 but no series stop at the kind, in one line."""
    data = inflate(read_sections(series)["header"], "header")
    with pytest.raises(FormatError, match="holds a 'series', which this inrvis cannot open"):
        parse_header(data)


# ---------------------------------------------------------------- command line


def test_info_and_decode(series: Path, tmp_path: Path, cli: Callable[..., Any]) -> None:
    facts = json.loads(cli("info", series, "--json").output)
    assert (facts["kind"], facts["format"]) == ("series", 1)
    assert facts["times"] == [0.5, 1.0, 2.5]
    assert facts["encoded_bytes"] == series.stat().st_size
    with inrvis.open(series) as opened:
        values, name = opened[2].decode(), opened.arrays[0]
        assert facts["original_bytes"] == 3 * opened[0].header.original_bytes
        assert facts["psnr_db"] == 30.5
        assert "times" in cli("info", series).output
    out = tmp_path / "step.npy"
    words = ("decode", series, "-o", out, "--array", name, "--quiet", "--time-index")
    done = cli(*words, 2)
    assert (done.status, done.errors) == (0, "")
    np.testing.assert_array_equal(np.load(out), values)
    for beyond in (3, -1):
        cli(*words, beyond).assert_one_line(2)
