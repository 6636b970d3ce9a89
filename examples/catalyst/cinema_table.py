"""The table of a Cinema database (Specification D), from the names of its pictures.

ParaView writes one when a run ends, given the package pandas. This one is written after each step,
so that a crash leaves a database of all finished steps.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Mapping
from pathlib import Path

# As the extractor names them: v_000120p=090.00t=180.00.png
_NAME = re.compile(r"\w+_(\d+)p=([\d.-]+)t=([\d.-]+)\.png")


def write_table(folder: Path, times: Mapping[int, float]) -> int:
    """List the pictures of the steps in ``times``; return how many there are."""
    rows = []
    for path in sorted(folder.glob("*.png")):
        found = _NAME.fullmatch(path.name)
        if found is not None and int(found[1]) in times:
            step = int(found[1])
            rows.append((step, repr(times[step]), found[2], found[3], path.name))
    # A table that is being read must not be half a table.
    temporary = folder / ".data.csv"
    with temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("timestep", "time", "phi", "theta", "FILE"))
        writer.writerows(rows)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / "data.csv")
    return len(rows)
