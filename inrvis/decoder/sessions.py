"""ONNX Runtime sessions: which device runs them, and how they are made from untrusted graphs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from inrvis.container.graphs import check_graph
from inrvis.errors import DeviceError, GraphError, UsageError

Device = Literal["auto", "cpu", "cuda"]
_NO_CUDA = (
    "CUDA was asked for, but ONNX Runtime cannot use it here: install onnxruntime-gpu and an "
    "NVIDIA driver, or ask for the device auto"
)
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


def check_device(device: str) -> None:
    """Raise UsageError unless ``device`` is auto, cpu or cuda."""
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"unknown device {device!r}: choose auto, cpu or cuda")


def require_provider(device: str) -> None:
    """Raise DeviceError if CUDA is demanded and ONNX Runtime has no provider for it."""
    if device == "cuda" and _PROVIDERS["cuda"] not in onnxruntime.get_available_providers():
        raise DeviceError(_NO_CUDA)


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    # Tiles run side by side on threads of ours (ONNX Runtime releases the interpreter lock):
    # that scales better than threads inside operators this small.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return options


class Graph:
    """One checked graph, ready to run.

    Parameters
    ----------
    data : bytes
        Serialised ONNX model from a file; it is checked first.
    device : {"auto", "cpu", "cuda"}
        Where to run it; auto takes CUDA where ONNX Runtime can use it.
    reshape : bool
        Whether the graph may use Reshape.

    Raises
    ------
    GraphError
        If the graph is refused.
    DeviceError
        If CUDA was demanded and ONNX Runtime cannot use it here.
    """

    def __init__(self, data: bytes, device: Device, *, reshape: bool = False) -> None:
        check_graph(data, reshape=reshape)
        providers: list[tuple[str, dict[str, str]]] = [(_PROVIDERS["cpu"], {})]
        if device != "cpu" and _PROVIDERS["cuda"] in onnxruntime.get_available_providers():
            # TF32 keeps ten bits of a product's factors: error bounds would not hold.
            providers.insert(0, (_PROVIDERS["cuda"], {"use_tf32": "0"}))
        try:
            self._session = onnxruntime.InferenceSession(data, _options(), providers=providers)
        except Exception as error:  # ONNX Runtime's own classes have no common base
            raise GraphError(
                f"ONNX Runtime refuses the file's graph: {_first_line(error)}"
            ) from error
        self.inputs = tuple(item.name for item in self._session.get_inputs())
        # A GPU build falls back to the CPU without a word where the driver or a library is
        # missing, so only the session itself knows what it runs on.
        self.device: Literal["cpu", "cuda"] = (
            "cuda" if self._session.get_providers()[0] == _PROVIDERS["cuda"] else "cpu"
        )
        if device == "cuda" and self.device != "cuda":
            raise DeviceError(_NO_CUDA)

    def __call__(self, feeds: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """Run on ``feeds`` and return the first output."""
        try:
            result: NDArray[np.float32] = self._session.run(None, feeds)[0]
        except Exception as error:
            raise GraphError(f"the file's graph cannot run: {_first_line(error)}") from error
        return result


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200]


def cores() -> int:
    """Number of threads to decode with.

    The cores that this process may use, shared with the other ranks of an MPI job on this
    machine unless its launcher gave each of them cores of its own, and no more than the
    environment allows libraries (``OMP_NUM_THREADS``) and ParaView (``VTK_SMP_MAX_THREADS``).
    """
    every = os.cpu_count() or 1
    number = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else every
    if number == every:
        number //= max(_first_number(_RANKS_HERE), 1)
    limits = [_first_number((name,)) for name in ("OMP_NUM_THREADS", "VTK_SMP_MAX_THREADS")]
    return max(min([number, *(limit for limit in limits if limit > 0)]), 1)


# Ranks on this machine, as Open MPI, MPICH and its relatives tell.
_RANKS_HERE = ("OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS")


def _first_number(names: tuple[str, ...]) -> int:
    values = (os.environ.get(name, "").strip() for name in names)
    # OMP_NUM_THREADS may be a list, of which the first counts here.
    return next((int(v) for v in (v.split(",")[0] for v in values) if v.isdecimal()), 0)
