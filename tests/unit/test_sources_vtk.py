"""Images that VTK reads, written here by VTK itself."""

from __future__ import annotations

import locale
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inrvis import sources
from inrvis.errors import ArrayNotFoundError, SourceError, UsageError
from inrvis.grid import ImageGrid
from inrvis.sources import vtk_xml

pytest.importorskip("vtkmodules", reason="VTK is not installed")

ROTATED = (0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)
GRID = ImageGrid((5, 14, 2, 8, 0, 5), (0.5, 1.0, 2.0), (1.0, 2.0, 3.0), ROTATED)
RNG = np.random.default_rng(0)
DENSITY = RNG.random(GRID.shape)
VELOCITY = RNG.integers(-9, 9, (*GRID.shape, 3)).astype(np.int16)


@pytest.fixture
def refused(capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Read a file that must be refused in one line, with nothing printed; return that line."""

    def read(path: Path, **options: Any) -> str:
        with pytest.raises(SourceError) as caught:
            sources.read(path, **options)
        message = str(caught.value)
        assert message
        assert "\n" not in message
        assert "Traceback" not in message
        assert capfd.readouterr() == ("", "")
        return message

    return read


def vtk_image(
    grid: ImageGrid = GRID, points: Any = None, cells: Any = None, time: float | None = None
) -> Any:
    from vtkmodules.util.numpy_support import numpy_to_vtk
    from vtkmodules.vtkCommonDataModel import vtkDataObject, vtkImageData

    image = vtkImageData()
    image.SetExtent(grid.extent)
    image.SetSpacing(grid.spacing)
    image.SetOrigin(grid.origin)
    image.SetDirectionMatrix(grid.direction)
    for attributes, arrays in (
        (image.GetPointData(), points or {}),
        (image.GetCellData(), cells or {}),
    ):
        for name, values in arrays.items():
            width = values.shape[3] if values.ndim == 4 else 1
            array = numpy_to_vtk(values.reshape(-1, width) if width > 1 else values.ravel(), deep=1)
            if name:
                array.SetName(name)
            attributes.AddArray(array)
    if time is not None:
        image.GetInformation().Set(vtkDataObject.DATA_TIME_STEP(), time)
    return image


def save_vti(path: Path, image: Any, mode: str = "appended", compressed: bool = True) -> Path:
    from vtkmodules.vtkIOXML import vtkXMLImageDataWriter

    writer = vtkXMLImageDataWriter()
    writer.SetInputData(image)
    writer.SetFileName(str(path))
    if mode == "raw":
        writer.SetDataModeToAppended()
        writer.EncodeAppendedDataOff()
    else:
        getattr(writer, f"SetDataModeTo{mode.title()}")()
    if not compressed:
        writer.SetCompressorTypeToNone()
    assert writer.Write()
    return path


def save_vtk(path: Path, image: Any, binary: bool) -> Path:
    from vtkmodules.vtkIOLegacy import vtkStructuredPointsWriter

    writer = vtkStructuredPointsWriter()
    writer.SetInputData(image)
    writer.SetFileName(str(path))
    if binary:
        writer.SetFileTypeToBinary()
    language = locale.setlocale(locale.LC_ALL)
    assert writer.Write()
    # VTK leaves the C locale behind.
    locale.setlocale(locale.LC_ALL, language)
    return path


def both() -> Any:
    return vtk_image(points={"density": DENSITY, "velocity": VELOCITY})


@pytest.mark.parametrize("mode", ["raw", "appended", "binary", "ascii"])
@pytest.mark.parametrize("compressed", [True, False])
def test_vti(tmp_path: Path, mode: str, compressed: bool) -> None:
    image = sources.read(save_vti(tmp_path / "a.vti", both(), mode, compressed))
    assert image.grid == GRID
    assert list(image.arrays) == ["density", "velocity"]
    assert image.arrays["density"].dtype == np.float64
    assert image.arrays["velocity"].dtype == np.int16
    np.testing.assert_array_equal(image.arrays["density"], DENSITY)
    np.testing.assert_array_equal(image.arrays["velocity"], VELOCITY)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
def test_vti_types(tmp_path: Path, dtype: str) -> None:
    values = (DENSITY * 100).astype(dtype)
    path = save_vti(tmp_path / "a.vti", vtk_image(points={"a": values}))
    read = sources.read(path).arrays["a"]
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, values)


@pytest.mark.parametrize("mode", ["raw", "appended"])
def test_vtk_is_not_given_appended_data(tmp_path: Path, mode: str) -> None:
    # ParaView 5.11 refuses them where libexpat is up to date, which it may not be here.
    text = vtk_xml.inline_text(save_vti(tmp_path / "a.vti", both(), mode))
    assert text is not None
    assert b"ppended" not in text
    assert vtk_xml.inline_text(save_vti(tmp_path / "b.vti", both(), "binary")) is None


@pytest.mark.parametrize("mode", ["raw", "appended"])
def test_appended_data_that_overlap(tmp_path: Path, mode: str, refused: Any) -> None:
    path = save_vti(tmp_path / "a.vti", both(), mode)
    content = path.read_bytes()
    tag = content[content.index(b"<DataArray") : content.index(b"/>") + 2]
    path.write_bytes(content.replace(tag, tag * 50))
    assert "overlap" in refused(path)


def test_vti_choice_of_arrays(tmp_path: Path) -> None:
    path = save_vti(tmp_path / "a.vti", both())
    assert list(sources.read(path, arrays=["velocity"]).arrays) == ["velocity"]
    wanted = ["velocity", "density"]
    assert list(sources.read(path, arrays=wanted).arrays) == wanted
    with pytest.raises(ArrayNotFoundError, match="choose from: density, velocity"):
        sources.read(path, arrays=["pressure"])


def test_vti_time(tmp_path: Path) -> None:
    path = save_vti(tmp_path / "a.vti", both())
    assert sources.read(path).time is None
    field = (
        b'<FieldData><DataArray type="Float64" Name="TimeValue" NumberOfTuples="1" format="ascii">'
        b"2.5</DataArray></FieldData><Piece"
    )
    path.write_bytes(path.read_bytes().replace(b"<Piece", field, 1))
    assert sources.read(path).time == 2.5


def test_nan_and_infinities_are_kept(tmp_path: Path) -> None:
    values = DENSITY.astype(np.float32)
    values[0, 0, :3] = np.nan, np.inf, -np.inf
    path = save_vti(tmp_path / "a.vti", vtk_image(points={"a": values}))
    np.testing.assert_array_equal(sources.read(path).arrays["a"], values)


def test_cell_data_become_points_at_cell_centres(tmp_path: Path) -> None:
    values = RNG.random((5, 6, 9))
    image = sources.read(save_vti(tmp_path / "a.vti", vtk_image(cells={"a": values})))
    np.testing.assert_array_equal(image.arrays["a"], values)
    assert image.grid.dimensions == (9, 6, 5)
    corner = image.grid.index_to_world([image.grid.extent[::2]])
    np.testing.assert_allclose(corner, GRID.index_to_world([[5.5, 2.5, 0.5]]))


def test_cell_data_of_a_slice() -> None:
    flat = ImageGrid.from_dimensions((4, 3, 1))
    image = sources.from_vtk(vtk_image(flat, cells={"a": np.zeros((1, 2, 3))}))
    assert image.grid.dimensions == (3, 2, 1)
    assert image.grid.origin == (0.5, 0.5, 0.0)


def test_pvti(tmp_path: Path, refused: Any) -> None:
    from vtkmodules.vtkIOParallelXML import vtkXMLPImageDataWriter

    writer = vtkXMLPImageDataWriter()
    # VTK's parallel files say nothing of the direction.
    grid = replace(GRID, direction=ImageGrid(GRID.extent).direction)
    writer.SetInputData(vtk_image(grid, {"density": DENSITY, "velocity": VELOCITY}))
    writer.SetFileName(str(tmp_path / "a.pvti"))
    writer.SetNumberOfPieces(2)
    writer.SetEndPiece(1)
    assert writer.Write()
    pieces = sorted(tmp_path.glob("*.vti"))
    assert len(pieces) == 2
    image = sources.read(tmp_path / "a.pvti")
    assert image.grid == grid
    np.testing.assert_array_equal(image.arrays["velocity"], VELOCITY)
    pieces[1].write_bytes(pieces[1].read_bytes()[:-50])
    assert pieces[1].name in refused(tmp_path / "a.pvti")
    pieces[1].unlink()
    assert pieces[1].name in refused(tmp_path / "a.pvti")


@pytest.mark.parametrize("binary", [True, False])
def test_legacy_vtk(tmp_path: Path, binary: bool) -> None:
    grid = ImageGrid.from_dimensions((10, 7, 6), (0.5, 1, 2), (1, 2, 3))
    points = {"speed": DENSITY.astype(np.float32), "velocity": VELOCITY}
    path = save_vtk(tmp_path / "a.vtk", vtk_image(grid, points), binary)
    language = locale.setlocale(locale.LC_ALL)
    image = sources.read(path)
    # In the C locale, which VTK's reader leaves behind, text is ASCII.
    assert locale.setlocale(locale.LC_ALL) == language
    assert image.grid == grid
    for name, values in points.items():
        assert image.arrays[name].dtype == values.dtype
        np.testing.assert_allclose(image.arrays[name], values, rtol=1e-5)


def slc(values: np.ndarray, runs: bool = True) -> bytes:
    """A volume in the SLC format, each slice as run lengths of single values."""
    nz, ny, nx = values.shape
    head = f"11111\n{nx} {ny} {nz} 8\n1.0 1.0 1.0\n1 6 0 1\n1 1 X".encode() + bytes(3)
    slices = []
    for plane in values:
        data = b"".join(bytes([0x80 | nx]) + row.tobytes() for row in plane) + b"\0"
        slices.append(f"{len(data)} X".encode() + data)
    return head + b"".join(slices)


def test_slc(tmp_path: Path, refused: Any) -> None:
    values = RNG.integers(0, 255, (4, 5, 6)).astype(np.uint8)
    path = tmp_path / "a.slc"
    path.write_bytes(slc(values))
    image = sources.read(path)
    assert image.grid == ImageGrid.from_dimensions((6, 5, 4))
    np.testing.assert_array_equal(image.arrays["intensity"], values)
    for keep in (-3, 80, 45, 12):
        path.write_bytes(slc(values)[:keep])
        refused(path)
    path.write_bytes(slc(values).replace(b"6 5 4", b"9999 9999 9999"))
    refused(path)


@pytest.mark.parametrize("mode", ["raw", "appended", "binary", "ascii"])
@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("keep", [-20, 0.7, 0.1, 10])
def test_vti_truncated(
    tmp_path: Path, mode: str, compressed: bool, keep: float, refused: Any
) -> None:
    path = save_vti(tmp_path / "a.vti", both(), mode, compressed)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep) if isinstance(keep, float) else keep])
    refused(path)


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("keep", [-200, 0.7, 150, 30, 5])
def test_legacy_truncated(tmp_path: Path, binary: bool, keep: float, refused: Any) -> None:
    path = save_vtk(tmp_path / "a.vtk", vtk_image(points={"a": DENSITY}), binary)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep) if isinstance(keep, float) else keep])
    refused(path)


@pytest.mark.parametrize("extent", [b"0 9999 0 9999 0 9999", b"1 4000 1 4000 1 1000"])
def test_vti_that_claims_too_much(tmp_path: Path, extent: bytes, refused: Any) -> None:
    path = save_vti(tmp_path / "a.vti", both())
    path.write_bytes(path.read_bytes().replace(b"5 14 2 8 0 5", extent))
    assert "bytes" in refused(path)


@pytest.mark.parametrize("dimensions", ["9999 9999 9999", "4000 4000 1000", "0 7 6", "-10 7 6"])
def test_legacy_with_wrong_dimensions(tmp_path: Path, dimensions: str, refused: Any) -> None:
    path = save_vtk(tmp_path / "a.vtk", vtk_image(points={"a": DENSITY}), binary=True)
    path.write_bytes(path.read_bytes().replace(b"10 7 6", dimensions.encode()))
    refused(path)


def test_pieces_that_do_not_cover_the_whole(tmp_path: Path, refused: Any) -> None:
    path = save_vti(tmp_path / "a.vti", both())
    content = path.read_bytes()
    path.write_bytes(content.replace(b'WholeExtent="5 14 2 8 0 5"', b'WholeExtent="5 14 2 8 0 9"'))
    assert "do not cover" in refused(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.vti", b"hello</VTKFile>"),
        ("a.vti", b'<VTKFile type="PolyData" version="0.1"><PolyData></PolyData></VTKFile>'),
        ("a.vti", b'<VTKFile type="ImageData" version="0.1"><ImageData></ImageData></VTKFile>'),
        ("a.vtk", b"# vtk DataFile Version 3.0\nx\nASCII\nDATASET POLYDATA\nPOINTS 1 int\n0 0 0\n"),
        ("a.vtk", b"hello"),
        ("a.slc", b"hello"),
        ("a.pvti", b"hello"),
    ],
)
def test_other_content(tmp_path: Path, name: str, content: bytes, refused: Any) -> None:
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name)


def test_header_with_a_zero_spacing(tmp_path: Path, refused: Any) -> None:
    path = save_vti(tmp_path / "a.vti", both())
    path.write_bytes(path.read_bytes().replace(b'Spacing="0.5 1 2"', b'Spacing="0.5 0 2"'))
    assert "spacing" in refused(path)


def test_no_array(tmp_path: Path, refused: Any) -> None:
    assert "no numeric array" in refused(save_vti(tmp_path / "a.vti", vtk_image()))


def test_from_vtk_copies() -> None:
    data = both()
    image = sources.from_vtk(data)
    data.GetPointData().GetArray("density").Fill(0)
    np.testing.assert_array_equal(image.arrays["density"], DENSITY)
    assert image.grid == GRID
    assert image.time is None
    assert sources.from_vtk(vtk_image(points={"a": DENSITY}, time=1.5)).time == 1.5


def test_from_vtk_names_and_kinds_of_arrays() -> None:
    from vtkmodules.vtkCommonCore import vtkBitArray, vtkStringArray

    small = ImageGrid.from_dimensions((2, 2, 2))
    data = vtk_image(small, {"": np.ones((2, 2, 2)), "vtkGhostType": np.zeros((2, 2, 2), "u1")})
    text = vtkStringArray()
    text.SetName("text")
    text.SetNumberOfValues(8)
    bits = vtkBitArray()
    bits.SetName("mask")
    for value in (1, 0, 1, 1, 0, 0, 0, 1):
        bits.InsertNextValue(value)
    data.GetPointData().AddArray(text)
    data.GetPointData().AddArray(bits)
    image = sources.from_vtk(data)
    assert list(image.arrays) == ["array_0", "mask"]
    assert image.arrays["mask"].ravel().tolist() == [1, 0, 1, 1, 0, 0, 0, 1]


def test_from_vtk_refuses() -> None:
    from vtkmodules.vtkCommonDataModel import vtkImageData, vtkPolyData

    for other in (vtkPolyData(), None, DENSITY):
        with pytest.raises(UsageError, match="vtkImageData"):
            sources.from_vtk(other)
    with pytest.raises(SourceError, match="no points"):
        sources.from_vtk(vtkImageData())


def test_vtk_prints_as_before_afterwards(tmp_path: Path, refused: Any) -> None:
    from vtkmodules.vtkCommonCore import vtkLogger, vtkOutputWindow

    before = vtkOutputWindow.GetInstance(), vtkLogger.GetCurrentVerbosityCutoff()
    path = tmp_path / "a.vtk"
    path.write_bytes(b"hello")
    refused(path)
    assert (vtkOutputWindow.GetInstance(), vtkLogger.GetCurrentVerbosityCutoff()) == before
