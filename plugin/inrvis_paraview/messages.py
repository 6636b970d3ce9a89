"""Tell the user of an error in one line, wherever the algorithm runs."""

from __future__ import annotations

from typing import Any

from vtkmodules.vtkCommonCore import vtkOutputWindow

# What the pipeline says of a request that failed, and of the extent of an image that is no more.
_NOISE = ("returned failure for request", "outside the whole extent")


class Messages:
    """Messages of one algorithm.

    The output window is what ParaView shows under Output Messages, and what prints to standard
    error where there is no window.

    Parameters
    ----------
    label : str
        Name that starts each line.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._told: set[str] = set()
        self._silenced = ""

    def error(self, text: str) -> None:
        """Tell of an error, once: the pipeline asks again and again for what failed."""
        if text not in self._told:
            self._told.add(text)
            vtkOutputWindow.GetInstance().DisplayErrorText(f"{self._label}: {text}\n")

    def warning(self, text: str) -> None:
        """Tell of something that was put right."""
        vtkOutputWindow.GetInstance().DisplayWarningText(f"{self._label}: {text}\n")

    def forget(self) -> None:
        """Tell errors again that were told before."""
        self._told.clear()

    def silence_pipeline(self, executive: Any) -> None:
        """Drop what the pipeline adds to an error that was already told.

        It prints its request over many lines whenever an algorithm fails.
        """
        # Its address: to hold the executive itself would keep it, and the algorithm, for ever.
        if executive.__this__ != self._silenced:
            executive.AddObserver("ErrorEvent", _drop_noise)
            self._silenced = executive.__this__


def _drop_noise(_executive: Any, _event: str, text: str = "") -> None:
    if not any(noise in text for noise in _NOISE):
        vtkOutputWindow.GetInstance().DisplayErrorText(text)


# VTK hands the text of an event only to functions that say they take one.
_drop_noise.CallDataType = "string0"  # type: ignore[attr-defined]
