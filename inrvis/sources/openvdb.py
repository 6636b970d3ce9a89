"""Grids of OpenVDB (``.vdb``), by its own Python module where the system has one."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from inrvis.errors import SourceError
from inrvis.grid import ImageGrid
from inrvis.sources.files import ReadOptions, check_claim, file_size, header_geometry
from inrvis.sources.image import Image, Values, check_names

__all__ = ["MODULES", "read"]

# The module was renamed in OpenVDB 11.
MODULES = ("openvdb", "pyopenvdb")

# A tile of a few bytes fills up to 4096³ points with one value, so no honest limit exists; this
# one is far above any that was met.
_EXPANSION = 20_000


def read(path: Path, options: ReadOptions) -> Image:
    """Read grids of an OpenVDB file as dense arrays; a grid's name becomes the array's.

    ``file.vdb:name`` selects a grid, otherwise all are read; they must have one transform. The
    image is the box around the active voxels of all grids read. Voxels that are not active have
    the value that the grid states for them, such as its background.

    Where the transform is linear it gives origin, spacing and direction; a frustum becomes unit
    spacing. bool becomes uint8, half floats float32. A grid without a name is called
    ``intensity``.
    """
    names = (options.selector,) if options.selector else options.arrays
    module = next((name for name in MODULES if importlib.util.find_spec(name)), None)
    if module is None:
        raise SourceError(
            f"{path}: cannot import {' or '.join(MODULES)}; run: apt-get install python3-openvdb"
        )
    limit_bytes = file_size(path) * _EXPANSION
    # OpenVDB ends its process on some damaged files, and allocates whatever others claim.
    worker = Path(__file__).with_name("openvdb_worker.py")
    command = [_interpreter(), "-P", str(worker), module, str(path)]
    command += [json.dumps(names), str(limit_bytes)]
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        output.seek(0)
        line = output.readline()
        if done.returncode or not line:
            raise SourceError(f"OpenVDB cannot read {path}; the file is damaged")
        return _image(path, options, json.loads(line), limit_bytes, output)


def _interpreter() -> str:
    """Path of Python; pvpython states another program, or one that does not exist."""
    if Path(sys.executable).name.startswith("python"):
        return sys.executable
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return str(Path(sys.exec_prefix, "bin", version))


def _image(
    path: Path, options: ReadOptions, facts: dict[str, Any], limit_bytes: int, output: IO[bytes]
) -> Image:
    """Image of what the worker wrote."""
    if "error" in facts:
        raise SourceError(f"OpenVDB cannot read {path}: {facts['error']}")
    if "names" in facts:
        check_names(options.arrays, facts["names"])
        raise SourceError(
            f"{path} has no grid '{options.selector}'; choose from: {', '.join(facts['names'])}"
        )
    # The worker writes nothing more where this raises.
    check_claim(path, facts["bytes"], limit_bytes)
    nx, ny, nz = facts["dimensions"]
    with header_geometry(path):
        grid = ImageGrid.from_axes((nx, ny, nz), facts["steps"], facts["origin"])
    arrays: dict[str, Values] = {}
    for name, type_name, components in facts["grids"]:
        values = np.fromfile(output, type_name, grid.number_of_points * components)
        shape = grid.shape if components == 1 else (*grid.shape, components)
        arrays[name or "intensity"] = values.reshape(shape)
    return Image(grid, arrays)
