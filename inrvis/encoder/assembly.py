"""Put the parts of a volume together into a file, and measure what the file gives."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrvis.bitstream.masks import encode_mask
from inrvis.container.header import ArrayHeader, ModelHeader, VolumeHeader
from inrvis.container.sections import write_file
from inrvis.container.volume_file import Contents, volume_image
from inrvis.decoder.layers import Chunks
from inrvis.decoder.volume import Volume
from inrvis.encoder.normalise import Normalised
from inrvis.metrics import Metrics, measure
from inrvis.sources import Image
from inrvis.version import __version__

# Bytes that an array's metrics, written last, may add to the header.
METRICS_BYTES = 64


@dataclass(frozen=True)
class NetworkParts:
    """Networks as a file takes them.

    Attributes
    ----------
    models : tuple of ModelHeader
        Their headers, graphs by number.
    graphs : tuple of bytes
        Distinct ONNX models.
    tensors : tuple of mapping
        Integers of each model's tensors, by name.
    steps : int
        Steps of their training.
    """

    models: tuple[ModelHeader, ...] = ()
    graphs: tuple[bytes, ...] = ()
    tensors: tuple[Mapping[str, NDArray[np.int64]], ...] = ()
    steps: int = 0


@dataclass(frozen=True)
class LayerParts:
    """Coded layers as a file takes them.

    Attributes
    ----------
    arrays : tuple of ArrayHeader
        Headers of the arrays, with codec, precision and levels of their layers.
    streams : tuple of bytes
        By array, component and chunk; nothing for arrays without a layer.
    """

    arrays: tuple[ArrayHeader, ...]
    streams: tuple[bytes, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Bytes of the streams."""
        return sum(map(len, self.streams))


@dataclass(frozen=True)
class Encoded:
    """One encoding: its parts, the file as bytes, and what its own decoding measures."""

    networks: NetworkParts
    layers: LayerParts | None
    data: bytes
    metrics: Mapping[str, Metrics]
    header: VolumeHeader
    decode_seconds: float

    @property
    def worst_psnr_db(self) -> float:
        """PSNR of the worst array."""
        return min(metrics.psnr_db for metrics in self.metrics.values())


class Assembly:
    """Makes files of one image from networks and coded layers.

    Parameters
    ----------
    image : Image
        The original, to measure against.
    normalised : Normalised
        The same, as channels.
    facts : mapping
        Facts of the encoding to be kept in the file, such as the target.
    extra_bytes : int
        What the file will take beyond that of the volume alone.
    """

    def __init__(
        self,
        image: Image,
        normalised: Normalised,
        facts: Mapping[str, Any],
        extra_bytes: int = 0,
    ) -> None:
        self.image, self.normalised, self._extra = image, normalised, extra_bytes
        self._facts = {**facts, "inrvis": __version__}
        self._known: tuple[NetworkParts, NDArray[np.float32]] | None = None
        chunks = Chunks(image.grid.dimensions)
        self._masks = tuple(
            encode_mask(mask[chunks.slices(chunk)]) for mask in normalised.masks for chunk in chunks
        )

    @property
    def fixed_bytes(self) -> int:
        """Bytes that a file takes for masks, and beyond its volume, whatever gives its values."""
        return sum(map(len, self._masks)) + self._extra

    @cached_property
    def overhead_bytes(self) -> int:
        """Bytes of a file without what gives its values: container, header and `fixed_bytes`."""
        return self.size(NetworkParts())

    def pack(
        self,
        networks: NetworkParts,
        layers: LayerParts | None = None,
        metrics: Mapping[str, Metrics] | None = None,
    ) -> tuple[VolumeHeader, bytes]:
        """Header and bytes of the whole file."""
        arrays = layers.arrays if layers is not None else self.normalised.arrays
        if metrics is not None:
            arrays = tuple(replace(a, metrics=_stored(metrics[a.name])) for a in arrays)
        header = VolumeHeader(
            grid=self.image.grid,
            arrays=arrays,
            models=networks.models,
            masks=len(self.normalised.masks),
            times=() if self.image.time is None else (self.image.time,),
            encoding={**self._facts, "steps": networks.steps} if networks.models else self._facts,
        )
        contents = Contents(
            networks.graphs,
            networks.tensors,
            layers.streams if layers is not None else (),
            self._masks,
        )
        return header, volume_image(header, contents)

    def size(self, networks: NetworkParts, layers: LayerParts | None = None) -> int:
        """Bytes of the file, with room for the metrics."""
        room = METRICS_BYTES * len(self.normalised.arrays)
        return len(self.pack(networks, layers)[1]) + room + self._extra

    def finish(self, networks: NetworkParts, layers: LayerParts | None = None) -> Encoded:
        """Pack, decode what was packed with the real decoder, and measure."""
        with self._opened(networks, layers) as volume:
            start = time.perf_counter()
            decoded = volume.decode_arrays(volume.arrays)
            seconds = time.perf_counter() - start
        return self._measured(networks, layers, decoded, seconds)

    def attempt(self, networks: NetworkParts, layers: LayerParts | None = None) -> Encoded:
        """As `finish`, but for SSIM, and sooner: the last networks are not decoded again."""
        channels = self.base(networks)
        with self._opened(networks, layers) as volume:
            start = time.perf_counter()
            decoded = volume.decode_from(channels)
            seconds = time.perf_counter() - start
        return self._measured(networks, layers, decoded, seconds, structure=False)

    def _measured(
        self,
        networks: NetworkParts,
        layers: LayerParts | None,
        decoded: Sequence[NDArray[Any]],
        seconds: float,
        *,
        structure: bool = True,
    ) -> Encoded:
        metrics = {
            name: measure(array, values, structure=structure)
            for (name, array), values in zip(self.image.arrays.items(), decoded, strict=True)
        }
        header, data = self.pack(networks, layers, metrics)
        return Encoded(networks, layers, data, metrics, header, seconds)

    def base(self, networks: NetworkParts) -> NDArray[np.float32]:
        """Channels, shape (channels, nz, ny, nx), that the real decoder gets from networks.

        Those of the last networks are kept: they must not be changed.
        """
        if not networks.models:
            shape = (self.normalised.values.shape[-1], *self.image.grid.shape)
            return np.zeros(shape, dtype=np.float32)
        if self._known is None or self._known[0] is not networks:
            with self._opened(networks, None) as volume:
                self._known = networks, volume.channels()
        return self._known[1]

    def _opened(self, networks: NetworkParts, layers: LayerParts | None) -> Volume:
        data = self.pack(networks, layers)[1]
        with tempfile.TemporaryDirectory(prefix="inrvis-") as folder:
            path = Path(folder) / "candidate.inr"
            write_file(path, data)
            # All of the file is read at once: it may go before the volume does.
            return Volume(path, device="cpu")


def _stored(metrics: Metrics) -> dict[str, float]:
    values = {name: float(f"{value:.5g}") for name, value in asdict(metrics).items()}
    # It is PSNR in other words.
    del values["nrmse"]
    # Infinity (an exact decoding) has no place in JSON.
    return {name: value for name, value in values.items() if np.isfinite(value)}


def worst(encoded: Encoded) -> float:
    """PSNR of the array that has the least, in dB; of one that has none, minus infinity."""
    found = encoded.worst_psnr_db
    return -math.inf if math.isnan(found) else found
