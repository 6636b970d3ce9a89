"""Small sections put together: a dataset in HDF5 costs more than many a section holds."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from inrvis.errors import ChecksumError, FormatError

PACKED = "packed"
# HDF5 keeps attributes of up to 64 KiB in the header of the root group.
_MOST_BYTES = 60_000
# Of the length of a part: enough for any that an attribute has room for.
_MOST_LENGTH_BYTES = 3
_CHECKSUM_BYTES = 4


def small_ones(sections: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return as many of the sections as an attribute has room for, the smallest first."""
    small, room = {}, _MOST_BYTES
    for name in sorted(sections, key=lambda name: (len(sections[name]), name)):
        room -= len(name.encode()) + len(sections[name]) + 2 * _MOST_LENGTH_BYTES
        if room < 0:
            break
        small[name] = sections[name]
    return small


def pack_sections(sections: Mapping[str, bytes]) -> bytes:
    """Names and contents in one, and their checksum; see section 1 of docs/format.md."""
    parts = [part for name, data in sections.items() for part in (name.encode(), data)]
    content = b"".join(_length(part) + part for part in parts)
    return zlib.crc32(content).to_bytes(_CHECKSUM_BYTES, "little") + content


def unpack(data: bytes, source: Path) -> dict[str, bytes]:
    """Sections that :func:`pack_sections` put together.

    Raises
    ------
    ChecksumError
        If the checksum differs.
    FormatError
        If they are not parts in turn.
    """
    content = data[_CHECKSUM_BYTES:]
    check(content, int.from_bytes(data[:_CHECKSUM_BYTES], "little"), PACKED, source)
    parts, position = [], 0
    while position < len(content):
        length, position = _read_length(content, position, source)
        if position + length > len(content):
            raise FormatError(f"{source}: section {PACKED!r} is cut short")
        parts.append(content[position : position + length])
        position += length
    return named(parts, source)


def check(data: bytes, checksum: int, name: str, source: Path) -> None:
    """Raise ChecksumError if a section is not what was written."""
    if zlib.crc32(data) != checksum:
        raise ChecksumError(
            f"{source}: section {name!r} is damaged (its checksum differs); copy the file again"
        )


def named(parts: Sequence[bytes], source: Path) -> dict[str, bytes]:
    """Return sections from their names and contents in turn; FormatError if they are not that."""
    names = [part.decode("utf-8", "replace") for part in parts[::2]]
    if len(parts) % 2 or len(set(names)) < len(names):
        raise FormatError(f"{source}: section {PACKED!r} does not hold sections with their names")
    return dict(zip(names, parts[1::2], strict=True))


def _length(part: bytes) -> bytes:
    # Seven bits a byte, as protobuf has them: four bytes for each length would be dear here.
    number, data = len(part), bytearray()
    while number >= 0x80:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*data, number])


def _read_length(content: bytes, position: int, source: Path) -> tuple[int, int]:
    length = 0
    for index in range(_MOST_LENGTH_BYTES):
        byte = content[position + index : position + index + 1]
        if not byte:
            break
        length |= (byte[0] & 0x7F) << 7 * index
        if byte[0] < 0x80:
            return length, position + index + 1
    raise FormatError(f"{source}: section {PACKED!r} is cut short")
