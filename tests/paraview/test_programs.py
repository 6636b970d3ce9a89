"""The plugin in pvbatch on several ranks, with pvserver, and set up by the command line."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import inrvis
from inrvis.grid import ImageGrid
from tests.paraview.conftest import GRID, Files, Outcome, Run, console_script, outcome

pytestmark = pytest.mark.paraview


def assert_not_blank(path: Path) -> None:
    with Image.open(path) as picture:
        colours = picture.convert("RGB").getcolors(maxcolors=1 << 24)
    assert colours is not None
    assert len(colours) > 50, f"{path} shows nothing: {len(colours)} colours"


# ---------------------------------------------------------------- pictures


@pytest.fixture(scope="module")
def drawn(run: Run, files: Files, display: dict[str, str]) -> Outcome:
    return run("draw.py", files.volume, also=display)


@pytest.mark.parametrize("name", ["slice", "contour", "volume"])
def test_pictures_show_something(drawn: Outcome, name: str) -> None:
    assert_not_blank(drawn.folder / f"{name}.png")


def test_slice_and_contour_have_geometry(drawn: Outcome) -> None:
    assert drawn.result["slice"] > 0
    assert drawn.result["contour"] > 0


def test_showing_what_was_decoded_costs_nothing(drawn: Outcome) -> None:
    assert drawn.result["decoded"] == [GRID.number_of_points, 0]


# ---------------------------------------------------------------- ranks


def mpi(ranks: int) -> tuple[str, ...]:
    return ("mpiexec", "--allow-run-as-root", "--oversubscribe", "-np", str(ranks), "pvbatch")


def pieces(outcome: Outcome, ranks: int) -> dict[int, ImageGrid]:
    """Grid of each rank's piece; ranks without points are left out."""
    assert sorted(result["rank"] for result in outcome.results) == list(range(ranks))
    assert {result["ranks"] for result in outcome.results} == {ranks}
    found = {}
    for result in outcome.results:
        x0, x1, y0, y1, z0, z1 = result["piece"]["extent"]
        if x0 <= x1 and y0 <= y1 and z0 <= z1:
            found[result["rank"]] = ImageGrid.from_json(result["piece"])
    return found


def test_two_ranks_share_the_volume(run: Run, files: Files) -> None:
    outcome = run("pieces.py", files.volume, program=(*mpi(2), "--sym"))
    found = pieces(outcome, 2)
    assert len(found) == 2
    assert all(grid.number_of_points < GRID.number_of_points for grid in found.values())
    ghosts = {tuple(result["with ghosts"]) for result in outcome.results}
    assert not ghosts & {grid.extent for grid in found.values()}
    for result in outcome.results:
        grid = found[result["rank"]]
        x0, x1, y0, y1, z0, z1 = result["with ghosts"]
        wider = (x1 - x0 + 1) * (y1 - y0 + 1) * (z1 - z0 + 1)
        assert result["decoded"] == grid.number_of_points
        assert result["decoded for ghosts"] == wider - grid.number_of_points > 0
        # Marked for the filters that must not count them twice.
        assert result["ghost points"] > 0
    with inrvis.open(files.volume) as volume:
        for result in outcome.results:
            with np.load(outcome.folder / f"ghosts{result['rank']}.npz") as arrays:
                for array in volume.arrays:
                    part = volume.decode(array, extent=result["with ghosts"])
                    np.testing.assert_allclose(arrays[array], part, rtol=1e-5, atol=1e-5)
        for array in volume.arrays:
            expected = volume.decode(array)
            union = np.full_like(expected, 99)
            for rank, grid in found.items():
                with np.load(outcome.folder / f"piece{rank}.npz") as arrays:
                    union[GRID.slices(grid.extent)] = arrays[array]
            np.testing.assert_allclose(union, expected, rtol=1e-5, atol=1e-5)


def test_more_ranks_than_slabs(run: Run, tmp_path: Path) -> None:
    flat = tmp_path / "flat.inr"
    x = np.linspace(0, 1, 2, dtype=np.float32)
    inrvis.encode(x.reshape(1, 1, 2), flat, target=inrvis.MaxError(0.01), model="none")
    outcome = run("pieces.py", flat, program=(*mpi(3), "--sym"))
    found = pieces(outcome, 3)
    assert 0 < len(found) < 3
    assert max(grid.extent[1] for grid in found.values()) == 1


def test_ranks_under_one_script(run: Run, files: Files, display: dict[str, str]) -> None:
    # Without --sym one rank runs the script, and the picture is composed of all ranks' pieces.
    drawn = run("draw.py", files.volume, program=mpi(2), also=display)
    assert_not_blank(drawn.folder / "volume.png")
    assert_not_blank(drawn.folder / "contour.png")
    # Showing needs ghosts, and decodes those only: far less than the piece was.
    piece, ghosts = drawn.result["decoded"]
    assert 0 <= ghosts < piece / 2


# ---------------------------------------------------------------- server


@pytest.fixture(params=[1, 2])
def server(
    request: pytest.FixtureRequest,
    environment: dict[str, str],
    display: dict[str, str],
    tmp_path: Path,
) -> Iterator[tuple[int, int]]:
    """Start a server of one or two ranks that has the plugin; its client has none."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    program = ("pvserver",) if request.param == 1 else (*mpi(request.param)[:-1], "pvserver")
    log = tmp_path / "server.log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            [*program, f"--server-port={port}"],
            env={**environment, **display},
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + 300
        while "Accepting connection" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield port, request.param
        # The server ends when its client leaves.
        process.wait(timeout=300)
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in log.read_text()
    assert "ERR|" not in log.read_text()


def test_server_works_for_a_bare_client(
    server: tuple[int, int],
    run: Run,
    files: Files,
    bare_environment: dict[str, str],
    display: dict[str, str],
) -> None:
    port, ranks = server
    seen = run("remote.py", files.volume, str(port), env=bare_environment, also=display)
    result = seen.result
    assert result["ranks"] == ranks
    assert result["client has"] == []
    x0, x1, y0, y1, z0, z1 = GRID.extent
    corners = GRID.index_to_world([(x, y, z) for x in (x0, x1) for y in (y0, y1) for z in (z0, z1)])
    assert result["bounds"][::2] == pytest.approx(corners.min(axis=0))
    assert result["bounds"][1::2] == pytest.approx(corners.max(axis=0))
    assert result["selected"] == ["density", "speed"]
    assert result["device"] in ("CPU", "CUDA")
    assert tuple(result["strided"]) == GRID.subgrid(stride=4).extent
    with inrvis.open(files.volume) as volume:
        expected = {name: volume.decode(name) for name in volume.arrays}
    if "geometry" in result:
        # Handing data from server to client drops the direction in ParaView 5.11; the data that
        # stay on the server have it, as their bounds tell.
        direction = result["geometry"]["direction"]
        assert result["geometry"] == {**GRID.to_json(), "direction": direction}
        with np.load(seen.folder / "fetched.npz") as arrays:
            for name, values in expected.items():
                np.testing.assert_array_equal(arrays[name], values)
    # Filters and writer run on the server's ranks.
    largest, ratio = result["compressed"]
    assert 0 < largest <= 1 < ratio
    assert max(result["errors"]) <= 1
    assert result["resampled"] == ["density", "speed", "vtkValidPointMask"]
    assert max(result["largest errors"]) == pytest.approx(largest)
    with inrvis.open(seen.folder / "saved.inr") as saved:
        assert saved.grid == GRID
        for name, values in expected.items():
            assert np.abs(saved.decode(name).astype(float) - values.astype(float)).max() <= 1
    assert_not_blank(seen.folder / "remote.png")


# ---------------------------------------------------------------- paraview-env


def test_exports_make_pvpython_load_the_plugin(
    bare_environment: dict[str, str], tmp_path: Path
) -> None:
    kept = {**bare_environment, "PYTHONPATH": "/kept/a b", "PV_PLUGIN_PATH": "/kept/plugins"}
    script = tmp_path / "script.py"
    script.write_text(
        "import json, os\n"
        "from paraview import simple\n"
        "algorithm = type(simple.INRReader().GetClientSideObject())\n"
        "kept = [os.environ[n].split(':') for n in ('PYTHONPATH', 'PV_PLUGIN_PATH')]\n"
        "print('RESULT', json.dumps({'module': algorithm.__module__, 'kept': kept}))\n"
    )
    done = subprocess.run(
        ["sh", "-euc", 'eval "$("$1" paraview-env)"; exec pvpython "$2"', "sh",
         console_script("inrvis"), str(script)],
        env=kept, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    result = outcome(done.stdout, done.stderr, tmp_path).result
    assert result["module"] == "inrvis_paraview.reader"
    python, plugins = result["kept"]
    assert python[-1] == "/kept/a b"
    assert plugins[-1] == "/kept/plugins"
    assert all(Path(folder).is_absolute() for folder in python + plugins)
