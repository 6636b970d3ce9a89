"""`inrvis.sources.read`: choice of the reader, bare values, .npy, and files that are no files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inrvis import sources
from inrvis.errors import ArrayNotFoundError, SourceError, UsageError
from inrvis.grid import ImageGrid

VALUES = np.arange(24, dtype=np.int16).reshape(2, 3, 4)


def save_npy(folder: Path, values: Any) -> Path:
    path = folder / "a.npy"
    np.save(path, values)
    return path


def test_import_is_light() -> None:
    code = (
        "import sys, inrvis.sources, inrvis.metrics, inrvis.targets; "
        "print({m.split('.')[0] for m in sys.modules}"
        " & {'vtkmodules', 'nibabel', 'nrrd', 'skimage', 'scipy'})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_npy(tmp_path: Path) -> None:
    image = sources.read(save_npy(tmp_path, VALUES))
    assert image.grid == ImageGrid.from_dimensions((4, 3, 2))
    assert image.time is None
    assert image.arrays["intensity"].dtype == np.int16
    np.testing.assert_array_equal(image.arrays["intensity"], VALUES)


def test_npy_extensions_in_capitals_and_paths_as_text(tmp_path: Path) -> None:
    path = save_npy(tmp_path, VALUES).rename(tmp_path / "A.NPY")
    assert sources.read(str(path)).grid.dimensions == (4, 3, 2)


@pytest.mark.parametrize(
    ("values", "shape", "dtype"),
    [
        (VALUES.astype(">f8"), (2, 3, 4), "float64"),
        (np.asfortranarray(VALUES), (2, 3, 4), "int16"),
        (VALUES[0], (1, 3, 4), "int16"),
        (np.stack([VALUES] * 3, -1), (2, 3, 4, 3), "int16"),
        (VALUES > 5, (2, 3, 4), "uint8"),
        (VALUES.astype(np.float16), (2, 3, 4), "float32"),
        (VALUES.astype(np.uint64), (2, 3, 4), "uint64"),
    ],
)
def test_npy_types_and_layouts(tmp_path: Path, values: Any, shape: Any, dtype: str) -> None:
    read = sources.read(save_npy(tmp_path, values)).arrays["intensity"]
    assert read.shape == shape
    assert read.dtype == dtype
    assert read.dtype.isnative
    assert read.flags.c_contiguous
    assert not isinstance(read, np.memmap)
    np.testing.assert_array_equal(read.reshape(values.shape), values)


@pytest.mark.parametrize(
    "values",
    [
        VALUES.astype(complex),
        VALUES.astype(np.longdouble),
        VALUES.astype(str),
        VALUES.astype("M8[s]"),
        np.zeros(5),
        np.zeros((2, 3, 4, 10)),
        np.zeros((0, 3, 4)),
        np.float32(1),
    ],
)
def test_npy_types_and_shapes_that_are_refused(tmp_path: Path, values: Any, refused: Any) -> None:
    refused(save_npy(tmp_path, values))


def test_npy_is_never_unpickled(tmp_path: Path, refused: Any) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.array([[[{}]]], dtype=object), allow_pickle=True)
    refused(path)


@pytest.mark.parametrize("keep", [-1, 100, 7])
def test_npy_truncated(tmp_path: Path, keep: int, refused: Any) -> None:
    path = save_npy(tmp_path, VALUES)
    path.write_bytes(path.read_bytes()[:keep])
    refused(path)


def test_npy_that_claims_too_much(tmp_path: Path, refused: Any) -> None:
    path = save_npy(tmp_path, VALUES)
    path.write_bytes(path.read_bytes().replace(b"(2, 3, 4)", b"(9999, 9999, 9999)"))
    refused(path)


@pytest.mark.parametrize("dtype", ["<i2", ">i2", "|u1", "<f4", ">f8", "int32"])
def test_raw(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "a.raw"
    path.write_bytes(VALUES.astype(dtype).tobytes())
    read = sources.read(path, dimensions=(4, 3, 2), dtype=dtype).arrays["intensity"]
    assert read.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(read, VALUES)


def test_raw_values_may_have_any_unknown_extension(tmp_path: Path) -> None:
    path = tmp_path / "a.f32"
    path.write_bytes(VALUES.astype("<f4").tobytes())
    assert sources.read(path, dimensions=[4, 3, 2], dtype="<f4").grid.dimensions == (4, 3, 2)


def test_raw_of_another_size(tmp_path: Path, refused: Any) -> None:
    path = tmp_path / "a.raw"
    path.write_bytes(bytes(47))
    assert "need 48 bytes, the file has 47" in refused(path, dimensions=(4, 3, 2), dtype="<i2")
    refused(path, dimensions=(10**4, 10**4, 10**4), dtype="<f8")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dimensions": (4, 3, 2)},
        {"dtype": "<i2"},
        {"dimensions": (4, 3), "dtype": "<i2"},
        {"dimensions": (4, 3, 0), "dtype": "<i2"},
        {"dimensions": (4, 3, 2), "dtype": "nonsense"},
        {"dimensions": (4, 3, 2), "dtype": "O"},
    ],
)
def test_raw_options(tmp_path: Path, options: dict[str, Any]) -> None:
    path = tmp_path / "a.raw"
    path.write_bytes(VALUES.tobytes())
    with pytest.raises(UsageError) as caught:
        sources.read(path, **options)
    assert "\n" not in str(caught.value)


def test_a_file_with_a_header_takes_no_dimensions(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="carries its own"):
        sources.read(save_npy(tmp_path, VALUES), dimensions=(4, 3, 2), dtype="<i2")


def test_choice_of_arrays(tmp_path: Path) -> None:
    path = save_npy(tmp_path, VALUES)
    assert list(sources.read(path, arrays=["intensity"]).arrays) == ["intensity"]
    assert list(sources.read(path, arrays=[]).arrays) == ["intensity"]
    with pytest.raises(ArrayNotFoundError, match="no array 'density'; choose from: intensity"):
        sources.read(path, arrays=["density"])


def test_files_that_are_no_files(tmp_path: Path, refused: Any) -> None:
    assert "no such file" in refused(tmp_path / "absent.vti")
    (tmp_path / "folder.vti").mkdir()
    assert "is a directory" in refused(tmp_path / "folder.vti")
    (tmp_path / "empty.vti").touch()
    assert "is empty" in refused(tmp_path / "empty.vti")
    os.mkfifo(tmp_path / "pipe.vti")
    assert "not a regular file" in refused(tmp_path / "pipe.vti")
    refused(tmp_path / "zero\0.vti")


def test_no_permission(tmp_path: Path, refused: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # The user who runs the tests may be root, to whom no file is closed.
    def closed(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    path = save_npy(tmp_path, VALUES)
    monkeypatch.setattr(Path, "open", closed)
    assert "permission denied" in refused(path)


def test_unknown_extension_lists_the_known(tmp_path: Path, refused: Any) -> None:
    path = tmp_path / "a.xyz"
    path.write_bytes(b"x")
    message = refused(path)
    for extension in (".vti", ".nii.gz", ".nrrd", ".npy", ".raw"):
        assert extension in sources.extensions()
        assert extension in message


def test_missing_library(tmp_path: Path, refused: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, extension in (("nrrd", "nrrd"), ("nibabel", "nii"), ("vtkmodules.vtkIOXML", "vti")):
        monkeypatch.setitem(sys.modules, name, None)
        path = tmp_path / f"a.{extension}"
        path.write_bytes(b"x")
        assert "install" in refused(path)


def test_from_array() -> None:
    image = sources.from_array(VALUES, "density", spacing=(1, 2, 3), origin=(4, 5, 6))
    assert image.grid == ImageGrid((0, 3, 0, 2, 0, 1), (1, 2, 3), (4, 5, 6))
    assert list(image.arrays) == ["density"]
    with pytest.raises(SourceError):
        sources.from_array(np.zeros((2, 2, 2, 2, 2)))


def test_image_checks_what_it_is_given() -> None:
    grid = ImageGrid.from_dimensions((4, 3, 2))
    with pytest.raises(SourceError, match="no numeric array"):
        sources.Image(grid, {})
    with pytest.raises(SourceError, match="'a' has the shape"):
        sources.Image(grid, {"a": np.zeros((4, 3, 2))})
