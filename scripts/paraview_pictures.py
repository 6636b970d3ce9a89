#!/usr/bin/env python3
"""Makes the pictures of docs/paraview.md: scripts/paraview_pictures.py INR VTI [SCENE]...

INR is the MNI152 T1 template at a ratio of 200, and VTI what it was encoded from:

    inrvis encode mni152_t1.vti -o mni152_t1.inr --ratio 200 --model siren --preset fast

Runs under an X server of its own. ParaView builds each scene by paraview_scenes.py; the picture of
its window is taken from outside. Icons need Debian's libqt5svg5.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SCENES = ("gui", "stride", "save", "extractor", "compress", "compare", "resample")
ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
SIZE = (1152, 762)
# Without the bar at the bottom, which shows how much memory is used.
STILL = (0, 0, SIZE[0], SIZE[1] - 30)
# Pixels of a blinking caret.
CARET = 100
LARGEST_BYTES = 150_000
# A line of the Gray-Scott example and of its picture.
SIMULATION = (
    *("--steps", "3", "--before", "200", "--every", "500", "--files"),
    *("--ratio", "60", "--time-budget", "8", "--pictures", "300"),
)
MENUS = "pqClientMainWindow/menubar"
SETTINGS = "pqClientMainWindow/WriterSettingsDialog/scrollArea/qt_scrollarea_viewport/Container"
Event = tuple[str, str, str]
# What is clicked once a scene stands; a dialog stays open for its picture.
CLICKS: Mapping[str, tuple[Event, ...]] = {
    "save": (
        (MENUS, "activate", "menu_File"),
        (f"{MENUS}/menu_File", "activate", "actionFileSaveData"),
        ("pqClientMainWindow/FileSaveDialog", "filesSelected", "$PARAVIEW_TEST_ROOT/brain.inr"),
        (f"{SETTINGS}/ProxyWidget/Target/ComboBox", "set_string", "PSNR"),
        (f"{SETTINGS}/ProxyWidget/Value/DoubleLineEdit0", "set_string", "40"),
    ),
}


@contextmanager
def x_server() -> Iterator[str]:
    """Yield the name of a display."""
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", f"{SIZE[0]}x{SIZE[1]}x24"]
    server = subprocess.Popen([*command, "-noreset"], pass_fds=[writing], stderr=subprocess.DEVNULL)
    os.close(writing)
    try:
        with os.fdopen(reading) as stream:
            yield f":{stream.readline().strip()}"
    finally:
        server.terminate()
        server.wait()


def photograph(scene: str, files: Mapping[str, str], display: str, folder: Path) -> None:
    """Start ParaView on a scene, and take a picture of its window when it stands still."""
    from PIL import Image, ImageChops, ImageGrab

    from inrvis.paraview_environment import paraview_environment

    note = folder / f"{scene}.note"
    command = ["paraview", "--dr", f"--script={ROOT / 'scripts' / 'paraview_scenes.py'}"]
    if scene in CLICKS:
        events = "".join(
            f'<pqevent object="{o}" command="{c}" arguments="{a}"/>' for o, c, a in CLICKS[scene]
        )
        test = folder / f"{scene}.xml"
        test.write_text(f"<pqevents>{events}</pqevents>")
        command += [f"--test-script={test}", f"--test-directory={folder}"]
    told = {"SCENE": scene, "NOTE": str(note), "DISPLAY": display, **files}
    environment = {**os.environ, **paraview_environment(), **told}
    process = subprocess.Popen(command, env=environment)
    try:
        before, still, deadline = Image.new("RGB", STILL[2:]), 0, time.monotonic() + 400
        while still < 3 and time.monotonic() < deadline:
            if process.poll() is not None:
                raise SystemExit(f"ParaView ended before the picture of {scene} was taken")
            time.sleep(1.5)
            picture = ImageGrab.grab(STILL, xdisplay=display).convert("RGB")
            changed = sum(ImageChops.difference(picture, before).convert("L").histogram()[1:])
            before, still = picture, still + 1 if note.exists() and changed < CARET else 0
        if note.read_text():
            raise SystemExit(note.read_text())
        store(picture, IMAGES / f"paraview-{scene}.png")
    finally:
        process.kill()
        process.wait()


def store(picture: Any, path: Path) -> None:
    """Write a PNG, of few colours where it would be large otherwise."""
    picture.save(path, optimize=True)
    if path.stat().st_size > LARGEST_BYTES:
        picture.quantize(256).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB", flush=True)


def catalyst(display: str, folder: Path) -> None:
    """Run the example simulation; its pictures of one direction, side by side."""
    import csv

    from PIL import Image

    from inrvis.paraview_environment import paraview_environment

    simulation = [str(ROOT / "examples" / "catalyst" / "sim.py"), *SIMULATION]
    subprocess.run(
        ["/usr/bin/python3", *simulation, "--output", str(folder / "run")],
        env={**os.environ, **paraview_environment(), "DISPLAY": display},
        check=True,
    )
    database = folder / "run" / "v.cdb"
    rows = list(csv.DictReader((database / "data.csv").open(encoding="utf-8")))
    camera = {key: rows[0][key] for key in ("phi", "theta")}
    chosen = [row for row in rows if all(row[key] == value for key, value in camera.items())]
    pictures = [Image.open(database / row["FILE"]).convert("RGB") for row in chosen]
    width, height = pictures[0].size
    strip = Image.new("RGB", (width * len(pictures), height))
    for number, own in enumerate(pictures):
        strip.paste(own, (number * width, 0))
    store(strip, IMAGES / "paraview-catalyst.png")
    print(json.dumps({p.name: p.stat().st_size for p in sorted(folder.glob("run/*.inr"))}))


def main() -> None:
    volume, original, *wanted = sys.argv[1:]
    files = {"VOLUME": str(Path(volume).resolve()), "ORIGINAL": str(Path(original).resolve())}
    with x_server() as display, tempfile.TemporaryDirectory() as name:
        for scene in wanted or [*SCENES, "catalyst"]:
            if scene == "catalyst":
                catalyst(display, Path(name))
            else:
                photograph(scene, files, display, Path(name))


if __name__ == "__main__":
    main()
