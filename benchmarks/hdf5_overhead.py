"""What a peer's stream takes more as a file: the least that h5py and hdf5plugin write around it.

Usage: python -m benchmarks.hdf5_overhead

The other tables give peers' bare streams, and the whole of our files.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np

from benchmarks.provenance import save


def overhead(compression: Any, version: str) -> int:
    """Bytes of a file with one dataset of one chunk, less those of the chunk."""
    values = np.random.default_rng(0).random((64, 64, 64)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.h5"
        with h5py.File(path, "w", libver=version) as file:
            file.create_dataset(
                "a", data=values, chunks=values.shape, compression=compression, track_times=False
            )
        with h5py.File(path) as file:
            chunk: int = file["a"].id.get_storage_size()
        return path.stat().st_size - chunk


def main() -> None:
    """Measure each filter with HDF5's oldest and newest layout."""
    filters = {
        "sperr": hdf5plugin.Sperr(rate=0.5),
        "sz3": hdf5plugin.SZ3(absolute=0.3),
        "zfp": hdf5plugin.Zfp(rate=1),
    }
    results = {
        name: {version: overhead(own, version) for version in ("earliest", "latest")}
        for name, own in filters.items()
    }
    save("hdf5_overhead", results)
    for name, sizes in results.items():
        print(name, sizes)


if __name__ == "__main__":
    main()
