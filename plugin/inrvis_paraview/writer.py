"""The writer of ``.inr`` volumes: File > Save Data, extractors and Catalyst."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vtkmodules.vtkCommonDataModel import vtkDataObject, vtkImageData, vtkPartitionedDataSet

from inrvis import sources
from inrvis.errors import InrvisError, UsageError
from inrvis.sources import Image
from inrvis_paraview import ranks
from inrvis_paraview.encoding import EncodingAlgorithm

# A file for each, or one for all of a run.
TIME_STEPS = ("each", "one")


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
        self._time_steps, self._warm_start = TIME_STEPS[0], True
        self._run: _Run | None = None

    def SetFileName(self, path: str | None) -> None:
        self._set("_path", path or "")

    def SetTimeSteps(self, choice: int) -> None:
        self._choose("_time_steps", "Time Steps", choice, TIME_STEPS)

    def SetWarmStart(self, on: int) -> None:
        self._set("_warm_start", bool(on))

    def RequestData(self, _request: Any, inputs: Any, _outputs: Any) -> int:
        try:
            gathered = ranks.gather(lambda: _pieces(vtkPartitionedDataSet.GetData(inputs[0], 0)))
            pieces = [piece for own in gathered for piece in own]
            # No rank goes on, perhaps to read the file, before it is there.
            ranks.by_first(lambda: self._write(sources.join(pieces)))
        except InrvisError as error:
            if ranks.is_first():
                self._messages.forget()
                self._messages.error(str(error))
            self._messages.silence_pipeline(self.GetExecutive())
            return 0
        return 1

    def _write(self, image: Image) -> None:
        """Write a step: the first of a run, or one that follows those written before."""
        path, time = Path(self._path), 0.0 if image.time is None else image.time
        last = self._run
        follows = last is not None and last.path.parent == path.parent and last.time < time
        if last is None or not follows:
            last = None
        if self._time_steps == "one":
            # Where the name has the number of the step in it, the first step's file grows.
            path = last.path if last is not None else path
            # A run that goes on from a checkpoint, or begins anew, replaces what it computes again.
            self._encode(
                Image(image.grid, image.arrays, time),
                path,
                mode="restart",
                warm_start=self._warm_start,
            )
        else:
            warm = self._warm_start and last is not None and last.path.exists()
            self._encode(image, path, start=last.path if last is not None and warm else None)
        self._run = _Run(path, time)


@dataclass(frozen=True)
class _Run:
    """What was written last."""

    path: Path
    time: float


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
