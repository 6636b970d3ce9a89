"""The file itself: small, equal for equal contents, and written whole or not at all."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import inrvis
from inrvis.container.dictionary import DICTIONARIES
from inrvis.container.hdf5 import h5py
from inrvis.container.sections import (
    deflate,
    file_image,
    inflate,
    join,
    read_sections,
    write_file,
)
from inrvis.container.volume_file import read_volume
from inrvis.errors import FormatError, OutputError
from inrvis.files import replacing

pytestmark = pytest.mark.decode_only

Golden = Callable[[str], Path]


@pytest.mark.parametrize("sizes", [(0, 1, 2), (32767, 32768, 100_000)])
def test_sections_come_back(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    random = np.random.default_rng(0)
    sections = {f"s{i}": random.bytes(size) for i, size in enumerate(sizes)}
    write_file(tmp_path / "f.inr", file_image(sections))
    assert read_sections(tmp_path / "f.inr") == sections


def test_equal_sections_make_equal_files() -> None:
    sections = {"header": b"abc", "weights": bytes(70_000)}
    assert file_image(sections) == file_image(sections)


@pytest.mark.parametrize("size", [500, 30_000, 40_000, 59_900, 60_000, 300_000])
def test_the_container_costs_little(tmp_path: Path, size: int) -> None:
    data = np.random.default_rng(0).bytes(size)
    room = 210 if size < 59_950 else 620  # beyond HDF5's attributes, a dataset
    sections = {"header": b"h", "graphs": b"g", "weights": data}
    image = file_image(sections)
    assert len(image) < size + room
    write_file(tmp_path / "f.inr", image)
    assert read_sections(tmp_path / "f.inr") == sections


@pytest.mark.parametrize("name", ["direct", "blocks", "knots"])
def test_a_volume_costs_under_4_kib_beyond_its_weights(golden: Golden, name: str) -> None:
    weights = len(read_sections(golden(name))["weights"])
    assert golden(name).stat().st_size - weights < 4096
    assert read_volume(golden(name)).encoded_bytes == golden(name).stat().st_size


@pytest.mark.parametrize("name", ["blocks", "layers", "levels", "images"])
def test_small_sections_share_an_attribute(golden: Golden, tmp_path: Path, name: str) -> None:
    """The committed files keep theirs apart; put together, they take a kilobyte less."""
    sections = read_sections(golden(name))
    packed = tmp_path / "packed.inr"
    packed.write_bytes(file_image(sections))
    assert read_sections(packed) == sections
    assert len(file_image(sections)) < len(file_image(sections, pack=False)) - 250
    with h5py.File(packed) as file:
        assert not list(file)
        assert set(file.attrs) == {"magic", "format", "packed"}


def test_a_packed_file_decodes_alike(golden: Golden, tmp_path: Path) -> None:
    packed = tmp_path / "packed.inr"
    packed.write_bytes(file_image(read_sections(golden("layers"))))
    with inrvis.open(golden("layers")) as apart, inrvis.open(packed) as together:
        for name in apart.arrays:
            np.testing.assert_array_equal(together.decode(name), apart.decode(name))


def with_attribute(path: Path, content: object) -> Path:
    """A file with this attribute ``packed``, and a section of its own."""
    path.write_bytes(file_image({"weights": b"w"}, pack=False))
    with h5py.File(path, "r+") as file:
        file.attrs["packed"] = content
    return path


def checked(content: bytes) -> np.void:
    return np.void(zlib.crc32(content).to_bytes(4, "little") + content)


def test_packed_sections_of_any_length(tmp_path: Path) -> None:
    """Lengths of one, two and three bytes."""
    for size in (0, 1, 127, 128, 16_383, 16_384, 50_000):
        data = file_image({"header": bytes(size), "masks": b"m"})
        assert read_sections("x", data) == {"header": bytes(size), "masks": b"m"}


NONSENSE = {
    "no content": b"\x06header",
    "a name left over": b"\x06header\x01h\x06graphs",
    "twice": b"\x06header\x01h\x06header\x01h",
    "twice, once apart": b"\x07weights\x01w",
    "beyond the end": b"\x06header\x02h",
    "no end of a length": b"\x06header\x80",
    "a length of four bytes": b"\x06header\x81\x80\x80\x00h",
}


@pytest.mark.parametrize("content", NONSENSE.values(), ids=NONSENSE)
def test_packed_sections_that_make_no_sense(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(FormatError, match=r"f\.inr"):
        read_sections(with_attribute(tmp_path / "f.inr", checked(content)))


@pytest.mark.parametrize(
    "content",
    [
        np.void(b"\0\0\0\0\x06header\x01h"),  # of another checksum
        "text",
        np.uint8([1, 2, 3]),
        np.array(np.void(b"abcd")).reshape(1),
        np.zeros((), [("a", "u1"), ("b", "u4")]),
        np.float64(1.0),
    ],
)
def test_attributes_that_are_not_packed_sections(tmp_path: Path, content: object) -> None:
    with pytest.raises(FormatError, match=r"f\.inr"):
        read_sections(with_attribute(tmp_path / "f.inr", content))


@pytest.mark.parametrize(
    "records",
    [
        [b"header"],
        [b"header", b"h", b"graphs"],
        [b"header", b"h", b"header", b"i"],
        [b"weights", b"h"],
    ],
)
def test_a_packed_dataset_that_makes_no_sense(tmp_path: Path, records: list[bytes]) -> None:
    sections = {"packed": join(records), "weights": b"w"}
    (tmp_path / "f.inr").write_bytes(file_image(sections, pack=False))
    with pytest.raises(FormatError, match=r"f\.inr"):
        read_sections(tmp_path / "f.inr")


def test_packed_sections_cut_short(tmp_path: Path) -> None:
    data = b"\x06header\x01h\x05masks" + bytes([50]) + bytes(50)
    for length in range(len(data)):
        path = with_attribute(tmp_path / "f.inr", checked(data[:length]))
        try:
            found = read_sections(path)
        except FormatError:
            continue
        assert found in ({"weights": b"w"}, {"weights": b"w", "header": b"h"})


def test_any_flipped_byte_of_a_packed_file(golden: Golden, tmp_path: Path) -> None:
    sections = read_sections(golden("direct"))
    data = file_image(sections)
    start = data.find(sections["weights"])
    for position in range(start - 600, start + 100, 7):
        damaged = bytearray(data)
        damaged[position] ^= 0x20
        (tmp_path / "f.inr").write_bytes(damaged)
        with pytest.raises(FormatError):
            read_sections(tmp_path / "f.inr")


def test_deflated_bytes_come_back() -> None:
    for data in (b"", b"x", bytes(100_000)):
        for dictionary in DICTIONARIES:
            assert inflate(deflate(data, dictionary), "test") == data
        assert inflate(zlib.compress(data), "test") == data


def test_a_stream_of_another_dictionary_is_damaged() -> None:
    compressor = zlib.compressobj(zdict=b"of another program")
    with pytest.raises(FormatError, match="damaged"):
        inflate(compressor.compress(b"another") + compressor.flush(), "test")


def listing(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


@pytest.mark.parametrize(
    "failure", [OSError(errno.ENOSPC, "No space left on device"), OSError(errno.EIO, "broken")]
)
def test_a_failed_write_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: OSError
) -> None:
    path = tmp_path / "f.inr"
    path.write_bytes(b"old")

    def fail(_: int) -> None:
        raise failure

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutputError, match=str(failure.strerror)):
        write_file(path, b"new")
    assert listing(tmp_path) == {"f.inr": b"old"}


def test_an_interrupted_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "f.inr"
    path.write_bytes(b"old")

    def write() -> None:
        with replacing(path) as temporary:
            temporary.write_bytes(b"half")
            assert path.read_bytes() == b"old"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert listing(tmp_path) == {"f.inr": b"old"}


def test_the_new_file_has_ordinary_permissions(tmp_path: Path) -> None:
    write_file(tmp_path / "f.inr", b"new")
    (tmp_path / "other").write_bytes(b"")
    assert (tmp_path / "f.inr").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="missing"):
        write_file(tmp_path / "missing" / "f.inr", b"new")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 64 KiB where that is allowed; skip the test elsewhere."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("a disk can be mounted by root alone")
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_full_disk(small_disk: Path) -> None:
    path = small_disk / "f.inr"
    write_file(path, b"old")
    with pytest.raises(OutputError, match="No space left"):
        write_file(path, bytes(200_000))
    assert listing(small_disk) == {"f.inr": b"old"}


def test_a_full_disk_on_the_command_line(
    small_disk: Path, golden: Golden, edited: Callable[..., Path], cli: Callable[..., Any]
) -> None:
    def larger(facts: dict[str, Any]) -> None:
        facts["grid"]["extent"] = [0, 63, 0, 63, 0, 31]

    path, output = edited(header=larger), small_disk / "o.npy"
    output.write_bytes(b"old")
    outcome = cli("decode", path, "--array", "density", "-o", output, "--quiet")
    outcome.assert_one_line(3)
    assert listing(small_disk) == {"o.npy": b"old"}


LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
from inrvis.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("ending", ["npy", "vti"])
def test_a_file_size_limit_on_the_command_line(
    tmp_path: Path, edited: Callable[..., Path], ending: str
) -> None:
    if ending == "vti":
        pytest.importorskip("vtkmodules")

    def larger(facts: dict[str, Any]) -> None:
        facts["grid"]["extent"] = [0, 63, 0, 63, 0, 31]

    path, folder = edited(header=larger), tmp_path / "out"
    folder.mkdir()
    output = folder / f"o.{ending}"
    output.write_bytes(b"old")
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, "decode", path, "--array=density", "-o", output, "--quiet"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert done.stderr.startswith("inrvis: ")
    assert done.stderr.count("\n") == 1
    assert listing(folder) == {f"o.{ending}": b"old"}
