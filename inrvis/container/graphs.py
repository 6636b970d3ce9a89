"""The gate that every ONNX graph from a file passes before ONNX Runtime sees it.

A graph is read with a schema of our own that knows the small part of ONNX which our graphs use.
Whatever else a file carries (external data, subgraphs, functions, sparse or quantised tensors,
metadata) turns up as an unknown field and is refused, so no new feature of ONNX opens a way in.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from inrvis.errors import GraphError, LimitError

MAX_GRAPH_BYTES = 1 << 20
MAX_NODES = 256
MAX_OPSET = 20
MAX_CONSTANT_BYTES = 1 << 16
MAX_RANK = 6

# Functions of single values, products and reshapes. Nothing loops, branches or reads; nothing
# broadcasts but a bias, and a product has an input of the graph as a factor (see _check_products),
# so memory grows in proportion to the inputs alone.
ALLOWED_OPERATORS = frozenset(
    {
        "Cos",
        "Gemm",
        "LeakyRelu",
        "MatMul",
        "Relu",
        "Reshape",
        "Sigmoid",
        "Sin",
        "Tanh",
        "Transpose",
    }
)

# name: (field number, type, repeated); a type in capitals is one of the messages below.
_SCHEMA: dict[str, dict[str, tuple[int, str, bool]]] = {
    "Model": {
        "ir_version": (1, "int64", False),
        "producer_name": (2, "string", False),
        "producer_version": (3, "string", False),
        "graph": (7, "Graph", False),
        "opset_import": (8, "Opset", True),
    },
    "Opset": {"domain": (1, "string", False), "version": (2, "int64", False)},
    "Graph": {
        "node": (1, "Node", True),
        "name": (2, "string", False),
        "initializer": (5, "Tensor", True),
        "input": (11, "Value", True),
        "output": (12, "Value", True),
    },
    "Node": {
        "input": (1, "string", True),
        "output": (2, "string", True),
        "name": (3, "string", False),
        "op_type": (4, "string", False),
        "attribute": (5, "Attribute", True),
        "domain": (7, "string", False),
    },
    "Attribute": {
        "name": (1, "string", False),
        "f": (2, "float", False),
        "i": (3, "int64", False),
        "floats": (7, "float", True),
        "ints": (8, "int64", True),
        "type": (20, "int32", False),
    },
    "Tensor": {
        "dims": (1, "int64", True),
        "data_type": (2, "int32", False),
        "name": (8, "string", False),
        "raw_data": (9, "bytes", False),
    },
    "Value": {"name": (1, "string", False), "type": (2, "Type", False)},
    "Type": {"tensor_type": (1, "TensorType", False)},
    "TensorType": {"elem_type": (1, "int32", False), "shape": (2, "Shape", False)},
    "Shape": {"dim": (1, "Dim", True)},
    "Dim": {"dim_value": (1, "int64", False), "dim_param": (2, "string", False)},
}


@cache
def _model_class() -> Any:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(
        name="inrvis_graph.proto", package="inrvis_graph", syntax="proto2"
    )
    kinds = descriptor_pb2.FieldDescriptorProto
    for message_name, fields in _SCHEMA.items():
        message = file.message_type.add(name=message_name)
        for field_name, (number, kind, repeated) in fields.items():
            field = message.field.add(
                name=field_name,
                number=number,
                label=kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL,
            )
            if kind[0].isupper():
                field.type = kinds.TYPE_MESSAGE
                field.type_name = f".inrvis_graph.{kind}"
            else:
                field.type = getattr(kinds, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("inrvis_graph.Model"))


def _refuse_unknown(message: Any, where: str) -> None:
    from google.protobuf import unknown_fields

    unknown = unknown_fields.UnknownFieldSet(message)
    if len(unknown):
        raise GraphError(
            f"the file's graph holds field {unknown[0].field_number} of {where}, "
            "which no inrvis graph has"
        )
    for descriptor, value in message.ListFields():
        if descriptor.message_type is not None:
            items = [value] if hasattr(value, "ListFields") else value
            for item in items:
                _refuse_unknown(item, descriptor.message_type.name)


def check_graph(data: bytes, *, reshape: bool = True) -> None:
    """Check an ONNX model from an untrusted file.

    Parameters
    ----------
    data : bytes
        The serialised ModelProto.
    reshape : bool
        Whether the graph may use Reshape. Together with products it could square the size of
        its input; only the interpolation, whose inputs are small tiles, needs it.

    Raises
    ------
    GraphError
        If it is not a plain graph of allowed operators.
    LimitError
        If it is larger than any graph of ours.
    """
    graph = read_graph(data, ALLOWED_OPERATORS - (frozenset() if reshape else {"Reshape"}))
    _check_products(graph)


def read_graph(data: bytes, operators: frozenset[str]) -> Any:
    """Parse an ONNX model of an untrusted file, and check all but how its sizes grow.

    Parameters
    ----------
    data : bytes
        The serialised ModelProto.
    operators : frozenset of str
        Operators that it may use.

    Returns
    -------
    message
        The GraphProto, in the schema of this module.

    Raises
    ------
    GraphError, LimitError
        As for `check_graph`.
    """
    if len(data) > MAX_GRAPH_BYTES:
        raise LimitError(f"the file's graph has {len(data)} bytes; the limit is {MAX_GRAPH_BYTES}")
    from google.protobuf.message import DecodeError

    model = _model_class()()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise GraphError("the file's graph is not an ONNX model") from error
    _refuse_unknown(model, "Model")
    _check_opset(model)
    graph = model.graph
    if not 0 < len(graph.node) <= MAX_NODES:
        raise LimitError(f"the file's graph has {len(graph.node)} nodes; the limit is {MAX_NODES}")
    for node in graph.node:
        if node.domain not in ("", "ai.onnx"):
            raise GraphError(f"the file's graph uses the custom domain {node.domain!r}")
        if node.op_type not in operators:
            raise GraphError(
                f"the file's graph uses operator {node.op_type!r}, which is not allowed"
            )
    _check_constants(graph)
    return graph


def _check_products(graph: Any) -> None:
    given = {value.name for value in graph.input}
    for node in graph.node:
        if node.op_type == "Transpose" and set(node.input) <= given:
            given.update(node.output)
        if node.op_type in ("Gemm", "MatMul") and not given & set(node.input[:2]):
            raise GraphError("the file's graph multiplies its own results")


def _check_opset(model: Any) -> None:
    for opset in model.opset_import:
        if opset.domain not in ("", "ai.onnx"):
            raise GraphError(f"the file's graph imports the custom domain {opset.domain!r}")
        if not 0 < opset.version <= MAX_OPSET:
            raise GraphError(f"the file's graph is of opset {opset.version}, not 1..{MAX_OPSET}")
    if len(model.opset_import) != 1:
        raise GraphError("the file's graph names no single opset")


def _check_constants(graph: Any) -> None:
    for tensor in graph.initializer:
        if len(tensor.dims) > MAX_RANK or len(tensor.raw_data) > MAX_CONSTANT_BYTES:
            raise LimitError(f"the file's graph holds a large constant, {tensor.name!r}")
    for value in [*graph.input, *graph.output]:
        dims = value.type.tensor_type.shape.dim
        if len(dims) > MAX_RANK or any(dim.dim_value < 0 for dim in dims):
            raise GraphError(f"the file's graph has an input of impossible shape, {value.name!r}")
