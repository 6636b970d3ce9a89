"""Images that VTK reads: ``.vti``, ``.pvti``, legacy ``.vtk``, ``.slc``; and ``vtkImageData``."""

from __future__ import annotations

import locale
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from inrvis.errors import SourceError, UsageError
from inrvis.grid import ImageGrid
from inrvis.sources import vtk_xml
from inrvis.sources.files import (
    Reader,
    ReadOptions,
    check_claim,
    file_size,
    header_geometry,
    load_library,
)
from inrvis.sources.image import Image, Values, check_names, join

__all__ = ["READERS", "from_vtk"]

_REMEDY = "install ParaView's Python (apt-get install python3-paraview) or run: pip install vtk"
_GHOSTS = "vtkGhostType"


@dataclass(frozen=True)
class _Format:
    """A VTK reader class, and how much larger than its file the values can be."""

    module: str
    reader: str
    expansion: int
    xml: bool = False
    named: bool = True


_FORMATS = {
    # LZMA shrinks constant data further than deflate does.
    ".vti": _Format("vtkIOXML", "vtkXMLImageDataReader", expansion=20_000, xml=True),
    # One byte may hold eight bits; VTK makes eight values of them.
    ".vtk": _Format("vtkIOLegacy", "vtkStructuredPointsReader", expansion=8),
    # Run lengths of up to 127 in two bytes.
    ".slc": _Format("vtkIOImage", "vtkSLCReader", expansion=64, named=False),
}


def from_vtk(image: Any) -> Image:
    """Copy of a ``vtkImageData``.

    Point arrays are taken, or, where there are none, cell arrays: these become values on the grid
    of cell centres. Arrays without a name are called ``array_0``, ``array_1``…; ghost flags and
    text are left out.

    Parameters
    ----------
    image : vtkImageData
        Any image data object, also of a derived class.

    Returns
    -------
    Image
        Values are copied, so that the VTK object may change later. `time` is its time step.

    Raises
    ------
    UsageError
        If `image` is not a ``vtkImageData``.
    SourceError
        If it holds no points or no numeric array.
    """
    if not (hasattr(image, "IsA") and image.IsA("vtkImageData")):
        raise UsageError(f"a vtkImageData is needed, not {type(image).__name__}")
    return _from_vtk(image, copy=True)


def _from_vtk(image: Any, *, copy: bool) -> Image:
    if image.GetNumberOfPoints() < 1:
        raise SourceError("the image has no points; give one that holds data")
    matrix = image.GetDirectionMatrix()
    grid = ImageGrid(
        image.GetExtent(),
        image.GetSpacing(),
        image.GetOrigin(),
        tuple(matrix.GetElement(row, column) for row in range(3) for column in range(3)),
    )
    arrays = _arrays(image.GetPointData(), grid, copy=copy)
    if not arrays and image.GetNumberOfCells():
        grid = _cell_centres(grid)
        arrays = _arrays(image.GetCellData(), grid, copy=copy)
    return Image(grid, arrays, _time(image))


def _time(image: Any) -> float | None:
    key = load_library("vtkmodules.vtkCommonDataModel", _REMEDY).vtkDataObject.DATA_TIME_STEP()
    if image.GetInformation().Has(key):
        return float(image.GetInformation().Get(key))
    # The name under which VTK's XML files keep their time.
    values = image.GetFieldData().GetArray("TimeValue")
    return float(values.GetTuple1(0)) if values and values.GetNumberOfTuples() == 1 else None


def _cell_centres(grid: ImageGrid) -> ImageGrid:
    # An axis with a single point has cells without extent along it, as in a slice.
    thick = [count > 1 for count in grid.dimensions]
    extent = [value - (thick[i // 2] and i % 2) for i, value in enumerate(grid.extent)]
    x, y, z = grid.index_to_world([[0.5 * flag for flag in thick]])[0].tolist()
    x0, x1, y0, y1, z0, z1 = extent
    return ImageGrid((x0, x1, y0, y1, z0, z1), grid.spacing, (x, y, z), grid.direction)


def _arrays(attributes: Any, grid: ImageGrid, *, copy: bool) -> dict[str, Values]:
    support = load_library("vtkmodules.util.numpy_support", _REMEDY)
    core = load_library("vtkmodules.vtkCommonCore", _REMEDY)
    arrays = {}
    for position in range(attributes.GetNumberOfArrays()):
        # None stands for an array that is not numeric.
        array = attributes.GetArray(position)
        if array is None or array.GetName() == _GHOSTS:
            continue
        if array.IsA("vtkBitArray"):
            bits, array = array, core.vtkUnsignedCharArray()
            array.DeepCopy(bits)
        values = support.vtk_to_numpy(array)
        components = array.GetNumberOfComponents()
        shape = (*grid.shape, components) if components > 1 else grid.shape
        name = array.GetName() or f"array_{position}"
        arrays[name] = np.array(values.reshape(shape), copy=True) if copy else values.reshape(shape)
    return arrays


def _read(extension: str, path: Path, options: ReadOptions) -> Image:
    """Read an image file with VTK's reader for `extension`.

    Images whose format knows no names call their array ``intensity``.
    """
    kind = _FORMATS[extension]
    reader = getattr(load_library(f"vtkmodules.{kind.module}", _REMEDY), kind.reader)()
    size = file_size(path)
    if kind.xml:
        vtk_xml.check_file(path)
        text = vtk_xml.inline_text(path)
        if text is not None:
            reader.SetReadFromInputString(True)
            reader.SetInputString(text)
    with _errors_raised(path):
        reader.SetFileName(str(path))
        reader.UpdateInformation()
    # VTK allocates what the header claims and aborts the process when it cannot.
    _check_claims(path, reader, options, size * kind.expansion)
    if kind.xml:
        _select(reader, options)
    with _errors_raised(path):
        reader.Update()
    with header_geometry(path):
        image = _from_vtk(reader.GetOutput(), copy=False)
    if kind.named:
        return image
    return Image(image.grid, {"intensity": next(iter(image.arrays.values()))}, image.time)


def _read_pieces(path: Path, options: ReadOptions) -> Image:
    """Join the pieces of a parallel image file."""
    vtk_xml.check_file(path)
    pieces = vtk_xml.piece_paths(path)
    if not pieces:
        raise SourceError(f"cannot read {path}: it names no pieces; give an image file")
    return join([_read(".vti", piece, options) for piece in pieces])


READERS: dict[str, Reader] = {
    **{extension: partial(_read, extension) for extension in _FORMATS},
    ".pvti": _read_pieces,
}


@contextmanager
def _errors_raised(path: Path) -> Iterator[None]:
    """Catch what VTK would print, and raise the first error of it.

    VTK's readers report on standard error and go on. Their helpers do so too, out of reach of an
    observer of the reader, so the output window of the process is exchanged meanwhile. The reader
    of legacy files leaves the C locale behind, in which Python takes text for ASCII.
    """
    core = load_library("vtkmodules.vtkCommonCore", _REMEDY)
    window, previous = core.vtkStringOutputWindow(), core.vtkOutputWindow.GetInstance()
    verbosity = core.vtkLogger.GetCurrentVerbosityCutoff()
    core.vtkOutputWindow.SetInstance(window)
    core.vtkLogger.SetStderrVerbosity(core.vtkLogger.VERBOSITY_OFF)
    language = locale.setlocale(locale.LC_ALL)
    try:
        yield
    finally:
        locale.setlocale(locale.LC_ALL, language)
        core.vtkLogger.SetStderrVerbosity(verbosity)
        core.vtkOutputWindow.SetInstance(previous)
    for level, message in re.findall(
        r"^(ERROR|(?:Generic )?Warning): In .*\n(?:\w+ \(0x\w+\): )?(.*)$",
        window.GetOutput(),
        re.MULTILINE,
    ):
        # Some truncations are mere warnings to VTK, such as "Error reading binary data!".
        if level == "ERROR" or "error" in message.lower():
            raise SourceError(
                f"cannot read {path}: {message.rstrip('.!')}; "
                "the file is damaged or of another format"
            )


def _check_claims(path: Path, reader: Any, options: ReadOptions, limit_bytes: int) -> None:
    model = load_library("vtkmodules.vtkCommonExecutionModel", _REMEDY)
    data_object = load_library("vtkmodules.vtkCommonDataModel", _REMEDY).vtkDataObject
    core = load_library("vtkmodules.vtkCommonCore", _REMEDY)
    information = reader.GetOutputInformation(0)
    extent = information.Get(model.vtkStreamingDemandDrivenPipeline.WHOLE_EXTENT())
    if extent is None:
        raise SourceError(f"cannot read {path}: it holds no image; give an image file")
    counts = [
        max(0, last - first + 1) for first, last in zip(extent[::2], extent[1::2], strict=True)
    ]
    points = counts[0] * counts[1] * counts[2]
    if not points:
        raise SourceError(f"{path} holds no points; give an image that holds data")
    bytes_per_point = 0
    for key in (data_object.POINT_DATA_VECTOR(), data_object.CELL_DATA_VECTOR()):
        fields: Any = information.Get(key) if information.Has(key) else None
        count = fields.GetNumberOfInformationObjects() if fields is not None else 0
        for field in (fields.GetInformationObject(i) for i in range(count)):
            if options.arrays and field.Get(data_object.FIELD_NAME()) not in options.arrays:
                continue
            array = core.vtkAbstractArray.CreateArray(field.Get(data_object.FIELD_ARRAY_TYPE()))
            components = field.Get(data_object.FIELD_NUMBER_OF_COMPONENTS())
            bytes_per_point += (array.GetDataTypeSize() if array else 1) * components
    check_claim(path, points * max(1, bytes_per_point), limit_bytes)


def _select(reader: Any, options: ReadOptions) -> None:
    """Have an XML reader load the wanted arrays only."""
    for selection in (reader.GetPointDataArraySelection(), reader.GetCellDataArraySelection()):
        names = [selection.GetArrayName(i) for i in range(selection.GetNumberOfArrays())]
        if names and options.arrays:
            check_names(options.arrays, names)
            for name in set(names).difference(options.arrays):
                selection.DisableArray(name)
            return
