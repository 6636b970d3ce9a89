"""Pairs of images: from streams to latents, and from latents to pictures.

The encoder walks the same path with a source that writes what the decoder's reads: both see the
same tables because they are found by the same lines of code.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inrvis.bitstream.latents import NUMBER_OF_SCALES, scales
from inrvis.container.images_file import Pair, StoredImages, cells_of_images
from inrvis.container.images_header import (
    HYPER_STRIDE,
    LATENT_STRIDE,
    CodecHeader,
    ImageKind,
)
from inrvis.decoder.codes import code_of
from inrvis.decoder.covers import Mask, Masks, background_of, covered_blocks, padded_cover
from inrvis.decoder.image_graphs import Array, RoleGraph, SessionSettings
from inrvis.decoder.streams import Source, StreamSource
from inrvis.decoder.surroundings import (
    MEAN_UNIT,
    MOST_SEEN,
    Surroundings,
    counted,
    phases,
    seen,
)
from inrvis.errors import FormatError

_MOST_MEAN = 1 << 20
# The least scale that networks on floats can ask for.
LEAST_SCALE = 0.1
# Pairs whose latents stay: to show the second image of a pair costs its synthesis alone.
_RECENT_PAIRS = 4


@dataclass(frozen=True)
class Side:
    """One image of a pair on its way.

    Attributes
    ----------
    code : ndarray of float32, shape (1, k, 1, 1)
        Of its parameters.
    source : Source
        Of its symbols.
    cover : ndarray of bool, shape (height, width), optional
        Pixels that networks have to give, of a codec with covers.
    """

    code: Array
    source: Source
    cover: Mask | None = None

    def blocks(self, kind: ImageKind, stride: int) -> Mask:
        """Blocks that have symbols."""
        if self.cover is not None:
            return covered_blocks(kind, self.cover, stride)
        height, width = kind.padded
        return np.ones((height // stride, width // stride), dtype=np.bool_)


@dataclass(frozen=True)
class Latents:
    """Latents of a pair in latent units, shape (1, latents, h / 8, w / 8).

    Attributes
    ----------
    left, right : ndarray of float32
        For an image alone, and where the right image was not needed, both are the left one's.
    z_left : ndarray of float32, shape (1, hyperlatents, h / 32, w / 32)
        Left hyperlatents, as networks before the coder see them.
    """

    left: Array
    right: Array
    z_left: Array


class PairNetworks:
    """The networks of a file, run on pairs.

    Parameters
    ----------
    codec : CodecHeader
        What the file says of them.
    graphs, weights
        As in `StoredImages`.
    settings : SessionSettings
        How to run them.
    """

    def __init__(
        self,
        codec: CodecHeader,
        graphs: tuple[bytes, ...],
        weights: dict[str, Array],
        settings: SessionSettings | None = None,
    ) -> None:
        self._codec = codec
        used = settings or SessionSettings()
        self._roles = {
            role: RoleGraph(role, graphs[codec.graphs[role]], weights, used)
            for role in codec.graphs
        }
        self.device = self._roles["synthesis_left"].device
        self._edges = _table_edges()

    @property
    def joint(self) -> bool:
        """Whether a left image needs the latents of its partner."""
        return self._uses("synthesis_left", "y_right")

    @property
    def left_alone(self) -> bool:
        """Whether the symbols of a left image do not depend on its partner."""
        roles = ("hyper_left", "spatial_left")
        return not (self.joint or any(self._uses(role, "z_right") for role in roles))

    def _uses(self, role: str, name: str) -> bool:
        return role in self._roles and name in self._roles[role].inputs

    def latents(
        self,
        kind: ImageKind,
        left: Side,
        right: Side | None,
        *,
        want_right: bool = True,
        known: Latents | None = None,
    ) -> Latents:
        """Latents of a pair, or of the left image and what it depends on.

        If those of the left image are ``known``, and alone, its symbols are not taken again.
        """
        need_y = want_right or self.joint
        need_z = want_right or not self.left_alone
        height, width = kind.padded
        self._pixels = height * width
        small = (height // HYPER_STRIDE, width // HYPER_STRIDE)
        large = (height // LATENT_STRIDE, width // LATENT_STRIDE)
        codec = self._codec
        z_shape = (1, 2 * codec.hyperlatents, *small)
        y_shape = (1, 2 * codec.latents, *large)

        if known is None:
            prior = self._prior("prior_left", left, z_shape)
            blocks = left.blocks(kind, HYPER_STRIDE)
            z_left = z_right = self._seen(self._take(left.source, prior, blocks))
        else:
            z_left = z_right = known.z_left
        if right is not None and need_z:
            prior = self._prior("prior_right", right, z_shape)
            feeds = {"prior": self._limited(prior), "z_left": z_left}
            prior = self._roles["context_z"](feeds, z_shape, self._pixels)
            blocks = right.blocks(kind, HYPER_STRIDE)
            z_right = self._seen(self._take(right.source, prior, blocks))
        hypers = {"z_left": z_left, "z_right": z_right}
        if known is None:
            parameters = self._roles["hyper_left"](hypers, y_shape, self._pixels)
            blocks = left.blocks(kind, LATENT_STRIDE)
            y_left = y_right = self._in_phases(left.source, parameters, blocks, "left", hypers)
        else:
            y_left = y_right = known.left.astype(np.float64)
        if right is not None and need_y:
            shape = (1, self._codec.features, *large)
            features = self._roles["hyper_right"](hypers, shape, self._pixels)
            feeds = {"y_left": self._seen(y_left, codec.shift), "features": features}
            parameters = self._roles["context_y"](feeds, y_shape, self._pixels)
            blocks = right.blocks(kind, LATENT_STRIDE)
            y_right = self._in_phases(right.source, parameters, blocks, "right", feeds, y_left)
        return Latents(y_left.astype(np.float32), y_right.astype(np.float32), z_left)

    def picture(
        self, kind: ImageKind, latents: Latents, cover: Mask | None = None, *, right: bool = False
    ) -> Array:
        """Channels (channels, height, width) of one image of a pair, nominally 0 … 1.

        Parameters
        ----------
        kind : ImageKind
            What the image is.
        latents : Latents
            Of the pair.
        cover : ndarray of bool, shape (height, width), optional
            Pixels that networks have to give, of a codec with covers.
        right : bool
            Which image.
        """
        height, width = kind.padded
        role = "synthesis_right" if right else "synthesis_left"
        feeds = {"y_left": latents.left, "y_right": latents.right}
        if cover is not None:
            feeds["cover"] = padded_cover(kind, cover)[None, None].astype(np.float32)
            feeds["background"] = background_of(kind, self._codec.channels)[None, :, None, None]
        shape = (1, self._codec.channels, height, width)
        padded: Array = self._roles[role](feeds, shape, height * width)
        return padded[0, :, : kind.height, : kind.width]

    def _prior(self, role: str, side: Side, shape: tuple[int, ...]) -> Array:
        prior = self._roles[role]({"code": side.code}, (*shape[:2], 1, 1), self._pixels)
        return np.ascontiguousarray(np.broadcast_to(prior, shape))

    def _in_phases(  # noqa: PLR0917
        self,
        source: Source,
        parameters: Array,
        blocks: Mask,
        side: str,
        feeds: dict[str, Array],
        y_left: NDArray[np.float64] | None = None,
    ) -> NDArray[np.float64]:
        """As `_take`; with a spatial context each phase knows of those before."""
        context = self._roles.get(f"spatial_{side}")
        if context is None:
            return self._take(source, parameters, blocks)
        shape, shift = parameters.shape, self._codec.shift
        first, *others = phases(*shape[2:])
        known = blocks & first
        latents = self._take(source, parameters, known)
        before = None if y_left is None else counted(y_left)
        for phase in others:
            around, units = Surroundings(known), counted(latents)
            near = {
                "near": seen(around.mean(units), shift),
                "size": seen(around.mean(np.abs(units)), 0),
                "count": around.count,
            }
            if before is not None:
                near["near_left"] = seen(around.mean(before), shift)
            parameters = context({**feeds, **near}, shape, self._pixels)
            latents += self._take(source, parameters, blocks & phase)
            known |= blocks & phase
        return latents

    def _take(self, source: Source, parameters: Array, blocks: Mask) -> NDArray[np.float64]:
        """Latents in latent units, from the means and scales that a network gives.

        They are 0 beside the ``blocks`` that have symbols.
        """
        own = parameters[0][:, blocks].astype(np.float64)
        means, scale = np.split(own, 2)
        # Wrong symbols make wild means; the checksum will tell of them, if they stay finite.
        np.clip(means, -_MOST_MEAN, _MOST_MEAN, out=means)
        if self._codec.exact:
            means = np.rint(means) / MEAN_UNIT
            tables = np.clip(np.rint(scale), 0, NUMBER_OF_SCALES - 1).astype(np.int64)
        else:
            tables = np.searchsorted(self._edges, np.maximum(scale, LEAST_SCALE))
        latents = np.zeros((1, len(means), *blocks.shape))
        latents[0][:, blocks] = means + source.symbols(means, tables, blocks)
        return latents

    def _seen(self, latents: NDArray[np.float64], shift: int = 0) -> Array:
        """Latents as the networks that drive the coder see them."""
        if not self._codec.exact:
            return latents.astype(np.float32)
        return seen(counted(latents), shift)

    def _limited(self, values: NDArray[Any]) -> Array:
        """What exact networks may see of ``values``."""
        if self._codec.exact:
            values = np.clip(values, -MOST_SEEN, MOST_SEEN)
        return values.astype(np.float32)


def _table_edges() -> NDArray[np.float64]:
    """Scales at which the next table becomes the better one: their geometric means."""
    known = scales()
    return np.asarray(np.sqrt(known[:-1] * known[1:]))


class PairPictures:
    """Pictures of a file whose images are coded in pairs.

    Parameters
    ----------
    stored : StoredImages
        The file.
    codec : CodecHeader
        Its codec.
    masks : Masks
        Its masks.
    settings : SessionSettings
        How to run its networks.
    """

    def __init__(
        self, stored: StoredImages, codec: CodecHeader, masks: Masks, settings: SessionSettings
    ) -> None:
        self._stored, self._codec, self._masks = stored, codec, masks
        self._networks = PairNetworks(codec, stored.graphs, dict(stored.weights), settings)
        self.device = self._networks.device
        self._cells_of = cells_of_images(stored.tables, stored.header.images)
        pairs = stored.tables.pairs
        if not self._networks.left_alone and len({left for left, _ in pairs}) < len(pairs):
            raise FormatError("an image has several partners, on all of which it would depend")
        self._pairs = {image: pair for pair in pairs for image in pair if image >= 0}
        self._recent: OrderedDict[Pair, Latents] = OrderedDict()

    def channels(self, image: int) -> Array:
        """Channels of an image, (channels, height, width), nominally 0 … 1."""
        left, _ = self._pairs[image]
        kind = self._stored.kind(image)
        latents = self.latents(image)
        return self._networks.picture(kind, latents, self._cover(image), right=image != left)

    def latents(self, image: int) -> Latents:
        """Latents of an image's pair; those of its partner only where it depends on them."""
        left, right = self._pairs[image]
        want_right = image == right
        for key in self._recent:
            if image in key:
                self._recent.move_to_end(key)
                return self._recent[key]
        alone = self._networks.left_alone
        same = [latents for key, latents in self._recent.items() if key[0] == left and alone]
        known = same[-1] if same else None
        left_side, left_source = self._side(left)
        right_side, right_source = self._side(right) if right >= 0 else (None, None)
        latents = self._networks.latents(
            self._stored.kind(left), left_side, right_side, want_right=want_right, known=known
        )
        if known is None:
            left_source.finish()
        both = want_right or self._networks.joint
        if right_source is not None and both:
            right_source.finish()
        self._recent[left, right if both else -1] = latents
        if len(self._recent) > _RECENT_PAIRS:
            self._recent.popitem(last=False)
        return latents

    def close(self) -> None:
        """Let go of what is cached."""
        self._recent.clear()

    def _cover(self, image: int) -> Mask | None:
        return self._masks.cover(image) if self._codec.covers else None

    def _side(self, image: int) -> tuple[Side, StreamSource]:
        stored = self._stored
        source = StreamSource(stored.streams[image], image, exact=self._codec.exact)
        cell = stored.tables.cells[int(self._cells_of[image])]
        code = code_of(self._codec, stored.header.parameters, cell)
        return Side(code, source, self._cover(image)), source


def pixels_of(kind: ImageKind, channels: Array, low: float, high: float) -> NDArray[Any]:
    """Pixels of an image without what its mask restores.

    Parameters
    ----------
    kind : ImageKind
        What the image is.
    channels : ndarray of float32, shape (channels, height, width)
        What the synthesis gives.
    low, high : float
        Values of float images that 0 and 1 stand for.
    """
    clamped = np.clip(channels[: kind.coded_channels], 0, 1)
    if kind.dtype == "float32":
        values = low + (high - low) * clamped[0].astype(np.float64)
        return np.asarray(values, dtype=np.float32)
    levels = np.rint(clamped * 255).astype(np.uint8).transpose(1, 2, 0)
    if kind.coded_channels < kind.channels:
        # The mask makes it clear where it is; behind a mask of the background all is opaque.
        alpha = np.full((*levels.shape[:2], 1), 255, dtype=np.uint8)
        levels = np.concatenate([levels, alpha], axis=2)
    return np.ascontiguousarray(levels)
