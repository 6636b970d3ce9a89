"""Cinema databases: what is read, what is refused, and that writing gives back what was read."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image as Pillow

from inrvis.container.hdf5 import h5py
from inrvis.errors import ArrayNotFoundError, OutputError, SourceError, UsageError
from inrvis.parameters import Cell, CellTable, Parameter, find_cell, nearest_cell, sort_values
from inrvis.sources import cinema, cinema_writer
from inrvis.sources.database import ImageDatabase, Pixels


def random_pixels(seed: int, height: int = 5, width: int = 7, channels: int = 3) -> Pixels:
    generator = np.random.default_rng(seed)
    if channels == 1:
        pixels = generator.normal(size=(height, width)).astype(np.float32)
        pixels[0, 0] = np.nan
        return pixels
    return generator.integers(0, 256, (height, width, channels), dtype=np.uint8)


def save_png(path: Path, pixels: Pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(pixels).save(path)


def make(folder: Path, table: str, images: dict[str, Pixels], name: str = "data.csv") -> Path:
    folder.mkdir(exist_ok=True)
    for path, pixels in images.items():
        save_png(folder / path, pixels)
    (folder / name).write_text(table)
    return folder


def write(folder: Path, database: ImageDatabase) -> None:
    cinema_writer.write(
        folder,
        database.parameters,
        database.columns,
        database.cells,
        lambda number: database.images[number].load(),
    )


def assert_same(one: ImageDatabase, other: ImageDatabase) -> None:
    assert one.parameters == other.parameters
    assert one.columns == other.columns
    assert one.cells == other.cells
    assert [image.shape for image in one.images] == [image.shape for image in other.images]
    for a, b in zip(one.images, other.images, strict=True):
        assert a.dtype == b.dtype == b.load().dtype
        np.testing.assert_array_equal(a.load(), b.load())


# ------------------------------------------------------------------ reading


def test_an_export_of_paraview(tmp_path: Path) -> None:
    table = (
        "phi,producer,theta,time,FILE_png\n"
        "000.00,PNG1,000.00,0,a.png\n"
        "120.00,PNG1,000.00,0,b.png\n"
        "000.00,PNG1,180.00,0.5,c.png\n"
    )
    pixels = {f"{name}.png": random_pixels(i) for i, name in enumerate("abc")}
    database = cinema.read(make(tmp_path / "x.cdb", table, pixels))
    assert [p.name for p in database.parameters] == ["phi", "producer", "theta", "time"]
    assert database.parameters[0] == Parameter("phi", ("000.00", "120.00"))
    assert database.parameters[0].numbers == (0.0, 120.0)
    assert database.parameters[1].numbers is None
    assert database.columns == ("FILE_png",)
    assert database.cells[2] == Cell((0, 0, 1, 1), (2,))
    for image, expected in zip(database.images, pixels.values(), strict=True):
        np.testing.assert_array_equal(image.load(), expected)


def test_missing_cells_several_columns_and_duplicates(tmp_path: Path) -> None:
    table = "t,FILE_a,FILE_b\n0,1.png,\n1,,2.png\n2,3.png,1.png\n3,nan,\n"
    same = random_pixels(1)
    pixels = {"1.png": same, "2.png": random_pixels(2, 9, 4, 4), "3.png": same}
    database = cinema.read(make(tmp_path / "x.cdb", table, pixels))
    assert len(database.images) == 2
    assert [cell.images for cell in database.cells] == [(0, -1), (-1, 1), (0, 0), (-1, -1)]
    assert [image.shape for image in database.images] == [(5, 7, 3), (9, 4, 4)]
    only = cinema.read(tmp_path / "x.cdb", columns=["FILE_b"])
    assert [cell.images for cell in only.cells] == [(-1,), (0,), (1,), (-1,)]
    with pytest.raises(ArrayNotFoundError, match="FILE_a, FILE_b"):
        cinema.read(tmp_path / "x.cdb", columns=["depth"])


def test_values_are_sorted_as_numbers_and_keep_their_texts(tmp_path: Path) -> None:
    table = "iso,FILE\n1e1,a.png\n9,a.png\n-0.50,a.png\n"
    database = cinema.read(make(tmp_path / "x.cdb", table, {"a.png": random_pixels(0)}))
    assert database.parameters == (Parameter("iso", ("-0.50", "9", "1e1")),)
    assert [cell.values for cell in database.cells] == [(2,), (1,), (0,)]
    assert sort_values(["b", "10", "a", "b"]) == ("b", "10", "a")


def test_a_folder_of_images_with_a_table_of_its_own(tmp_path: Path) -> None:
    table = "\ufeffangle, picture\r\n0,views/a.png\r\n90,views/b.png\r\n\r\n"
    pixels = {f"views/{name}.png": random_pixels(i) for i, name in enumerate("ab")}
    database = cinema.read(make(tmp_path / "views", table, pixels, "views.csv"))
    assert database.columns == ("FILE_picture",)
    assert database.parameters == (Parameter("angle", ("0", "90")),)


def test_columns_of_files_are_those_in_capitals_if_any_are(tmp_path: Path) -> None:
    pixels = {"a.png": random_pixels(0)}
    database = cinema.read(make(tmp_path / "x.cdb", "filesize,FILE\n3,a.png\n", pixels))
    assert (database.columns, database.parameters[0].name) == (("FILE",), "filesize")
    assert cinema.read(make(tmp_path / "y.cdb", "t,file\n3,a.png\n", pixels)).columns == ("file",)


def test_kinds_of_png(tmp_path: Path) -> None:
    folder = make(tmp_path / "x.cdb", "FILE\n" + "".join(f"{i}.png\n" for i in range(6)), {})
    grey = random_pixels(3)[..., 0]
    depth = (grey.astype(np.uint16) << 8) + 3
    Pillow.fromarray(grey).save(folder / "0.png")
    Pillow.fromarray(random_pixels(4)).quantize(16).save(folder / "1.png")
    Pillow.fromarray(depth).save(folder / "2.png")
    Pillow.fromarray(np.stack([grey, 255 - grey], -1), "LA").save(folder / "3.png")
    Pillow.fromarray(grey > 99).save(folder / "4.png")
    Pillow.fromarray(random_pixels(5)).save(folder / "5.png", transparency=(1, 2, 3))
    images = cinema.read(folder).images
    assert [image.channels for image in images] == [3, 3, 1, 4, 3, 4]
    np.testing.assert_array_equal(images[0].load(), np.repeat(grey[..., None], 3, -1))
    np.testing.assert_array_equal(images[2].load(), depth.astype(np.float32))
    np.testing.assert_array_equal(images[3].load()[..., 3], 255 - grey)
    np.testing.assert_array_equal(images[4].load()[..., 0], np.where(grey > 99, 255, 0))


def test_images_of_floats(tmp_path: Path) -> None:
    folder = make(tmp_path / "x.cdb", "t,FILE_vtk,FILE\n0,a.vtk,a.h5\n1,,b.npz\n2,,c.npy\n", {})
    depth, colours = random_pixels(1, channels=1), random_pixels(2, channels=4)
    # Legacy VTK: big-endian, the lowest row first.
    header = (
        "# vtk DataFile Version 5.1\nvtk output\nBINARY\nDATASET STRUCTURED_POINTS\n"
        "DIMENSIONS 7 5 1\nSPACING 1 1 1\nORIGIN 0 0 0\nPOINT_DATA 35\n"
        "SCALARS scalars float\nLOOKUP_TABLE default\n"
    )
    values = struct.pack(">35f", *depth[::-1].ravel().tolist())
    (folder / "a.vtk").write_bytes(header.encode() + values + b"\n")
    with h5py.File(folder / "a.h5", "w") as file:
        file["channels/depth"] = depth[..., None]
        file["channels/rgba"] = colours
        file["meta/unit"] = "m"
    np.savez_compressed(folder / "b.npz", depth=depth)
    np.save(folder / "c.npy", depth.astype(np.float64))
    database = cinema.read(folder)
    assert database.columns == ("FILE_vtk", "FILE:depth", "FILE:rgba", "FILE")
    assert [cell.images for cell in database.cells] == [
        (0, 1, 2, -1),
        (-1, 3, -1, -1),
        (-1, -1, -1, 4),
    ]
    for number in (0, 1, 3, 4):
        np.testing.assert_array_equal(database.images[number].load(), depth)
    np.testing.assert_array_equal(database.images[2].load(), colours)
    write(tmp_path / "y.cdb", database)
    again = cinema.read(tmp_path / "y.cdb")
    # One column of a table holds one kind of file, so that its reader knows what comes.
    assert again.columns == ("FILE_vtk", "FILE_channels:depth", "FILE_channels:rgba", "FILE")
    # Written in one format, the arrays of a.vtk and c.npy are equal files.
    assert [cell.images for cell in again.cells] == [
        (0, 1, 2, -1),
        (-1, 3, -1, -1),
        (-1, -1, -1, 0),
    ]
    for number in (0, 1, 3):
        np.testing.assert_array_equal(again.images[number].load(), depth)
    np.testing.assert_array_equal(again.images[2].load(), colours)


def test_an_export_of_paraview_without_its_table(tmp_path: Path) -> None:
    for step in range(2):
        for phi in ("000.00", "120.00"):
            name = f"RenderView1_{step:06d}p={phi}t=-30.00.png"
            save_png(tmp_path / name, random_pixels(step + len(phi) + int(phi[1])))
    database = cinema.read(tmp_path)
    assert database.parameters == (
        Parameter("phi", ("000.00", "120.00")),
        Parameter("theta", ("-30.00",)),
        Parameter("timestep", ("0", "1")),
    )
    assert database.columns == ("FILE_png",)
    assert len(database.cells) == len(database.images) == 4
    save_png(tmp_path / "Other_000001.png", random_pixels(9))
    more = cinema.read(tmp_path)
    assert [p.name for p in more.parameters] == ["phi", "theta", "producer", "timestep"]
    assert "" in more.parameters[0].values
    # One other image, and the names tell no more what the images are.
    save_png(tmp_path / "logo.png", random_pixels(10))
    with pytest.raises(SourceError, match="no table"):
        cinema.read(tmp_path)


# ------------------------------------------------------------------ bad input

_TRAVERSALS = [
    "../secret.png",
    "image/../../secret.png",
    "/etc/passwd",
    "C:/secret.png",
    "C:secret.png",
    "..\\secret.png",
    "\\\\server\\secret.png",
    "link.png",
    "folder/secret.png",
    "http://example.org/a.png",
    "~/secret.png",
]


@pytest.mark.parametrize("path", _TRAVERSALS)
def test_paths_stay_in_the_folder(tmp_path: Path, path: str) -> None:
    outside = tmp_path / "outside"
    save_png(outside / "secret.png", random_pixels(0))
    save_png(tmp_path / "secret.png", random_pixels(0))
    folder = make(tmp_path / "x.cdb", f"t,FILE\n0,{path}\n", {"image/a.png": random_pixels(0)})
    (folder / "link.png").symlink_to(outside / "secret.png")
    (folder / "folder").symlink_to(outside)
    with pytest.raises(SourceError, match=r"line 2 of the table names '"):
        cinema.read(folder)


def test_a_link_within_the_folder_is_followed_and_one_to_the_table_is_not(tmp_path: Path) -> None:
    folder = make(tmp_path / "x.cdb", "FILE\na.png\nb.png\n", {"a.png": random_pixels(0)})
    (folder / "b.png").symlink_to("a.png")
    assert len(cinema.read(folder).images) == 1
    (folder / "data.csv").rename(tmp_path / "data.csv")
    (folder / "data.csv").symlink_to(tmp_path / "data.csv")
    with pytest.raises(SourceError, match="link out of the folder"):
        cinema.read(folder)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("", "is empty"),
        ("\n", "without a name"),
        ("t,FILE\n", "no rows"),
        ("t,FILE\n0\n", "line 2 .* has 1 fields"),
        ("t,FILE\n0,a.png,1\n", "line 2 .* has 3 fields"),
        ("t,t,FILE\n0,0,a.png\n", "two columns named 't'"),
        ("t,,FILE\n0,0,a.png\n", "without a name"),
        ("t,u\n0,0\n", "no column of files"),
        ("t,FILE\n0,\n", "names no image"),
        ("t,FILE\n0,absent.png\n", "cannot be found"),
        ("t,FILE\n0,data.csv\n", "is no image"),
        ("t,FILE\n0,folder.png\n", "is a directory"),
        ("t,FILE\n0,empty.png\n", "is empty"),
        ("t,FILE\n0,text.png\n", "cannot read"),
        ("t,FILE\n0,jpeg.png\n", "cannot read"),
        ('t,FILE\n0,"a.png\n', "cannot read"),
        ("t,FILE\n0,a\0.png\n", "NUL|must lie in the folder"),
        ("t\x07,FILE\n0,a.png\n", "printable"),
        ("t,FILE\n0," + "a" * 5000 + ".png\n", "names 'aaaa"),
        ("t,FILE\n0," + "a" * 200_000 + ".png\n", "field larger than"),
        (",".join(f"c{i}" for i in range(1001)) + ",FILE\n", "over 1000 columns"),
    ],
)
def test_bad_tables_are_one_line(tmp_path: Path, table: str, message: str) -> None:
    folder = make(tmp_path / "x.cdb", table, {"a.png": random_pixels(0)})
    (folder / "folder.png").mkdir()
    (folder / "empty.png").touch()
    (folder / "text.png").write_text("no image")
    Pillow.fromarray(random_pixels(0)).save(folder / "jpeg.png", format="JPEG")
    with pytest.raises(SourceError, match=message) as caught:
        cinema.read(folder)
    assert "\n" not in str(caught.value)


def test_bad_folders(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="not a folder"):
        cinema.read(tmp_path / "absent")
    with pytest.raises(SourceError, match="no table"):
        cinema.read(tmp_path)
    (tmp_path / "a.csv").write_text("FILE\n")
    (tmp_path / "b.csv").write_text("FILE\n")
    with pytest.raises(SourceError, match="several tables"):
        cinema.read(tmp_path)
    (tmp_path / "data.csv").write_bytes(b"t,FILE\n\xff\xfe,a.png\n")
    with pytest.raises(SourceError, match="codec can't decode"):
        cinema.read(tmp_path)


def png_that_claims(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        crc = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1 + 3 * width))
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(60_000, 60_000), (9_000, 9_000), (70_000, 2), (4_000, 4_000)])
def test_claims_of_huge_images_are_refused_before_pixels_are_made(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    folder = make(tmp_path / "x.cdb", "FILE\na.png\n", {})
    (folder / "a.png").write_bytes(png_that_claims(*size))
    with pytest.raises(SourceError):
        cinema.read(folder)


def test_damaged_pixels_are_one_line_when_they_are_read(tmp_path: Path) -> None:
    folder = make(tmp_path / "x.cdb", "FILE\na.png\n", {"a.png": random_pixels(0, 64, 64)})
    whole = (folder / "a.png").read_bytes()
    (folder / "a.png").write_bytes(whole[: len(whole) // 2])
    image = cinema.read(folder).images[0]
    with pytest.raises(SourceError, match=r"cannot read .*a\.png"):
        image.load()
    (folder / "a.png").unlink()
    save_png(folder / "a.png", random_pixels(0, 63, 64))
    with pytest.raises(SourceError, match="changed"):
        image.load()


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("a.npy", np.zeros((4, 4, 2), np.uint8), "an image has one number"),
        ("a.npy", np.zeros((4, 4), complex), "an image has one number"),
        ("a.npy", np.zeros((0, 4)), "a side must have"),
        ("a.npy", np.array([["x"]]), "an image has one number"),
        ("a.npy", np.zeros(7), "an image has one number"),
        ("a.npz", np.zeros((2, 2, 2), np.float32), "an image has one number"),
    ],
)
def test_arrays_that_are_no_images(tmp_path: Path, name: str, values: Pixels, message: str) -> None:
    folder = make(tmp_path / "x.cdb", f"FILE\n{name}\n", {})
    np.save(folder / name, values) if name.endswith("y") else np.savez(folder / name, d=values)
    with pytest.raises(SourceError, match=message):
        cinema.read(folder)


def test_integers_that_single_precision_cannot_hold(tmp_path: Path) -> None:
    folder = make(tmp_path / "x.cdb", "FILE\na.npy\n", {})
    np.save(folder / "a.npy", np.full((2, 2), 2**24 + 1))
    with pytest.raises(SourceError, match="2\\^24"):
        cinema.read(folder).images[0].load()


def test_truncated_arrays_and_archives(tmp_path: Path) -> None:
    folder = make(tmp_path / "x.cdb", "FILE\na.npy\n", {})
    np.save(folder / "a.npy", np.zeros((64, 64)))
    (folder / "a.npy").write_bytes((folder / "a.npy").read_bytes()[:500])
    with pytest.raises(SourceError, match="truncated"):
        cinema.read(folder)
    for name in ("a.npz", "a.h5", "a.vtk", "a.vti", "a.tif", "a.jpg"):
        (folder / "data.csv").write_text(f"FILE\n{name}\n")
        (folder / name).write_bytes(b"PK\x03\x04 nothing of the kind")
        with pytest.raises(SourceError):
            cinema.read(folder)


# ------------------------------------------------------------------ writing


def test_the_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    cells = (Cell((), (0,)), Cell((), (1,)))

    def fail(number: int) -> Pixels:
        if number:
            raise KeyboardInterrupt
        return random_pixels(number)

    with pytest.raises(KeyboardInterrupt):
        cinema_writer.write(tmp_path / "x.cdb", (), ("FILE",), cells, fail)
    assert not list(tmp_path.iterdir())
    (tmp_path / "x.cdb").mkdir()
    cinema_writer.write(tmp_path / "x.cdb", (), ("FILE",), cells, random_pixels)
    assert (tmp_path / "x.cdb" / "data.csv").read_text().startswith("FILE\nimage/")
    with pytest.raises(OutputError, match="exists"):
        cinema_writer.write(tmp_path / "x.cdb", (), ("FILE",), cells, random_pixels)
    with pytest.raises(OutputError, match="make it first"):
        cinema_writer.check_folder(tmp_path / "absent" / "x.cdb")


def test_an_image_that_many_cells_name_is_written_once(tmp_path: Path) -> None:
    cells = tuple(Cell((i,), (0,)) for i in range(9))
    parameter = Parameter("t", tuple(str(i) for i in range(9)))
    fractions: list[float] = []
    cinema_writer.write(
        tmp_path / "x.cdb", (parameter,), ("FILE",), cells, random_pixels, progress=fractions.append
    )
    assert len(list((tmp_path / "x.cdb" / "image").iterdir())) == 1
    assert fractions[-1] == 1


_TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=8
)


@st.composite
def databases(draw: st.DrawFn) -> tuple[ImageDatabase, list[Pixels]]:
    count = draw(st.integers(1, 4))
    pixels = []
    for number in range(count):
        height, width = draw(st.integers(1, 6)), draw(st.integers(1, 6))
        channels = draw(st.sampled_from([3, 4]))
        image = draw(arrays(np.uint8, (height, width, channels)))
        # Equal images would be stored once, which has a test of its own.
        image[0, 0, 0] = number
        pixels.append(image)
    names = draw(st.lists(_TEXTS, max_size=3, unique=True))
    names = [f"p{name}" for name in names]
    rows = draw(st.integers(1, 6))
    texts = [draw(st.lists(_TEXTS, min_size=rows, max_size=rows)) for _ in names]
    parameters = tuple(Parameter(n, sort_values(t)) for n, t in zip(names, texts, strict=True))
    columns = tuple(f"FILE_{i}" for i in range(draw(st.integers(1, 2))))
    order = st.integers(-1, count - 1)
    images = [draw(st.tuples(*[order] * len(columns))) for _ in range(rows)]
    images[0] = (0, *images[0][1:])
    cells = tuple(
        Cell(tuple(p.values.index(t[r]) for p, t in zip(parameters, texts, strict=True)), images[r])
        for r in range(rows)
    )
    return ImageDatabase(parameters, columns, cells, ()), pixels


@settings(max_examples=40)
@given(drawn=databases())
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, drawn: tuple[ImageDatabase, list[Pixels]]
) -> None:
    database, pixels = drawn
    folder = tmp_path_factory.mktemp("cinema") / "x.cdb"
    cinema_writer.write(
        folder, database.parameters, database.columns, database.cells, lambda k: pixels[k]
    )
    again = cinema.read(folder)
    assert again.parameters == database.parameters
    assert again.columns == database.columns
    for cell, expected in zip(again.cells, database.cells, strict=True):
        assert cell.values == expected.values
        for number, original in zip(cell.images, expected.images, strict=True):
            assert (number < 0) == (original < 0)
            if number >= 0:
                np.testing.assert_array_equal(again.images[number].load(), pixels[original])
    # Once read, a database is a fixed point.
    write(folder.parent / "y.cdb", again)
    assert_same(cinema.read(folder.parent / "y.cdb"), again)


@settings(max_examples=150)
@given(table=st.binary(max_size=200))
def test_any_bytes_for_a_table_are_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, table: bytes
) -> None:
    folder = tmp_path_factory.mktemp("cinema")
    (folder / "data.csv").write_bytes(b"t,FILE\n" + table)
    with pytest.raises(SourceError) as caught:
        cinema.read(folder)
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------ finding cells

_PHI = Parameter("phi", ("0", "90", "180", "270", "350"))
_TIME = Parameter("time", ("0", "0.1", "1"))
_WHO = Parameter("producer", ("PNG1", "REC1"))
_CELLS = [Cell((p, t, w), (0,)) for p in range(5) for t in range(3) for w in range(2)]


def test_a_cell_is_found_by_texts_and_numbers() -> None:
    found = find_cell((_PHI, _TIME, _WHO), _CELLS, {"phi": 90.0, "time": "1", "producer": "REC1"})
    assert found.values == (1, 2, 1)
    assert find_cell((_PHI, _TIME, _WHO), _CELLS, {"time": 1 / 10}).values == (0, 1, 0)
    with pytest.raises(ArrayNotFoundError, match="phi is never 91"):
        find_cell((_PHI, _TIME, _WHO), _CELLS, {"phi": 91})
    with pytest.raises(UsageError, match="it has phi, time, producer"):
        find_cell((_PHI, _TIME, _WHO), _CELLS, {"theta": 1})
    with pytest.raises(ArrayNotFoundError, match="no image at phi=0, time=1"):
        find_cell((_PHI, _TIME, _WHO), _CELLS[:1], {"phi": 0, "time": 1})


def test_the_nearest_cell_goes_round_the_circle() -> None:
    parameters = (_PHI, _TIME, _WHO)
    assert nearest_cell(parameters, _CELLS, {"phi": 357, "time": 0.8}).values == (0, 2, 0)
    assert nearest_cell(parameters, _CELLS, {"phi": -9.0, "producer": "REC1"}).values == (4, 0, 1)
    with pytest.raises(ArrayNotFoundError, match="no image near"):
        nearest_cell(parameters, _CELLS, {"producer": "PNG9"})
    with pytest.raises(ArrayNotFoundError):
        nearest_cell(parameters, [], {})


def test_a_table_may_take_what_is_not_there_for_far() -> None:
    cells = [cell for cell in _CELLS if cell.values[2] == 0]
    table = CellTable((_PHI, _TIME, _WHO), cells)
    wanted = {"producer": "REC1", "phi": 100, "time": 1}
    with pytest.raises(ArrayNotFoundError, match="no image near"):
        table.nearest(wanted)
    assert table.nearest(wanted, lenient=True).values == (1, 2, 0)


@given(phi=st.floats(-720, 720), time=st.floats(-1, 2))
def test_no_cell_is_nearer_than_the_nearest(phi: float, time: float) -> None:
    def distance(cell: Cell) -> float:
        off = abs(float(_PHI.values[cell.values[0]]) - phi) % 360
        later = float(_TIME.values[cell.values[1]]) - time
        return (min(off, 360 - off) / 350) ** 2 + later**2

    nearest = nearest_cell((_PHI, _TIME, _WHO), _CELLS, {"phi": phi, "time": time})
    assert distance(nearest) <= min(map(distance, _CELLS)) + 1e-9


# ------------------------------------------------------------------ shared data


@pytest.mark.shared
def test_databases_of_others(shared_data: Path, tmp_path: Path) -> None:
    sedov = cinema.read(shared_data / "cinema" / "cinema_sedov1.cdb")
    assert (len(sedov.cells), len(sedov.images)) == (490, 430)
    assert {image.shape for image in sedov.images} == {(738, 798, 3)}
    assert [p.name for p in sedov.parameters] == ["time", "phi", "theta"]
    sphere = cinema.read(shared_data / "cinema" / "cinema_sphere.cdb")
    write(tmp_path / "sphere.cdb", sphere)
    assert_same(cinema.read(tmp_path / "sphere.cdb"), sphere)
