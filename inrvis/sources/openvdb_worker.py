"""Reads OpenVDB grids in a process of its own, which `inrvis.sources.openvdb` starts.

Standard output gets one line of JSON. Where that has ``grids``, the values of each follow, x
fastest. Otherwise it has ``error``, or ``names`` where a wanted grid is missing, or only ``bytes``
where the values would exceed the limit.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

# NumPy's type and the number of components, by OpenVDB's name for a type of values.
_TYPES = {
    "bool": ("?", 1),
    "double": ("f8", 1),
    "float": ("f4", 1),
    "int32": ("i4", 1),
    "int64": ("i8", 1),
    "vec3d": ("f8", 3),
    "vec3i": ("i4", 3),
    "vec3s": ("f4", 3),
}
# A tree is seldom larger than 50 times its file; a damaged file may claim any size.
_TREE_EXPANSION = 128
_SPARE_BYTES = 1 << 28
# Leaf nodes have 8 voxels along each axis.
_SLAB = 8


def _limit_memory(more_bytes: int) -> None:
    """Let this process grow by so many bytes at most."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more_bytes, hard))


def _wanted(openvdb: Any, path: str, names: Sequence[str]) -> tuple[list[Any], list[str]]:
    """Return the grids of these names, all where none are given, and the names of all."""
    facts = [(grid.name, grid.valueTypeName) for grid in openvdb.readAllGridMetadata(path)]
    present = [name for name, value_type in facts if value_type in _TYPES]
    if not present:
        raise ValueError(f"its grids have no numbers, but {sorted({t for _, t in facts})[:8]}")
    if not set(names) <= set(present):
        return [], present
    # Of several grids of one name, the library gives the first.
    return [openvdb.read(path, name) for name in dict.fromkeys(names or present)], present


def _axes(transform: Any) -> Any:
    """Rows with the place of index (0, 0, 0), and the steps along x, y and z."""
    if not transform.isLinear:
        return np.vstack([np.zeros(3), np.eye(3)])
    corners = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    places = np.array([transform.indexToWorld(corner) for corner in corners])
    places[1:] -= places[0]
    return places


def _describe(grids: Sequence[Any]) -> tuple[dict[str, Any], Any]:
    """Facts about the image that holds all grids, and its first index (x, y, z)."""
    axes = [_axes(grid.transform) for grid in grids]
    scale = np.abs(axes[0]).max()
    if any(np.abs(other - axes[0]).max() > 1e-6 * scale for other in axes):
        raise ValueError("its grids have different transforms; choose one, as in FILE.vdb:NAME")
    boxes = np.array([g.evalActiveVoxelBoundingBox() for g in grids if g.activeVoxelCount()])
    if not boxes.size:
        raise ValueError("its grids have no active voxel")
    first, last = boxes[:, 0].min(axis=0), boxes[:, 1].max(axis=0)
    dimensions = [int(high) - int(low) + 1 for low, high in zip(first, last, strict=True)]
    types = [(grid.name, *_TYPES[grid.valueTypeName]) for grid in grids]
    point_bytes = sum(np.dtype(dtype).itemsize * count for _, dtype, count in types)
    nx, ny, nz = dimensions
    facts = {
        "bytes": nx * ny * nz * point_bytes,
        "dimensions": dimensions,
        "steps": axes[0][1:].tolist(),
        "origin": (axes[0][0] + first @ axes[0][1:]).tolist(),
        "grids": types,
    }
    return facts, first


def _slabs(grid: Any, first: Any, dimensions: Sequence[int]) -> Iterator[Any]:
    """Values of a grid, a few planes (z, y, x[, component]) at a time."""
    dtype, components = _TYPES[grid.valueTypeName]
    x, y, z = (int(index) for index in first)
    nx, ny, nz = dimensions
    for start in range(0, nz, _SLAB):
        count = min(_SLAB, nz - start)
        # The library fills arrays in C order alone, whatever their strides say.
        shape = (nx, ny, count) if components == 1 else (nx, ny, count, components)
        values = np.empty(shape, dtype)
        grid.copyToArray(values, ijk=(x, y, z + start))
        yield np.moveaxis(values, (0, 2), (2, 0))


def main(module: str, path: str, names: Sequence[str], limit_bytes: int) -> None:
    """Read grids, and write them to what was standard output."""
    # Chatter of C++ goes elsewhere.
    with os.fdopen(os.dup(1), "wb") as output:
        os.dup2(2, 1)
        openvdb = importlib.import_module(module)
        _limit_memory(_SPARE_BYTES + _TREE_EXPANSION * Path(path).stat().st_size)
        first: Any = None
        grids: list[Any] = []
        try:
            grids, present = _wanted(openvdb, path, names)
            facts: dict[str, Any] = {"names": present}
            if grids:
                facts, first = _describe(grids)
        except (LookupError, OSError, RuntimeError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:300]
            facts = {"error": reason.strip("'") or type(error).__name__}
        if facts.get("bytes", 0) > limit_bytes:
            facts = {"bytes": facts["bytes"]}
        output.write(json.dumps(facts).encode() + b"\n")
        if "grids" not in facts:
            return
        nx, ny, _ = facts["dimensions"]
        _limit_memory(_SPARE_BYTES + 4 * _SLAB * nx * ny * 24)
        for grid in grids:
            for slab in _slabs(grid, first, facts["dimensions"]):
                output.write(np.ascontiguousarray(slab).data)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), int(sys.argv[4]))
