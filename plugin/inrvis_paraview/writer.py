"""The writer of ``.inr`` volumes: File > Save Data, extractors and Catalyst."""

from __future__ import annotations

from typing import Any, Literal

from vtkmodules.util.vtkAlgorithm import VTKPythonAlgorithmBase
from vtkmodules.vtkCommonDataModel import vtkDataObject, vtkImageData, vtkPartitionedDataSet

import inrvis
from inrvis import sources
from inrvis.errors import InrvisError, UsageError
from inrvis.sources import Image
from inrvis.targets import Target
from inrvis_paraview.messages import Messages

ModelName = Literal["auto", "siren", "fourier", "sci", "none"]
MODELS: tuple[ModelName, ...] = ("auto", "siren", "fourier", "sci", "none")
PRESETS = ("fast", "balanced", "best")
DEVICES = ("auto", "cpu", "cuda")
TARGETS = ("ratio", "bits", "psnr", "error", "relative")


class _AbortedError(Exception):
    """The user stopped the encoding."""


class INRWriteHelper(VTKPythonAlgorithmBase):
    """Encodes the pieces that all ranks hold into one file.

    ParaView's ``vtkParallelSerialWriter`` runs it on every rank before it gathers anything, with
    the pieces as they are (a later gathering loses extent, direction and time). The ranks hand
    their pieces to the first, which writes; what goes on from here is empty.

    The properties are described in ``xml/inrvis.xml``.
    """

    def __init__(self) -> None:
        super().__init__(
            nInputPorts=1,
            nOutputPorts=1,
            inputType="vtkPartitionedDataSet",
            outputType="vtkPartitionedDataSet",
        )
        self._path = ""
        self._target, self._value = "ratio", 100.0
        self._model: ModelName = "auto"
        self._preset, self._device = "balanced", "auto"
        self._time_budget, self._seed = 0.0, 0
        self._messages = Messages("INR Writer")

    # ------------------------------------------------------------ properties

    def SetFileName(self, path: str | None) -> None:
        self._set("_path", path or "")

    def SetTarget(self, target: int) -> None:
        self._choose("_target", "Target", target, TARGETS)

    def SetValue(self, value: float) -> None:
        self._set("_value", value)

    def SetModel(self, model: int) -> None:
        self._choose("_model", "Model", model, MODELS)

    def SetPreset(self, preset: int) -> None:
        self._choose("_preset", "Preset", preset, PRESETS)

    def SetTimeBudget(self, seconds: float) -> None:
        self._set("_time_budget", seconds)

    def SetDevice(self, device: int) -> None:
        self._choose("_device", "Device", device, DEVICES)

    def SetSeed(self, seed: int) -> None:
        self._set("_seed", seed)

    def _set(self, name: str, value: Any) -> None:
        if getattr(self, name) != value:
            setattr(self, name, value)
            self.Modified()

    def _choose(self, name: str, label: str, number: int, choices: tuple[str, ...]) -> None:
        if not 0 <= number < len(choices):
            self._messages.warning(
                f"{label} must be from 0 to {len(choices) - 1}, not {number}; 0 is used"
            )
            number = 0
        self._set(name, choices[number])

    # ------------------------------------------------------------ pipeline

    def RequestData(self, _request: Any, inputs: Any, _outputs: Any) -> int:
        communicator = _communicator()
        root = communicator is None or communicator.rank == 0
        error = ""
        try:
            pieces = _pieces(vtkPartitionedDataSet.GetData(inputs[0], 0))
        except InrvisError as problem:
            pieces, error = [], str(problem)
        gathered = (
            [(pieces, error)] if communicator is None else communicator.gather((pieces, error))
        )
        if root:
            error = next((text for _, text in gathered if text), "")
            if not error:
                error = self._write([piece for own, _ in gathered for piece in own])
        if communicator is not None:
            # No rank goes on, perhaps to read the file, before it is there.
            error = communicator.bcast(error)
        if error:
            if root:
                self._messages.forget()
                self._messages.error(error)
            self._messages.silence_pipeline(self.GetExecutive())
        return int(not error)

    def _write(self, pieces: list[Image]) -> str:
        """Encode, and return what went wrong."""
        try:
            report = inrvis.encode(
                sources.join(pieces),
                self._path,
                target=self._promise(),
                model=self._model,
                preset=self._preset,
                time_budget=self._time_budget or None,
                device=self._device,
                seed=self._seed,
                progress=self._progress,
            )
        except InrvisError as error:
            return str(error)
        except MemoryError:
            return "not enough memory to encode; save a part of the image"
        except _AbortedError:
            self.SetAbortExecute(0)
            return "stopped; nothing was written"
        # The other ranks wait for word: what nobody foresaw must not leave them waiting.
        except Exception as error:  # noqa: BLE001
            return f"{type(error).__name__}: {error}"
        if not report.target_met:
            self._messages.warning(
                f"the target, {report.target}, was missed: {report.psnr_db:.2f} dB is the best "
                f"found, kept in {self._path}"
            )
        return ""

    def _promise(self) -> Target:
        match self._target:
            case "bits":
                return inrvis.BitRate(self._value)
            case "psnr":
                return inrvis.Psnr(self._value)
            case "error":
                return inrvis.MaxError(self._value)
            case "relative":
                return inrvis.MaxError(self._value, relative=True)
        return inrvis.Ratio(self._value)

    def _progress(self, progress: Any) -> None:
        self.UpdateProgress(progress.fraction)
        if self.GetAbortExecute():
            raise _AbortedError


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


def _communicator() -> Any:
    """Communicator of all ranks; None where there is only one."""
    try:
        from mpi4py import MPI
    except ImportError:
        return None
    if not MPI.Is_initialized() or MPI.COMM_WORLD.size == 1:
        return None
    return MPI.COMM_WORLD
