"""The gate for graphs of images: operators, and how large their results get for given inputs.

Networks of images convolve, upsample and multiply their own results. What keeps them within
bounds is that every size is worked out here, for the very inputs they will get, before ONNX
Runtime allocates anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from inrvis.container.graphs import read_graph
from inrvis.errors import GraphError, LimitError

Shape = tuple[int, ...]
Shapes = dict[str, Shape]

# For each pixel: elements of any one result, and products of a whole graph.
MAX_ELEMENTS_PER_PIXEL = 256
MAX_PRODUCTS_PER_PIXEL = 1 << 20
_MOST_STRIDE = 2
_MOST_PAD = 16
_INT64 = 7


class CheckedGraph:
    """A graph that passed, ready to have its sizes worked out.

    Parameters
    ----------
    data : bytes
        Serialised ONNX model of an untrusted file.

    Raises
    ------
    GraphError, LimitError
        If it is no plain graph of allowed operators.
    """

    def __init__(self, data: bytes) -> None:
        self._graph = read_graph(data, IMAGE_OPERATORS)
        self._constants = {t.name: tuple(t.dims) for t in self._graph.initializer}
        self._integers = {
            t.name: np.frombuffer(t.raw_data[: 8 * (len(t.raw_data) // 8)], "<i8").tolist()
            for t in self._graph.initializer
            if t.data_type == _INT64
        }
        self.inputs = tuple(v.name for v in self._graph.input if v.name not in self._constants)

    def output_shape(self, shapes: Mapping[str, Shape], pixels: int) -> Shape:
        """Shape of the first output for inputs of ``shapes``.

        Parameters
        ----------
        shapes : mapping of str to tuple of int
            Shapes of all inputs.
        pixels : int
            Pixels of the image in question, by which the limits are measured.

        Raises
        ------
        GraphError
            If the sizes do not fit together.
        LimitError
            If they are larger than any graph of ours needs.
        """
        known: Shapes = {**self._constants, **shapes}
        products = 0
        for node in self._graph.node:
            try:
                own = [known[name] for name in node.input if name]
                shape, cost = _OPERATORS[node.op_type](_Call(node, own, self._integers))
            except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
                raise GraphError(
                    f"sizes in the file's graph do not fit together at {node.op_type}"
                ) from error
            products += cost
            if min(shape, default=1) < 1:
                raise GraphError(f"the file's graph has an empty result at {node.op_type}")
            if math.prod(shape) > MAX_ELEMENTS_PER_PIXEL * pixels + (1 << 20):
                raise LimitError("the file's graph has a result beyond all proportion")
            if products > MAX_PRODUCTS_PER_PIXEL * pixels + (1 << 32):
                raise LimitError("the file's graph takes more work than any of ours")
            known[node.output[0]] = shape
        name = self._graph.output[0].name if self._graph.output else ""
        if name not in known:
            raise GraphError("the file's graph has no output")
        return known[name]


class _Call:
    """A node with the shapes of its inputs."""

    def __init__(self, node: Any, shapes: list[Shape], integers: Mapping[str, list[int]]) -> None:
        self.shapes, self._node, self._integers = shapes, node, integers
        self._attributes = {a.name: a for a in node.attribute}
        if len(node.output) != 1:
            raise ValueError

    def integer(self, name: str, default: int) -> int:
        return int(self._attributes[name].i) if name in self._attributes else default

    def integers(self, name: str, default: Sequence[int]) -> list[int]:
        return list(self._attributes[name].ints) if name in self._attributes else list(default)

    def constant(self, position: int) -> list[int]:
        return self._integers[self._node.input[position]]


Result = tuple[Shape, int]


def _same(call: _Call) -> Result:
    return call.shapes[0], 0


def _broadcast(call: _Call) -> Result:
    return tuple(np.broadcast_shapes(*call.shapes)), 0


def _window(call: _Call) -> tuple[list[int], list[int], list[int]]:
    """Strides, pads and reach of a convolution; ValueError beyond what ours have."""
    kernel = call.shapes[1]
    strides, pads = call.integers("strides", (1, 1)), call.integers("pads", (0, 0, 0, 0))
    dilations = call.integers("dilations", (1, 1))
    if call.integer("group", 1) != 1 or len(call.shapes[0]) != 4 or len(kernel) != 4:
        raise ValueError
    if not all(1 <= s <= _MOST_STRIDE for s in (*strides, *dilations)):
        raise ValueError
    if not all(0 <= p <= _MOST_PAD for p in pads):
        raise ValueError
    reach = [d * (k - 1) + 1 for d, k in zip(dilations, kernel[2:], strict=True)]
    return strides, [pads[0] + pads[2], pads[1] + pads[3]], reach


def _conv(call: _Call) -> Result:
    batch, channels, *size = call.shapes[0]
    outputs, inputs, *kernel = call.shapes[1]
    strides, pads, reach = _window(call)
    if inputs != channels or call.shapes[2:] not in ([], [(outputs,)]):
        raise ValueError
    height, width = (
        (n + p - r) // s + 1 for n, p, r, s in zip(size, pads, reach, strides, strict=True)
    )
    products = batch * outputs * height * width * channels * math.prod(kernel)
    return (batch, outputs, height, width), products


def _conv_transpose(call: _Call) -> Result:
    batch, channels, *size = call.shapes[0]
    inputs, outputs, *kernel = call.shapes[1]
    strides, pads, reach = _window(call)
    extra = call.integers("output_padding", (0, 0))
    if (
        inputs != channels
        or not all(0 <= e < _MOST_STRIDE for e in extra)
        or call.integers("output_shape", ())
        or call.shapes[2:] not in ([], [(outputs,)])
    ):
        raise ValueError
    height, width = (
        s * (n - 1) + e + r - p
        for n, p, r, s, e in zip(size, pads, reach, strides, extra, strict=True)
    )
    products = batch * outputs * math.prod(size) * channels * math.prod(kernel)
    return (batch, outputs, height, width), products


def _depth_to_space(call: _Call) -> Result:
    batch, channels, height, width = call.shapes[0]
    block = call.integer("blocksize", 0)
    if block != _MOST_STRIDE or channels % block**2:
        raise ValueError
    return (batch, channels // block**2, height * block, width * block), 0


def _concat(call: _Call) -> Result:
    axis = range(len(call.shapes[0]))[call.integer("axis", 0)]
    rests = {(*s[:axis], *s[axis + 1 :]) for s in call.shapes}
    if len(rests) != 1:
        raise ValueError
    first = call.shapes[0]
    return (*first[:axis], sum(s[axis] for s in call.shapes), *first[axis + 1 :]), 0


def _reshape(call: _Call) -> Result:
    shape, total = call.shapes[0], math.prod(call.shapes[0])
    wanted = [shape[i] if n == 0 else n for i, n in enumerate(call.constant(1))]
    if wanted.count(-1) > 1 or min(wanted) < -1:
        raise ValueError
    rest = math.prod(n for n in wanted if n != -1)
    wanted = [total // rest if n == -1 else n for n in wanted]
    if math.prod(wanted) != total:
        raise ValueError
    return tuple(wanted), 0


def _transpose(call: _Call) -> Result:
    axes = call.integers("perm", range(len(call.shapes[0]))[::-1])
    if sorted(axes) != list(range(len(call.shapes[0]))):
        raise ValueError
    return tuple(call.shapes[0][axis] for axis in axes), 0


def _matmul(call: _Call) -> Result:
    first, second = call.shapes
    if min(len(first), len(second)) < 2 or first[-1] != second[-2]:
        raise ValueError
    batch = tuple(np.broadcast_shapes(first[:-2], second[:-2]))
    shape = (*batch, first[-2], second[-1])
    return shape, math.prod(shape) * first[-1]


_OPERATORS: dict[str, Callable[[_Call], Result]] = {
    "Add": _broadcast,
    "Clip": _same,
    "Concat": _concat,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "DepthToSpace": _depth_to_space,
    "Floor": _same,
    "LayerNormalization": _same,
    "LeakyRelu": _same,
    "MatMul": _matmul,
    "Mul": _broadcast,
    "PRelu": _same,
    "Reshape": _reshape,
    "Sigmoid": _same,
    "Softmax": _same,
    "Transpose": _transpose,
}
IMAGE_OPERATORS = frozenset(_OPERATORS)
