"""The ONNX graphs of a network, built node by node: small, standard, with weights as inputs."""

from __future__ import annotations

from typing import Any

from onnx import TensorProto, helper

OPSET = 17
IR_VERSION = 8


def _model(
    nodes: list[Any],
    inputs: dict[str, list[Any]],
    output: str,
    rank: int,
    constants: dict[str, list[int]] | None = None,
) -> bytes:
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()]
    result = helper.make_tensor_value_info(output, TensorProto.FLOAT, [None] * rank)
    shapes = [
        helper.make_tensor(
            name,
            TensorProto.INT64,
            [len(v)],
            b"".join(number.to_bytes(8, "little", signed=True) for number in v),
            raw=True,
        )
        for name, v in (constants or {}).items()
    ]
    graph = helper.make_graph(nodes, "g", values, [result], initializer=shapes)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = IR_VERSION
    model.ClearField("producer_name")
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def trunk_graph(layers: int) -> bytes:
    """Coordinates (3, n) and weights ``w0, w0b, ...`` to features (features, n)."""
    nodes, hidden = [], "coordinates"
    inputs: dict[str, list[Any]] = {"coordinates": [3, "n"]}
    for index in range(layers):
        inputs[f"w{index}"], inputs[f"w{index}b"] = [None, None], [None, 1]
        nodes.append(helper.make_node("Gemm", [f"w{index}", hidden, f"w{index}b"], [f"s{index}"]))
        hidden = f"s{index}"
        if index < layers - 1:
            nodes.append(helper.make_node("Sin", [hidden], [f"t{index}"]))
            hidden = f"t{index}"
    return _model(nodes, inputs, hidden, 2)


def fourier_graph(layers: int) -> bytes:
    """Coordinates (3, n), frequencies ``w0`` and rectified layers ``w1c, w1s, w1b, w2, ...``.

    The first layer's cosine and sine halves are products of their own: nothing is concatenated.
    """
    nodes = [
        helper.make_node("MatMul", ["w0", "coordinates"], ["a"]),
        helper.make_node("Cos", ["a"], ["c"]),
        helper.make_node("Sin", ["a"], ["s"]),
        helper.make_node("Gemm", ["w1c", "c", "w1b"], ["h1c"]),
        helper.make_node("Gemm", ["w1s", "s", "h1c"], ["h1"]),
    ]
    inputs: dict[str, list[Any]] = {
        "coordinates": [3, "n"],
        "w0": [None, 3],
        "w1c": [None, None],
        "w1s": [None, None],
        "w1b": [None, 1],
    }
    for index in range(2, layers + 1):
        inputs[f"w{index}"], inputs[f"w{index}b"] = [None, None], [None, 1]
        nodes.append(helper.make_node("Relu", [f"h{index - 1}"], [f"r{index}"]))
        nodes.append(
            helper.make_node("Gemm", [f"w{index}", f"r{index}", f"w{index}b"], [f"h{index}"])
        )
    return _model(nodes, inputs, f"h{layers}", 2)


def interpolate_graph() -> bytes:
    """Lattice (features, mz, my, mx) and weights of its axes to features (features, n)."""
    nodes = [
        helper.make_node("Transpose", ["weights_x"], ["a"], perm=[1, 0]),
        helper.make_node("MatMul", ["lattice", "a"], ["b"]),
        helper.make_node("MatMul", ["weights_y", "b"], ["c"]),
        helper.make_node("Reshape", ["c", "planes"], ["d"]),
        helper.make_node("MatMul", ["weights_z", "d"], ["e"]),
        helper.make_node("Reshape", ["e", "rows"], ["f"]),
    ]
    inputs = {
        "lattice": ["f0", "mz", "my", "mx"],
        "weights_x": ["nx", "mx"],
        "weights_y": ["ny", "my"],
        "weights_z": ["nz", "mz"],
    }
    return _model(nodes, inputs, "f", 2, {"planes": [0, 0, -1], "rows": [0, -1]})


def head_graph(layers: int) -> bytes:
    """Features (features, n) and weights ``h0, h0b, ...`` to channels (channels, n)."""
    nodes, hidden = [], "features"
    inputs: dict[str, list[Any]] = {"features": [None, "n"]}
    for index in range(layers):
        inputs[f"h{index}"], inputs[f"h{index}b"] = [None, None], [None, 1]
        nodes.append(helper.make_node("Sin", [hidden], [f"s{index}"]))
        nodes.append(
            helper.make_node("Gemm", [f"h{index}", f"s{index}", f"h{index}b"], [f"t{index}"])
        )
        hidden = f"t{index}"
    return _model(nodes, inputs, hidden, 2)
