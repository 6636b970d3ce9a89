"""The command line: statuses, one line for an error, strict JSON, and an interrupt."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

QUALITY = {"psnr_db", "max_abs_error", "nrmse", "ssim"}
RATE = {"compression_ratio", "bits_per_value", "encoded_bytes", "original_bytes"}
ENCODE = {"model", "parameters", "blocks", "encode_seconds", "decode_seconds", "device", "target"}
INFO = {
    "kind",
    "format",
    "dimensions",
    "spacing",
    "origin",
    "direction",
    "arrays",
    "times",
    "model",
    "parameters",
    "encoded_bytes",
    "compression_ratio",
}


def strict(text: str) -> dict[str, Any]:
    """Parse one object as JSON that every parser reads."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    assert text.count("\n") == 1
    value: dict[str, Any] = json.loads(text, parse_constant=refuse)
    return value


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, field: Any) -> Path:
    path = tmp_path_factory.mktemp("source") / "field.npy"
    np.save(path, field((24, 22, 25), "uint16"))
    return path


def test_encode_and_compare(source: Path, tmp_path: Path, cli: Callable[..., Any]) -> None:
    path = tmp_path / "f.inr"
    words = ("--model", "siren", "--ratio", 4, "--time-budget", 0.5, "--json", "--device=cpu")
    done = cli("encode", source, "-o", path, *words)
    assert done.status == 0, done.errors
    report = strict(done.output)
    assert set(report) == QUALITY | RATE | ENCODE | {"target_met"}
    assert report["original_bytes"] == 24 * 22 * 25 * 2
    assert report["encoded_bytes"] == path.stat().st_size
    assert report["target_met"] is True
    assert "dB" in done.errors
    checked = cli("compare", source, path, "--json")
    facts = strict(checked.output)
    assert set(facts) == QUALITY | RATE
    for key in QUALITY | RATE:
        assert facts[key] == pytest.approx(report[key], rel=1e-9)
    assert checked.errors == ""
    too_much = cli("compare", source, path, "--min-psnr", 99, "--json")
    too_much.assert_one_line(1)
    assert strict(too_much.output) == facts
    cli("compare", source, path, "--max-error", 0).assert_one_line(1)


def test_quiet_is_quiet(source: Path, tmp_path: Path, cli: Callable[..., Any]) -> None:
    words = ("--ratio", 4, "--time-budget", 0.3, "--quiet", "--device=cpu")
    done = cli("encode", source, "-o", tmp_path / "f.inr", *words)
    assert (done.status, done.errors) == (0, "")
    assert "psnr_db" in done.output


def test_a_missed_quality_has_status_1(tmp_path: Path, cli: Callable[..., Any]) -> None:
    noise, path = tmp_path / "noise.npy", tmp_path / "f.inr"
    np.save(noise, np.random.default_rng(0).normal(size=(12, 12, 12)))
    words = (
        "--psnr",
        250,
        "--model=siren",
        "--time-budget",
        1,
        "--json",
        "--quiet",
        "--device=cpu",
    )
    done = cli("encode", noise, "-o", path, *words)
    done.assert_one_line(1)
    report = strict(done.output)
    assert report["target_met"] is False
    assert report["psnr_db"] < 250
    assert f"{report['psnr_db']:.2f} dB" in done.errors
    assert path.exists()


def test_a_bound_is_kept_and_compared(tmp_path: Path, cli: Callable[..., Any], field: Any) -> None:
    source, path = tmp_path / "f.npy", tmp_path / "f.inr"
    values = field((12, 15, 17), "float32")
    values[3:6, 4:, :7] = np.nan
    np.save(source, values)
    words = ("--max-error", 1e-3, "--relative", "--model=none", "--json", "--quiet", "--device=cpu")
    done = cli("encode", source, "-o", path, *words)
    assert (done.status, done.errors) == (0, "")
    report = strict(done.output)
    assert set(report) == QUALITY | RATE | ENCODE | {"target_met"}
    assert report["target_met"] is True
    assert report["target"] == "maximum error 0.001 of the range"
    assert (report["model"], report["parameters"]) == ("interpolation", 0)
    bound = 1e-3 * float(np.nanmax(values) - np.nanmin(values))
    assert 0 < report["max_abs_error"] <= bound
    checked = cli("compare", source, path, "--max-error", bound, "--json")
    assert (checked.status, checked.errors) == (0, "")
    assert strict(checked.output)["max_abs_error"] == report["max_abs_error"]
    cli("compare", source, path, "--max-error", bound / 2).assert_one_line(1)
    facts = strict(cli("info", path, "--json").output)
    assert (facts["model"], facts["models"], facts["parameters"]) == ("interpolation", [], 0)
    assert facts["arrays"][0]["layer"] == "interpolation"
    assert facts["arrays"][0]["max_abs_error"] == pytest.approx(report["max_abs_error"], rel=1e-4)


def test_bounds_and_sizes_that_cannot_be_are_one_line(
    tmp_path: Path, watch: Callable[..., Any], field: Any
) -> None:
    smooth, rough, integers, tiny = (tmp_path / f"{n}.npy" for n in "abcd")
    noise = np.random.default_rng(0).normal(size=(20, 20, 20))
    np.save(smooth, field((20, 20, 20), "float32"))
    np.save(rough, noise)
    np.save(integers, (noise * 1e9).astype(np.int64) + 2**60)
    np.save(tiny, noise * 1e-318)
    output, words = tmp_path / "f.inr", ["--model=none", "--quiet", "--device=cpu"]
    commands = [
        ["encode", smooth, "-o", output, "--max-error", 1e-30, *words],
        ["encode", rough, "-o", output, "--max-error", 1e-300, *words],
        ["encode", rough, "-o", output, "--max-error", 1e-16, "--relative", *words],
        ["encode", integers, "-o", output, "--max-error", 1, *words],
        ["encode", tiny, "-o", output, "--max-error", 1e-12, "--relative", *words],
        ["encode", smooth, "-o", output, "--ratio", 1000, *words],
        ["encode", smooth, "-o", output, "--max-error", 0, *words],
        ["encode", smooth, "-o", output, "--max-error", "nan", *words],
        ["encode", smooth, "-o", output, "--max-error", 1, "--model=wavelet", "--quiet"],
    ]
    for command, outcome in zip(commands, watch(commands).outcomes, strict=True):
        assert "Warning" not in outcome.errors, (command, outcome.errors)
        assert outcome.status == 2, command
        outcome.assert_one_line(2)
    assert not output.exists()


def test_a_huge_bound_prints_nothing(tmp_path: Path, watch: Callable[..., Any], field: Any) -> None:
    np.save(tmp_path / "f.npy", field((12, 15, 17), "uint8"))
    words = ["--max-error", 1e300, "--model=none", "--quiet", "--device=cpu"]
    (outcome,) = watch([["encode", tmp_path / "f.npy", "-o", tmp_path / "f.inr", *words]]).outcomes
    assert (outcome.status, outcome.errors) == (0, "")


@pytest.mark.parametrize(
    ("name", "model", "layers"),
    [
        ("boxes", "siren", [None, None]),
        ("levels", "interpolation", ["interpolation"]),
        ("layers", "siren+interpolation+wavelet", ["interpolation", "wavelet"]),
    ],
)
def test_info_of_networks_and_layers(
    golden: Callable[[str], Path], watch: Callable[..., Any], name: str, model: str, layers: Any
) -> None:
    plain, done = watch([["info", golden(name)], ["info", golden(name), "--json"]]).outcomes
    assert (plain.status, plain.errors, done.status) == (0, "", 0)
    assert model in plain.output
    facts = strict(done.output)
    assert set(facts) >= INFO | QUALITY
    assert facts["model"] == model
    assert [array["layer"] for array in facts["arrays"]] == layers
    assert sum(m["parameters"] for m in facts["models"]) == facts["parameters"]
    assert (facts["parameters"] > 0) == (name != "levels")


def test_info(golden: Callable[[str], Path], cli: Callable[..., Any]) -> None:
    done = cli("info", golden("direct"), "--json")
    assert (done.status, done.errors) == (0, "")
    facts = strict(done.output)
    assert set(facts) >= INFO | QUALITY
    assert facts["kind"] == "volume"
    assert facts["format"] == 1
    assert facts["dimensions"] == [13, 11, 9]
    assert facts["times"] == [1.5]
    assert [a["name"] for a in facts["arrays"]] == ["density", "velocity"]
    assert facts["encoded_bytes"] == golden("direct").stat().st_size
    plain = cli("info", golden("direct"))
    assert (plain.status, plain.errors) == (0, "")
    assert "velocity" in plain.output


def test_decode(golden: Callable[[str], Path], tmp_path: Path, watch: Callable[..., Any]) -> None:
    import inrvis

    output = tmp_path / "o.npy"
    words = ["--array", "density", "-o", output, "--quiet"]
    extent = (3, 9, -2, 4, 1, 8)
    outcome = watch(
        [["decode", golden("direct"), *words, "--stride", 2, "--extent", *extent]]
    ).outcomes[0]
    assert (outcome.status, outcome.output, outcome.errors) == (0, "", "")
    with inrvis.open(golden("direct")) as volume:
        expected = volume.decode("density", extent=extent, stride=2)
    np.testing.assert_array_equal(np.load(output), expected)


def test_decode_to_vti(
    golden: Callable[[str], Path], tmp_path: Path, watch: Callable[..., Any]
) -> None:
    pytest.importorskip("vtkmodules")
    import inrvis
    from inrvis import sources

    path = tmp_path / "o.vti"
    (outcome,) = watch([["decode", golden("direct"), "-o", path, "--quiet"]]).outcomes
    assert (outcome.status, outcome.errors) == (0, "")
    image = sources.read(str(path))
    with inrvis.open(golden("direct")) as volume:
        assert image.grid == volume.grid
        assert image.time == 1.5
        for name in volume.arrays:
            np.testing.assert_array_equal(image.arrays[name], volume.decode(name))


def test_wrong_usage_is_one_line_of_status_2(
    golden: Callable[[str], Path], source: Path, tmp_path: Path, watch: Callable[..., Any]
) -> None:
    path, output, made = golden("direct"), tmp_path / "o.npy", tmp_path / "f.inr"
    decode = ["decode", path, "-o", output, "--quiet"]
    encode = ["encode", source, "-o", made, "--quiet", "--device=cpu"]
    commands = [
        [*decode, "--array", "nothing"],
        [*decode, "--array", "density", "--extent", 0, 99, 0, 0, 0, 0],
        [*decode, "--array", "density", "--extent", 5, 4, 0, 0, 0, 0],
        [*decode, "--array", "density", "--stride", 0],
        [*decode, "--array", "density", "--time-index", 1],
        decode,
        ["decode", path, "-o", tmp_path / "o.xyz", "--quiet"],
        [*decode, "--array", "density", "--device", "cuda"],
        [*encode, "--ratio", 100_000],
        [*encode, "--ratio", -1],
        [*encode, "--psnr", "nan"],
        [*encode, "--psnr", 30, "--relative"],
        [*encode, "--psnr", 30, "--mask", "avm"],
        [*encode, "--psnr", 30, "--model", "fourier", "--funnel", 2],
        [*encode, "--psnr", 30, "--model", "fourier", "--mask", "bbx", "--dilations", 3],
        [*encode, "--bpv", 0],
        [*encode, "--ratio", 4, "--time-budget", -1],
        [*encode, "--ratio", 4, "--array", "nothing"],
        ["compare", source, path, "--array", "density"],
        # What the parser itself finds.
        encode,
        [*encode, "--ratio", 4, "--psnr", 30],
        [*encode, "--ratio", "four"],
        [*encode, "--ratio", 4, "--device", "bogus"],
        ["encode", source],
        ["transcode"],
        ["info"],
        ["info", path, "--colour"],
        [],
    ]
    failed = []
    for command, outcome in zip(commands, watch(commands).outcomes, strict=True):
        try:
            outcome.assert_one_line(2)
        except AssertionError:
            failed.append((command, outcome))
    assert not failed
    assert not list(tmp_path.iterdir())


def test_inputs_that_cannot_be_read(tmp_path: Path, watch: Callable[..., Any]) -> None:
    text, half, huge = (tmp_path / name for name in ("text.vti", "half.npy", "huge.npy"))
    text.write_text("<VTKFile")
    np.save(half, np.zeros((9, 9, 9)))
    half.write_bytes(half.read_bytes()[:200])
    np.save(huge, np.linspace(-1e308, 1.7e308, 729).reshape(9, 9, 9))
    output, words = tmp_path / "f.inr", ["--quiet"]
    commands = [
        ["encode", source, "-o", output, "--ratio", 4, *words]
        for source in (text, half, huge, tmp_path / "missing.nrrd")
    ]
    # A folder without a table of images.
    commands.append(["encode", tmp_path, "-o", output, *words])
    for outcome in watch(commands).outcomes:
        outcome.assert_one_line(3)
    assert not output.exists()


def test_an_interrupt_leaves_nothing(field: Any, tmp_path: Path) -> None:
    source, folder, scratch = tmp_path / "f.npy", tmp_path / "out", tmp_path / "scratch"
    folder.mkdir()
    scratch.mkdir()
    np.save(source, field((32, 32, 32), "float32"))
    words = ["encode", source, "-o", folder / "f.inr", "--ratio", "10", "--preset", "best"]
    with (tmp_path / "errors").open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "inrvis", *words, "--device=cpu"],
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, "TMPDIR": str(scratch)},
            # A shell that starts the tests in the background makes them ignore interrupts.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        )
        deadline = time.monotonic() + 60
        while "dB" not in (tmp_path / "errors").read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert output == b""
    *_, last = (tmp_path / "errors").read_text().splitlines()
    assert last.startswith("inrvis: interrupted")
    assert "Traceback" not in (tmp_path / "errors").read_text()
    assert not list(folder.iterdir())
    # Torch and ONNX Runtime keep files of their own there.
    assert not list(scratch.glob("*inrvis*"))
