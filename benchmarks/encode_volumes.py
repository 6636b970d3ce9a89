"""Encode real volumes through the command line: quality, size and time of a preset.

Usage: python -m benchmarks.encode_volumes FOLDER NAME... [--ratio R] [--preset P] [--out NAME]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.provenance import save


def main() -> None:
    """Encode each volume in a process of its own and print a table row for it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--ratio", default="200")
    parser.add_argument("--preset", default="balanced")
    parser.add_argument("--seed", default="0")
    parser.add_argument("--out", default="encode_volumes")
    arguments = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.names:
            command = [
                sys.executable,
                "-m",
                "inrvis",
                "encode",
                str(arguments.folder / f"{name}.vti"),
                "-o",
                str(Path(folder) / f"{name}.inr"),
                "--ratio",
                arguments.ratio,
                "--preset",
                arguments.preset,
                "--seed",
                arguments.seed,
                "--quiet",
                "--json",
            ]
            start = time.perf_counter()
            run = subprocess.run(command, capture_output=True, text=True, check=True)
            report = json.loads(run.stdout)
            report["process_seconds"] = time.perf_counter() - start
            results[name] = report
            print(
                f"{name:16s} {report['encoded_bytes']:8d} B  {report['compression_ratio']:7.2f}  "
                f"{report['psnr_db']:6.2f} dB  ssim {report['ssim']:.4f}  "
                f"{report['process_seconds']:6.1f} s",
                flush=True,
            )
            save(arguments.out, results)


if __name__ == "__main__":
    main()
