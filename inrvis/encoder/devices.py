"""Where networks are trained."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from inrvis.errors import DeviceError, UsageError


def torch_device(device: str) -> torch.device:
    """Torch device for auto, cpu or cuda.

    Raises
    ------
    DeviceError
        If CUDA was demanded and torch cannot use it here.
    UsageError
        If ``device`` is none of the three.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"unknown device {device!r}: choose auto, cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise DeviceError("CUDA was asked for, but torch finds no CUDA device; use --device auto")
    do_without_triton()
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")


def do_without_triton(mapped: Path = Path("/proc/self/maps")) -> None:
    """Keep torch from importing Triton where another LLVM is loaded, as by Mesa's OpenGL.

    Triton brings an LLVM of its own, and the dynamic linker gives it the symbols of the one that
    came first: the import, which torch does for its first optimiser, ends the process with a
    segmentation fault. Nothing in inrvis compiles with Triton.

    Parameters
    ----------
    mapped : Path, optional
        Linux's list of the files mapped into this process.
    """
    if (
        "triton" not in sys.modules
        and mapped.is_file()
        and "/libLLVM" in mapped.read_text("utf-8", "replace")
    ):
        # Importing it now raises ImportError, as where it is not installed.
        sys.modules["triton"] = None  # type: ignore[assignment]
