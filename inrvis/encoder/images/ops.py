"""One description of a network for both worlds: torch trains it, ONNX keeps it in the file.

A network is a function of `Ops` and its inputs. Run with `TorchOps` it computes, and creates its
weights the first time; run with `OnnxOps` it writes a graph in which they are inputs. Tensors
have the axes (batch, channels, height, width) unless said.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from inrvis.encoder.images.bounds import bounded

# Integer networks: weights are counted in 1/128, activations in 1/16 and up to 255.
WEIGHT_BITS = 7
ACTIVATION_UNIT = 16
MOST_ACTIVATION = 255
# Integers below this, and so sums that stay below it, are exact in single precision.
EXACT_SUM = 1 << 24

_OPSET = 17
_IR_VERSION = 8
_LEAK = 0.2
Weigh = Callable[[str, Tensor], Tensor]


class Ops(ABC):
    """Operations of networks; ``Any`` is a tensor of torch, or the name of one in a graph."""

    @abstractmethod
    def conv(
        self, x: Any, name: str, outputs: int, kernel: int | tuple[int, int] = 3, stride: int = 1
    ) -> Any:
        """Convolution with a bias, padded so that stride 1 keeps the size."""

    @abstractmethod
    def upsample(self, x: Any, name: str, outputs: int, stride: int = 2) -> Any:
        """Transposed convolution, kernel 3, with a bias."""

    @abstractmethod
    def integer_conv(
        self,
        x: Any,
        name: str,
        outputs: int,
        kernel: int = 3,
        *,
        signed: bool = False,
        added: Mapping[str, Any] | None = None,
    ) -> Any:
        """Convolution of integers with integer weights: ``clip(floor(sum / 128))``.

        Clipped to 0 … 255, or, if ``signed``, to 16 bits. Tensors that are ``added`` to the sum,
        of as many channels as it has, have an integer factor for each.
        """

    @abstractmethod
    def prelu(self, x: Any, name: str) -> Any:
        """PReLU with a slope for each channel, 0.2 at first."""

    @abstractmethod
    def leaky(self, x: Any) -> Any:
        """LeakyReLU of slope 0.2."""

    @abstractmethod
    def add(self, x: Any, y: Any) -> Any:
        """Sum, broadcast."""

    @abstractmethod
    def multiply(self, x: Any, y: Any) -> Any:
        """Product of elements, broadcast."""

    @abstractmethod
    def sigmoid(self, x: Any) -> Any:
        """Logistic function."""

    @abstractmethod
    def swish(self, x: Any) -> Any:
        """Product with the own sigmoid, also called SiLU."""

    @abstractmethod
    def concat(self, parts: Sequence[Any]) -> Any:
        """Join along channels."""

    @abstractmethod
    def depth_to_space(self, x: Any) -> Any:
        """Four channels to two by two pixels, as ONNX's mode DCR orders them."""

    @abstractmethod
    def reshape(self, x: Any, shape: Sequence[int]) -> Any:
        """Reshape; 0 keeps an axis, -1 takes what is left."""

    @abstractmethod
    def transpose(self, x: Any, axes: Sequence[int]) -> Any:
        """Permute axes."""

    @abstractmethod
    def softmax(self, x: Any, axis: int) -> Any:
        """Softmax along an axis."""

    @abstractmethod
    def matmul(self, x: Any, y: Any) -> Any:
        """Product of matrices, broadcast over leading axes."""

    @abstractmethod
    def scale(self, x: Any, factor: float) -> Any:
        """Product with a constant."""

    @abstractmethod
    def layer_norm(self, x: Any, name: str, size: int) -> Any:
        """Layer normalisation along the last axis, which has ``size`` elements."""

    @abstractmethod
    def free(self, x: Any, name: str, size: int) -> Any:
        """Free parameters, shape (1, size, 1, 1), as many times as ``x`` has images."""


class TorchOps(Ops):
    """Computes with torch.

    Parameters
    ----------
    weights : nn.ParameterDict
        Weights by name; those that are missing are made.
    generator : torch.Generator
        Source of first weights.
    weigh : callable, optional
        Maps the name and the values of a weight to the values to be used.
    gain : float
        Factor on first weights.
    """

    def __init__(
        self,
        weights: nn.ParameterDict,
        generator: torch.Generator | None = None,
        weigh: Weigh | None = None,
        *,
        gain: float = 1.0,
    ) -> None:
        self._weights, self._generator, self._weigh = weights, generator, weigh
        self._gain = gain

    def _weight(self, name: str, make: Callable[[], Tensor], like: Tensor) -> Tensor:
        if name not in self._weights:
            self._weights[name] = nn.Parameter(make().to(like.device))
        weight: Tensor = self._weights[name]
        return weight if self._weigh is None else self._weigh(name, weight)

    def _random(self, shape: tuple[int, ...], fan_in: float) -> Tensor:
        # He's initialisation for slopes of 0.2 (Delving deep into rectifiers, section 2.2).
        bound = self._gain * math.sqrt(6 / ((1 + _LEAK**2) * fan_in))
        return (2 * torch.rand(shape, generator=self._generator) - 1) * bound

    @override
    def conv(
        self, x: Tensor, name: str, outputs: int, kernel: int | tuple[int, int] = 3, stride: int = 1
    ) -> Tensor:
        size = (kernel, kernel) if isinstance(kernel, int) else kernel
        shape = (outputs, x.shape[1], *size)
        fan_in = float(np.prod(shape[1:]))
        weight = self._weight(f"{name}_w", lambda: self._random(shape, fan_in), x)
        bias = self._weight(f"{name}_b", lambda: torch.zeros(outputs), x)
        return functional.conv2d(x, weight, bias, stride, (size[0] // 2, size[1] // 2))

    @override
    def upsample(self, x: Tensor, name: str, outputs: int, stride: int = 2) -> Tensor:
        shape = (x.shape[1], outputs, 3, 3)
        fan_in = 9 * x.shape[1] / stride**2
        weight = self._weight(f"{name}_w", lambda: self._random(shape, fan_in), x)
        bias = self._weight(f"{name}_b", lambda: torch.zeros(outputs), x)
        return functional.conv_transpose2d(x, weight, bias, stride, 1, stride - 1)

    @override
    def integer_conv(
        self,
        x: Tensor,
        name: str,
        outputs: int,
        kernel: int = 3,
        *,
        signed: bool = False,
        added: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        shape = (outputs, x.shape[1], kernel, kernel)
        fan_in = float(np.prod(shape[1:])) * (4 if signed else 1)
        weight = self._weight(f"{name}_w", lambda: self._random(shape, fan_in), x)
        bias = self._weight(f"{name}_b", lambda: torch.zeros(outputs), x)
        whole = _rounded(weight * (1 << WEIGHT_BITS))
        offset = _rounded(bias * ((1 << WEIGHT_BITS) * ACTIVATION_UNIT))
        total = functional.conv2d(x, whole, offset, 1, kernel // 2)
        for key, y in (added or {}).items():
            factor = self._weight(f"{name}_{key}_s", lambda: torch.zeros(outputs, 1, 1), x)
            total = total + _rounded(factor * (1 << WEIGHT_BITS)) * y
        total = total / (1 << WEIGHT_BITS)
        floored = total + (torch.floor(total) - total).detach()
        low, high = _limits(signed)
        if signed:
            return bounded(floored, low, high)
        # Values below the range keep a small slope: a unit that is dark everywhere can return.
        soft = functional.leaky_relu(bounded(floored, -math.inf, high), 0.02)
        return soft + (torch.clamp(floored, low, high) - soft).detach()

    @override
    def prelu(self, x: Tensor, name: str) -> Tensor:
        shape = (x.shape[1], 1, 1)
        slope = self._weight(f"{name}_a", lambda: torch.full(shape, _LEAK), x)
        return functional.prelu(x, slope.reshape(-1))

    @override
    def leaky(self, x: Tensor) -> Tensor:
        return functional.leaky_relu(x, _LEAK)

    @override
    def add(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y

    @override
    def multiply(self, x: Tensor, y: Tensor) -> Tensor:
        return x * y

    @override
    def sigmoid(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x)

    @override
    def swish(self, x: Tensor) -> Tensor:
        return functional.silu(x)

    @override
    def concat(self, parts: Sequence[Tensor]) -> Tensor:
        return torch.cat(list(parts), dim=1)

    @override
    def depth_to_space(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        blocks = x.reshape(batch, 2, 2, channels // 4, height, width)
        return blocks.permute(0, 3, 4, 1, 5, 2).reshape(batch, -1, 2 * height, 2 * width)

    @override
    def reshape(self, x: Tensor, shape: Sequence[int]) -> Tensor:
        return x.reshape([x.shape[i] if n == 0 else n for i, n in enumerate(shape)])

    @override
    def transpose(self, x: Tensor, axes: Sequence[int]) -> Tensor:
        return x.permute(list(axes))

    @override
    def softmax(self, x: Tensor, axis: int) -> Tensor:
        return torch.softmax(x, dim=axis)

    @override
    def matmul(self, x: Tensor, y: Tensor) -> Tensor:
        return x @ y

    @override
    def scale(self, x: Tensor, factor: float) -> Tensor:
        return x * factor

    @override
    def layer_norm(self, x: Tensor, name: str, size: int) -> Tensor:
        weight = self._weight(f"{name}_w", lambda: torch.ones(size), x)
        bias = self._weight(f"{name}_b", lambda: torch.zeros(size), x)
        return functional.layer_norm(x, (size,), weight, bias)

    @override
    def free(self, x: Tensor, name: str, size: int) -> Tensor:
        values = self._weight(f"{name}_p", lambda: torch.zeros(1, size, 1, 1), x)
        return values.expand(x.shape[0], -1, -1, -1)


class OnnxOps(Ops):
    """Writes a graph; tensors are names.

    Attributes
    ----------
    weights : list of str
        Names of the weights used so far.
    used : set of str
        Names of all inputs of nodes.
    """

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}
        self.weights: list[str] = []
        self.used: set[str] = set()

    def _node(self, operator: str, inputs: Sequence[str], **attributes: Any) -> str:
        output = f"v{len(self._nodes)}"
        self.used.update(inputs)
        self._nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def _weight(self, name: str) -> str:
        if name not in self.weights:
            self.weights.append(name)
        return name

    def _constant(self, name: str, values: np.ndarray[Any, Any], kind: int) -> str:
        self._constants[name] = helper.make_tensor(
            name, kind, values.shape, values.tobytes(), raw=True
        )
        return name

    def _number(self, value: float) -> str:
        name = f"c{value!r}"
        return self._constant(name, np.array(value, dtype="<f4"), TensorProto.FLOAT)

    def _filter(self, name: str) -> list[str]:
        return [self._weight(f"{name}_w"), self._weight(f"{name}_b")]

    @override
    def conv(
        self, x: str, name: str, outputs: int, kernel: int | tuple[int, int] = 3, stride: int = 1
    ) -> str:
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        pads = [height // 2, width // 2] * 2
        return self._node("Conv", [x, *self._filter(name)], pads=pads, strides=[stride, stride])

    @override
    def upsample(self, x: str, name: str, outputs: int, stride: int = 2) -> str:
        return self._node(
            "ConvTranspose",
            [x, *self._filter(name)],
            pads=[1] * 4,
            strides=[stride, stride],
            output_padding=[stride - 1] * 2,
        )

    @override
    def integer_conv(
        self,
        x: str,
        name: str,
        outputs: int,
        kernel: int = 3,
        *,
        signed: bool = False,
        added: Mapping[str, str] | None = None,
    ) -> str:
        total = self._node("Conv", [x, *self._filter(name)], pads=[kernel // 2] * 4)
        for key, y in (added or {}).items():
            total = self.add(total, self.multiply(y, self._weight(f"{name}_{key}_s")))
        # A power of two moves the exponent alone.
        part = self._node("Mul", [total, self._number(2.0**-WEIGHT_BITS)])
        low, high = _limits(signed)
        whole = self._node("Floor", [part])
        return self._node("Clip", [whole, self._number(low), self._number(high)])

    @override
    def prelu(self, x: str, name: str) -> str:
        return self._node("PRelu", [x, self._weight(f"{name}_a")])

    @override
    def leaky(self, x: str) -> str:
        return self._node("LeakyRelu", [x], alpha=_LEAK)

    @override
    def add(self, x: str, y: str) -> str:
        return self._node("Add", [x, y])

    @override
    def multiply(self, x: str, y: str) -> str:
        return self._node("Mul", [x, y])

    @override
    def sigmoid(self, x: str) -> str:
        return self._node("Sigmoid", [x])

    @override
    def swish(self, x: str) -> str:
        return self.multiply(x, self.sigmoid(x))

    @override
    def concat(self, parts: Sequence[str]) -> str:
        return self._node("Concat", parts, axis=1)

    @override
    def depth_to_space(self, x: str) -> str:
        return self._node("DepthToSpace", [x], blocksize=2)

    @override
    def reshape(self, x: str, shape: Sequence[int]) -> str:
        name = "s" + "_".join(map(str, shape))
        sizes = self._constant(name, np.array(shape, dtype="<i8"), TensorProto.INT64)
        return self._node("Reshape", [x, sizes])

    @override
    def transpose(self, x: str, axes: Sequence[int]) -> str:
        return self._node("Transpose", [x], perm=list(axes))

    @override
    def softmax(self, x: str, axis: int) -> str:
        return self._node("Softmax", [x], axis=axis)

    @override
    def matmul(self, x: str, y: str) -> str:
        return self._node("MatMul", [x, y])

    @override
    def scale(self, x: str, factor: float) -> str:
        return self._node("Mul", [x, self._number(factor)])

    @override
    def layer_norm(self, x: str, name: str, size: int) -> str:
        return self._node("LayerNormalization", [x, *self._filter(name)], axis=-1)

    @override
    def free(self, x: str, name: str, size: int) -> str:
        return self.scale(self._weight(f"{name}_p"), 1.0)

    def finish(self, output: str, inputs: Sequence[str]) -> bytes:
        """Serialise the graph that gives ``output`` from ``inputs`` and weights."""
        values = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
            for name in (*inputs, *self.weights)
        ]
        result = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
        graph = helper.make_graph(
            self._nodes, "g", values, [result], initializer=list(self._constants.values())
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)])
        model.ir_version = _IR_VERSION
        model.ClearField("producer_name")
        data: bytes = model.SerializeToString(deterministic=True)
        return data


def _rounded(x: Tensor) -> Tensor:
    """Round; the gradient passes straight through."""
    return x + (torch.round(x) - x).detach()


def _limits(signed: bool) -> tuple[float, float]:
    return (-32768.0, 32767.0) if signed else (0.0, float(MOST_ACTIVATION))
