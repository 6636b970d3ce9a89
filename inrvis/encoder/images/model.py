"""Codecs of images while they are trained; for pairs rates and reconstructions, differentiable."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from inrvis.container.images_header import HYPER_STRIDE, LATENT_STRIDE
from inrvis.decoder.surroundings import MOST_SEEN
from inrvis.encoder.images.ops import Ops, TorchOps, Weigh

Side = str
BOTH: Sequence[Side] = ("left", "right")
# Cover and background, as `Cutout` describes them.
Behind = tuple[Any, Any]
# Inputs of roles.
Known = Mapping[str, Tensor]


@dataclass(frozen=True)
class Cutout:
    """Images of a codec with covers: what its analysis sees, and what its synthesis is told.

    Attributes
    ----------
    filled : Tensor
        Images, smooth where nothing covers them, (batch, channels, height, width).
    cover : Tensor
        1 for the pixels that networks have to give, 0 for others, (batch, 1, height, width).
    background : Tensor
        Channels of the others, (batch, channels, 1, 1).
    """

    filled: Tensor
    cover: Tensor
    background: Tensor

    def blocks(self, stride: int) -> Tensor:
        """1 for the blocks of ``stride`` pixels a side that have a covered one."""
        return functional.max_pool2d(self.cover, stride)


@dataclass(frozen=True)
class Batch:
    """Pairs: images (batch, channels, height, width) from 0 to 1, codes (batch, k, 1, 1)."""

    left: Tensor
    right: Tensor
    left_code: Tensor
    right_code: Tensor
    cutouts: tuple[Cutout, Cutout] | None = None


@dataclass(frozen=True)
class Outcome:
    """Bits of all left and all right latents of a batch, and its reconstructions."""

    left_bits: Tensor
    right_bits: Tensor
    left: Tensor
    right: Tensor


class ImageModel(nn.Module):
    """Networks of a codec of images.

    Attributes
    ----------
    stored, analysing : nn.ParameterDict
        Weights that decoding needs, and those of the encoder alone.
    integer_names : frozenset of str
        Stored tensors that are rounded to integers as they are.
    """

    integer_names: frozenset[str] = frozenset()

    def __init__(self) -> None:
        super().__init__()
        self.stored, self.analysing = nn.ParameterDict(), nn.ParameterDict()

    def pace(self, name: str) -> float:  # noqa: ARG002
        """Factor on the step size of the weights ``name``."""
        return 1.0


class PairModel(ImageModel, ABC):
    """Networks of a codec for pairs.

    The roles below are written once, for `Ops`: run by torch in training, written as graphs for
    the file. Whatever is not a role (the analysis) stays with the encoder.

    Parameters
    ----------
    channels : int
        Of the images.
    code_size : int
        Channels of a code.
    generator : torch.Generator
        Source of first weights.
    """

    exact: ClassVar[bool]
    # Whether images come with a cutout.
    covers: bool = False
    # Latents are seen in units of so many doublings of a sixteenth.
    shift: int = 0
    # Bits that a squared rounding error of one latent is worth; 0 to round to the nearest.
    worth: ClassVar[float] = 0.0
    # Factor on He's initialisation.
    gain: ClassVar[float] = 1.0
    latents: int
    hyperlatents: int
    features: int

    def __init__(self, channels: int, code_size: int, generator: torch.Generator) -> None:
        super().__init__()
        self.channels, self.code_size = channels, code_size
        self._generator, self._noisy = generator, True

    def make_weights(self) -> None:
        """Make all weights, by one run on two tiny images."""
        image = torch.zeros(1, self.channels, HYPER_STRIDE, HYPER_STRIDE)
        code = torch.zeros(1, self.code_size, 1, 1)
        cutout = Cutout(image, image[:, :1], image[:, :, :1, :1])
        cutouts = (cutout, cutout) if self.covers else None
        with torch.no_grad():
            self(Batch(image, image, code, code, cutouts), generator=self._generator)

    @abstractmethod
    def analyse(self, ops: Ops, left: Any, right: Any) -> tuple[Any, Any]:
        """Latents of both images."""

    @abstractmethod
    def hyper_analyse(self, ops: Ops, y_left: Any, y_right: Any) -> tuple[Any, Any]:
        """Hyperlatents of both images."""

    @abstractmethod
    def prior(self, ops: Ops, code: Any, side: Side) -> Any:
        """Means and scales of hyperlatents, (batch, 2 hyperlatents, 1, 1), from a code."""

    @abstractmethod
    def context_z(self, ops: Ops, prior: Any, z_left: Any) -> Any:
        """Means and scales of the right image's hyperlatents."""

    @abstractmethod
    def hyper(self, ops: Ops, z_left: Any, z_right: Any, sides: Sequence[Side]) -> dict[Side, Any]:
        """Left: means and scales of latents; right: features for `context_y`."""

    @abstractmethod
    def context_y(self, ops: Ops, y_left: Any, features: Any) -> Any:
        """Means and scales of the right image's latents."""

    @abstractmethod
    def synthesis(
        self,
        ops: Ops,
        y_left: Any,
        y_right: Any,
        sides: Sequence[Side],
        behind: Mapping[Side, Behind] | None = None,
    ) -> dict[Side, Any]:
        """Images, nominally from 0 to 1; those of a codec with covers on what is behind them."""

    @abstractmethod
    def means(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Means in latent units and Laplace scales from what a role gives."""

    @abstractmethod
    def seen(self, latents: Tensor, shift: int = 0) -> Tensor:
        """Latents as the roles that drive the coder see them."""

    def forward(
        self,
        batch: Batch,
        weigh: Weigh | None = None,
        generator: torch.Generator | None = None,
        *,
        rounded: bool = False,
    ) -> Outcome:
        """Rates with uniform noise, reconstructions from rounded latents (section 3).

        With ``rounded``, rates are those of the rounded latents.
        """
        self._noisy = not rounded
        ops = TorchOps(self.stored, self._generator, weigh, gain=self.gain)
        own = TorchOps(self.analysing, self._generator, gain=self.gain)
        cutouts = batch.cutouts
        seen = (batch.left, batch.right) if cutouts is None else [c.filled for c in cutouts]
        y = self.analyse(own, *seen)
        z = self.hyper_analyse(own, *y)
        z_blocks, y_blocks = (
            [None, None] if cutouts is None else [c.blocks(stride) for c in cutouts]
            for stride in (HYPER_STRIDE, LATENT_STRIDE)
        )
        prior = self.prior(ops, batch.left_code, "left").expand(-1, -1, *z[0].shape[2:])
        z_left, left_bits = self._coded(z[0], prior, generator, z_blocks[0])
        prior = self.prior(ops, batch.right_code, "right").expand(-1, -1, *z[1].shape[2:])
        if self.exact:
            prior = prior.clamp(-MOST_SEEN, MOST_SEEN)
        parameters = self.context_z(ops, prior, self.seen(z_left))
        z_right, right_bits = self._coded(z[1], parameters, generator, z_blocks[1])
        both = {"z_left": self.seen(z_left), "z_right": self.seen(z_right)}
        hyper = self.hyper(ops, both["z_left"], both["z_right"], BOTH)
        y_left, more = self._latents(ops, "left", y[0], hyper["left"], both, generator, y_blocks[0])
        left_bits = left_bits + more
        known = {"y_left": self.seen(y_left, self.shift), "features": hyper["right"]}
        parameters = self.context_y(ops, known["y_left"], known["features"])
        y_right, more = self._latents(
            ops, "right", y[1], parameters, known, generator, y_blocks[1], y_left
        )
        behind = None
        if cutouts is not None:
            behind = {s: (c.cover, c.background) for s, c in zip(BOTH, cutouts, strict=True)}
        images = self.synthesis(ops, y_left, y_right, BOTH, behind)
        return Outcome(left_bits, right_bits + more, images["left"], images["right"])

    def _latents(  # noqa: PLR0917
        self,
        ops: Ops,  # noqa: ARG002
        side: Side,  # noqa: ARG002
        latents: Tensor,
        parameters: Tensor,
        known: Known,  # noqa: ARG002
        generator: torch.Generator | None,
        blocks: Tensor | None,
        left: Tensor | None = None,  # noqa: ARG002
    ) -> tuple[Tensor, Tensor]:
        """Latents of an image as decoding gives them, and their bits.

        ``known`` is what the decoder has by then, ``left`` the latents of a right one's partner.
        """
        return self._coded(latents, parameters, generator, blocks)

    def _coded(
        self,
        latents: Tensor,
        parameters: Tensor,
        generator: torch.Generator | None,
        blocks: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Latents as decoding gives them, and their bits.

        They are 0, and cost nothing, beside the ``blocks`` that have symbols.
        """
        mean, scale = self.means(parameters)
        rounded = straight_through(latents, mean)
        bits = self._bits(latents - mean, scale, generator, blocks)
        return rounded if blocks is None else rounded * blocks, bits

    def _bits(
        self,
        distance: Tensor,
        scale: Tensor,
        generator: torch.Generator | None,
        blocks: Tensor | None,
    ) -> Tensor:
        """Bits of all latents that have symbols, from their distances to the means."""
        if self._noisy:
            noise = torch.rand(distance.shape, generator=generator).to(distance.device) - 0.5
            distance = distance + noise
        else:
            distance = torch.round(distance)
        bits = laplace_bits(distance, scale)
        return bits.sum() if blocks is None else (bits * blocks).sum()


def straight_through(latents: Tensor, mean: Tensor) -> Tensor:
    """Latents as decoding gives them, with a straight-through gradient."""
    distance = latents - mean
    return latents + (torch.round(distance) - distance).detach()


def laplace_bits(distance: Tensor, scale: Tensor) -> Tensor:
    """Bits of the unit interval around ``distance`` from the mean of a Laplace distribution."""
    away = distance.abs()
    # Beyond half a unit in logarithms: far outliers must cost more, not all the same.
    tail = (0.5 - away.clamp(min=0.5)) / scale + torch.log1p(-torch.exp(-1 / scale)) - 0.693147
    near = away.clamp(max=0.5)
    mass = 1 - 0.5 * (torch.exp((near - 0.5) / scale) + torch.exp(-(near + 0.5) / scale))
    inside = torch.log(mass.clamp(min=1e-9))
    return torch.where(away > 0.5, tail, inside) / -0.693147
