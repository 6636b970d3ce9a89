"""What VTK's XML readers leave to us: checks of the file, and its appended data moved inline.

ParaView 5.11 and VTK 9.2 stop at appended data where libexpat carries Debian's security update
2.5.0-1+deb12u2 or a later one; inline data they read everywhere.
"""

from __future__ import annotations

import base64
import mmap
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from inrvis.errors import SourceError
from inrvis.sources.files import file_size

__all__ = ["check_file", "inline_text", "piece_paths"]

_END = b"</VTKFile>"
_ARRAY_TAG = re.compile(rb"<((?:Data)?Array)\b[^>]*>")
_HEADER_TYPES = {b"UInt32": "u4", b"UInt64": "u8"}


def check_file(path: Path) -> None:
    """Check what VTK does not: the file's end, and that its pieces cover the whole extent."""
    with _text(path) as text:
        if text.rfind(_END, max(0, len(text) - 1024)) < 0:
            raise SourceError(
                f"cannot read {path}: it does not end in {_END.decode()}; "
                "it is truncated or of another format"
            )
        header = _header(text)
    covered = sum(_points(piece) for piece in _pieces(header))
    if covered < _points(header, b"WholeExtent"):
        raise SourceError(f"cannot read {path}: its pieces do not cover its whole extent")


def piece_paths(path: Path) -> list[Path]:
    """Files that the pieces of a parallel file lie in; none for another file."""
    with _text(path) as text:
        sources = (_attribute(piece, b"Source") for piece in _pieces(_header(text)))
        return list(dict.fromkeys(path.parent / source.decode() for source in sources if source))


def inline_text(path: Path) -> bytes | None:
    """Content of a file with its appended data moved inline; None if none are appended."""
    content = path.read_bytes()
    header = _header(content)
    section = re.match(rb"<AppendedData\b[^>]*>\s*_", content[len(header) : len(header) + 1024])
    if section is None:
        return None
    data = memoryview(content)[len(header) + section.end() : content.rfind(b"</AppendedData>")]
    tags = [tag for tag in _ARRAY_TAG.finditer(header) if b'"appended"' in tag[0]]
    offsets = [int(_attribute(tag[0], b"offset")) for tag in tags]
    encoded = _attribute(section[0], b"encoding") == b"base64"
    parts, position, remaining = [], 0, 2 * len(content)
    for tag, offset in zip(tags, offsets, strict=True):
        if encoded:
            end = min((other for other in offsets if other > offset), default=len(data))
            block = bytes(data[offset:end]).strip()
        else:
            block = _encoded_block(data[offset:], header)
        remaining -= len(block)
        if offset < 0 or remaining < 0:
            raise ValueError("its appended data overlap")
        # VTK takes an array with an offset for appended, whatever its format.
        opened = re.sub(rb'\boffset\s*=\s*"\d*"', b"", tag[0])
        opened = opened.replace(b'"appended"', b'"binary"')
        closing = b"</" + tag[1] + b">" if opened.endswith(b"/>") else b""
        parts += [header[position : tag.start()], opened.rstrip(b"/>"), b">", block, closing]
        position = tag.end()
    return b"".join([*parts, header[position:], _END])


def _encoded_block(data: memoryview, header: bytes) -> bytes:
    """Base64 of the block that begins `data`, as VTK writes it inline.

    A block is the number of its bytes and then these; or, compressed, a table of 3 + n words
    (n parts, the bytes of one part and of the last, the n compressed sizes) and then the parts,
    the table encoded by itself.
    """
    root = header[: header.index(b">", header.index(b"<VTKFile"))]
    order = ">" if _attribute(root, b"byte_order") == b"BigEndian" else "<"
    word = np.dtype(order + _HEADER_TYPES.get(_attribute(root, b"header_type"), "u4"))
    count = int(np.frombuffer(data, word, 1)[0])
    if not _attribute(root, b"compressor"):
        return base64.b64encode(_slice(data, 0, word.itemsize + count))
    table = _slice(data, 0, word.itemsize * (3 + count))
    # Python's integers, for the sum of untrusted sizes must not wrap.
    sizes: list[int] = np.frombuffer(table, word)[3:].tolist()
    parts = _slice(data, len(table), sum(sizes))
    return base64.b64encode(table) + base64.b64encode(parts)


def _slice(data: memoryview, start: int, size: int) -> memoryview:
    part = data[start : start + size]
    if len(part) < size:
        raise ValueError("its appended data end early")
    return part


@contextmanager
def _text(path: Path) -> Iterator[mmap.mmap]:
    file_size(path)
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as text:
        yield text


def _header(text: mmap.mmap | bytes) -> bytes:
    end = text.find(b"<AppendedData")
    return text[: end if end >= 0 else len(text)]


def _pieces(header: bytes) -> list[bytes]:
    return re.findall(rb"<Piece\b[^>]*>", header)


def _attribute(tag: bytes, name: bytes) -> bytes:
    found = re.search(rb"\b" + name + rb'\s*=\s*"([^"]*)"', tag)
    return found[1] if found else b""


def _points(tag: bytes, name: bytes = b"Extent") -> int:
    try:
        x0, x1, y0, y1, z0, z1 = map(int, _attribute(tag, name).split())
    except ValueError:
        return 0
    return max(0, x1 - x0 + 1) * max(0, y1 - y0 + 1) * max(0, z1 - z0 + 1)
