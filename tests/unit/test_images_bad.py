"""Files of images of unknown origin: one clear line for each, and no memory for what they claim."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from inrvis.container.image_graphs import CheckedGraph
from inrvis.container.images_header import ROLES
from inrvis.container.sections import deflate, inflate, join, read_sections, split
from inrvis.decoder.images import Images
from inrvis.encoder.images.pair_encoder import PairEncoder
from inrvis.encoder.images.settings import ExactSettings, ImageTraining
from inrvis.errors import ChecksumError, FormatError, GraphError, LimitError
from inrvis.parameters import Cell, Parameter
from inrvis.sources.database import ImageDatabase, StoredImage
from tests.unit.small_databases import changed_file

Edit = Callable[[Any], Any]


@pytest.fixture(scope="module")
def sections(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the sections of a file with three images and two masks, of a network as it starts."""
    random = np.random.default_rng(0)
    images = []
    for k in range(3):
        pixels = random.integers(0, 256, (33, 40, 4), dtype=np.uint8)
        pixels[..., 3] = 255 * (pixels[..., 3] > 99) if k < 2 else pixels[..., 3]
        images.append(StoredImage(33, 40, 4, "uint8", lambda p=pixels: p))  # type: ignore[misc]
    source = ImageDatabase(
        (Parameter("phi", ("0", "5", "9")),),
        ("FILE",),
        tuple(Cell((k,), (k,)) for k in range(3)),
        tuple(images),
    )
    training = ImageTraining(pairing="sorted")
    encoder = PairEncoder(source, ExactSettings(8, 6, 4, 8, 8), training, device="cpu")
    model = encoder.make_model()
    exported = encoder.export(encoder.trainer(model))
    path = tmp_path_factory.mktemp("images") / "sound.inr"
    path.write_bytes(encoder.pack(exported, encoder.code(model, exported), {}, 0))
    return read_sections(path)


@pytest.fixture
def opened(sections: dict[str, bytes], tmp_path: Path) -> Callable[..., list[Any]]:
    """Return a function that decodes all images of the file with changed sections."""

    def run(**changed: bytes | None) -> list[Any]:
        with Images(changed_file(sections, tmp_path, **changed)) as images:
            return [images.decode(k) for k in range(images.count)]

    return run


def test_the_file_is_sound(opened: Callable[..., list[Any]]) -> None:
    assert [image.shape for image in opened()] == [(33, 40, 4)] * 3


def codec(**values: Any) -> Edit:
    return lambda header: header["codec"].update(values)


def root(**values: Any) -> Edit:
    return lambda header: header.update(values)


HEADERS = {
    "volume": root(kind="volume"),
    "no_columns": root(columns=[]),
    "same_names": root(columns=["phi"]),
    "many_cells": root(cells=1 << 40),
    "fewer_cells": root(cells=2),
    "no_images": root(images=0),
    "more_pairs": root(pairs=3),
    "huge": root(kinds=[[16384, 16384, 4, "uint8", "alpha"], [33, 40, 4, "uint8", ""]]),
    "wide": root(kinds=[[1, 1 << 20, 4, "uint8", "alpha"], [33, 40, 4, "uint8", ""]]),
    "doubles": root(kinds=[[33, 40, 1, "float64", ""], [33, 40, 4, "uint8", ""]]),
    "odd_mask": root(kinds=[[33, 40, 4, "uint8", "holes"], [33, 40, 4, "uint8", ""]]),
    "one_kind": root(kinds=[[33, 40, 4, "uint8", "alpha"]]),
    "other_size": root(kinds=[[33, 40, 4, "uint8", "alpha"], [65, 64, 4, "uint8", ""]]),
    "parameters": root(parameters=[{"name": "phi", "values": ["0"]}]),
    "arithmetic": codec(arithmetic="quantum"),
    "channels": codec(channels=9),
    "latents": codec(latents=7),
    "hyperlatents": codec(hyperlatents=5),
    "features": codec(features=9),
    "codes": codec(codes=[]),
    "range": codec(low=2.0),
    "infinite": codec(high=1e400),
    "no_graphs": codec(graphs={}),
    "graph_number": codec(
        graphs=dict.fromkeys(
            ROLES,
            7,
        )
    ),
    "no_tensors": codec(tensors=[]),
    "tensor_name": codec(tensors=[["code", [1], 1.0, 0]]),
    "tensor_size": codec(tensors=[["w", [4096, 4096], 1.0, 0]]),
}


@pytest.mark.parametrize("edit", HEADERS.values(), ids=HEADERS)
def test_headers(edit: Edit, sections: dict[str, bytes], opened: Callable[..., list[Any]]) -> None:
    header = json.loads(inflate(sections["header"], "header"))
    edit(header)
    with pytest.raises(FormatError) as caught:
        opened(header=deflate(json.dumps(header).encode()))
    assert str(caught.value)
    assert "\n" not in str(caught.value)


# Numbers of the section: three cells of two, three kinds, two pairs.
TABLES = {"value": (0, 3), "image": (1, 3), "cell": (3, 0), "kind": (6, 2)}
TABLES |= {"left": (9, -1), "twice": (11, 0), "right": (10, 3)}


@pytest.mark.parametrize(("place", "number"), TABLES.values(), ids=TABLES)
def test_tables(
    place: int, number: int, sections: dict[str, bytes], opened: Callable[..., list[Any]]
) -> None:
    numbers = np.frombuffer(inflate(sections["tables"], "tables"), "<i4").copy()
    assert numbers.tolist() == [0, 0, 1, 1, 2, 2, 0, 0, 1, 0, 1, 2, -1]
    numbers[place] = number
    with pytest.raises(FormatError, match="tables section is damaged"):
        opened(tables=deflate(numbers.tobytes()))


@pytest.mark.parametrize("name", ["tables", "graphs", "weights", "latents", "masks"])
def test_sections_that_are_missing_or_cut(
    name: str, sections: dict[str, bytes], opened: Callable[..., list[Any]]
) -> None:
    with pytest.raises(FormatError):
        opened(**{name: None})
    with pytest.raises(FormatError):
        opened(**{name: sections[name][:-5]})


def test_streams_that_are_damaged(
    sections: dict[str, bytes], opened: Callable[..., list[Any]]
) -> None:
    """Every change of a stream that matters is found by the checksum of the symbols."""
    streams = split(sections["latents"], "latents")
    random = np.random.default_rng(1)
    expected = opened()
    for _ in range(12):
        own = [bytearray(stream) for stream in streams]
        place = int(random.integers(len(own[1])))
        own[1][place] ^= 1 << int(random.integers(8))
        try:
            found = opened(latents=join([bytes(stream) for stream in own]))
        except ChecksumError as error:
            assert "image 1 is damaged" in str(error)  # noqa: PT017
        else:
            np.testing.assert_array_equal(found, expected)


def graph(nodes: list[Any], inputs: tuple[str, ...], constants: tuple[Any, ...] = ()) -> bytes:
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in inputs]
    output = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)
    made = helper.make_model(
        helper.make_graph(nodes, "g", values, [output], initializer=list(constants)),
        opset_imports=[helper.make_opsetid("", 17)],
    )
    made.ir_version = 8
    made.ClearField("producer_name")
    data: bytes = made.SerializeToString()
    return data


def node(operator: str, inputs: list[str], output: str, **attributes: Any) -> Any:
    return helper.make_node(operator, inputs, [output], **attributes)


def test_graphs_that_grow_are_refused_before_they_run() -> None:
    doubling = [
        node("ConvTranspose", [f"y{k}", "w"], f"y{k + 1}", strides=[2, 2], pads=[0] * 4)
        for k in range(20)
    ]
    checked = CheckedGraph(graph(doubling, ("y0", "w")))
    with pytest.raises(LimitError, match="beyond all proportion"):
        checked.output_shape({"y0": (1, 8, 4, 4), "w": (8, 8, 3, 3)}, 1024)
    squares = [node("Transpose", ["x"], "t", perm=[0, 1, 3, 2]), node("MatMul", ["t", "x"], "y")]
    with pytest.raises(LimitError):
        CheckedGraph(graph(squares, ("x",))).output_shape({"x": (1, 1, 1, 1 << 14)}, 1024)
    work = [node("MatMul", [f"x{k}", "x0"], f"x{k + 1}") for k in range(3)]
    with pytest.raises(LimitError, match="more work"):
        CheckedGraph(graph(work, ("x0",))).output_shape({"x0": (2048, 2048)}, 1 << 14)


REFUSED = {
    "operator": [node("Loop", ["x"], "y")],
    "strides": [node("Conv", ["x", "w"], "y", strides=[64, 64])],
    "groups": [node("Conv", ["x", "w"], "y", group=4)],
    "pads": [node("Conv", ["x", "w"], "y", pads=[1 << 20] * 4)],
    "unknown_input": [node("Floor", ["z"], "y")],
    "blocks": [node("DepthToSpace", ["x"], "y", blocksize=4)],
    "sizes": [node("MatMul", ["x", "w"], "y")],
    "axis": [node("Concat", ["x", "x"], "y", axis=9)],
    "permutation": [node("Transpose", ["x"], "y", perm=[0, 0, 1, 2])],
    "reshape": [node("Reshape", ["x", "w"], "y")],
}


@pytest.mark.parametrize("nodes", REFUSED.values(), ids=REFUSED)
def test_graphs_that_do_not_fit(nodes: list[Any]) -> None:
    with pytest.raises(GraphError):
        CheckedGraph(graph(nodes, ("x", "w"))).output_shape(
            {"x": (1, 16, 8, 8), "w": (16, 16, 3, 3)}, 1024
        )


def test_sizes_worked_out_are_those_that_come_out(sections: dict[str, bytes]) -> None:
    import onnxruntime

    for data in split(inflate(sections["graphs"], "graphs"), "graphs"):
        checked = CheckedGraph(data)
        shapes: dict[str, tuple[int, ...]] = {}
        header = json.loads(inflate(sections["header"], "header"))
        shapes |= {t[0]: tuple(t[1]) for t in header["codec"]["tensors"] if t[0] in checked.inputs}
        small, large = (1, 4, 2, 3), (1, 6, 8, 12)
        known = {"code": (1, 16, 1, 1), "prior": (1, 8, 2, 3), "features": (1, 8, 8, 12)}
        known |= {"z_left": small, "z_right": small, "y_left": large, "y_right": large}
        known |= dict.fromkeys(("near", "near_left", "size"), large) | {"count": (1, 1, 8, 12)}
        shapes |= {name: shape for name, shape in known.items() if name in checked.inputs}
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        result = session.run(None, {k: np.zeros(v, np.float32) for k, v in shapes.items()})[0]
        assert checked.output_shape(shapes, 64 * 96) == result.shape


def test_a_foreign_graph_in_the_file(
    sections: dict[str, bytes], opened: Callable[..., list[Any]]
) -> None:
    graphs = split(inflate(sections["graphs"], "graphs"), "graphs")
    foreign = onnx.load_from_string(graphs[-1])
    foreign.graph.node[0].op_type = "NonZero"
    with pytest.raises(GraphError, match="NonZero"):
        opened(graphs=deflate(join([*graphs[:-1], foreign.SerializeToString()])))
    with pytest.raises(GraphError):
        opened(graphs=deflate(join([graphs[-1]] * len(graphs))))
