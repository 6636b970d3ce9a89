"""The writer of ``.inr`` volumes: File > Save Data, extractors and Catalyst."""

from __future__ import annotations

from typing import Any

from vtkmodules.vtkCommonDataModel import vtkDataObject, vtkImageData, vtkPartitionedDataSet

from inrvis import sources
from inrvis.errors import InrvisError, UsageError
from inrvis.sources import Image
from inrvis_paraview import ranks
from inrvis_paraview.encoding import EncodingAlgorithm


class INRWriteHelper(EncodingAlgorithm):
    """Encodes the pieces that all ranks hold into one file.

    ParaView's ``vtkParallelSerialWriter`` runs it on every rank before it gathers anything, with
    the pieces as they are (a later gathering loses extent, direction and time). The ranks hand
    their pieces to the first, which writes; what goes on from here is empty.

    The properties are described in ``xml/inrvis.xml``.
    """

    def __init__(self) -> None:
        super().__init__(
            "INR Writer",
            nInputPorts=1,
            nOutputPorts=1,
            inputType="vtkPartitionedDataSet",
            outputType="vtkPartitionedDataSet",
        )
        self._path = ""

    def SetFileName(self, path: str | None) -> None:
        self._set("_path", path or "")

    def RequestData(self, _request: Any, inputs: Any, _outputs: Any) -> int:
        try:
            gathered = ranks.gather(lambda: _pieces(vtkPartitionedDataSet.GetData(inputs[0], 0)))
            pieces = [piece for own in gathered for piece in own]
            # No rank goes on, perhaps to read the file, before it is there.
            ranks.by_first(lambda: self._encode(sources.join(pieces), self._path))
        except InrvisError as error:
            if ranks.is_first():
                self._messages.forget()
                self._messages.error(str(error))
            self._messages.silence_pipeline(self.GetExecutive())
            return 0
        return 1


def _pieces(data: vtkPartitionedDataSet) -> list[Image]:
    """Images among the partitions of this rank."""
    images = []
    key = vtkDataObject.DATA_TIME_STEP()
    for number in range(data.GetNumberOfPartitions()):
        part = data.GetPartitionAsDataObject(number)
        if part is None or part.GetNumberOfPoints() == 0:
            continue
        if not isinstance(part, vtkImageData):
            raise UsageError(
                f"an image is needed, not a {part.GetClassName()}: use Resample To Image first"
            )
        image = sources.from_vtk(part)
        if image.time is None and data.GetInformation().Has(key):
            image = Image(image.grid, image.arrays, float(data.GetInformation().Get(key)))
        images.append(image)
    return images
