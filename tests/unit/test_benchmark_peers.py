"""The compressors of the volume benchmark, and the search for their best settings."""

from __future__ import annotations

import json
import math
import shutil
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import codec_runs, missing
from benchmarks.peer_search import (
    AtMaxError,
    AtPsnr,
    Search,
    at_max_error,
    at_psnr,
    errors,
    front,
    max_error,
)
from benchmarks.peers import Peer, Sperr, Sz3, Tthresh, Zfp, peers
from benchmarks.volume_rate_distortion import table
from inrvis import metrics
from inrvis.errors import UsageError

PEERS: list[Peer] = [
    Sz3(),
    Sz3(algorithm="LORENZO_REG"),
    Sz3(interpolation="CUBIC", direction=5, alpha=2.0, beta=8.0),
    Sz3(package="imagecodecs"),
    Sperr(),
    Sperr(mode="psnr", z_axis=1),
    Sperr(mode="pwe", z_axis=2, padded=True),
    Zfp(),
    Zfp(scaled=False),
]
SHAPE = (9, 16, 17)


@dataclass(frozen=True)
class Rounding(Peer):
    """Uniform quantisation and zlib: a peer that needs no package."""

    coarsest: float = 1.0

    name = "rounding"
    packages = ()

    def encode(self, values: Any, setting: float) -> bytes:
        steps = np.rint(values.astype(np.float64) / (2 * setting)).astype(np.int64)
        return np.float64(setting).tobytes() + zlib.compress(steps.tobytes(), 9)

    def decode(self, stream: bytes, shape: tuple[int, ...], dtype: Any) -> Any:
        steps = np.frombuffer(zlib.decompress(stream[8:]), np.int64).reshape(shape)
        values = steps * 2 * np.frombuffer(stream[:8])[0]
        return np.rint(values).astype(dtype) if np.dtype(dtype).kind in "iu" else values

    def alternatives(self, stage: int, shape: tuple[int, ...]) -> Sequence[Rounding] | None:
        del shape
        return [replace(self, coarsest=2.0)] if stage == 0 else None


def needs(peer: Peer) -> None:
    for package in peer.packages:
        pytest.importorskip(package, reason=f"{package} is not installed")


def values_of(field: Any, dtype: str, shape: tuple[int, ...] = SHAPE) -> Any:
    """Return a smooth field with a little noise, well within the type."""
    smooth = field(shape, "float64")
    noisy = 20 * smooth + np.random.default_rng(5).normal(scale=0.4, size=shape)
    return (np.rint(noisy + 60) if np.dtype(dtype).kind in "iu" else noisy).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
@pytest.mark.parametrize("peer", PEERS, ids=repr)
def test_targets_are_reached_on_the_decoded_stream(field: Any, peer: Peer, dtype: str) -> None:
    needs(peer)
    values = values_of(field, dtype)
    trial = at_psnr(peer, values, 35)
    assert trial is not None
    decoded = peer.decode(peer.encode(values, trial.setting), values.shape, values.dtype)
    assert decoded.dtype == values.dtype
    assert decoded.shape == values.shape
    assert metrics.psnr_db(values, decoded) >= 35
    trial = at_max_error(peer, values, 1.7)
    assert trial is not None
    stream = peer.encode(values, trial.setting)
    assert len(stream) == trial.encoded_bytes
    assert metrics.max_abs_error(values, peer.decode(stream, SHAPE, values.dtype)) <= 1.7


@pytest.mark.parametrize("peer", [Sz3(), Sperr(mode="pwe")], ids=repr)
def test_integers_below_one_half_are_exact_at_the_first_trial(field: Any, peer: Peer) -> None:
    needs(peer)
    values = values_of(field, "uint16")
    search = Search(values)
    trial = search.one(peer, max_error(values, 0.9))
    assert trial is not None
    assert trial.max_abs_error == 0
    assert len(search.trials[peer]) == 1


@pytest.mark.parametrize("peer", peers(), ids=repr)
def test_the_best_configuration_is_no_worse_than_the_first(field: Any, peer: Peer) -> None:
    needs(peer)
    values = values_of(field, "float32", (8, 16, 16))
    for goal in (AtPsnr(33), AtMaxError(1.0)):
        first = Search(values).one(goal.first(peer), goal)
        best = Search(values).best(peer, goal)
        assert first is not None
        assert best is not None
        assert best.encoded_bytes <= first.encoded_bytes
        assert goal.margin_db(best) >= 0


@pytest.mark.parametrize("shape", [(1, 9, 12), (5, 1, 9), (2, 2, 2)])
def test_thin_volumes(field: Any, shape: tuple[int, ...]) -> None:
    needs(Sperr())
    values = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    peer = Sperr(mode="pwe", z_axis=2)
    decoded = peer.decode(peer.encode(values, 0.1), shape, values.dtype)
    assert np.abs(decoded - values).max() <= 0.1


def test_sperr_does_not_abort_the_process() -> None:
    with pytest.raises(UsageError, match="z_axis"):
        Sperr().encode(np.zeros((1, 4, 5), np.float32), 1.0)


def test_tthresh(field: Any) -> None:
    program = shutil.which("tthresh")
    if program is None:
        pytest.skip("no tthresh on the PATH")
    for dtype in ("uint8", "int16", "float32"):
        values = values_of(field, dtype)
        trial = at_psnr(Tthresh(Path(program)), values, 35)
        assert trial is not None
        assert trial.psnr_db >= 35
    vectors = np.stack([field(SHAPE, "float32")] * 3, axis=-1)
    trial = at_psnr(Tthresh(Path(program)), vectors, 35)
    assert trial is not None
    assert trial.psnr_db >= 35


@settings(max_examples=30)
@given(
    seed=st.integers(0, 99),
    dtype=st.sampled_from(["uint8", "int32", "float32", "float64"]),
    db=st.floats(10, 70),
    relative=st.floats(1e-4, 0.5),
)
def test_search_keeps_promises(seed: int, dtype: str, db: float, relative: float) -> None:
    values = (100 * np.random.default_rng(seed).random((3, 4, 5))).astype(dtype)
    trial = at_psnr(Rounding(), values, db)
    assert trial is not None
    decoded = Rounding().decode(Rounding().encode(values, trial.setting), values.shape, dtype)
    assert metrics.psnr_db(values, decoded) >= db
    bound = relative * float(np.ptp(values))
    trial = at_max_error(Rounding(), values, bound)
    assert trial is not None
    decoded = Rounding().decode(Rounding().encode(values, trial.setting), values.shape, dtype)
    assert metrics.max_abs_error(values, decoded) <= bound


def test_search_is_close_to_the_target_and_tells_when_there_is_none(field: Any) -> None:
    values = field((12, 13, 14), "float64")
    trial = at_psnr(Rounding(), values, 40)
    assert trial is not None
    assert 40 <= trial.psnr_db < 40.2
    assert Search(values).one(Rounding(), AtPsnr(500)) is None
    assert Search(values).smallest("rounding", AtPsnr(1)) is None


def test_later_goals_profit_from_earlier_trials(field: Any) -> None:
    search = Search(field((8, 9, 10), "float32"))
    best = search.best(Rounding(), AtPsnr(40))
    assert best is not None
    count = sum(len(known) for known in search.trials.values())
    assert search.smallest("rounding", AtPsnr(39)) is not None
    assert search.best(Rounding(), AtPsnr(40)) == best
    assert sum(len(known) for known in search.trials.values()) == count
    sizes, decibels = zip(*search.curve("rounding"), strict=True)
    assert list(sizes) == sorted(set(sizes))
    assert list(decibels) == sorted(set(decibels))


def test_front() -> None:
    points = [(10, 30.0), (8, 31.0), (12, 35.0), (12, 36.0), (20, math.inf)]
    assert front(points) == [(8, 31.0), (12, 36.0)]
    assert front([(1, 30.0), (2, 30.5), (3, 31.2)], 1) == [(1, 30.0), (3, 31.2)]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_errors_are_those_of_the_metrics(dtype: str) -> None:
    random = np.random.default_rng(2)
    original = (99 * random.random((4, 5, 6, 2))).astype(dtype)
    decoded = (99 * random.random((4, 5, 6, 2))).astype(dtype)
    if original.dtype.kind == "f":
        original[1, 2] = np.nan
    db, largest = errors(original, decoded)
    assert db == pytest.approx(metrics.psnr_db(original, decoded))
    assert largest == metrics.max_abs_error(original, decoded)
    assert errors(original, original)[0] == math.inf


def test_gaps_are_filled_smoothly_and_nothing_else_changes(field: Any) -> None:
    pytest.importorskip("scipy", reason="scipy is not installed")
    whole = field((10, 12, 14), "float32")
    values = whole.copy()
    values[2:6, 3:9, 4:8] = np.nan
    filled = missing.fill(values)
    known = ~np.isnan(values)
    assert np.array_equal(filled[known], values[known])
    assert np.abs(filled - whole).max() < 0.35 * np.ptp(whole)
    assert missing.mask_bytes(values) > 0
    assert missing.mask_bytes(whole) == 0
    assert missing.fill(whole) is whole
    assert not missing.fill(np.full((2, 3, 4), np.nan, np.float32)).any()
    lone = np.full((9, 9, 40), np.nan)
    lone[0, 0, 0] = 3
    assert np.allclose(missing.fill(lone), 3)


def test_vectors_and_gaps_from_file_to_record(tmp_path: Path, field: Any) -> None:
    pytest.importorskip("scipy", reason="scipy is not installed")
    pytest.importorskip("skimage", reason="scikit-image is not installed")
    vectors = np.stack([field(SHAPE, "float32"), 0.1 * field(SHAPE, "float32")], axis=-1)
    vectors[:3, :4, :5] = np.nan
    np.save(tmp_path / "vectors.npy", vectors)
    volume = codec_runs.prepare(tmp_path / "vectors.npy", None, tmp_path)
    assert volume.shape == vectors.shape
    assert volume.n_missing == 2 * 60
    found = codec_runs.search(volume, Rounding(), [40], [0.01])
    for kind, target in (("psnr", 40), ("max_error", 0.01)):
        record = codec_runs.run_peer(volume, found[kind][target])
        json.dumps(record)
        sizes = [trial.encoded_bytes for _, trial in found[kind][target]]
        assert len(sizes) == 2
        assert record["encoded_bytes"] == sum(sizes) + volume.mask_bytes
        assert record["psnr_db"] >= 40 or kind == "max_error"
        assert record["max_abs_error"] <= 0.01 * volume.peak or kind == "psnr"


def test_table() -> None:
    def record(size: int, met: bool = True) -> dict[str, Any]:
        return {"encoded_bytes": size, "bits_per_value": size / 1000, "target_met": met}

    codecs = {
        "sz3": {"psnr": {"30": record(2000), "35": {"failed": "no setting reaches the target"}}},
        "sperr": {"psnr": {"30": record(1000)}, "max_error": {"0.01": record(700)}},
        "inrvis": {"psnr": {"30": record(400)}, "max_error": {"0.01": record(600, met=False)}},
    }
    lines = table({"field": {"codecs": codecs}})
    assert lines[2] == "| field | 30 dB | 2,000 | 1,000 | 400 | sperr | 1.0000 | 0.40 |"
    assert lines[3] == "| field | 35 dB | – | – | – | – | – | – |"
    assert lines[4] == "| field | error ≤ 0.01 | – | 700 | 600 | sperr | 0.7000 | – |"
