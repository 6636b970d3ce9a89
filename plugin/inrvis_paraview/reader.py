"""The reader of ``.inr`` volumes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any
from weakref import ref

from vtkmodules.util.vtkAlgorithm import VTKPythonAlgorithmBase
from vtkmodules.vtkCommonCore import vtkDataArraySelection
from vtkmodules.vtkCommonDataModel import vtkDataObject, vtkImageData

from inrvis.decoder.parts import LastPart
from inrvis.decoder.sessions import Device
from inrvis.decoder.volume import Layers, Volume
from inrvis.errors import FormatError, InrvisError, UsageError
from inrvis_paraview.image_files import holds_images
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
from inrvis_paraview.series import Facts, Series, Step, step_at

LARGEST_STRIDE = 16
DEVICES: tuple[Device, ...] = ("auto", "cpu", "cuda")
LAYERS: tuple[Layers, ...] = ("all", "base")


class INRReader(VTKPythonAlgorithmBase):
    """Source of a vtkImageData that is decoded from the time steps of ``.inr`` files.

    The properties are described in ``xml/inrvis.xml``.
    """

    def __init__(self) -> None:
        super().__init__(nInputPorts=0, nOutputPorts=1, outputType="vtkImageData")
        self._paths: list[str] = []
        self._stride = 1
        self._device: Device = "auto"
        self._layers: Layers = "all"
        self._arrays = vtkDataArraySelection()
        # An observer that holds the reader would keep it, and what it has open, for ever.
        this = ref(self)
        self._arrays.AddObserver("ModifiedEvent", lambda *_: _modified(this()))
        self._series = Series()
        self._part = LastPart()
        self._steps: tuple[Step, ...] = ()
        self._shown: Facts | None = None
        self._shown_time: float | None = None
        self._decoded_on = ""
        self._messages = Messages("INR Reader")

    # ------------------------------------------------------------ properties

    def CanReadFile(self, path: str) -> int:
        # Damaged files are taken, too: opening them says what is wrong.
        return int(not holds_images(path))

    def AddFileName(self, path: str | None) -> None:
        if path:
            self._paths.append(path)
            self._changed()

    def ClearFileNames(self) -> None:
        self._paths.clear()
        self._changed()

    def GetPointArraySelection(self) -> vtkDataArraySelection:
        return self._arrays

    def Refresh(self) -> None:
        self._changed()

    def SetStride(self, stride: int) -> None:
        allowed = min(max(stride, 1), LARGEST_STRIDE)
        if allowed != stride:
            self._messages.warning(
                f"Stride must be from 1 to {LARGEST_STRIDE}; {allowed} is used instead of {stride}"
            )
        if allowed != self._stride:
            self._stride = allowed
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

    def SetLayers(self, layers: int) -> None:
        if not 0 <= layers < len(LAYERS):
            self._messages.warning(
                f"Layers must be 0 (All) or 1 (Base Only), not {layers}; All is used"
            )
            layers = 0
        if LAYERS[layers] != self._layers:
            self._layers = LAYERS[layers]
            self._changed()

    def GetModel(self) -> str:
        return self._shown.model if self._shown else ""

    def GetCompressionRatio(self) -> float:
        return self._shown.compression_ratio if self._shown else 0.0

    def GetPSNR(self) -> float:
        return self._shown.psnr_db if self._shown else math.nan

    def GetDecodeDevice(self) -> str:
        return self._decoded_on

    def volume_at(self, time: float | None) -> tuple[Volume, list[str]]:
        """Volume of the time step shown at `time`, and the chosen arrays; for Neural Resample."""
        if not self._steps:
            raise UsageError("the INR Reader has no file that can be read")
        step = step_at(self._steps, time)
        volume = self._series.volume(step, self._device)
        return volume, [name for name in volume.arrays if self._arrays.ArrayIsEnabled(name)]

    # ------------------------------------------------------------ pipeline

    def RequestInformation(self, _request: Any, _inputs: Any, outputs: Any) -> int:
        return self._guarded(lambda: self._inform(outputs.GetInformationObject(0)))

    def RequestData(self, _request: Any, _inputs: Any, outputs: Any) -> int:
        image = vtkImageData.GetData(outputs, 0)
        # The output of the last run keeps its arrays and active scalars otherwise.
        image.Initialize()
        return self._guarded(lambda: self._decode(outputs.GetInformationObject(0), image))

    def _inform(self, information: Any) -> bool:
        self._steps = ()
        # The pipeline asks for data even if this fails, and complains if it knows no extent.
        announce_no_points(information)
        contents = self._series.contents(self._paths)
        for problem in contents.damaged:
            self._messages.error(f"{problem}; the other files are shown")
        self._steps = contents.steps
        # The step shown last may still be open.
        step = step_at(self._steps, self._shown_time)
        try:
            self._show(self._series.volume(step, self._device))
        except FormatError as error:
            if len(self._steps) == 1:
                raise
            # The others can be shown all the same.
            self._messages.error(str(error))
            self._shown, self._decoded_on = None, ""
        announce_grid(information, step.grid.subgrid(stride=self._stride))
        announce_times(information, [s.time for s in self._steps if s.time is not None])
        self._offer_arrays([name for step in self._steps for name in step.arrays])
        return True

    def _decode(self, information: Any, image: vtkImageData) -> bool:
        if not self._steps:
            return False
        step = step_at(self._steps, requested_time(information))
        volume = self._series.volume(step, self._device)
        self._shown_time = step.time
        self._show(volume)
        if step.time is not None:
            image.GetInformation().Set(vtkDataObject.DATA_TIME_STEP(), step.time)
        extent = requested_extent(information)
        set_grid(image, volume.grid.subgrid(stride=self._stride), extent)
        if extent is None:
            return True
        # An abort of the last run must not stop this one.
        self.SetAbortExecute(0)
        names = [name for name in volume.arrays if self._arrays.ArrayIsEnabled(name)]
        # Views ask for what was just decoded once more, with a layer of ghosts.
        values = self._part.decode_arrays(
            volume,
            names,
            extent,
            stride=self._stride,
            layers=self._layers,
            progress=self._progress,
        )
        if values is None:
            self.SetAbortExecute(0)
            return False
        for name, array in zip(names, values, strict=True):
            add_point_array(image, name, array)
        return True

    def _progress(self, fraction: float) -> bool:
        self.UpdateProgress(fraction)
        return not self.GetAbortExecute()

    def _offer_arrays(self, names: Iterable[str]) -> None:
        selection = self._arrays
        known = [selection.GetArrayName(i) for i in range(selection.GetNumberOfArrays())]
        offered = dict.fromkeys(names)
        for name in known:
            if name not in offered:
                selection.RemoveArrayByName(name)
        for name in offered:
            # Does nothing where the choice was already made, for example by a state file.
            selection.AddArray(name)

    def _show(self, volume: Volume) -> None:
        self._shown = Facts.of(volume)
        self._decoded_on = volume.device.upper()

    def _guarded(self, work: Callable[[], bool]) -> int:
        """Run `work`; tell of an expected error in one line, and that nothing came of it."""
        try:
            done = work()
        except InrvisError as error:
            self._messages.error(str(error))
            done = False
        except MemoryError:
            self._messages.error("not enough memory; choose a larger Stride or a part of the image")
            done = False
        if not done:
            self._messages.silence_pipeline(self.GetExecutive())
        return int(done)

    def _changed(self) -> None:
        self._messages.forget()
        self.Modified()


def _modified(reader: INRReader | None) -> None:
    if reader is not None:
        reader.Modified()
