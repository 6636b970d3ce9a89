"""The image files of a database, opened one by one: sizes first, pixels when asked for."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from inrvis.errors import SourceError
from inrvis.sources import cinema_vtk, vtk
from inrvis.sources.database import Pixels, StoredImage
from inrvis.sources.files import (
    DEFLATE_RATIO,
    ReadOptions,
    check_claim,
    file_size,
    load_library,
    reading,
)

__all__ = ["EXTENSIONS", "stored_images"]

_PILLOW = "run: pip install pillow"
_LONGEST_SIDE = 65_535
_MOST_CHANNELS = 64
_EXACT_IN_FLOAT32 = 1 << 24
# A format each, so that a file is never handed to a parser that its name does not tell of.
_RASTERS = {
    ".bmp": "BMP",
    ".jpeg": "JPEG",
    ".jpg": "JPEG",
    ".png": "PNG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
}
# Of formats that deflate; what the others may claim is limited by the number of pixels alone.
_DEFLATED = {".png"}

Channels: TypeAlias = dict[str, StoredImage]


def stored_images(path: Path) -> Channels:
    """Images of a file by the name of their channel, which is empty for a file of one image.

    Colours are 8 bits wide, RGB or RGBA; grey and palettes become RGB, or RGBA where they have
    transparency. Images of one number for each pixel are float32: those of VTK, NumPy and HDF5
    files, of 16 bits and of floating point.

    Raises
    ------
    SourceError
        If the file is no image, damaged, too large or of an unknown type.
    """
    opener = _OPENERS.get(path.suffix.lower())
    if opener is None:
        raise SourceError(f"{path} is no image; columns may name {', '.join(EXTENSIONS)}")
    file_size(path)
    with reading(path):
        return opener(path)


# ------------------------------------------------------------------ raster formats


def _open_raster(path: Path) -> Channels:
    library = load_library("PIL.Image", _PILLOW)
    with warnings.catch_warnings():
        # Pillow warns of images that could fill the memory, and refuses those twice as large.
        warnings.simplefilter("error", library.DecompressionBombWarning)
        with library.open(path, formats=[_RASTERS[path.suffix.lower()]]) as image:
            width, height = image.size
            mode = _target_mode(path, image)
    channels = {"F": 1, "RGB": 3, "RGBA": 4}[mode]
    if path.suffix.lower() in _DEFLATED:
        # A palette of two colours needs a bit for what becomes three bytes.
        check_claim(path, width * height // 8, file_size(path) * DEFLATE_RATIO)
    shape = (height, width) if channels == 1 else (height, width, channels)
    return {"": _stored(path, shape, partial(_load_raster, path, mode))}


def _target_mode(path: Path, image: Any) -> str:
    mode = image.mode
    if mode == "F" or mode.startswith("I"):
        return "F"
    if mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        return "RGBA"
    if mode in ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr"):
        return "RGB"
    raise SourceError(f"{path} has colours of the unknown kind {mode}; write it as RGB or RGBA")


def _load_raster(path: Path, mode: str) -> Pixels:
    library = load_library("PIL.Image", _PILLOW)
    with library.open(path, formats=[_RASTERS[path.suffix.lower()]]) as image:
        if mode == "F":
            return _float32(path, np.asarray(image))
        return np.array(image if image.mode == mode else image.convert(mode), dtype=np.uint8)


# ------------------------------------------------------------------ arrays


def _open_vtk(path: Path) -> Channels:
    header = cinema_vtk.read_header(path) if path.suffix.lower() == ".vtk" else None
    if header is not None:
        check_claim(path, header.nbytes, file_size(path))
        return {"": _stored(path, header.shape, partial(cinema_vtk.read_pixels, path, header))}
    # Any other form than ParaView's own is left to VTK.
    return {"": _stored(path, _load_vtk(path).shape, partial(_load_vtk, path))}


def _load_vtk(path: Path) -> Pixels:
    image = vtk.READERS[path.suffix.lower()](path, ReadOptions())
    if len(image.arrays) != 1 or image.grid.shape[0] != 1:
        raise SourceError(f"{path} is no image of one array; give a database of images")
    values = next(iter(image.arrays.values()))[0]
    # VTK counts rows from the bottom.
    return _pixels(path, values[::-1])


def _open_npy(path: Path) -> Channels:
    with path.open("rb") as file:
        shape, dtype = _npy_header(file)
    check_claim(path, _claimed(shape, dtype), file_size(path))
    load = partial(_load_npy, path)
    return {"": _stored(path, _image_shape(path, shape, dtype), load)}


def _load_npy(path: Path) -> Pixels:
    return _pixels(path, np.load(path, allow_pickle=False))


def _open_npz(path: Path) -> Channels:
    channels = {}
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        _check_channels(path, len(entries))
        check_claim(
            path,
            sum(e.file_size for e in entries),
            sum(e.compress_size for e in entries) * DEFLATE_RATIO,
        )
        for entry in entries:
            name = entry.filename.removesuffix(".npy")
            with archive.open(entry) as file:
                shape, dtype = _npy_header(file)
            check_claim(path, _claimed(shape, dtype), entry.file_size)
            channels[_channel(path, name)] = _stored(
                path, _image_shape(path, shape, dtype), partial(_load_npz, path, name)
            )
    return channels


def _load_npz(path: Path, name: str) -> Pixels:
    with np.load(path, allow_pickle=False) as archive:
        return _pixels(path, archive[name])


def _open_hdf5(path: Path) -> Channels:
    from inrvis.sources import hdf5_file

    channels = {}
    with hdf5_file.opened(path) as file:
        found = hdf5_file.catalogue(path, file).find("/channels")
        if not found:
            raise SourceError(f"{path} has no group of channels; it is no image of a database")
        _check_channels(path, len(found))
        for variable in found:
            variable.check(_claimed(variable.shape, variable.dtype))
            shape = _without_last_axis_of_one(variable.shape)
            channels[_channel(path, variable.path.rpartition("/")[2])] = _stored(
                path,
                _image_shape(path, shape, variable.dtype),
                partial(_load_hdf5, path, variable.path),
            )
    return channels


def _load_hdf5(path: Path, name: str) -> Pixels:
    from inrvis.sources import hdf5_file

    with hdf5_file.opened(path) as file:
        found = hdf5_file.catalogue(path, file).find(name)
        if not found:
            raise SourceError(f"{path} no longer holds {name}; was it changed?")
        values = found[0].read(())
        return _pixels(path, values.reshape(_without_last_axis_of_one(values.shape)))


_OPENERS: dict[str, Callable[[Path], Channels]] = {
    **dict.fromkeys(_RASTERS, _open_raster),
    ".h5": _open_hdf5,
    ".npy": _open_npy,
    ".npz": _open_npz,
    ".vti": _open_vtk,
    ".vtk": _open_vtk,
}
EXTENSIONS = tuple(sorted(_OPENERS))


# ------------------------------------------------------------------ shapes and types


def _stored(path: Path, shape: tuple[int, ...], load: Callable[[], Pixels]) -> StoredImage:
    height, width, *rest = shape
    if not 0 < min(height, width) <= max(height, width) <= _LONGEST_SIDE:
        raise SourceError(
            f"{path} has {width} × {height} pixels; a side must have 1 to {_LONGEST_SIDE}"
        )
    dtype, itemsize = ("uint8", 1) if rest else ("float32", 4)
    check_claim(path, height * width * itemsize * (rest[0] if rest else 1), None)

    def checked() -> Pixels:
        with reading(path):
            pixels = load()
        if pixels.shape != shape or pixels.dtype != dtype:
            raise SourceError(f"{path} changed while the database was read; read it again")
        return np.ascontiguousarray(pixels)

    if rest:
        return StoredImage(height, width, rest[0], "uint8", checked)
    return StoredImage(height, width, 1, "float32", checked)


def _npy_header(file: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    numpy_format: Any = np.lib.format
    old = numpy_format.read_magic(file) == (1, 0)
    read = numpy_format.read_array_header_1_0 if old else numpy_format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype


def _without_last_axis_of_one(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of depth images that are stored as (height, width, 1)."""
    return shape[:2] if len(shape) == 3 and shape[2] == 1 else shape


def _claimed(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    claimed = dtype.itemsize
    for count in shape:
        claimed *= int(count)
    return claimed


def _image_shape(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[int, ...]:
    """Shape of the pixels that values of this shape and type become."""
    if len(shape) == 2 and dtype.kind in "iufb":
        return shape
    if len(shape) == 3 and shape[2] in (3, 4) and dtype == np.uint8:
        return shape
    raise SourceError(
        f"{path} holds {dtype} of shape {shape}; an image has one number for each pixel, or 3 or 4 "
        "of uint8"
    )


def _pixels(path: Path, values: Pixels) -> Pixels:
    _image_shape(path, values.shape, values.dtype)
    return values if values.ndim == 3 else _float32(path, values)


def _float32(path: Path, values: Pixels) -> Pixels:
    """Values in single precision; whole numbers must stay what they are."""
    if values.dtype.kind in "iu" and values.size:
        largest = max(abs(int(values.min())), abs(int(values.max())))
        if largest > _EXACT_IN_FLOAT32:
            raise SourceError(f"{path} holds integers up to {largest}; at most 2^24 can be kept")
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def _channel(path: Path, name: str) -> str:
    if not name or not name.isprintable() or "/" in name or ":" in name:
        raise SourceError(f"{path} has a channel named {name!r}; rename it")
    return name


def _check_channels(path: Path, count: int) -> None:
    if not 0 < count <= _MOST_CHANNELS:
        raise SourceError(f"{path} holds {count} channels; an image has 1 to {_MOST_CHANNELS}")
