"""Which part of an image a rank holds, and which part is asked of it."""

from __future__ import annotations

from typing import Any

from vtkmodules.vtkCommonDataModel import vtkImageData
from vtkmodules.vtkCommonExecutionModel import vtkExtentTranslator, vtkStreamingDemandDrivenPipeline

from inrvis import sources
from inrvis.errors import UsageError
from inrvis.grid import Extent
from inrvis.sources import Image

_KEYS = vtkStreamingDemandDrivenPipeline


def point_pieces(image: vtkImageData) -> list[Image]:
    """The image of this rank, if it has points."""
    if image.GetNumberOfPoints() == 0:
        return []
    if image.GetPointData().GetNumberOfArrays() == 0 and image.GetCellData().GetNumberOfArrays():
        raise UsageError("the image has values on cells only: use Cell Data to Point Data first")
    return [sources.from_vtk(image)]


def own_part(asked: Any, source: Any, extent: Extent | None) -> tuple[int, ...]:
    """Extent to ask the input for: this rank's part of the whole, and the extent wanted of it.

    `asked` is the information of the output that tells the number of this rank's piece.
    """
    translator = vtkExtentTranslator()
    translator.SetWholeExtent(source.Get(_KEYS.WHOLE_EXTENT()))
    translator.SetPiece(max(asked.Get(_KEYS.UPDATE_PIECE_NUMBER()), 0))
    translator.SetNumberOfPieces(max(asked.Get(_KEYS.UPDATE_NUMBER_OF_PIECES()), 1))
    translator.SetGhostLevel(0)
    translator.PieceToExtent()
    own = tuple(translator.GetExtent())
    if extent is None:
        return own
    if any(own[2 * i] > own[2 * i + 1] for i in range(3)):
        return extent
    pairs = zip(own, extent, strict=True)
    return tuple(max(pair) if i % 2 else min(pair) for i, pair in enumerate(pairs))


def overlap(wanted: Extent | None, available: tuple[int, ...]) -> Extent | None:
    """Part of an extent that is there; None where there is none."""
    if wanted is None:
        return None
    x0, x1, y0, y1, z0, z1 = (
        min(pair) if i % 2 else max(pair)
        for i, pair in enumerate(zip(wanted, available, strict=True))
    )
    return (x0, x1, y0, y1, z0, z1) if x0 <= x1 and y0 <= y1 and z0 <= z1 else None
