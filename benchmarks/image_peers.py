"""Codecs that a user would pick for images instead: AVIF, JPEG XL, WebP, x265, SVT-AV1.

A peer encodes a sequence of RGB images of one size, in an order in which neighbours look alike, at
one setting whose meaning is its own. Its bytes are bare streams: what a container and an index add
is not counted. Random access is to a group of images, or to a single one.
"""

from __future__ import annotations

import importlib
import io
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from inrvis.errors import UsageError

Rgb: TypeAlias = npt.NDArray[np.uint8]

# BT.601 with the full range, as JPEG uses it: red, green and blue to luma and two differences.
_TO_YCC = np.array(
    [
        [0.299, 0.587, 0.114],
        [-0.168735892, -0.331264108, 0.5],
        [0.5, -0.418687589, -0.081312411],
    ]
)


@dataclass(frozen=True)
class Stream:
    """An encoded sequence: the packets of each group, and headers that all of them need."""

    groups: tuple[tuple[bytes, ...], ...]
    group_size: int
    shape: tuple[int, int]
    header: bytes = b""

    @property
    def nbytes(self) -> int:
        """Bytes of all packets and headers."""
        return len(self.header) + sum(len(packet) for group in self.groups for packet in group)


@dataclass(frozen=True)
class ImagePeer(ABC):
    """One codec in one configuration."""

    name: ClassVar[str]
    package: ClassVar[str]
    # From coarse to fine.
    settings: ClassVar[tuple[float, ...]]
    setting_name: ClassVar[str]

    @property
    def label(self) -> str:
        """Name in tables."""
        return self.name

    def missing(self) -> str:
        """Why it cannot run here; empty if it can."""
        try:
            importlib.import_module(self.package)
        except ImportError as error:
            return f"{self.package} cannot be imported ({error}); run: pip install {self.package}"
        return ""

    @abstractmethod
    def encode(self, images: Sequence[Rgb], setting: float) -> Stream:
        """Encode images of shape (height, width, 3)."""

    @abstractmethod
    def decode_group(self, stream: Stream, group: int, first: int | None = None) -> list[Rgb]:
        """Decode a group; up to its image number `first` only, where that is given."""

    def decode(self, stream: Stream) -> Iterator[Rgb]:
        """All images in their order."""
        for group in range(len(stream.groups)):
            yield from self.decode_group(stream, group)

    def access(self, stream: Stream, image: int) -> Rgb:
        """One image, decoding no more than it needs."""
        group, position = divmod(image, stream.group_size)
        return self.decode_group(stream, group, position)[position]


# ------------------------------------------------------------------ stills


@dataclass(frozen=True)
class Still(ImagePeer):
    """A codec of single images."""

    def encode(self, images: Sequence[Rgb], setting: float) -> Stream:
        height, width, _ = images[0].shape
        packets = tuple((self.encode_image(image, setting),) for image in images)
        return Stream(packets, 1, (height, width))

    def decode_group(self, stream: Stream, group: int, first: int | None = None) -> list[Rgb]:
        del first
        return [self.decode_image(stream.groups[group][0])]

    @abstractmethod
    def encode_image(self, image: Rgb, setting: float) -> bytes:
        """Encode one image."""

    @abstractmethod
    def decode_image(self, packet: bytes) -> Rgb:
        """Decode one image."""


@dataclass(frozen=True)
class _PillowStill(Still):
    package = "PIL"
    pillow_format: ClassVar[str]

    def missing(self) -> str:
        if absent := super().missing():
            return absent
        features = importlib.import_module("PIL.features")
        kind = self.pillow_format.lower()
        return "" if features.check(kind) else f"this Pillow has no {self.pillow_format}"

    def options(self, setting: float) -> dict[str, Any]:
        """Options of Pillow's `save`."""
        return {"quality": int(setting)}

    def encode_image(self, image: Rgb, setting: float) -> bytes:
        buffer = io.BytesIO()
        picture = importlib.import_module("PIL.Image").fromarray(image)
        picture.save(buffer, self.pillow_format, **self.options(setting))
        return buffer.getvalue()

    def decode_image(self, packet: bytes) -> Rgb:
        return np.asarray(importlib.import_module("PIL.Image").open(io.BytesIO(packet)))


@dataclass(frozen=True)
class Avif(_PillowStill):
    """AV1 stills, 4:4:4, by libaom. The setting is its quality."""

    name = "avif"
    pillow_format = "AVIF"
    settings = (1, 10, 25, 40, 60, 80)
    setting_name = "quality"
    speed: int = 6

    def options(self, setting: float) -> dict[str, Any]:
        return {"quality": int(setting), "speed": self.speed, "subsampling": "4:4:4"}


@dataclass(frozen=True)
class WebP(_PillowStill):
    """WebP, which has no 4:4:4. The setting is its quality."""

    name = "webp"
    pillow_format = "WEBP"
    settings = (1, 10, 40, 75, 92)
    setting_name = "quality"

    def options(self, setting: float) -> dict[str, Any]:
        return {"quality": int(setting), "method": 6}


@dataclass(frozen=True)
class JpegXl(Still):
    """JPEG XL. The setting is the distance in just noticeable differences."""

    name = "jpegxl"
    package = "imagecodecs"
    settings = (25, 15, 8, 4, 2, 1)
    setting_name = "distance"
    effort: int = 7

    def encode_image(self, image: Rgb, setting: float) -> bytes:
        codecs = importlib.import_module("imagecodecs")
        return bytes(codecs.jpegxl_encode(image, distance=setting, effort=self.effort))

    def decode_image(self, packet: bytes) -> Rgb:
        return np.asarray(importlib.import_module("imagecodecs").jpegxl_decode(packet))


# ------------------------------------------------------------------ video


@dataclass(frozen=True)
class Video(ImagePeer):
    """A video codec, with a key frame every `group` images. The setting is its CRF."""

    package = "av"
    setting_name = "crf"
    encoder: ClassVar[str]
    decoder: ClassVar[str]
    pixel_format: ClassVar[str]
    group: int = 2

    @property
    def label(self) -> str:
        return f"{self.name} {'pairs' if self.group == 2 else f'groups of {self.group}'}"

    def missing(self) -> str:
        if absent := super().missing():
            return absent
        known = importlib.import_module("av").codecs_available
        lacking = [codec for codec in (self.encoder, self.decoder) if codec not in known]
        return f"this PyAV has no {', '.join(lacking)}" if lacking else ""

    @abstractmethod
    def options(self, setting: float) -> dict[str, str]:
        """Options of the encoder."""

    def encode(self, images: Sequence[Rgb], setting: float) -> Stream:
        av = importlib.import_module("av")
        height, width, _ = images[0].shape
        context = av.CodecContext.create(self.encoder, "w")
        context.width, context.height = width + width % 2, height + height % 2
        context.pix_fmt = self.pixel_format
        context.framerate = 25
        context.options = self.options(setting)
        # Parameter sets once, beside the packets.
        context.flags |= av.codec.context.Flags.global_header
        packets: dict[int, tuple[bytes, bool]] = {}
        for number, image in enumerate(images):
            frame = to_frame(av, image, self.pixel_format)
            frame.pts = number
            for packet in context.encode(frame):
                packets[packet.dts] = bytes(packet), packet.is_keyframe
        for packet in context.encode(None):
            packets[packet.dts] = bytes(packet), packet.is_keyframe
        groups: list[list[bytes]] = []
        for _, (data, key) in sorted(packets.items()):
            if key:
                groups.append([])
            groups[-1].append(data)
        if len(groups) != -(-len(images) // self.group):
            raise UsageError(f"{self.encoder} made {len(groups)} groups of {len(images)} images")
        return Stream(
            tuple(tuple(group) for group in groups),
            self.group,
            (height, width),
            bytes(context.extradata or b""),
        )

    def decode_group(self, stream: Stream, group: int, first: int | None = None) -> list[Rgb]:
        av = importlib.import_module("av")
        context = av.CodecContext.create(self.decoder, "r")
        # A thread for each frame would wait for more frames than a pair has.
        context.thread_type = "SLICE"
        if stream.header:
            context.extradata = stream.header
        images: list[Rgb] = []
        for data in (*stream.groups[group], None):
            packet = None if data is None else av.Packet(data)
            for frame in context.decode(packet):
                images.append(from_frame(frame, stream.shape))
                if first is not None and len(images) > first:
                    return images
        return images


@dataclass(frozen=True)
class X265(Video):
    """HEVC, 4:4:4, preset slow."""

    name = "x265"
    encoder = "libx265"
    decoder = "hevc"
    pixel_format = "yuv444p"
    settings = (50, 42, 36, 30, 24, 18)

    def options(self, setting: float) -> dict[str, str]:
        parameters = f"keyint={self.group}:min-keyint={self.group}:scenecut=0:open-gop=0"
        return {
            "preset": "slow",
            "crf": f"{setting:g}",
            "x265-params": f"{parameters}:info=0:log-level=error",
        }


@dataclass(frozen=True)
class SvtAv1(Video):
    """AV1 by SVT, which has no 4:4:4, with 10 bits inside."""

    name = "svtav1"
    encoder = "libsvtav1"
    decoder = "libdav1d"
    pixel_format = "yuv420p10le"
    settings = (63, 60, 50, 40, 30, 20)
    preset: int = 4

    def options(self, setting: float) -> dict[str, str]:
        # Its own pyramids of frames start at 8 frames and would cross key frames.
        return {
            "preset": str(self.preset),
            "crf": f"{setting:g}",
            "g": str(self.group),
            "svtav1-params": f"keyint={self.group}:scd=0:pred-struct=2:irefresh-type=2",
        }


# ------------------------------------------------------------------ colours


def to_frame(av: Any, image: Rgb, pixel_format: str) -> Any:
    """Convert RGB to a frame of YCbCr of even size; the last row and column are repeated."""
    height, width, _ = image.shape
    padded = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    deep, half = pixel_format.endswith("10le"), "420" in pixel_format
    peak = 1023 if deep else 255
    ycc = padded.astype(np.float64) @ _TO_YCC.T / 255
    ycc[..., 1:] += 0.5
    frame = av.VideoFrame(padded.shape[1], padded.shape[0], pixel_format)
    for channel, plane in enumerate(frame.planes):
        values = ycc[..., channel]
        if half and channel:
            rows, columns = values.shape
            values = values.reshape(rows // 2, 2, columns // 2, 2).mean(axis=(1, 3))
        samples = np.clip(np.rint(values * peak), 0, peak).astype("<u2" if deep else "u1")
        rows = np.zeros((plane.height, plane.line_size), np.uint8)
        rows[:, : samples.shape[1] * samples.itemsize] = samples.view(np.uint8)
        plane.update(rows.tobytes())
    # 2 is the full range.
    frame.color_range = 2
    return frame


def from_frame(frame: Any, shape: tuple[int, int]) -> Rgb:
    """Convert a frame back to RGB and cut the padding off."""
    deep, half = frame.format.name.endswith("10le"), "420" in frame.format.name
    peak = 1023 if deep else 255
    channels = []
    for channel, plane in enumerate(frame.planes):
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height]
        samples = rows.view("<u2" if deep else "u1")[:, : plane.width].astype(np.float64) / peak
        channels.append(_doubled(samples) if half and channel else samples)
    height, width = shape
    ycc = np.stack([c[:height, :width] for c in channels], -1)
    ycc[..., 1:] -= 0.5
    rgb = ycc @ np.linalg.inv(_TO_YCC).T
    return np.asarray(np.clip(np.rint(rgb * 255), 0, 255), np.uint8)


def _doubled(samples: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Interpolate linearly to twice the size; samples sit in the middle of 2 × 2 pixels."""
    for axis in (0, 1):
        count = samples.shape[axis]
        before = samples.take(np.maximum(np.arange(count) - 1, 0), axis)
        after = samples.take(np.minimum(np.arange(count) + 1, count - 1), axis)
        pair = np.stack([0.75 * samples + 0.25 * before, 0.75 * samples + 0.25 * after], axis + 1)
        shape = list(samples.shape)
        shape[axis] *= 2
        samples = pair.reshape(shape)
    return samples


def image_peers(names: Sequence[str] = ()) -> list[ImagePeer]:
    """All peers, or those of these names: ``x265``, ``svtav1``, ``avif``, ``jpegxl``, ``webp``."""
    every: list[ImagePeer] = [
        Avif(),
        JpegXl(),
        WebP(),
        X265(group=2),
        X265(group=16),
        SvtAv1(group=2),
        SvtAv1(group=16),
    ]
    unknown = set(names) - {peer.name for peer in every}
    if unknown:
        raise UsageError(f"no peer is called {', '.join(sorted(unknown))}")
    return [peer for peer in every if not names or peer.name in names]
