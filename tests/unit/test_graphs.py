"""Graphs of unknown origin: only plain graphs of known operators reach ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import inrvis
from inrvis.container.graphs import ALLOWED_OPERATORS, MAX_NODES, check_graph
from inrvis.encoder.export import fourier_graph, head_graph, interpolate_graph, trunk_graph
from inrvis.errors import FormatError, GraphError

Models = list[bytes]


def model(nodes: list[Any], opset: int = 17, **graph: Any) -> onnx.ModelProto:
    """Return a head graph of ``nodes`` that end in ``y``, with the inputs of the golden file."""
    names = ("features", "h0", "h0b", "h1", "h1b")
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [None, None]) for n in names]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, None])
    made = helper.make_model(
        helper.make_graph(nodes, "g", inputs, [output], **graph),
        opset_imports=[helper.make_opsetid("", opset)],
    )
    made.ir_version = 8
    return made


def node(operator: str, *inputs: str, output: str = "y", **attributes: Any) -> Any:
    return helper.make_node(operator, inputs or ["features"], [output], **attributes)


def external() -> onnx.ModelProto:
    tensor = numpy_helper.from_array(np.zeros(4, np.float32), "c")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/hostname")
    return model([node("MatMul", "c", "features")], initializer=[tensor])


def custom_domain() -> onnx.ModelProto:
    made = model([node("Relu", domain="com.example")])
    made.opset_import.append(helper.make_opsetid("com.example", 1))
    return made


def subgraph() -> onnx.ModelProto:
    branch = helper.make_graph(
        [helper.make_node("Identity", ["features"], ["z"])],
        "b",
        [],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, [None, None])],
    )
    return model([node("If", "features", then_branch=branch, else_branch=branch)])


def hidden_subgraph() -> onnx.ModelProto:
    made = subgraph()
    made.graph.node[0].op_type = "Relu"
    return made


def function() -> onnx.ModelProto:
    made = model([node("Relu", domain="local")])
    made.opset_import.append(helper.make_opsetid("local", 1))
    inner = helper.make_node("Relu", ["a"], ["b"])
    opset = helper.make_opsetid("", 17)
    made.functions.append(helper.make_function("local", "Relu", ["a"], ["b"], [inner], [opset]))
    return made


def shadowing_function() -> onnx.ModelProto:
    made = model([node("Relu")])
    inner = helper.make_node("Relu", ["a"], ["b"])
    opset = helper.make_opsetid("", 17)
    made.functions.append(helper.make_function("", "Relu", ["a"], ["b"], [inner], [opset]))
    return made


def large_constant() -> onnx.ModelProto:
    tensor = numpy_helper.from_array(np.zeros(100_000, np.float32), "c")
    return model([node("MatMul", "c", "features")], initializer=[tensor])


def lying_constant() -> onnx.ModelProto:
    tensor = numpy_helper.from_array(np.zeros(4, np.float32), "c")
    tensor.dims[0] = 1 << 40
    return model([node("MatMul", "c", "features")], initializer=[tensor])


def sparse_constant() -> onnx.ModelProto:
    values = numpy_helper.from_array(np.ones(1, np.float32), "c")
    indices = numpy_helper.from_array(np.zeros(1, np.int64), "i")
    sparse = helper.make_sparse_tensor(values, indices, [1 << 40])
    return model([node("MatMul", "c", "features")], sparse_initializer=[sparse])


def chain(length: int) -> onnx.ModelProto:
    names = ["features", *(f"t{i}" for i in range(length - 1)), "y"]
    return model([node("Relu", a, output=b) for a, b in pairwise(names)])


def with_metadata() -> onnx.ModelProto:
    made = model([node("Relu")])
    made.metadata_props.add(key="ort_config", value="{}")
    return made


def two_opsets() -> onnx.ModelProto:
    made = model([node("Relu")])
    made.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    return made


def no_opset() -> onnx.ModelProto:
    made = model([node("Relu")])
    made.ClearField("opset_import")
    return made


BAD: dict[str, Callable[[], onnx.ModelProto]] = {
    "operator off the list": lambda: model([node("ArgMax", axis=0)]),
    "loop": lambda: model([node("Loop")]),
    "constant of shape": lambda: model([node("ConstantOfShape")]),
    "random": lambda: model([node("RandomNormal", shape=[1 << 20, 1 << 20])]),
    "expand": lambda: model([node("Expand", "features", "h0")]),
    "tile": lambda: model([node("Tile", "features", "h0")]),
    "external data": external,
    "custom domain": custom_domain,
    "microsoft domain": lambda: model([node("Gelu", domain="com.microsoft")]),
    "subgraph": subgraph,
    "hidden subgraph": hidden_subgraph,
    "function": function,
    "shadowing function": shadowing_function,
    "large constant": large_constant,
    "sparse constant": sparse_constant,
    "too many nodes": lambda: chain(MAX_NODES + 1),
    "no nodes": lambda: model([]),
    "opset 99": lambda: model([node("Relu")], opset=99),
    "opset 0": lambda: model([node("Relu")], opset=0),
    "two opsets": two_opsets,
    "no opset": no_opset,
    "metadata": with_metadata,
    "tensor attribute": lambda: model(
        [node("Relu", value=numpy_helper.from_array(np.zeros(1, np.float32)))]
    ),
    "text attribute": lambda: model([node("Relu", path="/etc/passwd")]),
}


def growing() -> onnx.ModelProto:
    """Return outer products of reshaped outer products: far more memory than any file's graph."""
    shapes = {"column": [-1, 1], "row": [1, -1]}
    constants = [numpy_helper.from_array(np.array(v, np.int64), n) for n, v in shapes.items()]
    nodes, last = [], "features"
    for index in range(3):
        nodes += [
            node("Reshape", last, "column", output=f"c{index}"),
            node("Reshape", last, "row", output=f"r{index}"),
            node("MatMul", f"c{index}", f"r{index}", output=f"p{index}"),
        ]
        last = f"p{index}"
    nodes[-1].output[0] = "y"
    return model(nodes, initializer=constants)


def doubles() -> onnx.ModelProto:
    """Return constants as float64: an output of a type that no network of ours has."""
    constants = [
        numpy_helper.from_array(np.ones(4), "c"),
        numpy_helper.from_array(np.array([4, 1], np.int64), "s"),
    ]
    made = model([node("Reshape", "c", "s")], initializer=constants)
    made.graph.output[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    return made


# Sound by the list, but not graphs that belong to the file or that can run.
MISFITS: dict[str, Callable[[], onnx.ModelProto]] = {
    "wrong inputs": lambda: onnx.load_from_string(interpolate_graph()),
    "unknown input": lambda: model([node("MatMul", "features", "nothing")]),
    "lying constant": lying_constant,
    "wrong shape": lambda: model([node("Transpose", "features", perm=[1, 0])]),
    "wrong rank": lambda: model([node("Transpose", "features", perm=[2, 1, 0])]),
    "impossible product": lambda: model([node("MatMul", "features", "features")]),
    "product of results": lambda: model(
        [node("Sin", output="s"), node("Transpose", "s", output="t"), node("MatMul", "s", "t")]
    ),
    "too few channels": lambda: model(
        [node("Transpose", "h1b", output="t", perm=[1, 0]), node("MatMul", "t", "features")]
    ),
    "too many channels": lambda: model([node("MatMul", "h0", "features")]),
    "doubles": doubles,
    "growing": growing,
}


@pytest.mark.parametrize(
    "data",
    [
        trunk_graph(1),
        trunk_graph(12),
        fourier_graph(1),
        fourier_graph(9),
        interpolate_graph(),
        head_graph(2),
        head_graph(5),
    ],
)
def test_our_own_graphs_pass(data: bytes) -> None:
    check_graph(data)
    onnx.checker.check_model(onnx.load_from_string(data), full_check=True)
    made = onnx.load_from_string(data)
    assert {node.op_type for node in made.graph.node} <= ALLOWED_OPERATORS
    assert [(o.domain, o.version <= 20) for o in made.opset_import] == [("", True)]
    assert len(data) < 4096


@pytest.mark.parametrize("name", BAD)
def test_a_forbidden_graph(name: str) -> None:
    with pytest.raises(FormatError):
        check_graph(BAD[name]().SerializeToString())


def test_the_operator_is_named() -> None:
    with pytest.raises(GraphError, match="ArgMax"):
        check_graph(model([node("ArgMax")]).SerializeToString())


@pytest.mark.parametrize("data", [b"", b"\x00", b"not a graph", bytes(5000), b"\xff" * 300])
def test_what_is_no_graph(data: bytes) -> None:
    with pytest.raises(FormatError):
        check_graph(data)


def test_a_graph_of_many_bytes_or_cut_short() -> None:
    with pytest.raises(FormatError):
        check_graph(bytes(2 << 20))
    whole = head_graph(2)
    for length in range(1, len(whole) - 1, 11):
        with pytest.raises(FormatError):
            check_graph(whole[:length])


def head(name: str) -> Callable[[Models], None]:
    """Return an edit that puts a bad graph in the place of the head."""
    made = {**BAD, **MISFITS}[name]().SerializeToString()

    def change(models: Models) -> None:
        models[1] = made

    return change


@pytest.mark.parametrize("name", [n for n in (*BAD, *MISFITS) if n != "growing"])
def test_a_file_with_such_a_graph(edited: Callable[..., Path], name: str) -> None:
    path = edited(graphs=head(name))
    with pytest.raises(FormatError) as caught, inrvis.open(path) as volume:
        volume.decode_arrays(volume.arrays)
    assert "\n" not in str(caught.value)


def test_the_command_line_refuses_them(
    edited: Callable[..., Path], watch: Callable[..., Any], tmp_path: Path
) -> None:
    paths = [edited(graphs=head(name), name=f"g{n}") for n, name in enumerate([*BAD, *MISFITS])]
    watched = watch([["decode", path, "-o", tmp_path / "o.vti", "--quiet"] for path in paths])
    for outcome in watched.outcomes:
        outcome.assert_one_line(3)
    assert watched.peak_bytes < 400 << 20
    assert not (tmp_path / "o.vti").exists()
