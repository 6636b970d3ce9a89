"""What a benchmark's record says of the command that made it."""

from __future__ import annotations

import pytest

from benchmarks.provenance import ROOT, provenance


def test_the_command_names_no_folder_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["/home/me/a.cdb", "--file", "inrvis 0.01=/tmp/b/c.inr@9", "../shared/data", "--psnr"]
    file = str(ROOT / "benchmarks" / "image_database.py")
    monkeypatch.setattr("sys.argv", [file, *words])
    assert provenance()["command"] == (
        "python -m benchmarks.image_database a.cdb --file inrvis 0.01=c.inr@9 ../shared/data --psnr"
    )
