"""Write decoded images for other programs."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

import numpy as np

from inrvis.errors import UsageError
from inrvis.files import replacing
from inrvis.sources.image import Image


def check_output(path: Path, number_of_arrays: int = 1) -> None:
    """Fail before the work if ``path`` cannot hold the arrays.

    Raises
    ------
    UsageError
        If the ending is unknown, or npy is asked for several arrays.
    """
    if path.suffix not in (".vti", ".npy"):
        raise UsageError(f"cannot write {path.name}: the output must end in .vti or .npy")
    if path.suffix == ".npy" and number_of_arrays > 1:
        raise UsageError("an npy file holds one array: choose it with --array, or write a .vti")


def write_image(image: Image, path: Path) -> None:
    """Write ``image`` as VTI or npy, by the ending of ``path``, in one step.

    Raises
    ------
    UsageError
        If the ending is unknown, or npy is asked for several arrays.
    OutputError
        If the file cannot be written.
    """
    check_output(path, len(image.arrays))
    with replacing(path) as temporary:
        (_write_vti if path.suffix == ".vti" else _write_npy)(image, temporary)


def _write_npy(image: Image, path: Path) -> None:
    (array,) = image.arrays.values()
    np.save(path, array, allow_pickle=False)


def to_vtk(image: Image) -> Any:
    """Return ``image`` as vtkImageData that shares the arrays' memory."""
    data_model = importlib.import_module("vtkmodules.vtkCommonDataModel")
    support = importlib.import_module("vtkmodules.util.numpy_support")
    result = data_model.vtkImageData()
    grid = image.grid
    result.SetExtent(grid.extent)
    result.SetOrigin(grid.origin)
    result.SetSpacing(grid.spacing)
    result.SetDirectionMatrix(grid.direction)
    for name, values in image.arrays.items():
        components = values.shape[3] if values.ndim == 4 else 1
        array = support.numpy_to_vtk(values.reshape(-1, components), deep=False)
        array.SetName(name)
        result.GetPointData().AddArray(array)
    result.GetPointData().SetActiveScalars(next(iter(image.arrays)))
    if image.time is not None:
        result.GetInformation().Set(data_model.vtkDataObject.DATA_TIME_STEP(), image.time)
    return result


def _write_vti(image: Image, path: Path) -> None:
    try:
        xml = importlib.import_module("vtkmodules.vtkIOXML")
    except ImportError as error:
        raise UsageError(
            "writing .vti needs VTK: install ParaView's Python, or write an .npy"
        ) from error
    writer = xml.vtkXMLImageDataWriter()
    messages: list[str] = []
    # Whoever has no observer prints: the pipeline tells of the writer's failure once more.
    for source in (writer, writer.GetExecutive()):
        source.AddObserver("ErrorEvent", lambda *_: messages.append("error"))
    # Inline data: since libexpat 2.5.0-1+deb12u2 ParaView 5.11 fails to read appended data.
    writer.SetDataModeToBinary()
    writer.SetFileName(os.fspath(path))
    writer.SetInputData(to_vtk(image))
    if not writer.Write() or writer.GetErrorCode() or messages:
        raise OSError(0, "VTK could not write it (is the disk full?)")
