"""The demo: a real volume becomes one .inr file, ParaView opens it, a picture and a table remain.

The volume is the average T1-weighted MRI of the MNI152 template, 197 x 233 x 189, which the
nilearn package carries in its wheel.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np

import inrvis
from inrvis import sources
from inrvis.cli.output import ProgressBar
from inrvis.metrics import measure
from inrvis.paraview_environment import paraview_environment
from inrvis.sources import Image
from inrvis.writers import write_image

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "build" / "demo"
TEMPLATE = "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
RATIO = 200
SECONDS = 80


def fetch() -> Path:
    """Take the template out of nilearn's wheel; kept for the next run."""
    volume = OUT / TEMPLATE
    if volume.exists():
        return volume
    print("demo: fetching the nilearn wheel, which carries the volume", flush=True)
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps"]
    command += ["-c", str(ROOT / "constraints.txt"), "-d", str(OUT), "nilearn"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    (wheel,) = OUT.glob("nilearn-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (member,) = (name for name in archive.namelist() if name.endswith(TEMPLATE))
        partial = volume.with_suffix(".part")
        partial.write_bytes(archive.read(member))
        partial.replace(volume)
    return volume


def render(folder: Path) -> Path:
    """Let pvpython draw original, decoded and difference side by side."""
    picture = folder / "comparison.png"
    picture.unlink(missing_ok=True)
    command = ["pvpython", str(ROOT / "demo" / "render.py"), str(folder)]
    if shutil.which("xvfb-run"):
        command = ["xvfb-run", "-a", "-s", "-screen 0 1280x900x24", *command]
    environment = os.environ | paraview_environment()
    run = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if not picture.exists():
        sys.exit(f"demo: ParaView made no picture:\n{run.stdout}{run.stderr}")
    return picture


def main() -> None:
    """Run the demo from end to end."""
    begin = time.perf_counter()
    OUT.mkdir(parents=True, exist_ok=True)
    source = fetch()
    image = sources.read(str(source))
    name, original = next(iter(image.arrays.items()))
    encoded = OUT / "mni152.inr"
    with ProgressBar(quiet=not sys.stderr.isatty()) as bar:
        report = inrvis.encode(
            image,
            encoded,
            target=inrvis.Ratio(RATIO),
            time_budget=SECONDS,
            progress=bar.training,
        )
    start = time.perf_counter()
    with inrvis.open(encoded) as volume:
        decoded = volume.decode(name)
        grid = volume.grid
    decode_seconds = time.perf_counter() - start
    metrics = measure(original, decoded)
    difference = np.abs(decoded.astype(np.int16) - original).astype(np.uint8)
    write_image(Image(grid, {name: original}), OUT / "original.vti")
    write_image(Image(grid, {name: difference}), OUT / "difference.vti")
    print("demo: ParaView draws the original, the .inr file and their difference", flush=True)
    picture = render(OUT)
    speed = original.size / decode_seconds / 1e6
    size = " x ".join(map(str, grid.dimensions))
    ratio = f"{report.compression_ratio:.1f} : 1, {report.bits_per_value:.4f} bits a voxel"
    rows = {
        "original": f"{original.nbytes:,} bytes, {original.dtype}, {size}",
        "encoded": f"{report.encoded_bytes:,} bytes in {encoded.relative_to(ROOT)}",
        "ratio": ratio,
        "PSNR": f"{metrics.psnr_db:.2f} dB, SSIM {metrics.ssim:.4f}",
        "encoding": f"{report.encode_seconds:.1f} s on {report.device}",
        "decoding": f"{decode_seconds:.2f} s, {speed:.1f} million voxels a second",
        "picture": str(picture.relative_to(ROOT)),
        "in all": f"{time.perf_counter() - begin:.0f} s",
    }
    print()
    for key, value in rows.items():
        print(f"  {key:<10} {value}")
    print(
        f'\n  Open it yourself:  eval "$(.venv/bin/inrvis paraview-env)"; '
        f"paraview {encoded.relative_to(ROOT)}"
    )


if __name__ == "__main__":
    main()
