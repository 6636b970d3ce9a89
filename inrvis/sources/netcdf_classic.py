"""The classic formats of NetCDF (CDF-1, CDF-2 and CDF-5) as views of the file.

The layout is that of the "File Format Specifications" in the NetCDF User's Guide. A reader of
its own, because scipy knows no CDF-5, and NetCDF's C library gives zeros for what is cut off the
end of a file.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import numpy as np

from inrvis.errors import SourceError
from inrvis.sources.image import Values

__all__ = ["ClassicVariable", "read_variables"]

_TYPES = dict(
    enumerate(["i1", "S1", ">i2", ">i4", ">f4", ">f8", "u1", ">u2", ">u4", ">i8", ">u8"], start=1)
)
_DIMENSIONS, _VARIABLES, _ATTRIBUTES = 10, 11, 12
# More than NetCDF itself allows.
_MOST_ITEMS = 10_000


@dataclass(frozen=True, eq=False)
class ClassicVariable:
    """A variable, with the values as a read-only view of the file."""

    dimensions: tuple[str, ...]
    attributes: dict[str, Any]
    values: Values


def read_variables(path: Path) -> dict[str, ClassicVariable]:
    """Variables of a file by their names, in the file's order.

    Raises
    ------
    SourceError
        If the header is damaged, or speaks of values beyond the end of the file.
    """
    with path.open("rb") as file:
        data = mmap(file.fileno(), 0, access=ACCESS_READ)
    header = _Header(path, data)
    records = header.number()
    dimensions = header.items(_DIMENSIONS, header.dimension)
    header.items(_ATTRIBUTES, header.attribute)
    stored = header.items(_VARIABLES, header.variable)
    if any(index >= len(dimensions) for variable in stored for index in variable.dimensions):
        raise SourceError(f"{path} has a variable of unknown dimensions; it is damaged")
    for variable in stored:
        variable.shape = [dimensions[index][1] for index in variable.dimensions]

    # A first dimension of length 0 is the one that grows. The slabs of all variables along it make
    # a record; each ends on a whole word, unless it is the only one.
    growing = [variable for variable in stored if variable.shape and not variable.shape[0]]
    record_bytes = sum(v.slab_bytes + -v.slab_bytes % 4 for v in growing)
    if len(growing) == 1:
        record_bytes = growing[0].slab_bytes
    if records == header.largest:  # written as a stream
        first = min((variable.begin for variable in growing), default=0)
        records = max(0, len(data) - first) // max(1, record_bytes)
    for variable in growing:
        variable.shape[0], variable.step = records, record_bytes
    return {
        variable.name: ClassicVariable(
            tuple(dimensions[index][0] for index in variable.dimensions),
            variable.attributes,
            _view(path, data, variable),
        )
        for variable in stored
    }


def _view(path: Path, data: mmap, variable: _Stored) -> Values:
    shape, dtype = variable.shape, variable.dtype
    if 0 in shape:
        return np.empty(shape, dtype)
    strides = [dtype.itemsize * math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    if variable.step:
        strides[0] = variable.step
    last = sum(stride * (count - 1) for stride, count in zip(strides, shape, strict=True))
    if variable.begin + last + dtype.itemsize > len(data):
        raise SourceError(
            f"{path} ends before the values of '{variable.name[:40]}'; it is truncated or damaged"
        )
    return np.ndarray(shape, dtype, data, variable.begin, strides)


@dataclass
class _Stored:
    """What the header says of a variable."""

    name: str
    dimensions: list[int]
    attributes: dict[str, Any]
    dtype: np.dtype[Any]
    begin: int
    shape: list[int] = field(default_factory=list)
    # Bytes from one record to the next; 0 where there are none.
    step: int = 0

    @property
    def slab_bytes(self) -> int:
        """Bytes at one index of the first axis."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize


@dataclass
class _Header:
    """Reads the items of a header one after another."""

    path: Path
    data: mmap
    position: int = 4

    @property
    def version(self) -> int:
        return self.data[3]

    @property
    def largest(self) -> int:
        """Largest number; as a number of records it says that nobody counted them."""
        return (1 << (64 if self.version == 5 else 32)) - 1

    def take(self, count: int) -> bytes:
        """Next bytes, without those that fill the last word."""
        start, self.position = self.position, self.position + count + -count % 4
        if self.position > len(self.data):
            raise SourceError(f"{self.path} ends within its header; it is truncated or damaged")
        return self.data[start : start + count]

    def word(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def number(self) -> int:
        """A count or length; CDF-5 has wide ones."""
        return int.from_bytes(self.take(8 if self.version == 5 else 4), "big")

    def offset(self) -> int:
        return int.from_bytes(self.take(4 if self.version == 1 else 8), "big")

    def name(self) -> str:
        return self.take(self.number()).decode("utf-8", "replace")

    def dtype(self) -> np.dtype[Any]:
        code = self.word()
        if code not in _TYPES:
            raise SourceError(f"{self.path} has values of the unknown type {code}; it is damaged")
        return np.dtype(_TYPES[code])

    def items(self, tag: int, item: Callable[[], Any]) -> list[Any]:
        """List of what `item` reads, which an absent list has none of."""
        found, count = self.word(), self.checked(self.number())
        if count and found != tag:
            raise SourceError(f"{self.path} has a list {found} for {tag}; it is damaged")
        return [item() for _ in range(count)]

    def checked(self, count: int) -> int:
        if count > _MOST_ITEMS:
            raise SourceError(f"{self.path} has a list of {count} items; it is damaged")
        return count

    def dimension(self) -> tuple[str, int]:
        return self.name(), self.number()

    def attribute(self) -> tuple[str, Any]:
        name, dtype, count = self.name(), self.dtype(), self.number()
        content = self.take(count * dtype.itemsize)
        return name, content.rstrip(b"\0") if dtype.kind == "S" else np.frombuffer(content, dtype)

    def variable(self) -> _Stored:
        name, rank = self.name(), self.number()
        dimensions = [self.number() for _ in range(self.checked(rank))]
        attributes = dict(self.items(_ATTRIBUTES, self.attribute))
        dtype = self.dtype()
        self.number()  # a size that follows from the rest, and overflows in CDF-1
        return _Stored(name, dimensions, attributes, dtype, self.offset())
