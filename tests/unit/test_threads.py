"""Threads of decoding are those that are left to this process."""

from __future__ import annotations

import os

import pytest

from inrvis.decoder.sessions import cores

pytestmark = pytest.mark.decode_only


@pytest.mark.parametrize(
    ("allowed", "environment", "threads"),
    [
        (8, {}, 8),
        (2, {}, 2),
        (8, {"OMP_NUM_THREADS": "3"}, 3),
        (8, {"OMP_NUM_THREADS": "4,2"}, 4),
        (8, {"OMP_NUM_THREADS": "100"}, 8),
        (8, {"OMP_NUM_THREADS": "many"}, 8),
        (8, {"OMP_NUM_THREADS": "0"}, 8),
        (8, {"VTK_SMP_MAX_THREADS": "2", "OMP_NUM_THREADS": "6"}, 2),
        (8, {"OMPI_COMM_WORLD_LOCAL_SIZE": "4"}, 2),
        (8, {"MPI_LOCALNRANKS": "16"}, 1),
        # The launcher bound the rank to cores of its own.
        (4, {"OMPI_COMM_WORLD_LOCAL_SIZE": "2"}, 4),
    ],
)
def test_threads(
    allowed: int, environment: dict[str, str], threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "OMP_NUM_THREADS", "VTK_SMP_MAX_THREADS", "OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS",
    ):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(allowed)))
    assert cores() == threads
