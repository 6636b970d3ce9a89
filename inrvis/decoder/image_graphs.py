"""ONNX Runtime sessions for the graphs of images, checked for each size that they run on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from inrvis.container.image_graphs import CheckedGraph
from inrvis.container.images_header import ROLES
from inrvis.container.implicit_header import IMPLICIT_ROLES
from inrvis.decoder.sessions import Device, check_device, cores, require_provider
from inrvis.errors import DeviceError, GraphError

Array = NDArray[np.float32]
Feeds = Mapping[str, Array]
_INPUTS = {**ROLES, **IMPLICIT_ROLES}
_CUDA = "CUDAExecutionProvider"


@dataclass(frozen=True)
class SessionSettings:
    """How graphs are run.

    Attributes
    ----------
    device : {"auto", "cpu", "cuda"}
        Where; auto takes CUDA where ONNX Runtime can use it.
    threads : int
        Threads of an operator; 0 for as many as there are cores.
    optimise : bool
        Whether ONNX Runtime may rewrite graphs.
    """

    device: Device = "auto"
    threads: int = 0
    optimise: bool = True


class RoleGraph:
    """The graph of one role with its weights.

    Parameters
    ----------
    role : str
        A key of ROLES or IMPLICIT_ROLES.
    data : bytes
        Serialised ONNX model from a file; it is checked first.
    weights : mapping of str to ndarray of float32
        All tensors of the file.
    settings : SessionSettings
        How to run it.

    Raises
    ------
    GraphError
        If the graph is refused.
    DeviceError
        If CUDA was demanded and cannot be used.
    """

    def __init__(self, role: str, data: bytes, weights: Feeds, settings: SessionSettings) -> None:
        self._checked = CheckedGraph(data)
        names = set(self._checked.inputs)
        self.inputs = frozenset(names & _INPUTS[role])
        if not names - self.inputs <= set(weights):
            raise GraphError(f"the file's graph {role} has inputs that nothing gives")
        self._weights = {name: weights[name] for name in names - self.inputs}
        self._role, self._allowed = role, set[tuple[Any, ...]]()
        self._session = _session(data, settings)
        self.device: Literal["cpu", "cuda"] = (
            "cuda" if self._session.get_providers()[0] == _CUDA else "cpu"
        )
        if settings.device == "cuda" and self.device != "cuda":
            raise DeviceError("ONNX Runtime has CUDA, but cannot use it here; use the device auto")

    def __call__(self, feeds: Feeds, shape: tuple[int, ...], pixels: int) -> Array:
        """Run on those of ``feeds`` that the graph has; the result must be finite.

        Parameters
        ----------
        feeds : mapping of str to ndarray of float32
            Inputs.
        shape : tuple of int
            Shape that the result must have.
        pixels : int
            Pixels of the padded image.
        """
        if missing := self.inputs - set(feeds):
            raise GraphError(
                f"the file's graph {self._role} wants {min(missing)}, which is not there"
            )
        own = {name: feeds[name] for name in self.inputs}
        key = (shape, *sorted((name, array.shape) for name, array in own.items()))
        if key not in self._allowed:
            known = {name: array.shape for name, array in {**self._weights, **own}.items()}
            found = self._checked.output_shape(known, pixels)
            if found != shape:
                raise GraphError(f"the file's graph {self._role} gives {found} and not {shape}")
            self._allowed.add(key)
        try:
            result: Array = self._session.run(None, {**self._weights, **own})[0]
        except Exception as error:  # ONNX Runtime's own classes have no common base
            raise GraphError(f"the file's graph {self._role} cannot run: {_line(error)}") from error
        if result.shape != shape or not np.isfinite(result).all():
            raise GraphError(f"the file's graph {self._role} gives no numbers of the shape {shape}")
        return result


def _session(data: bytes, settings: SessionSettings) -> Any:
    check_device(settings.device)
    require_provider(settings.device)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = settings.threads or cores()
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Threads that wait in a loop cost more than they gain where others want the cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not settings.optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    providers: list[tuple[str, dict[str, str]]] = [("CPUExecutionProvider", {})]
    if settings.device != "cpu" and _CUDA in onnxruntime.get_available_providers():
        # TF32 drops bits of integers, and so do Winograd's transforms, which cuDNN's search may
        # choose: its default algorithm sums plain products, which is exact below 2**24.
        chosen = {"use_tf32": "0", "cudnn_conv_algo_search": "DEFAULT"}
        providers.insert(0, (_CUDA, chosen))
    try:
        return onnxruntime.InferenceSession(data, options, providers=providers)
    except Exception as error:  # as above
        raise GraphError(f"ONNX Runtime refuses the file's graph: {_line(error)}") from error


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200]
