"""Quantised tensors as one entropy-coded stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrvis.bitstream import IntegerDecoder, IntegerEncoder
from inrvis.container.tensors import RAW_TABLE, TensorHeader
from inrvis.errors import FormatError, LimitError

Integers = Mapping[str, NDArray[np.integer[Any]]]
Weights = dict[str, NDArray[np.float32]]


def pack_tensors(headers: Sequence[TensorHeader], integers: Integers) -> bytes:
    """Entropy-code the integers of tensors, in the order of their headers."""
    coder = IntegerEncoder()
    for tensor in headers:
        if tensor.table == RAW_TABLE:
            coder.put_bits(integers[tensor.name], 32)
        else:
            coder.put(integers[tensor.name], tensor.table)
    return coder.finish()


def unpack_tensors(headers: Sequence[TensorHeader], data: bytes) -> Weights:
    """Undo `pack_tensors`, and multiply by the steps.

    Raises
    ------
    FormatError
        If the stream is not what these tensors make.
    """
    number = sum(tensor.size for tensor in headers)
    # Few streams spend less than an eighth of a bit on a weight; a claim far beyond it would
    # cost memory out of all proportion.
    if number > 4096 + 64 * len(data):
        raise LimitError(f"the file claims {number} weights, more than its stream holds")
    try:
        stream = IntegerDecoder(data)
        integers = {t.name: _take(stream, t) for t in headers}
    except ValueError as error:
        raise FormatError(f"section 'weights' is damaged: {error}") from error
    # A range decoder reads anything, and reads on past the end: only coding again tells.
    if pack_tensors(headers, integers) != data:
        raise FormatError("section 'weights' does not hold the tensors of the header")
    return {t.name: _dequantised(integers[t.name], t) for t in headers}


def _take(stream: IntegerDecoder, tensor: TensorHeader) -> NDArray[np.int64]:
    if tensor.table == RAW_TABLE:
        return stream.take_bits(tensor.size, 32).reshape(tensor.shape)
    return stream.take(tensor.size, tensor.table).reshape(tensor.shape)


def _dequantised(integers: NDArray[np.int64], tensor: TensorHeader) -> NDArray[np.float32]:
    if tensor.table == RAW_TABLE:
        weights = integers.astype(np.uint32).view(np.float32)
    else:
        weights = np.asarray(integers * tensor.step, dtype=np.float32)
    if not np.isfinite(weights).all():
        raise FormatError("the file holds weights that are not finite")
    return weights
