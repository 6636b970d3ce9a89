"""The rules of the house that import-linter cannot express."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = sorted((ROOT / "inrvis").rglob("*.py"))
PLUGIN = sorted((ROOT / "plugin").rglob("*.py"))
MODULES = LIBRARY + PLUGIN
NOT_CLI = [path for path in MODULES if not path.is_relative_to(ROOT / "inrvis" / "cli")]
MAX_LINES = 600

# What `import inrvis` must not load, and what decoding must not load either.
HEAVY = {"constriction", "h5py", "onnx", "onnxruntime", "paraview", "scipy", "torch", "vtkmodules"}
FOREIGN = {"onnx", "onnxscript", "paraview", "torch", "vtkmodules"}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def dotted(node: ast.expr) -> str:
    """Return ``a.b.c`` for such an expression, and an empty string for any other."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (base := dotted(node.value)):
        return f"{base}.{node.attr}"
    return ""


def calls(path: Path) -> set[str]:
    return {dotted(node.func) for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call)}


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def loaded_by(statements: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter holds after these statements."""
    program = f"{statements}\nimport sys\nprint(*sorted({{n.split('.')[0] for n in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_there_is_something_to_check() -> None:
    assert LIBRARY
    assert PLUGIN


@pytest.mark.decode_only
def test_import_inrvis_is_light() -> None:
    assert not loaded_by("import inrvis") & HEAVY


@pytest.mark.decode_only
def test_decoding_loads_neither_torch_nor_paraview() -> None:
    statements = "import inrvis.bitstream, inrvis.container, inrvis.decoder; inrvis.open"
    assert not loaded_by(statements) & FOREIGN


def test_encoding_without_a_network_loads_no_torch(tmp_path: Path) -> None:
    path = str(tmp_path / "f.inr")
    statements = (
        "import inrvis, numpy\n"
        "values = numpy.arange(60.0).reshape(3, 4, 5)\n"
        f"inrvis.encode(values, {path!r}, target=inrvis.MaxError(0.1), model='none')\n"
        f"inrvis.encode(values, {path!r}, target=inrvis.MaxError(0.1), model='none', mode='append')"
    )
    assert "torch" not in loaded_by(statements)


def test_public_names_are_sorted_and_documented() -> None:
    import inrvis

    assert list(inrvis.__all__) == sorted(inrvis.__all__)
    for name in inrvis.__all__:
        if not name.startswith("__"):
            assert getattr(inrvis, name).__doc__, f"inrvis.{name} has no docstring"


def test_one_version() -> None:
    import inrvis

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert inrvis.__version__ == project["version"]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_stay_short(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_LINES, f"{name_of(path)} has {lines} lines: split it"


@pytest.mark.parametrize("path", NOT_CLI, ids=name_of)
def test_library_neither_prints_nor_exits(path: Path) -> None:
    offences = calls(path) & {"print", "sys.exit", "exit", "quit", "os._exit"}
    assert not offences, f"{name_of(path)} calls {offences}: raise a typed error or log"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_executable_formats(path: Path) -> None:
    """A file from somebody else must never be able to run code."""
    offences = imported(path) & {"cloudpickle", "dill", "marshal", "pickle", "shelve"}
    assert not offences, f"{name_of(path)} imports {offences}"
    assert not calls(path) & {"eval", "exec", "torch.load"}


def test_files_name_no_machine() -> None:
    """Paths of one machine are wrong on every other."""
    listed = [*MODULES, ROOT / "Makefile", ROOT / "CMakeLists.txt", *ROOT.glob("xml/*.xml")]
    private = re.compile(r"/(?:home|root|Users)/")
    offenders = [name_of(path) for path in listed if private.search(path.read_text("utf-8"))]
    assert not offenders


@pytest.mark.paraview
def test_vtk_is_paraviews() -> None:
    """The vtk wheel would shadow the VTK that ParaView was built with."""
    spec = importlib.util.find_spec("vtkmodules")
    assert spec is not None, "vtkmodules is missing: run 'make env'"
    assert spec.origin is not None
    assert not Path(spec.origin).is_relative_to(sys.prefix)


def test_constraints_pin_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        wanted += extra
    names = {re.split(r"[\[<>=!~; ]", line, maxsplit=1)[0].lower() for line in wanted} - {"inrvis"}
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pinned = set(re.findall(r"^([a-z0-9-]+)==\S+", text, flags=re.MULTILINE))
    assert names <= pinned, f"not pinned: {sorted(names - pinned)}"
