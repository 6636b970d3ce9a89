"""The reader of ``.inr`` databases of images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partialmethod
from typing import TYPE_CHECKING, Any

import numpy as np
from vtkmodules.util.vtkAlgorithm import VTKPythonAlgorithmBase
from vtkmodules.vtkCommonCore import vtkStringArray
from vtkmodules.vtkCommonDataModel import vtkDataObject, vtkImageData
from vtkmodules.vtkCommonExecutionModel import vtkStreamingDemandDrivenPipeline

from inrvis.decoder.sessions import Device
from inrvis.errors import InrvisError, UsageError
from inrvis.grid import ImageGrid
from inrvis.parameters import CellTable, Parameter, number, time_parameter
from inrvis_paraview.image_files import ImageFile, holds_images
from inrvis_paraview.images import (
    add_point_array,
    announce_grid,
    announce_no_points,
    announce_times,
    requested_extent,
    requested_time,
    set_grid,
)
from inrvis_paraview.messages import Messages

if TYPE_CHECKING:
    from inrvis.decoder.images import Images, View

DEVICES: tuple[Device, ...] = ("auto", "cpu", "cuda")
# What is shown where no image is stored.
NEAREST, INTERPOLATED = 0, 1
# What stands for no parameter where one may be chosen.
NO_TIME = "none"
# What a property offers whose parameter follows ParaView's time.
_FOLLOWS_TIME = "{} follows the time"
# One name for all columns: a display that colours by it stays as it is when the column changes.
ARRAY = "Pixels"
_SLOTS = 8


class INRImageReader(VTKPythonAlgorithmBase):
    """Source of a vtkImageData: the image of a database at chosen values of its parameters.

    The properties are described in ``xml/inrvis.xml``. A property cannot take its name from a
    file, so numbered ones stand for the parameters, and their texts carry the names.
    """

    def __init__(self) -> None:
        super().__init__(nInputPorts=0, nOutputPorts=1, outputType="vtkImageData")
        self._file = ImageFile()
        self._path = ""
        self._column = ""
        self._time_name = ""
        self._chosen = [""] * _SLOTS
        self._device: Device = "auto"
        self._between = NEAREST
        self._shown = ""
        self._interpolated = False
        self._messages = Messages("INR Image Reader")

    # ------------------------------------------------------------ properties

    def CanReadFile(self, path: str) -> int:
        return int(holds_images(path))

    def SetFileName(self, path: str | None) -> None:
        if (path or "") != self._path:
            self._path = path or ""
            self._changed()

    def Refresh(self) -> None:
        self._changed()

    def SetColumn(self, name: str | None) -> None:
        if (name or "") != self._column:
            self._column = name or ""
            self._changed()

    def SetTimeParameter(self, name: str | None) -> None:
        if (name or "") != self._time_name:
            self._time_name = name or ""
            self._changed()

    def _choose(self, slot: int, text: str | None) -> None:
        if (text or "") != self._chosen[slot]:
            self._chosen[slot] = text or ""
            self._changed()

    def SetDevice(self, device: int) -> None:
        if not 0 <= device < len(DEVICES):
            self._messages.warning(
                f"Device must be 0 (Auto), 1 (CPU) or 2 (CUDA), not {device}; Auto is used"
            )
            device = 0
        if DEVICES[device] != self._device:
            self._device = DEVICES[device]
            self._changed()

    def SetBetweenStored(self, between: int) -> None:
        if between not in (NEAREST, INTERPOLATED):
            self._messages.warning(
                f"BetweenStored must be 0 (Nearest) or 1 (Interpolated), not {between}; Nearest is "
                "used"
            )
            between = NEAREST
        if between != self._between:
            self._between = between
            self._changed()

    def GetColumns(self) -> vtkStringArray:
        images = self._opened()
        return _strings(images.columns if images else ())

    def GetTimeParameters(self) -> vtkStringArray:
        """The parameters that may be ParaView's time; the one that is by default first."""
        images = self._opened()
        if images is None:
            return _strings(())
        first = time_parameter(images.parameters)
        names = [p.name for p in images.parameters if p.numbers and p is not first]
        return _strings((first.name, NO_TIME, *names) if first else (NO_TIME, *names))

    def _offered(self, slot: int) -> vtkStringArray:
        images = self._opened()
        slots = _slots(images.parameters) if images else []
        if images is None or slot >= len(slots):
            return _strings(())
        parameter = slots[slot]
        if parameter is self._time_or_none(images):
            return _strings([_FOLLOWS_TIME.format(parameter.name)])
        return _strings([f"{parameter.name}={value}" for value in parameter.values])

    SetParameter1 = partialmethod(_choose, 0)
    SetParameter2 = partialmethod(_choose, 1)
    SetParameter3 = partialmethod(_choose, 2)
    SetParameter4 = partialmethod(_choose, 3)
    SetParameter5 = partialmethod(_choose, 4)
    SetParameter6 = partialmethod(_choose, 5)
    SetParameter7 = partialmethod(_choose, 6)
    SetParameter8 = partialmethod(_choose, 7)
    GetParameter1Values = partialmethod(_offered, 0)
    GetParameter2Values = partialmethod(_offered, 1)
    GetParameter3Values = partialmethod(_offered, 2)
    GetParameter4Values = partialmethod(_offered, 3)
    GetParameter5Values = partialmethod(_offered, 4)
    GetParameter6Values = partialmethod(_offered, 5)
    GetParameter7Values = partialmethod(_offered, 6)
    GetParameter8Values = partialmethod(_offered, 7)

    def GetShown(self) -> str:
        return self._shown

    def GetInterpolated(self) -> int:
        return int(self._interpolated)

    def GetModel(self) -> str:
        images = self._opened()
        if images is None:
            return ""
        codec = images.header.codec
        return f"{codec.name}, {codec.parameters:,} parameters, {images.count:,} images"

    def GetCompressionRatio(self) -> float:
        images = self._opened()
        if images is None:
            return 0.0
        return sum(images.kind(k).nbytes for k in range(images.count)) / images.encoded_bytes

    def GetPSNR(self) -> float:
        images = self._opened()
        return images.header.metrics.get("psnr_db", math.nan) if images else math.nan

    def GetDecodeDevice(self) -> str:
        images = self._opened()
        return images.device.upper() if images else ""

    # ------------------------------------------------------------ pipeline

    def RequestInformation(self, _request: Any, _inputs: Any, outputs: Any) -> int:
        return self._guarded(lambda: self._inform(outputs.GetInformationObject(0)))

    def RequestData(self, _request: Any, _inputs: Any, outputs: Any) -> int:
        image = vtkImageData.GetData(outputs, 0)
        # The output of the last run keeps its arrays and active scalars otherwise.
        image.Initialize()
        return self._guarded(lambda: self._decode(outputs.GetInformationObject(0), image))

    def _inform(self, information: Any) -> None:
        # The pipeline asks for data even if this fails: it complains if it knows no extent, or
        # one that is smaller than what it asks for since the last time.
        if not information.Has(vtkStreamingDemandDrivenPipeline.WHOLE_EXTENT()):
            announce_no_points(information)
        images = self._file.open(self._path, self._device)
        time = self._time(images)
        announce_times(information, sorted(set(time.numbers or ())) if time else ())
        self._table(images)
        # Images may differ in size, and the time is not known yet: the largest bounds them all.
        announce_grid(information, _grid(*self._file.largest(images, self._column_of(images))))

    def _decode(self, information: Any, image: vtkImageData) -> None:
        # Nothing is, if this fails.
        self._shown, self._interpolated = "", False
        images = self._file.open(self._path, self._device)
        wanted = self._wanted(images)
        time, moment = self._time(images), requested_time(information)
        if time is not None and time.numbers:
            wanted[time.name] = time.numbers[0] if moment is None else moment
        view = self._view(images, wanted)
        shown = ", ".join(f"{name}={_text(value)}" for name, value in view.values.items())
        self._shown = f"{shown} (interpolated)" if view.interpolated else shown
        self._interpolated = view.interpolated
        if time is not None:
            moment = number(str(view.values[time.name]))
            image.GetInformation().Set(vtkDataObject.DATA_TIME_STEP(), moment or 0.0)
        # VTK counts rows from the bottom.
        pixels = view.pixels[::-1]
        grid = _grid(pixels.shape[1], pixels.shape[0])
        asked = requested_extent(information)
        if asked is None:
            set_grid(image, grid, None)
            return
        x0, x1, y0, y1 = (
            max(asked[0], 0),
            min(asked[1], grid.extent[1]),
            max(asked[2], 0),
            min(asked[3], grid.extent[3]),
        )
        if x0 > x1 or y0 > y1:
            set_grid(image, grid, None)
            return
        set_grid(image, grid, (x0, x1, y0, y1, 0, 0))
        part = np.ascontiguousarray(pixels[y0 : y1 + 1, x0 : x1 + 1])
        add_point_array(image, ARRAY, part[np.newaxis])

    def _view(self, images: Images, wanted: dict[str, str | float]) -> View:
        from inrvis.decoder.images import View

        # In ParaView's exports the producer goes with the column: a column has images of one alone.
        cell = self._table(images).nearest(wanted, lenient=True)
        named = zip(images.parameters, cell.values, strict=True)
        values: dict[str, str | float] = {p.name: p.values[i] for p, i in named}
        column = self._column_of(images)
        if self._between == INTERPOLATED and images.interpolates:
            numbers = {p.name for p in images.parameters if p.numbers}
            own = {
                name: wanted.get(name, v) if name in numbers else v for name, v in values.items()
            }
            return self._file.view(images, column, own)
        pixels = self._file.decode(images, cell.images[column])
        return View(pixels, values, interpolated=False)

    # ------------------------------------------------------------ choices

    def _opened(self) -> Images | None:
        """The file, for information; what is wrong with it is told when it is read."""
        try:
            return self._file.open(self._path, self._device)
        except InrvisError:
            return None

    def _column_of(self, images: Images) -> int:
        if not self._column:
            return 0
        if self._column not in images.columns:
            raise UsageError(
                f"there is no column {self._column!r}; Column may be {', '.join(images.columns)}"
            )
        return images.columns.index(self._column)

    def _table(self, images: Images) -> CellTable:
        column = self._column_of(images)
        table = self._file.table(images, column)
        if not table.cells:
            raise UsageError(f"column {images.columns[column]} holds no image; choose another")
        return table

    def _time(self, images: Images) -> Parameter | None:
        if self._time_name == NO_TIME:
            return None
        if not self._time_name:
            return time_parameter(images.parameters)
        for parameter in images.parameters:
            if parameter.name == self._time_name and parameter.numbers:
                return parameter
        raise UsageError(
            f"{self._time_name!r} cannot be the time; TimeParameter must be {NO_TIME} or a "
            "parameter whose values are numbers"
        )

    def _time_or_none(self, images: Images) -> Parameter | None:
        try:
            return self._time(images)
        except UsageError:
            return None

    def _wanted(self, images: Images) -> dict[str, str | float]:
        """Values that the numbered properties ask for."""
        wanted: dict[str, str | float] = {}
        time = self._time(images)
        for slot, parameter in enumerate(_slots(images.parameters)[:_SLOTS]):
            text = self._chosen[slot]
            if parameter is time:
                continue
            if not text or text == _FOLLOWS_TIME.format(parameter.name):
                wanted[parameter.name] = parameter.values[0]
                continue
            value = text.removeprefix(f"{parameter.name}=")
            if value not in parameter.values and (number(value) is None or not parameter.numbers):
                raise UsageError(
                    f"Parameter{slot + 1} is {parameter.name}, which is never {value!r}; it offers "
                    f"{', '.join(parameter.values[:12])}"
                )
            wanted[parameter.name] = value
        return wanted

    def _guarded(self, work: Callable[[], None]) -> int:
        """Run `work`; tell of an expected error in one line, and that nothing came of it."""
        try:
            work()
        except InrvisError as error:
            self._messages.error(str(error))
        except MemoryError:
            self._messages.error("not enough memory for this image")
        else:
            return 1
        self._messages.silence_pipeline(self.GetExecutive())
        return 0

    def _changed(self) -> None:
        self._messages.forget()
        self.Modified()


def _slots(parameters: Sequence[Parameter]) -> list[Parameter]:
    """The parameters that the numbered properties stand for: all that change."""
    return [p for p in parameters if len(p.values) > 1]


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _strings(texts: Sequence[str]) -> vtkStringArray:
    array = vtkStringArray()
    for text in texts:
        array.InsertNextValue(text)
    return array


def _grid(width: int, height: int) -> ImageGrid:
    """One plane of pixels, a unit apart."""
    return ImageGrid((0, width - 1, 0, height - 1, 0, 0))
