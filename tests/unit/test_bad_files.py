"""Damaged, foreign and hostile files: one clear error, no crash, no memory, no wrong values."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import inrvis
from inrvis.container.hdf5 import h5py
from inrvis.container.sections import deflate, read_sections
from inrvis.errors import ChecksumError, FormatError, LimitError, VersionError

pytestmark = pytest.mark.decode_only

Golden = Callable[[str], Path]
Edited = Callable[..., Path]
MOST_MEMORY = 400 << 20


def decoded(path: Path) -> list[np.ndarray]:
    with inrvis.open(path, device="cpu") as volume:
        return volume.decode_arrays(volume.arrays)


@pytest.mark.parametrize(("name", "step"), [("direct", 7), ("layers", 101)])
def test_truncated_anywhere(golden: Golden, tmp_path: Path, name: str, step: int) -> None:
    data, path = golden(name).read_bytes(), tmp_path / "short.inr"
    for length in [*range(0, len(data), step), *range(len(data) - 20, len(data))]:
        path.write_bytes(data[:length])
        with pytest.raises(FormatError):
            inrvis.open(path)


def test_any_flipped_byte_is_found_or_harmless(golden: Golden, tmp_path: Path) -> None:
    source, path = golden("direct"), tmp_path / "flipped.inr"
    data, good = source.read_bytes(), decoded(source)
    harmless = 0
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        try:
            values = decoded(path)
        except FormatError:
            continue
        harmless += 1
        for array, expected in zip(values, good, strict=True):
            np.testing.assert_array_equal(array, expected)
    # Only HDF5's unused space may change unseen.
    assert harmless < len(data) / 2


SECTIONS = ["header", "graphs", "weights", "residuals", "masks"]


@pytest.mark.parametrize("section", SECTIONS)
def test_a_flipped_byte_in_a_section(golden: Golden, tmp_path: Path, section: str) -> None:
    content = read_sections(golden("layers"))[section]
    data = golden("layers").read_bytes()
    start = data.find(content)
    assert start > 0
    path = tmp_path / "flipped.inr"
    for position in {0, 3, len(content) // 2, len(content) - 1}:
        damaged = bytearray(data)
        damaged[start + position] ^= 0x10
        path.write_bytes(damaged)
        with pytest.raises(FormatError, match="damaged"):
            inrvis.open(path)


@pytest.mark.parametrize("section", ["residuals", "masks"])
def test_a_flipped_byte_in_a_large_section_is_named(edited: Edited, section: str) -> None:
    """Small sections live in HDF5's own structures, which it checks first; large ones do not."""
    path = edited("layers", **{section: lambda r: [r[0] + bytes(40_000), *r[1:]]})
    inrvis.open(path).close()
    data = bytearray(path.read_bytes())
    data[data.find(bytes(40_000)) + 20_000] ^= 1
    path.write_bytes(data)
    with pytest.raises(ChecksumError, match=section):
        inrvis.open(path)


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_that_differs_from_its_checksum(edited: Edited, section: str) -> None:
    path = edited("layers")
    with h5py.File(path, "r+") as file:
        stored = file[section][()]
        stored[3] ^= 1
        file[section][...] = stored
    with pytest.raises(ChecksumError, match=section):
        inrvis.open(path)


@pytest.mark.parametrize("section", SECTIONS)
def test_a_missing_section(edited: Edited, section: str) -> None:
    path = edited("layers")
    with h5py.File(path, "r+") as file:
        del file[section]
    with pytest.raises(FormatError, match=section):
        inrvis.open(path)


def _attribute(name: str, value: Any) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            file.attrs[name] = value

    return change


def _checksum(value: Any) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            file["weights"].attrs["crc32"] = value

    return change


def _replace(make: Callable[[h5py.File, Path], None]) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            file.move("weights", "kept")
            make(file, path)

    return change


def _virtual(file: h5py.File, path: Path) -> None:
    other = path.with_suffix(".other")
    stored = file["kept"][()]
    with h5py.File(other, "w") as source:
        source["weights"] = stored
    layout = h5py.VirtualLayout(stored.shape, dtype=np.uint8)
    layout[:] = h5py.VirtualSource(str(other), "weights", stored.shape, dtype=np.uint8)
    file.create_virtual_dataset("weights", layout)
    file["weights"].attrs["crc32"] = file["kept"].attrs["crc32"]


def _external(file: h5py.File, path: Path) -> None:
    secret = path.with_suffix(".secret")
    stored = file["kept"][()]
    secret.write_bytes(stored.tobytes())
    file.create_dataset("weights", stored.shape, np.uint8, external=[(str(secret), 0, stored.size)])
    file["weights"].attrs["crc32"] = file["kept"].attrs["crc32"]


def _link(link: Any) -> Callable[[h5py.File, Path], None]:
    def make(file: h5py.File, path: Path) -> None:
        file["weights"] = link

    return make


DAMAGES: dict[str, Callable[[Path], None]] = {
    "no magic": _attribute("magic", np.bytes_("other")),
    "magic of another kind": _attribute("magic", np.arange(3)),
    "version of another kind": _attribute("format", "one"),
    "infinite version": _attribute("format", np.float64("inf")),
    "many versions": _attribute("format", np.arange(4)),
    "infinite checksum": _checksum(np.float64("inf")),
    "checksum of another kind": _checksum("none"),
    "soft link": _replace(_link(h5py.SoftLink("/kept"))),
    "dangling link": _replace(_link(h5py.SoftLink("/nowhere"))),
    "external link": _replace(_link(h5py.ExternalLink("/etc/hostname", "/x"))),
    "external storage": _replace(_external),
    "virtual": _replace(_virtual),
    "a group": _replace(lambda file, _: file.create_group("weights")),
    "floats": _replace(lambda f, _: f.create_dataset("weights", data=np.zeros(9))),
    "two axes": _replace(lambda f, _: f.create_dataset("weights", data=np.zeros((3, 3), np.uint8))),
    "a scalar": _replace(lambda f, _: f.create_dataset("weights", data=np.uint8(1))),
    "empty": _replace(lambda f, _: f.create_dataset("weights", data=h5py.Empty(np.uint8))),
    "chunked and huge": _replace(
        lambda f, _: f.create_dataset("weights", (1 << 40,), np.uint8, chunks=(1 << 16,))
    ),
    "huge, never written": _replace(lambda f, _: f.create_dataset("weights", (1 << 40,), np.uint8)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_foreign_structure(edited: Edited, damage: str) -> None:
    path = edited()
    DAMAGES[damage](path)
    with pytest.raises(FormatError) as caught:
        inrvis.open(path)
    assert "\n" not in str(caught.value)


def test_an_unknown_version_is_named_beside_the_known_one(edited: Edited) -> None:
    path = edited()
    _attribute("format", np.uint16(999))(path)
    with pytest.raises(VersionError, match=r"999.*version 1\b"):
        inrvis.open(path)


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    hdf5, empty, text = (tmp_path / name for name in ("plain.h5", "empty.inr", "text.inr"))
    with h5py.File(hdf5, "w") as file:
        file["data"] = np.arange(10)
    empty.touch()
    text.write_text("not a volume\n" * 100)
    for path in (hdf5, empty, text, tmp_path, tmp_path / "missing.inr"):
        with pytest.raises(FormatError):
            inrvis.open(path)
    with pytest.raises(FormatError, match="magic"):
        inrvis.open(hdf5)
    with pytest.raises(FormatError, match="does not exist"):
        inrvis.open(tmp_path / "missing.inr")


@cache
def bomb(size: int = 1 << 29) -> bytes:
    """Return ``size`` zeros, deflated, made without holding them."""
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)) + packer.flush()


@pytest.mark.parametrize("section", ["header", "graphs"])
def test_a_section_that_expands_without_end(edited: Edited, section: str) -> None:
    with pytest.raises(LimitError):
        inrvis.open(edited(raw={section: bomb()}))


def test_sections_cut_short_inside(edited: Edited, golden: Golden) -> None:
    sections = read_sections(golden("direct"))
    for section in ("header", "graphs"):
        with pytest.raises(FormatError):
            inrvis.open(edited(raw={section: sections[section][:-9]}))
        with pytest.raises(FormatError):
            inrvis.open(edited(raw={section: b"not zlib"}))
    for text in (b"", b"[]", b"{}", b"[" * 100_000, b"\xff\xfe{", b'{"kind":"hologram"}'):
        with pytest.raises(FormatError):
            inrvis.open(edited(raw={"header": deflate(text)}))
    for packed in (b"", b"\xff\xff\xff\xff", bytes(11)):
        with pytest.raises(FormatError):
            inrvis.open(edited(raw={"graphs": deflate(packed)}))


def test_records_cut_short(golden: Golden, edited: Edited) -> None:
    for section in ("residuals", "masks"):
        content = read_sections(golden("layers"))[section]
        for changed in (content[:-1], content[:2], content + b"\0", content + b"\1\0\0\0"):
            with pytest.raises(FormatError, match=section):
                inrvis.open(edited("layers", raw={section: changed}))
        with pytest.raises(FormatError, match=section):
            inrvis.open(edited("layers", raw={section: b"\xff\xff\xff\xff" + content[4:]}))


@pytest.mark.parametrize("section", ["residuals", "masks"])
@pytest.mark.parametrize(
    ("name", "number"), [("direct", 0), ("levels", 0), ("levels", 1), ("layers", 1), ("gaps", 2)]
)
def test_more_or_fewer_records_than_the_header_has(
    edited: Edited, golden: Golden, name: str, number: int, section: str
) -> None:
    """Also where the header knows none of them."""
    with inrvis.open(golden(name)) as volume:
        chunks = 2 if name == "levels" else 1
        coded = sum(a.components for a in volume.header.arrays if a.residual)
        wanted = chunks * (coded if section == "residuals" else volume.header.masks)
    records = [b"\0"] * wanted
    for change in ([*records, b""], [*records, b"x", b"y"], records[:-1] if records else [b""]):
        with pytest.raises(FormatError, match=rf"{section} section.*not {wanted}"):
            inrvis.open(edited(name, **{section: lambda _, change=change: change}))


def test_claims_of_records_that_no_section_holds(edited: Edited) -> None:
    """A volume of many chunks: what it would need is compared with what is there."""

    def enlarge(facts: Any) -> None:
        facts["grid"]["extent"] = [0, 4095] * 3

    with pytest.raises(FormatError, match="records and not 4096"):
        inrvis.open(edited("levels", header=enlarge))


def test_graphs_that_are_not_there(edited: Edited) -> None:
    for numbers in ([2, -1, 1], [0, -1, 7]):

        def other(facts: Any, numbers: Any = numbers) -> None:
            facts["models"][0]["graphs"] = numbers

        with pytest.raises(FormatError, match="graph"):
            inrvis.open(edited(header=other))


def test_boxes_that_leave_a_gap(edited: Edited) -> None:
    def shrink(facts: Any) -> None:
        facts["models"][1]["lattice"]["boxes"][0] = [0, 0, 0, 2, 14, 9]

    with inrvis.open(edited("boxes", header=shrink)) as volume:
        volume.decode(extent=(13, 16, 9, 13, 0, 1))
        with pytest.raises(FormatError, match="cover"):
            volume.decode()
        with pytest.raises(FormatError, match="cover"):
            volume.sample(None, volume.grid.index_to_world([[5.5, 1.0, 1.0]]))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_raw_weights_that_are_no_numbers(edited: Edited, golden: Golden, value: float) -> None:
    from inrvis.bitstream import IntegerDecoder, IntegerEncoder

    with inrvis.open(golden("boxes")) as volume:
        tensors = [t for m in volume.header.models for t in (*m.trunk, *m.head)]

    def change(data: bytes) -> bytes:
        coder, stream = IntegerEncoder(), IntegerDecoder(data)
        for tensor in tensors:
            if tensor.table < 256:
                coder.put(stream.take(tensor.size, tensor.table), tensor.table)
                continue
            bits = stream.take_bits(tensor.size, 32)
            bits[0] = np.float32(value).view(np.uint32)
            coder.put_bits(bits, 32)
        return coder.finish()

    with pytest.raises(FormatError, match="finite"):
        inrvis.open(edited("boxes", weights=change))


@pytest.mark.parametrize("keep", [0, 4, 8, 40])
def test_a_stream_shorter_than_claimed(edited: Edited, keep: int) -> None:
    with pytest.raises(FormatError):
        inrvis.open(edited(weights=lambda stream: stream[:keep]))


def test_a_stream_of_no_whole_words(edited: Edited) -> None:
    with pytest.raises(FormatError, match="weights"):
        inrvis.open(edited(weights=lambda stream: stream[:-1]))


def test_a_stream_longer_than_its_weights(edited: Edited) -> None:
    with pytest.raises(FormatError):
        inrvis.open(edited(weights=lambda stream: stream + bytes(400)))


def test_the_command_line_says_one_line_and_lives(
    golden: Golden, edited: Edited, tmp_path: Path, watch: Callable[..., Any]
) -> None:
    bad = []
    for number, (name, damage) in enumerate(DAMAGES.items()):
        bad.append(edited(name=f"bad {number} {name}"))
        damage(bad[-1])
    bad.append(edited(name="version"))
    _attribute("format", np.uint16(999))(bad[-1])
    bad.append(edited(name="bomb", raw={"header": bomb()}))
    bad.append(edited(name="graph bomb", raw={"graphs": bomb()}))
    bad.append(edited(name="dicts", raw={"header": deflate(b"[" + b"{}," * 5_500_000 + b"{}]")}))
    data = golden("direct").read_bytes()
    for number, content in enumerate((data[: len(data) // 2], b"", b"text")):
        bad.append(tmp_path / f"content{number}.inr")
        bad[-1].write_bytes(content)
    bad += [tmp_path / "missing.inr", tmp_path]
    output = tmp_path / "out.npy"
    commands = [["info", path] for path in bad]
    commands += [["decode", path, "-o", output, "--quiet"] for path in bad]
    watched = watch(commands)
    for outcome in watched.outcomes:
        outcome.assert_one_line(3)
        assert outcome.output == ""
    assert watched.peak_bytes < MOST_MEMORY
    assert not output.exists()


def test_the_real_command_line(edited: Edited, cli: Callable[..., Any]) -> None:
    path = edited()
    _attribute("format", np.uint16(999))(path)
    outcome = cli("info", path)
    outcome.assert_one_line(3)
    assert "999" in outcome.errors
