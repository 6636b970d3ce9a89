"""The settings of an encoding as properties of an algorithm."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any, Literal

from vtkmodules.util.vtkAlgorithm import VTKPythonAlgorithmBase

import inrvis
from inrvis.errors import InrvisError
from inrvis.report import EncodeReport
from inrvis.sources import Image
from inrvis.targets import Target
from inrvis_paraview.messages import Messages

ModelName = Literal["auto", "siren", "fourier", "sci", "none"]
MODELS: tuple[ModelName, ...] = ("auto", "siren", "fourier", "sci", "none")
PRESETS = ("fast", "balanced", "best")
Mode = Literal["write", "append", "restart"]
DEVICES = ("auto", "cpu", "cuda")
TARGETS = ("ratio", "bits", "psnr", "error", "relative")


class StoppedError(InrvisError):
    """The user stopped the encoding."""


class EncodingAlgorithm(VTKPythonAlgorithmBase):
    """Base of the algorithms that encode: the writer and Neural Compress.

    The properties are described in ``xml/inrvis.xml``, under ``INREncoding``.
    """

    def __init__(self, label: str, **ports: Any) -> None:
        super().__init__(**ports)
        self._target, self._value = "ratio", 100.0
        self._model: ModelName = "auto"
        self._preset, self._device = "balanced", "auto"
        self._time_budget, self._seed = 0.0, 0
        self._messages = Messages(label)

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
            self._messages.forget()
            self.Modified()

    def _choose(self, name: str, label: str, number: int, choices: tuple[Any, ...]) -> None:
        if not 0 <= number < len(choices):
            self._messages.warning(
                f"{label} must be from 0 to {len(choices) - 1}, not {number}; 0 is used"
            )
            number = 0
        self._set(name, choices[number])

    def _encode(
        self,
        image: Image,
        path: str | Path,
        *,
        mode: Mode = "write",
        start: str | Path | None = None,
        warm_start: bool = True,
    ) -> EncodeReport:
        """Encode with the settings of the properties; tell of a target that was missed."""
        # An abort of the last run must not stop this one.
        self.SetAbortExecute(0)
        _prefer_packages_beside("torch")
        report = inrvis.encode(
            image,
            path,
            target=self._promise(),
            model=self._model,
            preset=self._preset,
            time_budget=self._time_budget or None,
            device=self._device,
            seed=self._seed,
            progress=self._progress,
            mode=mode,
            start=start,
            warm_start=warm_start,
        )
        if not report.target_met:
            self._messages.warning(
                f"the target, {report.target}, was missed: {report.psnr_db:.2f} dB is the best "
                "found, and was kept"
            )
        return report

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
            self.SetAbortExecute(0)
            raise StoppedError("stopped; nothing was written")


def _prefer_packages_beside(name: str) -> None:
    """Let a package find the packages that were installed with it.

    In a simulation's Python, ParaView puts the system's packages first, and an old one among them
    (sympy) would take the place of the one that torch needs.
    """
    found = importlib.util.find_spec(name)
    if found is not None and found.origin is not None:
        folder = str(Path(found.origin).parents[1])
        if sys.path[:1] != [folder]:
            sys.path.insert(0, folder)
