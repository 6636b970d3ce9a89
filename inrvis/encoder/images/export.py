"""From a trained model to what a file takes: graphs, tensor headers and integers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from inrvis.container.images_header import ROLES, SPATIAL_ROLES, CodecHeader
from inrvis.container.tensors import RAW_TABLE, TensorHeader
from inrvis.container.weights import pack_tensors, unpack_tensors
from inrvis.decoder.image_graphs import Array, SessionSettings
from inrvis.decoder.pairs import PairNetworks
from inrvis.encoder.images.base import ExportedCodec
from inrvis.encoder.images.model import PairModel
from inrvis.encoder.images.ops import (
    ACTIVATION_UNIT,
    EXACT_SUM,
    MOST_ACTIVATION,
    WEIGHT_BITS,
    OnnxOps,
)
from inrvis.encoder.images.spatial_model import SpatialModel
from inrvis.encoder.quantise import Quantiser, best_table
from inrvis.errors import UsageError


@dataclass(frozen=True)
class ExportedPairs(ExportedCodec):
    """A codec for pairs as a file takes it."""

    header: CodecHeader

    def networks(self, settings: SessionSettings) -> PairNetworks:
        """Networks as a decoder has them, with weights as they come out of the file."""
        packed = pack_tensors(self.header.tensors, self.integers)
        weights: dict[str, Array] = unpack_tensors(self.header.tensors, packed)
        return PairNetworks(self.header, self.graphs, weights, settings)


def export(
    model: PairModel,
    quantiser: Quantiser | None,
    *,
    name: str,
    code_levels: int,
    codes: Sequence[tuple[float, float]],
    limits: tuple[float, float],
) -> ExportedPairs:
    """Write the graphs of a model and round its weights.

    Parameters
    ----------
    model : PairModel
        The model.
    quantiser : Quantiser or None
        Steps of the tensors on floats; None keeps them as float32.
    name : str
        Name of the codec, for people.
    code_levels, codes, limits
        As in `CodecHeader`; ``limits`` are its low and high.

    Raises
    ------
    UsageError
        If sums of an integer network may leave what single precision holds exactly.
    """
    graphs: list[bytes] = []
    numbers = {}
    used: dict[str, None] = {}
    for role in ROLES:
        if role in SPATIAL_ROLES and not isinstance(model, SpatialModel):
            continue
        data, weights = role_graph(model, role)
        used |= dict.fromkeys(weights)
        if data not in graphs:
            graphs.append(data)
        numbers[role] = graphs.index(data)
    tensors = {n: model.stored[n].detach().cpu() for n in used}
    integers, headers = {}, []
    for tensor_name, tensor in tensors.items():
        values, step = _integers(tensor_name, tensor, model, quantiser)
        raw = quantiser is None and tensor_name not in model.integer_names
        table = RAW_TABLE if raw else best_table(values)[0]
        integers[tensor_name] = values
        headers.append(TensorHeader(tensor_name, tuple(values.shape), step, table))
    _check_sums(integers, model.integer_names)
    header = CodecHeader(
        name=name,
        exact=model.exact,
        channels=model.channels,
        latents=model.latents,
        hyperlatents=model.hyperlatents,
        features=model.features,
        code_levels=code_levels,
        codes=tuple(codes),
        low=limits[0],
        high=limits[1],
        graphs=numbers,
        tensors=tuple(headers),
        covers=model.covers,
        shift=model.shift,
    )
    return ExportedPairs(header, tuple(graphs), integers)


def role_graph(model: PairModel, role: str) -> tuple[bytes, list[str]]:
    """Graph of a role, and the names of its weights in order."""
    ops = OnnxOps()
    what, _, side = role.rpartition("_")
    if role.startswith("prior"):
        output = model.prior(ops, "code", side)
    elif role == "context_z":
        output = model.context_z(ops, "prior", "z_left")
    elif what == "hyper":
        output = model.hyper(ops, "z_left", "z_right", [side])[side]
    elif role == "context_y":
        output = model.context_y(ops, "y_left", "features")
    elif isinstance(model, SpatialModel) and role in SPATIAL_ROLES:
        output = model.spatial_context(ops, side, {name: name for name in ROLES[role]})
    else:
        behind = {side: ("cover", "background")} if model.covers else None
        output = model.synthesis(ops, "y_left", "y_right", [side], behind)[side]
    return ops.finish(output, sorted(ROLES[role] & ops.used)), ops.weights


def _integers(
    name: str, tensor: torch.Tensor, model: PairModel, quantiser: Quantiser | None
) -> tuple[NDArray[np.int64], float]:
    if name in model.integer_names:
        unit = 1 << WEIGHT_BITS
        if name.endswith("_b"):
            unit *= ACTIVATION_UNIT
        # In single precision, as it was trained.
        return torch.round(tensor * unit).long().numpy(), 1.0
    if quantiser is None:
        bits = tensor.float().contiguous().numpy().view(np.uint32)
        return bits.astype(np.int64), 1.0
    step = quantiser.step(name)
    return torch.round(tensor.double() / step).long().numpy(), step


def _check_sums(integers: Mapping[str, NDArray[np.int64]], names: frozenset[str]) -> None:
    """Prove that no sum of an integer network leaves what single precision counts exactly.

    Inputs are integers of at most 255, so any partial sum of products and bias, in whatever
    order, stays below the sum of magnitudes.
    """
    for name in names:
        if not name.endswith("_w") or name not in integers:
            continue
        layer = name[:-1]
        weights, bias = np.abs(integers[name]), np.abs(integers[f"{layer}b"])
        factors = [n for n in names if n.startswith(layer) and n.endswith("_s")]
        added = [np.abs(integers[n]).ravel() for n in factors if n in integers]
        largest = MOST_ACTIVATION * (weights.sum(axis=(1, 2, 3)) + sum(added)) + bias
        if largest.max() >= EXACT_SUM:
            raise UsageError(
                "weights of an integer network grew too large to be exact: train with a smaller "
                "step size, or another seed"
            )
