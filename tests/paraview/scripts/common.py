"""What the scripts inside ParaView's programs share."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonExecutionModel import vtkStreamingDemandDrivenPipeline

FOLDER = Path(sys.argv[1])
ARGUMENTS = sys.argv[2:]


def stage(name: str) -> None:
    """Mark in standard error where a part of the script begins."""
    print(f"STAGE {name}", file=sys.stderr, flush=True)


def finish(result: dict[str, Any]) -> None:
    """Print what the script found out."""
    print(f"RESULT {json.dumps(result)}", flush=True)


def geometry(image: Any) -> dict[str, Any]:
    """Extent, origin, spacing and direction of an image."""
    matrix = image.GetDirectionMatrix()
    return {
        "extent": list(image.GetExtent()),
        "origin": list(image.GetOrigin()),
        "spacing": list(image.GetSpacing()),
        "direction": [matrix.GetElement(row, column) for row in range(3) for column in range(3)],
    }


def arrays(image: Any) -> dict[str, np.ndarray]:
    """Point arrays of an image, in the shape (nz, ny, nx)."""
    nx, ny, nz = image.GetDimensions()
    data = image.GetPointData()
    return {
        data.GetArrayName(i): vtk_to_numpy(data.GetArray(i)).reshape(nz, ny, nx)
        for i in range(data.GetNumberOfArrays())
    }


def save(name: str, image: Any) -> dict[str, Any]:
    """Write the arrays of an image to ``name.npz``, and return its geometry."""
    np.savez(FOLDER / f"{name}.npz", **arrays(image))
    return geometry(image)


def output(proxy: Any) -> Any:
    """Data that a source in this process holds."""
    return proxy.GetClientSideObject().GetOutputDataObject(0)


def save_points(name: str, data: Any) -> None:
    """Write the points and point arrays of any dataset to ``name.npz``."""
    attributes = data.GetPointData()
    arrays = {
        attributes.GetArrayName(i): vtk_to_numpy(attributes.GetArray(i))
        for i in range(attributes.GetNumberOfArrays())
    }
    arrays["points"] = np.array([data.GetPoint(i) for i in range(data.GetNumberOfPoints())])
    np.savez(FOLDER / f"{name}.npz", **arrays)


def requested(proxy: Any) -> list[int]:
    """Extent that the pipeline asks a source in this process for."""
    information = proxy.GetClientSideObject().GetOutputInformation(0)
    return list(information.Get(vtkStreamingDemandDrivenPipeline.UPDATE_EXTENT()))


class DecodedPoints:
    """Points that volumes decoded since the last look."""

    def __init__(self) -> None:
        self.count = 0

    def pop(self) -> int:
        """Return the count, and start anew."""
        count, self.count = self.count, 0
        return count


def count_decoded_points() -> DecodedPoints:
    """Count what all volumes decode from now on."""
    from inrvis.decoder.volume import Volume

    counter = DecodedPoints()
    decode = Volume.decode_arrays

    def counted(*arguments: Any, **options: Any) -> Any:
        values = decode(*arguments, **options)
        counter.count += int(np.prod(values[0].shape[:3])) if values else 0
        return values

    Volume.decode_arrays = counted
    return counter
