"""The filter Compare: errors of a decoded image, and their measures as a table."""

from __future__ import annotations

from typing import Any

from vtkmodules.util.vtkAlgorithm import VTKPythonAlgorithmBase
from vtkmodules.vtkCommonDataModel import vtkDataObject, vtkImageData, vtkTable
from vtkmodules.vtkCommonExecutionModel import vtkStreamingDemandDrivenPipeline

from inrvis import sources
from inrvis.comparison import compare, error_field
from inrvis.errors import InrvisError
from inrvis.grid import Extent
from inrvis.metrics import Metrics
from inrvis.sources import Image
from inrvis_paraview import ranks
from inrvis_paraview.columns import metric_columns
from inrvis_paraview.images import add_point_array, requested_extent, requested_time, set_grid
from inrvis_paraview.messages import Messages
from inrvis_paraview.pieces import overlap, own_part, point_pieces

_KEYS = vtkStreamingDemandDrivenPipeline


class Compare(VTKPythonAlgorithmBase):
    """Compares two images point by point.

    Errors are computed by each rank on its piece. The measures are those of the whole: the first
    rank gathers all pieces, and has the table; that of the others is empty.

    The properties are described in ``xml/inrvis.xml``.
    """

    def __init__(self) -> None:
        super().__init__(nInputPorts=2, nOutputPorts=2, inputType="vtkImageData")
        self._measured: dict[str, Metrics] | InrvisError = {}
        self._measured_for: tuple[Any, ...] = ()
        self._messages = Messages("Compare")

    def FillOutputPortInformation(self, port: int, information: Any) -> int:
        information.Set(vtkDataObject.DATA_TYPE_NAME(), ("vtkImageData", "vtkTable")[port])
        return 1

    def RequestUpdateExtent(self, request: Any, inputs: Any, outputs: Any) -> int:
        original, decoded = (inputs[port].GetInformationObject(0) for port in range(2))
        asked = outputs.GetInformationObject(max(request.Get(_KEYS.FROM_OUTPUT_PORT()), 0))
        extent = own_part(asked, original, requested_extent(outputs.GetInformationObject(0)))
        original.Set(_KEYS.UPDATE_EXTENT(), extent, 6)
        if _size(original) == _size(decoded):
            shift = _shift(inputs)
            counterpart = tuple(value + shift[i // 2] for i, value in enumerate(extent))
        else:
            # They cannot be compared, which is said when both are there.
            counterpart = own_part(asked, decoded, None)
        decoded.Set(_KEYS.UPDATE_EXTENT(), counterpart, 6)
        return 1

    def RequestData(self, _request: Any, inputs: Any, outputs: Any) -> int:
        image, table = vtkImageData.GetData(outputs, 0), vtkTable.GetData(outputs, 1)
        image.Initialize()
        table.Initialize()
        information = outputs.GetInformationObject(0)
        original, decoded = (vtkImageData.GetData(inputs[port], 0) for port in range(2))
        try:
            metrics = self._up_to_date(original, decoded, requested_time(information))
            if ranks.is_first():
                for column in metric_columns(metrics):
                    table.AddColumn(column)
            wanted = requested_extent(information)
            _add_errors(original, decoded, _shift(inputs), wanted, image)
        except InrvisError as error:
            # The outputs stay empty: a failed request would let all that follows complain, too.
            image.Initialize()
            if ranks.is_first():
                self._messages.error(str(error))
        return 1

    def _up_to_date(
        self, original: vtkImageData, decoded: vtkImageData, time: float | None
    ) -> dict[str, Metrics]:
        """Measure, unless that was done for these inputs; see `NeuralCompress`."""
        key = (*(self.GetInputExecutive(port, 0).GetPipelineMTime() for port in range(2)), time)
        if key != self._measured_for:
            self._measured_for = key
            self._messages.forget()
            try:
                gathered = ranks.gather(lambda: (point_pieces(original), point_pieces(decoded)))
                self._measured = ranks.by_first(lambda: _measured(gathered))
            except InrvisError as error:
                self._measured = error
        if isinstance(self._measured, InrvisError):
            raise self._measured
        return self._measured


def _measured(gathered: list[tuple[list[Image], list[Image]]]) -> dict[str, Metrics]:
    pair = ([piece for own in gathered for piece in own[side]] for side in range(2))
    return compare(*(sources.join(pieces) for pieces in pair))


def _add_errors(
    original: vtkImageData,
    decoded: vtkImageData,
    shift: tuple[int, ...],
    wanted: Extent | None,
    image: vtkImageData,
) -> None:
    # Either piece may have more ghosts than are wanted now.
    theirs = tuple(value - shift[i // 2] for i, value in enumerate(decoded.GetExtent()))
    extent = overlap(overlap(wanted, original.GetExtent()), theirs)
    if extent is None:
        return
    before, after = sources.from_vtk(original), sources.from_vtk(decoded)
    set_grid(image, before.grid, extent)
    part = before.grid.slices(extent)
    counterpart = after.grid.slices([value + shift[i // 2] for i, value in enumerate(extent)])
    for name, values in before.arrays.items():
        if name in after.arrays and after.arrays[name].shape[3:] == values.shape[3:]:
            error = error_field(values[part], after.arrays[name][counterpart])
            add_point_array(image, f"{name}_error", error)


def _shift(inputs: Any) -> tuple[int, ...]:
    """What to add to indices of the original for those of the decoded image."""
    ours, theirs = (
        inputs[port].GetInformationObject(0).Get(_KEYS.WHOLE_EXTENT()) for port in (0, 1)
    )
    return tuple(b - a for a, b in zip(ours[::2], theirs[::2], strict=True))


def _size(source: Any) -> list[int]:
    extent = source.Get(_KEYS.WHOLE_EXTENT())
    return [last - first for first, last in zip(extent[::2], extent[1::2], strict=True)]
