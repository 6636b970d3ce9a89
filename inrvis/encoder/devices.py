"""Where networks are trained."""

from __future__ import annotations

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
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
