"""Symbols of one image: read from its record, and checked."""

from __future__ import annotations

import zlib
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from inrvis.bitstream.latents import LatentDecoder
from inrvis.decoder.covers import Mask
from inrvis.errors import ChecksumError, FormatError

Integers = NDArray[np.int64]


class Source(Protocol):
    """Where symbols come from: a stream, or an image that is being encoded."""

    def symbols(self, means: NDArray[np.float64], tables: Integers, places: Mask, /) -> Integers:
        """Symbols of the next latents, given means in latent units and tables of scales.

        All have the shape (channels, n): of the ``places``, shape (height, width), in C order.
        """


class StreamSource:
    """Symbols of one image's record.

    Parameters
    ----------
    record : bytes
        CRC-32 of the symbols, then the stream.
    image : int
        The image's number, for messages.
    exact : bool
        Whether the file's arithmetic is exact, for messages.
    """

    def __init__(self, record: bytes, image: int, *, exact: bool) -> None:
        self._image, self._exact, self._checksum = image, exact, 0
        self._wanted = int.from_bytes(record[:4], "little")
        try:
            self._stream = LatentDecoder(record[4:])
        except ValueError as error:
            raise FormatError(f"the stream of image {image} is damaged: {error}") from error

    def symbols(self, _means: NDArray[np.float64], tables: Integers, _places: Mask) -> Integers:
        """Decode the next symbols; where they belong is of no use here."""
        try:
            symbols = self._stream.take(tables)
        except ValueError as error:
            raise ChecksumError(self._mismatch()) from error
        self._checksum = checksum(symbols, self._checksum)
        return symbols

    def finish(self) -> None:
        """Raise ChecksumError unless all symbols are those that were written."""
        if self._checksum != self._wanted:
            raise ChecksumError(self._mismatch())

    def _mismatch(self) -> str:
        if self._exact:
            return f"the stream of image {self._image} is damaged: copy the file again"
        return (
            f"image {self._image} cannot be decoded on this machine: its networks compute in "
            "floating point and gave other probabilities here than where it was encoded; decode "
            "it there, or encode with the default profile, which is exact everywhere"
        )


def checksum(symbols: Integers, before: int = 0) -> int:
    """CRC-32 of symbols as 32-bit integers, going on from those before."""
    return zlib.crc32(symbols.astype("<i4").tobytes(), before)
