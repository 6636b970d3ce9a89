"""The codecs for pictures and films that SCI is compared with in its Table 1: JPEG, H.264, HEVC.

A volume's slices are the frames of a grey film. Values are mapped linearly from their range to all
levels of the greatest depth that a codec has for grey, as in the paper: 8 bits for JPEG, 10 for
H.264, 12 for HEVC; the ends of the range cost 16 bytes. JPEG gets all slices below one another in
one picture (the paper "flattens" volumes): headers of their own would cost more than small
slices do.
"""

from __future__ import annotations

import importlib
import io
import re
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from inrvis.errors import UsageError

Values: TypeAlias = npt.NDArray[Any]
Levels: TypeAlias = npt.NDArray[np.uint16]

_RANGE_BYTES = 16
# x265 (as in PyAV 18) writes beyond its memory where a frame is smaller than one of its units.
_SMALLEST = 64
_START_CODE = re.compile(b"\0\0\0?\1")


@dataclass(frozen=True)
class FrameCodec(ABC):
    """A codec; its quality is a number of its own, given here from coarse to fine."""

    name: ClassVar[str]
    bits: ClassVar[int]
    qualities: ClassVar[Sequence[int]]

    @abstractmethod
    def encode(self, levels: Levels, quality: int) -> bytes:
        """Stream of frames of shape (number, height, width)."""

    @abstractmethod
    def decode(self, stream: bytes, shape: tuple[int, ...]) -> Levels:
        """Frames of a stream."""


def round_trip(codec: FrameCodec, values: Values, quality: int) -> tuple[int, Values]:
    """Bytes on disk, and what is decoded from them in the source's type."""
    low, high = float(values.min()), float(values.max())
    top = 2**codec.bits - 1
    scale = top / (high - low or 1.0)
    stream = codec.encode(np.rint((values - low) * scale).astype(np.uint16), quality)
    with tempfile.NamedTemporaryFile() as file:
        file.write(stream)
        file.flush()
        size = Path(file.name).stat().st_size
        decoded = codec.decode(Path(file.name).read_bytes(), values.shape) / scale + low
    if values.dtype.kind in "iu":
        decoded = np.rint(decoded)
    return size + _RANGE_BYTES, decoded.astype(values.dtype)


@dataclass(frozen=True)
class Jpeg(FrameCodec):
    """JPEG of all slices as one picture, by libjpeg-turbo; or of each as one, for comparison."""

    flattened: bool = True

    name = "jpeg"
    bits = 8
    qualities = (1, 2, 4, 6, 9, 13, 18, 25, 35, 50, 65, 80, 90)

    def encode(self, levels: Levels, quality: int) -> bytes:
        from PIL import Image

        streams = []
        for picture in self._pictures(levels.astype(np.uint8)):
            file = io.BytesIO()
            Image.fromarray(picture).save(file, "JPEG", quality=quality, optimize=True)
            streams.append(file.getvalue())
        return b"".join(streams)

    def decode(self, stream: bytes, shape: tuple[int, ...]) -> Levels:
        from PIL import Image

        if self.flattened:
            pictures = [np.asarray(Image.open(io.BytesIO(stream)))]
        else:
            starts = [m.start() for m in re.finditer(b"\xff\xd8\xff", stream)]
            pictures = [np.asarray(Image.open(io.BytesIO(stream[start:]))) for start in starts]
        return np.concatenate(pictures).reshape(shape).astype(np.uint16)

    def _pictures(self, levels: npt.NDArray[np.uint8]) -> Sequence[npt.NDArray[np.uint8]]:
        return [levels.reshape(-1, levels.shape[2])] if self.flattened else list(levels)


class _Film(FrameCodec):
    """A codec of FFmpeg, at its slowest useful preset and one thread."""

    encoder: ClassVar[str]
    container: ClassVar[str]
    options: ClassVar[dict[str, str]]
    qualities = (51, 48, 45, 42, 40, 38, 36, 34, 32, 30, 28, 26, 24, 22, 20, 17, 14)

    def encode(self, levels: Levels, quality: int) -> bytes:
        av = _av()
        levels = np.pad(
            levels, [(0, 0), *((0, max(0, _SMALLEST - n)) for n in levels.shape[1:])], mode="edge"
        )
        _, height, width = levels.shape
        buffer = io.BytesIO()
        with av.open(buffer, "w", format=self.container) as output:
            stream = output.add_stream(self.encoder, rate=25)
            stream.width, stream.height, stream.pix_fmt = width, height, f"gray{self.bits}le"
            stream.codec_context.thread_count = 1
            stream.options = {"crf": str(quality), "preset": "veryslow", **self.options}
            for number, plane in enumerate(levels):
                frame = av.VideoFrame(width, height, f"gray{self.bits}le")
                line = frame.planes[0].line_size // 2
                padded = np.zeros((height, line), "<u2")
                padded[:, :width] = plane
                frame.planes[0].update(padded.tobytes())
                frame.pts = number
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        return b"".join(self._needed(buffer.getvalue()))

    def decode(self, stream: bytes, shape: tuple[int, ...]) -> Levels:
        frames = []
        with _av().open(io.BytesIO(stream), format=self.container) as source:
            for frame in source.decode(video=0):
                line = frame.planes[0].line_size // 2
                plane = np.frombuffer(frame.planes[0], "<u2").reshape(-1, line)
                frames.append(plane[: shape[1], : shape[2]].copy())
        return np.stack(frames).reshape(shape)

    def _needed(self, stream: bytes) -> Sequence[bytes]:
        """Units without the encoder's advertisement of itself, which x264 cannot leave out."""
        starts = [match.start() for match in _START_CODE.finditer(stream)]
        units = [stream[a:b] for a, b in zip(starts, [*starts[1:], len(stream)], strict=True)]
        return [unit for unit in units if not self._informs(unit.lstrip(b"\0")[1])]

    @abstractmethod
    def _informs(self, head: int) -> bool:
        """Whether a unit with this first byte is supplemental information."""


@dataclass(frozen=True)
class H264(_Film):
    """H.264 by x264."""

    name = "h264"
    bits = 10
    encoder, container = "libx264", "h264"
    options: ClassVar = {"x264-params": "threads=1"}

    def _informs(self, head: int) -> bool:
        return head & 31 == 6


@dataclass(frozen=True)
class Hevc(_Film):
    """HEVC by x265."""

    name = "hevc"
    bits = 12
    encoder, container = "libx265", "hevc"
    options: ClassVar = {"x265-params": "info=0:log-level=error:pools=none:frame-threads=1"}

    def _informs(self, head: int) -> bool:
        return head >> 1 & 63 in (39, 40)


def frame_codecs() -> list[FrameCodec]:
    """All of them."""
    return [Jpeg(), H264(), Hevc()]


def _av() -> Any:
    try:
        return importlib.import_module("av")
    except ImportError:
        raise UsageError("films need PyAV; run: pip install av") from None
