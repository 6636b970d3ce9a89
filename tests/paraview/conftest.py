"""Runs ParaView's programs on one small encoded volume and variations of it.

The programs run the files in ``scripts``. What they find out they print as one JSON object, and
arrays go to ``.npz`` files; the tests judge these, because ParaView's programs exit with 0 even
when an exception was raised.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import inrvis
from inrvis.container.sections import deflate, file_image, inflate, read_sections
from inrvis.grid import ImageGrid
from inrvis.paraview_environment import paraview_environment
from inrvis.sources import Image

SCRIPTS = Path(__file__).parent / "scripts"
RESULT = "RESULT "
STAGE = "STAGE "
GRID = ImageGrid(
    (3, 26, -2, 17, 5, 20), (1.0, 1.5, 2.0), (10.0, 20.0, 30.0), (0, -1, 0, 1, 0, 0, 0, 0, 1)
)


@dataclass(frozen=True)
class Outcome:
    """What a program printed: one object for each process, and its standard error."""

    results: list[dict[str, Any]]
    errors: str
    folder: Path

    @property
    def result(self) -> dict[str, Any]:
        assert len(self.results) == 1, f"{len(self.results)} results; {self.errors}"
        return self.results[0]

    def stage(self, name: str) -> list[str]:
        """Lines of standard error that a script caused between announcing stages."""
        _, found, rest = self.errors.partition(f"{STAGE}{name}\n")
        assert found, f"the script did not come to {name}: {self.errors}"
        return [line for line in rest.partition(STAGE)[0].splitlines() if line.strip()]


@dataclass(frozen=True)
class Files:
    """The encoded volume under several names."""

    volume: Path
    without_time: Path
    later: Path
    elsewhere: Path
    damaged: Path
    cut_short: Path


Run = Callable[..., Outcome]


@pytest.fixture(scope="session", autouse=True)
def pvpython() -> str:
    """Return the path of pvpython, or skip where ParaView is not installed."""
    found = shutil.which("pvpython")
    if found is None:
        pytest.skip("pvpython is not installed")
    return found


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Encode the volume once; the variations differ in their headers only."""
    folder = tmp_path_factory.mktemp("files")
    names = ("volume", "without_time", "later", "elsewhere", "damaged", "cut_short")
    made = Files(*(folder / f"{name}.inr" for name in names))
    nx, ny, nz = GRID.dimensions
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in (nz, ny, nx)), indexing="ij")
    bump = np.exp(-3 * (x * x + y * y + z * z))
    image = Image(
        GRID,
        {
            "density": np.rint(255 * bump).astype(np.uint8),
            "speed": (3 * bump).astype(np.float32),
        },
        time=2.5,
    )
    inrvis.encode(
        image, made.volume, target=inrvis.Ratio(8), model="siren", preset="fast", time_budget=4
    )
    _rewrite(made.volume, made.without_time, times=[])
    _rewrite(made.volume, made.later, times=[4.5])
    _rewrite(made.volume, made.elsewhere, grid={**GRID.to_json(), "spacing": [1.0, 1.0, 1.0]})
    sections = read_sections(made.volume)
    # Its header can be read: what is wrong shows when it is opened.
    made.damaged.write_bytes(file_image({**sections, "weights": sections["weights"][:-40]}))
    whole = made.volume.read_bytes()
    made.cut_short.write_bytes(whole[: len(whole) // 2])
    return made


def _rewrite(source: Path, target: Path, **changes: Any) -> None:
    sections = read_sections(source)
    header = json.loads(inflate(sections["header"], "header"))
    header.update(changes)
    target.write_bytes(file_image({**sections, "header": deflate(json.dumps(header).encode())}))


@pytest.fixture(scope="session")
def bare_environment() -> dict[str, str]:
    """Environment in which ParaView knows nothing of inrvis."""
    ours = ("DISPLAY", "PYTHONPATH", "PV_PLUGIN_CONFIG_FILE", "PV_PLUGIN_PATH", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if name not in ours}


@pytest.fixture(scope="session")
def environment(bare_environment: dict[str, str]) -> dict[str, str]:
    """Environment in which ParaView loads the plugin."""
    return {**bare_environment, **paraview_environment({})}


@pytest.fixture(scope="session")
def display() -> Iterator[dict[str, str]]:
    """Environment variable of a virtual display.

    One server for all, which picks its own number and never resets: programs started by xvfb-run
    one after the other lost their connection now and then.
    """
    reading, writing = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1280x900x24", "-noreset"],
        pass_fds=[writing],
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    try:
        with os.fdopen(reading) as stream:
            number = stream.readline().strip()
        assert number, "Xvfb did not start"
        yield {"DISPLAY": f":{number}"}
    finally:
        server.terminate()
        server.wait(timeout=60)


@pytest.fixture(scope="session")
def run(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a function that runs a script in one of ParaView's programs.

    The script's first argument is a new folder for what it makes. `env` replaces the environment,
    `also` adds to it.
    """

    def run_script(
        script: str,
        *arguments: str | Path,
        program: Sequence[str] = ("pvpython",),
        env: Mapping[str, str] | None = None,
        also: Mapping[str, str] | None = None,
        folder: Path | None = None,
        timeout: float = 300,
    ) -> Outcome:
        folder = folder or tmp_path_factory.mktemp(Path(script).stem)
        command = [*program, str(SCRIPTS / script), str(folder), *map(str, arguments)]
        done = subprocess.run(
            command,
            env={**(environment if env is None else env), **(also or {})},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return outcome(done.stdout, done.stderr, folder)

    return run_script


def outcome(stdout: str, stderr: str, folder: Path) -> Outcome:
    """Read what a script printed; fail on a traceback."""
    assert "Traceback" not in stdout + stderr, stderr
    # Ranks share one standard output: two results may come on one line.
    _, *parts = stdout.split(RESULT)
    assert parts, f"the script printed no result: {stdout}\n{stderr}"
    decoder = json.JSONDecoder()
    return Outcome([decoder.raw_decode(part)[0] for part in parts], stderr, folder)


def console_script(name: str) -> str:
    """Path of a command of this environment."""
    return str(Path(sys.executable).parent / name)
