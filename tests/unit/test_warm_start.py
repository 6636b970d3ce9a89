"""Networks that go on from an earlier one, and runs of time steps that are made of them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import inrvis
from inrvis.container.sections import deflate, file_image, inflate, read_sections
from inrvis.container.series_file import read_series
from inrvis.container.tensors import layers
from inrvis.encoder.normalise import normalise
from inrvis.encoder.rate_control import encode_to_target
from inrvis.encoder.settings import TrainingSettings
from inrvis.encoder.start import Start, start_from
from inrvis.errors import FormatError, OutputError, SourceError, UsageError
from inrvis.metrics import measure
from inrvis.sources import Image, from_array
from inrvis.targets import Psnr, Ratio
from inrvis.writers import write_image

SHORT = TrainingSettings(seconds=0.05, batch=2048)
LONG = replace(SHORT, seconds=1.2)


def moving(time: float, dtype: str = "float32", offset: float = 0.0, scale: float = 1.0) -> Image:
    """Return two bumps that drift, in units of one's own."""
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in (17, 18, 20)), indexing="ij")
    one = np.exp(-6 * ((x - 0.3 * time) ** 2 + y * y + z * z))
    other = np.sin(3 * x + 2 * y + 0.5 * time) * np.cos(3 * z)
    image = from_array((offset + scale * (one + 0.4 * other)).astype(dtype), "height")
    return Image(image.grid, image.arrays, time)


def steps_of(path: Path, time_index: int = 0) -> int:
    with inrvis.open(path, time_index=time_index) as volume:
        return int(volume.header.encoding["steps"])


def encode(image: Image, path: Path, target: Any, training: Any = SHORT, **options: Any) -> Any:
    return encode_to_target(
        image, path, target, training, model="siren", device="cpu", **options
    ).encoded


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """Return a network trained for long, and its quality."""
    path = tmp_path_factory.mktemp("start") / "first.inr"
    return path, encode(moving(0.0), path, Ratio(4), LONG).worst_psnr_db


# ---------------------------------------------------------------- what a start saves


def test_a_start_needs_fewer_steps_for_the_same_quality(
    first: tuple[Path, float], tmp_path: Path
) -> None:
    path, cold, warm = first[0], tmp_path / "cold.inr", tmp_path / "warm.inr"
    long = encode(moving(0.05), cold, Ratio(4), replace(SHORT, seconds=0.7))
    short = encode(moving(0.05), warm, Ratio(4), start=start_from(path))
    assert steps_of(warm) * 3 < steps_of(cold)
    assert short.worst_psnr_db > long.worst_psnr_db
    # A start is no gift of the size: the file keeps the ratio all the same.
    assert len(short.data) <= moving(0.0).arrays["height"].nbytes / 4
    without = encode(moving(0.05), cold, Ratio(4))
    assert steps_of(cold) == steps_of(warm)
    assert short.worst_psnr_db > without.worst_psnr_db + 6


def test_training_for_a_quality_ends_when_it_is_reached(
    first: tuple[Path, float], tmp_path: Path
) -> None:
    path, reached = first
    warm = encode(
        moving(0.02), tmp_path / "warm.inr", Psnr(reached - 2), LONG, start=start_from(path)
    )
    assert warm.worst_psnr_db >= reached - 2
    assert steps_of(tmp_path / "warm.inr") * 3 < steps_of(path)


def test_a_start_that_is_worse_than_the_mean_is_passed_over(
    first: tuple[Path, float], tmp_path: Path
) -> None:
    image, values = moving(0.0), moving(0.0).arrays["height"]
    other = Image(image.grid, {"height": values.max() + values.min() - values}, 1.0)
    alone, with_start = tmp_path / "alone.inr", tmp_path / "start.inr"
    encode(other, alone, Ratio(4))
    encode(other, with_start, Ratio(4), start=start_from(first[0]))
    assert alone.read_bytes() == with_start.read_bytes()


def test_equal_seeds_give_equal_files_from_a_start(
    first: tuple[Path, float], tmp_path: Path
) -> None:
    files = [tmp_path / "a.inr", tmp_path / "b.inr"]
    for file in files:
        encode(moving(0.1), file, Ratio(4), start=start_from(first[0]), seed=5)
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize(("offset", "scale"), [(0.0, 1.0), (-40.0, 7.0), (3e4, 1e-2)])
def test_rescaled_values_are_no_new_field(
    first: tuple[Path, float], tmp_path: Path, offset: float, scale: float
) -> None:
    image = moving(0.0, "float64", offset, scale)
    encoded = encode(image, tmp_path / "f.inr", Ratio(8), start=start_from(first[0]))
    assert encoded.worst_psnr_db > first[1] - 3


def test_the_last_layer_takes_up_a_new_range(first: tuple[Path, float], tmp_path: Path) -> None:
    """One voxel more doubles the range, and moves no other voxel's value."""
    values = moving(0.0).arrays["height"].copy()
    range_before = float(np.ptp(values))
    values[0, 0, 0] += 2 * range_before
    image = from_array(values, "height")
    encode(image, tmp_path / "f.inr", Ratio(4), start=start_from(first[0]))
    with inrvis.open(tmp_path / "f.inr", time_index=0) as volume:
        error = (volume.decode() - values)[1:, 1:, 1:]
    assert 20 * np.log10(range_before / np.sqrt(np.mean(error**2))) > first[1] - 6


# ---------------------------------------------------------------- what cannot be a start


def test_files_without_a_network_of_ours_are_no_start(golden: Any, tmp_path: Path) -> None:
    for name in ("boxes", "gaps", "levels"):
        assert start_from(golden(name)) is None
    with pytest.raises(FormatError, match="does not exist"):
        start_from(tmp_path / "missing.inr")


def test_a_network_that_does_not_fit_is_passed_over(
    first: tuple[Path, float], tmp_path: Path
) -> None:
    start = start_from(first[0])
    assert start is not None
    case = from_array(moving(0.0).arrays["height"][:, :-1], "height")
    alone, with_start = tmp_path / "alone.inr", tmp_path / "start.inr"
    encode(case, alone, Ratio(4))
    encode(case, with_start, Ratio(4), start=start)
    assert alone.read_bytes() == with_start.read_bytes()
    two = Image(case.grid, {"a": case.arrays["height"], "b": case.arrays["height"]})
    assert not start.fits(case.grid.dimensions, normalise(two).arrays, 0)
    assert not start.fits(moving(0.0).grid.dimensions, normalise(moving(0.0)).arrays, 2)
    assert start.fits(moving(0.0).grid.dimensions, normalise(moving(0.0)).arrays, 0)


def test_arrays_of_several_networks(first: tuple[Path, float], tmp_path: Path) -> None:
    """Two arrays, of which each has a network of its own, start from both."""
    start = start_from(first[0])
    assert start is not None
    (own,) = start.networks
    twice = replace(
        start,
        networks=(own, replace(own, channels=(1,))),
        arrays=(start.arrays[0], replace(start.arrays[0], name="other", channel=1)),
        encoded_bytes=2 * start.encoded_bytes,
    )
    values = moving(0.0).arrays["height"]
    image = Image(moving(0.0).grid, {"height": values, "other": 50 + 3 * values})
    path = tmp_path / "f.inr"
    encode(image, path, Ratio(4), start=twice)
    found = start_from(path)
    assert found is not None
    assert [network.channels for network in found.networks] == [(0,), (1,)]
    with inrvis.open(path, time_index=0) as volume:
        quality = measure(values, volume.decode("height")).psnr_db
    assert quality > first[1] - 3


def listed(facts: Any) -> Any:
    """The first network, its tensors listed one by one."""
    model = facts["models"][0]
    blocks = math.prod(model["lattice"]["blocks"])
    found = layers(model["trunk"], model["head"], model.pop("steps"), blocks)
    for key, own in zip(("trunk", "head"), found, strict=True):
        model[key] = [[t.name, list(t.shape), t.step, t.table] for t in own]
    return model


def changed(path: Path, target: Path, change: Callable[[Any], None]) -> Path:
    sections = read_sections(path)
    facts = json.loads(inflate(sections["header"], "header"))
    change(facts)
    target.write_bytes(file_image({**sections, "header": deflate(json.dumps(facts).encode())}))
    return target


@pytest.mark.parametrize(
    "change",
    [
        lambda facts: listed(facts)["trunk"][0].__setitem__(0, "other"),
        lambda facts: facts["models"][0]["trunk"].reverse(),
        lambda facts: listed(facts)["trunk"].reverse(),
        lambda facts: listed(facts)["head"][0].__setitem__(1, [16 * 8, 2]),
        lambda facts: facts["arrays"][0].update(scale=[0.0]),
        lambda facts: facts["models"][0]["lattice"].update(features=3),
    ],
)
def test_headers_that_claim_another_network_are_no_start(
    first: tuple[Path, float], tmp_path: Path, change: Callable[[Any], None]
) -> None:
    try:
        found = start_from(changed(first[0], tmp_path / "f.inr", change))
    except FormatError:
        return
    assert found is None or isinstance(found, Start)
    if found is not None:
        assert encode(moving(0.0), tmp_path / "g.inr", Ratio(4), start=found).data


# ---------------------------------------------------------------- runs


def test_a_list_makes_a_series(tmp_path: Path) -> None:
    images, path = [moving(t) for t in (0.0, 0.1, 0.2)], tmp_path / "run.inr"
    report = inrvis.encode(
        images, path, target=Ratio(4), model="siren", time_budget=0.4, device="cpu"
    )
    assert report.encoded_bytes == path.stat().st_size
    assert report.original_bytes == 3 * images[0].arrays["height"].nbytes
    assert report.compression_ratio >= 4
    assert report.target_met
    with inrvis.open(path) as series:
        assert series.times == (0.0, 0.1, 0.2)
        found = [
            measure(i.arrays["height"], s.decode()) for i, s in zip(images, series, strict=True)
        ]
    assert report.psnr_db == min(m.psnr_db for m in found)
    assert [p.name for p in tmp_path.iterdir()] == ["run.inr"]


def test_a_run_that_fails_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "run.inr"
    for sources, error in (
        ([moving(0.0), moving(0.0)], UsageError),
        ([moving(0.0), tmp_path / "missing.vti"], SourceError),
        ([], UsageError),
    ):
        with pytest.raises(error):
            inrvis.encode(sources, path, target=Ratio(4), model="none")
        assert list(tmp_path.iterdir()) == []


def test_appending(tmp_path: Path) -> None:
    path = tmp_path / "run.inr"
    sizes = []

    def append(time: float, **options: Any) -> None:
        settings = {"target": Ratio(4), "model": "siren", "time_budget": 0.4, "device": "cpu"}
        report = inrvis.encode(moving(time), path, **{"mode": "append", **settings, **options})
        assert report.compression_ratio >= 4
        sizes.append(report.encoded_bytes)

    append(0.0)
    append(0.1)
    append(0.2, warm_start=False)
    assert sum(sizes) == path.stat().st_size
    before = path.read_bytes()
    for options in ({"time": 0.2}, {"time": 0.1}, {"time": 0.3, "mode": "prepend"}):
        with pytest.raises(UsageError):
            append(**options)
    assert path.read_bytes() == before
    append(0.15, mode="restart")
    assert read_series(path).header.times == (0.0, 0.1, 0.15)
    image = moving(0.9)
    plain = Image(image.grid, {"other": image.arrays["height"]}, 0.9)
    with pytest.raises(UsageError, match="which has height"):
        inrvis.encode(plain, path, target=Ratio(4), mode="append")
    with pytest.raises(OutputError):
        inrvis.encode(image, tmp_path / "no" / "run.inr", target=Ratio(4), mode="append")


def test_steps_without_a_time_are_numbered(tmp_path: Path) -> None:
    path = tmp_path / "run.inr"
    values = moving(0.0).arrays["height"]
    inrvis.encode([values] * 2, path, target=Ratio(4), model="none")
    inrvis.encode(values, path, target=Ratio(4), model="none", mode="append")
    assert read_series(path).header.times == (0.0, 1.0, 2.0)
    inrvis.encode(moving(7.5), path.with_name("b.inr"), target=Ratio(4), model="none")
    one = from_array(values, "height")
    inrvis.encode(one, path.with_name("b.inr"), target=Ratio(4), model="none", mode="append")
    assert read_series(path.with_name("b.inr")).header.times == (7.5, 8.5)


def test_an_interrupted_append_leaves_the_series(tmp_path: Path) -> None:
    path = tmp_path / "run.inr"
    inrvis.encode([moving(0.0), moving(1.0)], path, target=Ratio(4), model="none")
    before = path.read_bytes()

    def stop(_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        inrvis.encode(
            moving(2.0), path, target=Ratio(4), model="siren", mode="append", progress=stop
        )
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["run.inr"]


# ---------------------------------------------------------------- command line and collections


@pytest.fixture
def vtis(tmp_path: Path) -> list[Path]:
    pytest.importorskip("vtkmodules")
    paths = [tmp_path / f"step_{k}.vti" for k in range(3)]
    for number, path in enumerate(paths):
        write_image(moving(0.5 * number), path)
    return paths


def test_the_command_line(vtis: list[Path], tmp_path: Path, cli: Callable[..., Any]) -> None:
    path = tmp_path / "run.inr"
    words = ("-o", path, "--max-error", 0.01, "--model", "none", "--quiet", "--json")
    done = cli("encode", vtis[0], vtis[1], *words)
    assert (done.status, done.errors) == (0, "")
    assert json.loads(done.output)["encoded_bytes"] == path.stat().st_size
    size = path.stat().st_size
    done = cli("encode", vtis[2], *words, "--append")
    assert json.loads(done.output)["encoded_bytes"] == path.stat().st_size - size
    cli("encode", vtis[2], *words, "--append").assert_one_line(2)
    assert json.loads(cli("info", path, "--json").output)["times"] == [0.0, 0.5, 1.0]
    for number, vti in enumerate(vtis):
        done = cli("compare", vti, path, "--time-index", number, "--max-error", 0.01, "--json")
        assert done.status == 0
    words = ("-o", path, "--ratio", 4, "--start", "none.inr", "--quiet")
    cli("encode", vtis[0], *words).assert_one_line(3)


def test_a_collection_gives_the_times(vtis: list[Path], tmp_path: Path) -> None:
    entries = [f'<DataSet timestep="{9 - k}" file="{p.name}"/>' for k, p in enumerate(vtis)]
    text = '<VTKFile type="Collection"><Collection>{}</Collection></VTKFile>'
    collection = tmp_path / "run.pvd"
    collection.write_text(text.format("".join(entries)), encoding="utf-8")
    path = tmp_path / "run.inr"
    inrvis.encode(collection, path, target=inrvis.MaxError(0.01), model="none")
    with inrvis.open(path) as series:
        assert series.times == (7.0, 8.0, 9.0)
        np.testing.assert_allclose(series[0].decode(), moving(1.0).arrays["height"], atol=0.01)
    for bad in (
        "",
        "<VTKFile",
        text.format(""),
        "<html/>",
        text.format(entries[0] * 2),
        text.format('<DataSet timestep="nan" file="a.vti"/>'),
        text.format('<DataSet timestep="1" file="nowhere.vti"/>'),
        '<!DOCTYPE x [<!ENTITY a "b">]>' + text.format(entries[0]),
    ):
        collection.write_text(bad, encoding="utf-8")
        with pytest.raises(SourceError) as caught:
            inrvis.encode(collection, path, target=inrvis.MaxError(0.01), model="none")
        assert len(str(caught.value).splitlines()) == 1
