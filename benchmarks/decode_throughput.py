"""Decoding throughput of .inr files, and what bounds it.

Usage: python -m benchmarks.decode_throughput FILE.inr... [--out NAME]

For each file: the whole volume on one core and on all, a 64-cubed corner, every fourth voxel, and
a million scattered points; the operations and bytes that a voxel costs; and how fast ONNX
Runtime's own kernels do those operations on this machine, which is the bound.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

import inrvis
from benchmarks.provenance import save
from inrvis.decoder.volume import Volume

RUNS = 5
BATCH = 2048


def best_seconds(work: Callable[[], Any], runs: int = RUNS) -> float:
    """Shortest of several runs after one that warms up."""
    work()
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def kernel_seconds(operator: str, inputs: dict[str, tuple[int, ...]]) -> float:
    """Seconds of one ONNX Runtime kernel on one thread, for a tile that fits the cache."""
    values = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, list(s)) for n, s in inputs.items()
    ]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    node = helper.make_node(operator, list(inputs), ["y"])
    model = helper.make_model(
        helper.make_graph([node], "kernel", values, [output]),
        opset_imports=[helper.make_opsetid("", 17)],
    )
    model.ir_version = 8
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    rng = np.random.default_rng(0)
    feeds = {n: rng.normal(size=s).astype(np.float32) for n, s in inputs.items()}
    return best_seconds(lambda: session.run(None, feeds), 50)


def costs(volume: Volume) -> dict[str, float]:
    """Operations and bytes of one voxel, and the time the bare kernels would take for them."""
    model = volume.header.models[0]
    layers = [t.shape[1:] for t in model.trunk if not t.name.endswith("b")]
    head = [t.shape for t in model.head if not t.name.endswith("b")]
    share = 1 / max(model.lattice.spacing, 1) ** 3
    products = share * sum(a * b for a, b in layers) + sum(a * b for a, b in head)
    sines = share * sum(a for a, _ in layers[:-1]) + sum(b for _, b in head)
    width = layers[1][0]
    sine = kernel_seconds("Sin", {"x": (width, BATCH)}) / (width * BATCH)
    gemm = kernel_seconds("Gemm", {"w": (width, width), "x": (width, BATCH), "b": (width, 1)}) / (
        width * width * BATCH
    )
    seconds = products * gemm + sines * sine
    return {
        "multiply_adds_per_voxel": products,
        "sines_per_voxel": sines,
        # Every activation is written by its Gemm, read and written by its Sin, read again.
        "activation_bytes_per_voxel": 16 * sines,
        "gemm_gflops_of_one_core": 2e-9 / gemm,
        "sine_ns_of_one_core": 1e9 * sine,
        "sine_share_of_the_bound": sines * sine / seconds,
        "bound_mvoxels_per_second_per_core": 1e-6 / seconds,
    }


def measure(path: Path) -> dict[str, Any]:
    """All figures of one file."""
    all_cores = os.sched_getaffinity(0)
    result: dict[str, Any] = {}
    with inrvis.open(path, device="cpu") as volume:
        header = volume.header
        voxels = header.grid.number_of_points

        def whole(**options: Any) -> None:
            volume.close()  # forget the tiles of the last run
            volume.decode(**options)

        result |= {
            "dimensions": list(header.grid.dimensions),
            "dtype": header.arrays[0].dtype,
            "psnr_db": header.arrays[0].metrics.get("psnr_db"),
            "encoded_bytes": volume.encoded_bytes,
            "blocks": list(header.models[0].lattice.blocks),
            "knot_spacing": header.models[0].lattice.spacing,
            "costs": costs(volume),
        }
        seconds = best_seconds(whole, 3)
        result["whole_seconds"] = seconds
        result["mvoxels_per_second"] = voxels / seconds / 1e6
        try:
            os.sched_setaffinity(0, {min(all_cores)})
            one = best_seconds(whole, 2)
        finally:
            os.sched_setaffinity(0, all_cores)
        result["mvoxels_per_second_on_one_core"] = voxels / one / 1e6
        start = header.grid.extent[::2]
        corner = [
            v
            for a, n in zip(start, header.grid.dimensions, strict=True)
            for v in (a, a + min(64, n) - 1)
        ]
        result["corner_64_seconds"] = best_seconds(lambda: whole(extent=corner))
        result["corner_64_speedup"] = seconds / result["corner_64_seconds"]
        result["stride_4_seconds"] = best_seconds(lambda: whole(stride=4))
        rng = np.random.default_rng(0)
        indices = rng.uniform(size=(1_000_000, 3)) * (np.array(header.grid.dimensions) - 1)
        points = header.grid.index_to_world(indices + np.array(start))
        result["million_points_seconds"] = best_seconds(lambda: volume.sample(None, points), 2)
    return result


def main() -> None:
    """Measure every file and print a line for it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--out", default="decode_throughput")
    arguments = parser.parse_args()
    results = {}
    for path in arguments.files:
        results[path.stem] = r = measure(path)
        cost = r["costs"]
        print(
            f"{path.stem:20s} {math.prod(r['dimensions']) / 1e6:6.1f} M voxels  "
            f"{r['mvoxels_per_second']:6.2f} M/s  "
            f"one core {r['mvoxels_per_second_on_one_core']:6.2f} M/s of "
            f"{cost['bound_mvoxels_per_second_per_core']:6.2f}  "
            f"sines {100 * cost['sine_share_of_the_bound']:3.0f} %  "
            f"corner x{r['corner_64_speedup']:.1f}  points {r['million_points_seconds']:.2f} s",
            flush=True,
        )
    save(arguments.out, results)


if __name__ == "__main__":
    main()
