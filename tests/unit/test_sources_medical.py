"""NRRD, NIfTI and MetaImage, written here by their own libraries or byte by byte."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inrvis import sources
from inrvis.grid import ImageGrid

nrrd = pytest.importorskip("nrrd", reason="pynrrd is not installed")
nibabel = pytest.importorskip("nibabel", reason="nibabel is not installed")

VALUES = np.arange(120, dtype=np.int16).reshape(4, 5, 6) - 7
VECTORS = np.stack([VALUES, VALUES * 2, -VALUES], axis=-1)


def cut(path: Path, keep: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    return path


# NRRD


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2", "ascii"])
@pytest.mark.parametrize("detached", [False, True])
@pytest.mark.parametrize("dtype", ["<i2", ">i2", "<f4", ">f8"])
def test_nrrd(tmp_path: Path, encoding: str, detached: bool, dtype: str) -> None:
    path = tmp_path / ("a.nhdr" if detached else "a.nrrd")
    header = {
        "space": "left-posterior-superior",
        "space directions": np.array([[0, 2.0, 0], [-3.0, 0, 0], [0, 0, 4.0]]),
        "space origin": [1.0, 2.0, 3.0],
        "encoding": encoding,
    }
    nrrd.write(str(path), VALUES.astype(dtype), header, index_order="C")
    image = sources.read(path)
    assert image.grid == ImageGrid(
        (0, 5, 0, 4, 0, 3), (2, 3, 4), (1, 2, 3), (0, -1, 0, 1, 0, 0, 0, 0, 1)
    )
    read = image.arrays["intensity"]
    assert read.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(read, VALUES)


def test_nrrd_without_a_space(tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    nrrd.write(str(path), VALUES, {"spacings": [0.5, 1.0, 2.0]}, index_order="C")
    assert sources.read(path).grid == ImageGrid.from_dimensions((6, 5, 4), (0.5, 1, 2))
    nrrd.write(str(path), VALUES, {}, index_order="C")
    assert sources.read(path).grid == ImageGrid.from_dimensions((6, 5, 4))


def test_nrrd_slice(tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    nrrd.write(str(path), VALUES[0], {"spacings": [0.5, 2.0]}, index_order="C")
    image = sources.read(path)
    assert image.grid == ImageGrid.from_dimensions((6, 5, 1), (0.5, 2, 1))
    np.testing.assert_array_equal(image.arrays["intensity"], VALUES[:1])


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("directions", [True, False])
def test_nrrd_components(tmp_path: Path, first: bool, directions: bool) -> None:
    path = tmp_path / "a.nrrd"
    kinds = ["domain"] * 3
    kinds.insert(0 if first else 3, "vector")
    header: dict[str, Any] = {"kinds": kinds}
    steps = [2.0, 3.0, 4.0]
    if directions:
        rows = np.insert(np.diag(steps), 0 if first else 3, np.nan, axis=0)
        header |= {"space": "RAS", "space directions": rows}
    else:
        header["spacings"] = np.insert(steps, 0 if first else 3, np.nan)
    stored = VECTORS if first else np.moveaxis(VECTORS, -1, 0)
    nrrd.write(str(path), np.ascontiguousarray(stored), header, index_order="C")
    image = sources.read(path)
    assert image.grid == ImageGrid.from_dimensions((6, 5, 4), steps)
    np.testing.assert_array_equal(image.arrays["intensity"], VECTORS)


def test_nrrd_with_a_fourth_axis_of_unknown_kind(tmp_path: Path, refused: Any) -> None:
    nrrd.write(str(tmp_path / "a.nrrd"), VECTORS, {}, index_order="C")
    assert "kinds" in refused(tmp_path / "a.nrrd")


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
@pytest.mark.parametrize("keep", [0.9, 0.7, 0.3, 0.02])
def test_nrrd_truncated(tmp_path: Path, encoding: str, keep: float, refused: Any) -> None:
    nrrd.write(str(tmp_path / "a.nrrd"), VALUES, {"encoding": encoding}, index_order="C")
    refused(cut(tmp_path / "a.nrrd", keep))


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
@pytest.mark.parametrize(
    "change",
    [
        (b"sizes: 6 5 4", b"sizes: 10000 10000 10000"),
        (b"sizes: 6 5 4", b"sizes: 6 5 -4"),
        (b"sizes: 6 5 4", b"sizes: 6 x 4"),
        (b"type: int16", b"type: block"),
        (b"dimension: 3", b"dimension: 4"),
        (b"NRRD", b"NERD"),
        (b"encoding: ", b"encoding: un"),
    ],
)
def test_nrrd_damaged(
    tmp_path: Path, encoding: str, change: tuple[bytes, bytes], refused: Any
) -> None:
    path = tmp_path / "a.nrrd"
    nrrd.write(str(path), VALUES, {"encoding": encoding}, index_order="C")
    content = path.read_bytes()
    assert change[0] in content
    path.write_bytes(content.replace(*change))
    refused(path)


def test_nhdr_without_its_values(tmp_path: Path, refused: Any) -> None:
    nrrd.write(str(tmp_path / "a.nhdr"), VALUES, {"encoding": "raw"}, index_order="C")
    (tmp_path / "a.raw").unlink()
    refused(tmp_path / "a.nhdr")


# NIfTI


def save_nifti(path: Path, values: Any, affine: Any = None) -> Path:
    """Values in the order (z, y, x[, …]) as a NIfTI file."""
    order = (2, 1, 0, *range(3, values.ndim))
    nibabel.save(nibabel.Nifti1Image(values.transpose(order), affine), path)
    return path


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("dtype", ["u1", "<i2", ">i2", "u2", "<f4", ">f4", "f8", "i8"])
def test_nifti(tmp_path: Path, name: str, dtype: str) -> None:
    affine = np.array([[0, -3, 0, 1], [2, 0, 0, 2], [0, 0, 4, 3], [0, 0, 0, 1.0]])
    values = np.abs(VALUES).astype(dtype)
    header = nibabel.Nifti1Header(endianness=">" if ">" in dtype else "<")
    header.set_data_dtype(dtype)
    nibabel.save(nibabel.Nifti1Image(values.T, affine, header), tmp_path / name)
    image = sources.read(tmp_path / name)
    assert image.grid == ImageGrid(
        (0, 5, 0, 4, 0, 3), (2, 3, 4), (1, 2, 3), (0, -1, 0, 1, 0, 0, 0, 0, 1)
    )
    read = image.arrays["intensity"]
    assert read.dtype == np.dtype(dtype).newbyteorder("=")
    assert not isinstance(read, np.memmap)
    np.testing.assert_array_equal(read, values)


def test_nifti_scaled_values_become_float32(tmp_path: Path) -> None:
    path = save_nifti(tmp_path / "a.nii", VALUES, np.eye(4))
    content = bytearray(path.read_bytes())
    content[112:120] = np.array([0.25, 1.0], "<f4").tobytes()
    path.write_bytes(content)
    read = sources.read(path).arrays["intensity"]
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, VALUES * 0.25 + 1)


def test_nifti_without_a_known_space(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(VALUES.T, None)
    image.header.set_zooms((0.5, 1.0, 2.0))
    image.header["sform_code"] = image.header["qform_code"] = 0
    nibabel.save(image, tmp_path / "a.nii")
    assert sources.read(tmp_path / "a.nii").grid == ImageGrid.from_dimensions(
        (6, 5, 4), (0.5, 1.0, 2.0)
    )


def test_nifti_further_axes(tmp_path: Path, refused: Any) -> None:
    one = sources.read(save_nifti(tmp_path / "a.nii", VALUES[..., None], np.eye(4)))
    np.testing.assert_array_equal(one.arrays["intensity"], VALUES)
    vectors = sources.read(save_nifti(tmp_path / "v.nii", VECTORS[..., None, :], np.eye(4)))
    np.testing.assert_array_equal(vectors.arrays["intensity"], VECTORS)
    assert "series" in refused(save_nifti(tmp_path / "t.nii", VECTORS, np.eye(4)))


def test_nifti_colours(tmp_path: Path) -> None:
    colours = np.ascontiguousarray(np.abs(VECTORS) % 256, dtype=np.uint8)
    rgb = colours.view([("R", "u1"), ("G", "u1"), ("B", "u1")])[..., 0]
    read = sources.read(save_nifti(tmp_path / "a.nii", rgb, np.eye(4))).arrays["intensity"]
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, colours)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("keep", [0.98, 0.7, 0.1])
def test_nifti_truncated(tmp_path: Path, name: str, keep: float, refused: Any) -> None:
    refused(cut(save_nifti(tmp_path / name, VALUES, np.eye(4)), keep))


@pytest.mark.parametrize("packed", [True, False])
def test_nifti_that_claims_too_much(tmp_path: Path, packed: bool, refused: Any) -> None:
    content = bytearray(save_nifti(tmp_path / "a.nii", VALUES, np.eye(4)).read_bytes())
    content[42:48] = np.array([30000] * 3, "<i2").tobytes()
    path = tmp_path / ("b.nii.gz" if packed else "b.nii")
    path.write_bytes(gzip.compress(content) if packed else content)
    assert "claims" in refused(path)


def test_nifti_of_other_content(tmp_path: Path, refused: Any) -> None:
    for name, content in (("a.nii", b"x" * 400), ("a.nii.gz", b"x" * 400), ("b.nii", bytes(400))):
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name)


def test_nifti_complex_values(tmp_path: Path, refused: Any) -> None:
    refused(save_nifti(tmp_path / "a.nii", VALUES.astype(np.complex64), np.eye(4)))


# MetaImage


def save_meta(path: Path, values: Any = VALUES, data: str = "LOCAL", **keys: Any) -> Path:
    compressed = keys.get("CompressedData") == "True"
    content = values.tobytes()
    content = zlib.compress(content) if compressed else content
    entries = {
        "ObjectType": "Image",
        "NDims": 3,
        "ElementSpacing": "2 3 4",
        "Offset": "1 2 3",
        "TransformMatrix": "0 1 0 -1 0 0 0 0 1",
        "DimSize": "6 5 4",
        "ElementType": "MET_SHORT",
        **keys,
        "ElementDataFile": data,
    }
    header = "".join(f"{k} = {v}\n" for k, v in entries.items() if v is not None).encode()
    if data == "LOCAL":
        path.write_bytes(header + content)
    else:
        path.write_bytes(header)
        (path.parent / data).write_bytes(content)
    return path


@pytest.mark.parametrize("data", ["LOCAL", "a.raw"])
@pytest.mark.parametrize("compressed", ["True", "False"])
@pytest.mark.parametrize("msb", ["True", "False"])
def test_metaimage(tmp_path: Path, data: str, compressed: str, msb: str) -> None:
    values = VALUES.astype(">i2" if msb == "True" else "<i2")
    path = save_meta(
        tmp_path / "a.mha", values, data, CompressedData=compressed, BinaryDataByteOrderMSB=msb
    )
    image = sources.read(path)
    assert image.grid == ImageGrid(
        (0, 5, 0, 4, 0, 3), (2, 3, 4), (1, 2, 3), (0, -1, 0, 1, 0, 0, 0, 0, 1)
    )
    assert image.arrays["intensity"].dtype == np.int16
    np.testing.assert_array_equal(image.arrays["intensity"], VALUES)


def test_metaimage_by_vtk(tmp_path: Path) -> None:
    vtk = pytest.importorskip("vtkmodules.vtkIOImage", reason="VTK is not installed")
    from vtkmodules.util.numpy_support import numpy_to_vtk
    from vtkmodules.vtkCommonDataModel import vtkImageData

    data = vtkImageData()
    data.SetDimensions(6, 5, 4)
    data.SetOrigin(1, 2, 3)
    data.GetPointData().SetScalars(numpy_to_vtk(VALUES.ravel(), deep=1))
    for compression in (True, False):
        writer = vtk.vtkMetaImageWriter()
        writer.SetInputData(data)
        writer.SetFileName(str(tmp_path / "a.mhd"))
        writer.SetCompression(compression)
        writer.Write()
        image = sources.read(tmp_path / "a.mhd")
        assert image.grid == ImageGrid.from_dimensions((6, 5, 4), origin=(1, 2, 3))
        np.testing.assert_array_equal(image.arrays["intensity"], VALUES)


def test_metaimage_components_slices_and_header_sizes(tmp_path: Path) -> None:
    path = save_meta(tmp_path / "a.mha", VECTORS, ElementNumberOfChannels=3)
    np.testing.assert_array_equal(sources.read(path).arrays["intensity"], VECTORS)
    slice_keys = {
        "NDims": 2,
        "DimSize": "6 5",
        "ElementSpacing": "2 3",
        "Offset": "1 2",
        "TransformMatrix": "1 0 0 1",
    }
    flat = sources.read(save_meta(tmp_path / "b.mha", VALUES[0], **slice_keys))
    assert flat.grid == ImageGrid.from_dimensions((6, 5, 1), (2, 3, 1), (1, 2, 0))
    path = save_meta(tmp_path / "c.mhd", VALUES, "c.raw", HeaderSize=-1)
    raw = tmp_path / "c.raw"
    raw.write_bytes(b"a header" + raw.read_bytes())
    np.testing.assert_array_equal(sources.read(path).arrays["intensity"], VALUES)


@pytest.mark.parametrize("compressed", ["True", "False"])
@pytest.mark.parametrize("keep", [0.98, 0.7, 0.3, 0.02])
def test_metaimage_truncated(tmp_path: Path, compressed: str, keep: float, refused: Any) -> None:
    refused(cut(save_meta(tmp_path / "a.mha", CompressedData=compressed), keep))


@pytest.mark.parametrize("compressed", ["True", "False"])
@pytest.mark.parametrize(
    "keys",
    [
        {"DimSize": "10000 10000 10000"},
        {"DimSize": "6 5 -4"},
        {"DimSize": "6 5 4 2"},
        {"DimSize": "6 x 4"},
        {"DimSize": None},
        {"ElementType": "MET_OTHER"},
        {"ElementSpacing": "1 0 1"},
        {"ElementSpacing": "1 1"},
        {"TransformMatrix": "1 0 0 1"},
        {"BinaryData": "False"},
        {"HeaderSize": "x", "data": "a.raw"},
        {"data": "LIST"},
    ],
)
def test_metaimage_damaged(
    tmp_path: Path, compressed: str, keys: dict[str, Any], refused: Any
) -> None:
    refused(save_meta(tmp_path / "a.mha", CompressedData=compressed, **keys))


def test_mhd_without_its_values(tmp_path: Path, refused: Any) -> None:
    path = save_meta(tmp_path / "a.mhd", data="a.raw")
    (tmp_path / "a.raw").unlink()
    refused(path)
