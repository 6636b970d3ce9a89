"""Read and write the sections of an `.inr` file: opaque bytes in HDF5, each with a checksum."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from inrvis.container.dictionary import DICTIONARIES
from inrvis.container.hdf5 import h5py
from inrvis.container.packing import PACKED, check, named, pack_sections, small_ones, unpack
from inrvis.errors import FormatError, LimitError, VersionError
from inrvis.files import replacing

MAGIC = "inrvis"
FORMAT_VERSION = 1
MAX_SECTION_BYTES = 1 << 32
# What zlib may expand a header or the graphs to: far above any real one, far below a threat.
MAX_INFLATED_BYTES = 1 << 22
# HDF5 takes room for its own bookkeeping in blocks of this size, and leaves what it does not need.
_META_BLOCK_BYTES = 1
# Bytes of an address and of a length in HDF5, where all sections share an attribute, which is less
# than 64 KiB. (Groups of many datasets need more: they failed with 4.)
_SMALL_ADDRESS_BYTES = 2


def deflate(data: bytes, dictionary: bytes = DICTIONARIES[-1]) -> bytes:
    """Compress ``data`` with zlib at its highest level, on a dictionary of the format."""
    compressor = zlib.compressobj(9, zdict=dictionary)
    return compressor.compress(data) + compressor.flush()


def inflate(data: bytes, what: str) -> bytes:
    """Expand zlib ``data``, with or without dictionary; refuse more than MAX_INFLATED_BYTES.

    Raises
    ------
    LimitError
        If it expands beyond the limit.
    FormatError
        If it is not zlib data.
    """
    identity = int.from_bytes(data[2:6], "big")  # RFC 1950, section 2.2
    wanted = (text for text in DICTIONARIES if zlib.adler32(text) == identity)
    decompressor = zlib.decompressobj(zdict=next(wanted, DICTIONARIES[-1]))
    try:
        expanded = decompressor.decompress(data, MAX_INFLATED_BYTES)
    except zlib.error as error:
        raise FormatError(f"the {what} section is damaged: {error}") from error
    if decompressor.unconsumed_tail:
        raise LimitError(f"the {what} section expands beyond {MAX_INFLATED_BYTES} bytes")
    if not decompressor.eof:
        raise FormatError(f"the {what} section is cut short")
    return expanded


def join(records: Sequence[bytes]) -> bytes:
    """Section of records."""
    return b"".join(struct.pack("<I", len(record)) + record for record in records)


def split(data: bytes, what: str, number: int | None = None) -> list[bytes]:
    """Records of a section; FormatError if it does not consist of ``number`` of them."""
    records, position = [], 0
    while position < len(data):
        length = int.from_bytes(data[position : position + 4], "little")
        position += 4
        if position + length > len(data):
            raise FormatError(f"the {what} section is cut short")
        records.append(data[position : position + length])
        position += length
    if number is not None and len(records) != number:
        raise FormatError(f"the {what} section holds {len(records)} records and not {number}")
    return records


def write_file(path: str | os.PathLike[str], data: bytes) -> None:
    """Write ``data`` as a new file in one step.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def file_image(sections: Mapping[str, bytes], *, pack: bool = True) -> bytes:
    """Return the whole `.inr` file that holds ``sections``.

    It is made in memory: its exact size is known before anything is written, and a full disk
    meets one plain write instead of HDF5's.

    Parameters
    ----------
    sections : mapping of str to bytes
        Contents by name.
    pack : bool
        Whether small sections share an attribute and its checksum. Apart, damage to one of them
        leaves the others readable.
    """
    small = small_ones(sections) if pack else {}
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    # The newest object headers are both the smallest and checksummed by HDF5 itself.
    access.set_libver_bounds(h5py.h5f.LIBVER_V110, h5py.h5f.LIBVER_V110)
    access.set_meta_block_size(_META_BLOCK_BYTES)
    access.set_fapl_core(1 << 16, False)
    creation = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    creation.set_obj_track_times(False)  # equal contents make equal files
    if len(small) == len(sections):
        creation.set_sizes(_SMALL_ADDRESS_BYTES, _SMALL_ADDRESS_BYTES)
    file_id = h5py.h5f.create(b"image.inr", h5py.h5f.ACC_TRUNC, creation, access)
    with h5py.File(file_id) as file:
        file.attrs["magic"] = np.bytes_(MAGIC)
        file.attrs["format"] = np.uint16(FORMAT_VERSION)
        if small:
            file.attrs[PACKED] = np.void(pack_sections(small))
        for name, data in sections.items():
            if name not in small:
                _write_section(file, name, data)
        file.flush()
        return bytes(file.id.get_file_image())


def _read_packed(file: h5py.File, source: Path, file_bytes: int) -> dict[str, bytes]:
    if PACKED in file:  # as it was at first
        return named(split(_read_section(file, PACKED, source, file_bytes), PACKED), source)
    if PACKED in file.attrs:
        return unpack(_read_attribute(file, source, file_bytes), source)
    return {}


def _read_attribute(file: h5py.File, source: Path, file_bytes: int) -> bytes:
    attribute = file.attrs.get_id(PACKED)
    # Of a plain opaque type, whose bytes lie in the file: any other could claim more than it has.
    dtype = attribute.dtype
    if attribute.shape != () or dtype.kind != "V" or dtype.fields or dtype.subdtype:
        raise FormatError(f"{source}: attribute {PACKED!r} is not opaque bytes")
    if dtype.itemsize > file_bytes:
        raise LimitError(f"{source}: attribute {PACKED!r} claims {dtype.itemsize} bytes")
    data: bytes = file.attrs[PACKED].tobytes()
    return data


def _write_section(file: h5py.File, name: str, data: bytes) -> None:
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_obj_track_times(False)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    if len(data) < 32768:  # small enough to live in the object header: no block of its own
        properties.set_layout(h5py.h5d.COMPACT)
    space = h5py.h5s.create_simple((len(data),))
    dataset = h5py.h5d.create(file.id, name.encode(), h5py.h5t.NATIVE_UINT8, space, dcpl=properties)
    if data:
        dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.frombuffer(data, dtype=np.uint8))
    file[name].attrs["crc32"] = np.uint32(zlib.crc32(data))


class SectionReader:
    """Sections of an open file, each read and checked when it is asked for.

    Parameters
    ----------
    file : h5py.File
        The file.
    source : Path
        Its path, for messages.
    file_bytes : int
        Its size.
    """

    def __init__(self, file: h5py.File, source: Path, file_bytes: int) -> None:
        _check_version(file, source)
        self._file, self._source, self.file_bytes = file, source, file_bytes
        self._packed = _read_packed(file, source, file_bytes)
        apart = frozenset(file) - {PACKED}
        if apart & self._packed.keys():
            raise FormatError(f"{source} has a section twice")
        self.names = apart | self._packed.keys()
        self._read: set[str] = set()
        self._bytes = 0

    def read(self, name: str) -> bytes:
        """Bytes of a section.

        Raises
        ------
        FormatError
            If it is not there, or not what was written.
        """
        if name not in self.names:
            raise FormatError(f"{self._source} has no section {name!r}")
        if name in self._packed:
            return self._packed[name]
        data = _read_section(self._file, name, self._source, self.file_bytes)
        if name not in self._read:
            self._read.add(name)
            self._bytes += len(data)
        # Thousands of links to one dataset would multiply what is in the file.
        if self._bytes > self.file_bytes:
            raise LimitError(f"{self._source}: its sections share bytes, as in no file of ours")
        return data


@contextmanager
def opened(path: str | os.PathLike[str], data: bytes | None = None) -> Iterator[SectionReader]:
    """Open an `.inr` file, or one that is in memory as ``data``, to read some of its sections.

    Raises
    ------
    FormatError
        If the file is missing, not ours, damaged or of an unknown version (its subclasses say
        which).
    """
    source = Path(path)
    if data is None and source.is_dir():
        raise FormatError(f"{source} is a folder, not an .inr file")
    try:
        with h5py.File(source if data is None else io.BytesIO(data), "r") as file:
            size = source.stat().st_size if data is None else len(data)
            yield SectionReader(file, source, size)
    except FileNotFoundError as error:
        raise FormatError(f"{source} does not exist") from error
    except PermissionError as error:
        raise FormatError(f"{source} cannot be read: permission denied") from error
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError) as error:
        # HDF5 tells of truncation and of damage to its own structures in many ways.
        raise FormatError(
            f"{source} is not a complete .inr file: it is cut short, damaged, or "
            "of another kind; copy or encode it again"
        ) from error


def read_sections(path: str | os.PathLike[str], data: bytes | None = None) -> dict[str, bytes]:
    """Read every section of an `.inr` file and check it; see :func:`opened`."""
    with opened(path, data) as file:
        return {name: file.read(name) for name in sorted(file.names)}


def _check_version(file: h5py.File, source: Path) -> None:
    magic = file.attrs.get("magic")
    if not isinstance(magic, bytes) or magic != MAGIC.encode():
        raise FormatError(f"{source} is an HDF5 file, but not an .inr file (no inrvis magic)")
    version = int(file.attrs["format"])
    if version != FORMAT_VERSION:
        raise VersionError(
            f"{source} is of format version {version}; this inrvis reads version "
            f"{FORMAT_VERSION}: update inrvis, or encode the data again"
        )


def _read_section(file: h5py.File, name: str, source: Path, file_bytes: int) -> bytes:
    # A link out of the file would let it name any file of the reader's; hard links cannot.
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise FormatError(f"{source}: section {name!r} is a link")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.ndim != 1 or dataset.dtype != np.uint8:
        raise FormatError(f"{source}: section {name!r} is not a row of bytes")
    if dataset.chunks is not None or dataset.external or dataset.is_virtual:
        raise FormatError(f"{source}: section {name!r} is not stored plainly")
    # A dataset may claim any size; the file's own size bounds what plain storage can hold.
    if dataset.size > min(MAX_SECTION_BYTES, file_bytes):
        raise LimitError(f"{source}: section {name!r} claims {dataset.size} bytes")
    data: bytes = dataset[()].tobytes()
    check(data, int(dataset.attrs["crc32"]), name, source)
    return data
