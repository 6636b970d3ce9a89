"""The default codec for pairs: FCNR's scheme in small networks, integers before the coder.

The paper's roles stay (analysis, hyperprior, context of the left image for the right one, codes
of the parameters), but every network that picks probability tables works on integers, so
attention, whose softmax cannot be exact, is left to the synthesis, and off unless asked for.
Beside analysis and synthesis lies a linear transform of blocks, which the codec starts from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from inrvis.bitstream.latents import NUMBER_OF_SCALES
from inrvis.container.images_header import HYPER_STRIDE, LATENT_STRIDE
from inrvis.decoder.surroundings import MEAN_UNIT, MOST_SEEN
from inrvis.encoder.images.bounds import bounded
from inrvis.encoder.images.model import Behind, Side
from inrvis.encoder.images.ops import Ops
from inrvis.encoder.images.settings import ExactSettings
from inrvis.encoder.images.spatial_model import SpatialModel
from inrvis.encoder.images.transform import WORTH_OF_A_STEP, Transform, local_means, local_octaves
from inrvis.encoder.models.fcnr import joint_context
from inrvis.encoder.models.fcnr_start import (
    BACK_UNIT,
    DOUBLINGS,
    HEADS,
    OCTAVES_TO_FIRST,
    TABLES_PER_OCTAVE,
    start_from,
    start_rim,
)

# Residual branches start small, so that what passes by them keeps its size.
_FIRST_RESIDUAL = 0.1
# Hidden channels that see the rim of what is covered.
_RIM_FEATURES = 12
# Sixteenths are whole numbers but for rounding.
_ALMOST = 1e-3


class ExactModel(SpatialModel):
    """See the module.

    Parameters
    ----------
    settings : ExactSettings
        Sizes.
    channels, code_size, generator
        As in `PairModel`.
    """

    exact = True
    # Neighbours make up for some of an error: measured, half of what it is by itself.
    worth = WORTH_OF_A_STEP / 2

    def __init__(
        self,
        settings: ExactSettings,
        channels: int,
        code_size: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__(channels, code_size, generator)
        self._settings = settings
        self.latents, self.hyperlatents = settings.latents, settings.hyperlatents
        self.features = settings.features
        self.covers = bool(settings.covers)
        self.make_weights()

    def make_weights(self) -> None:
        """Make all weights; `start_from` sets those that a transform codec needs."""
        super().make_weights()
        with torch.no_grad():
            for weights in (self.stored, self.analysing):
                for name in weights:
                    if name.endswith("_residual_w"):
                        weights[name] *= _FIRST_RESIDUAL
            if self.covers:
                start_rim(self.stored)
        self.integer_names = frozenset(n for n in self.stored if not n.startswith("d"))

    def pace(self, name: str) -> float:
        """Tables are counted in eighths of an octave; the transform is nearly there already."""
        layer, _, kind = name.rpartition("_")
        if layer in ("es", "as", "ds"):
            return 0.1
        if layer in ("dm0", "dm1", "dm2"):
            return 3.0
        if kind == "s":
            return float(2**self.shift)
        return 10.0 if layer in HEADS and kind == "b" else 1.0

    def start_from(self, transform: Transform) -> None:
        """Start as a transform codec: what else there is begins with nothing."""
        self.shift = transform.shift
        start_from(self.stored, self.analysing, transform, self._generator)

    def analyse(self, ops: Ops, left: Any, right: Any) -> tuple[Any, Any]:
        """Latents of each image by itself."""
        return self._analyse(ops, left), self._analyse(ops, right)

    def _analyse(self, ops: Ops, x: Tensor) -> Any:
        n = self._settings.analysis
        blocks = ops.conv(functional.pixel_unshuffle(x - 0.5, LATENT_STRIDE), "es", self.latents, 1)
        x = functional.pixel_unshuffle(x - 0.5, 4)
        x = ops.leaky(ops.conv(x, "e0", n))
        x = ops.leaky(ops.conv(x, "e1", n, stride=2))
        x = _residual(ops, x, "e2", n)
        x = _residual(ops, x, "e3", n)
        # A unit of latents is a rounding step: start with a few of them.
        return ops.add(blocks, ops.scale(ops.conv(x, "e4", self.latents), 4.0))

    def hyper_analyse(self, ops: Ops, y_left: Any, y_right: Any) -> tuple[Any, Any]:
        """Hyperlatents of each image by itself."""
        return self._hyper_analyse(ops, y_left), self._hyper_analyse(ops, y_right)

    def _hyper_analyse(self, ops: Ops, y: Any) -> Any:
        n = self._settings.analysis
        means = functional.avg_pool2d(y, HYPER_STRIDE // LATENT_STRIDE)
        facts = ops.concat([means, local_octaves(y.detach(), local_means(self.hyperlatents))])
        y = ops.leaky(ops.conv(y, "a0", n, stride=2))
        y = ops.leaky(ops.conv(y, "a1", n, stride=2))
        z = ops.conv(y, "a2", self.hyperlatents)
        return ops.add(z, ops.conv(facts, "as", self.hyperlatents, 1))

    def prior(self, ops: Ops, code: Any, side: Side) -> Any:  # noqa: ARG002
        """One perceptron for both images."""
        hidden = ops.integer_conv(code, "prior_0", self.features, 1)
        return ops.integer_conv(hidden, "prior_1", 2 * self.hyperlatents, 1, signed=True)

    def context_z(self, ops: Ops, prior: Any, z_left: Any) -> Any:
        """Convolutions of the left hyperlatents and the right prior."""
        hidden = ops.integer_conv(ops.concat([prior, z_left]), "cz_0", self.features)
        hidden = ops.integer_conv(hidden, "cz_1", self.features, 1)
        return ops.integer_conv(hidden, "cz_2", 2 * self.hyperlatents, 1, signed=True)

    def hyper(self, ops: Ops, z_left: Any, z_right: Any, sides: Sequence[Side]) -> dict[Side, Any]:
        """Each image by itself, so that a left image decodes alone."""
        result = {}
        if "left" in sides:
            trunk = self._trunk(ops, z_left)
            result["left"] = ops.integer_conv(trunk, "hl", 2 * self.latents, signed=True)
        if "right" in sides:
            result["right"] = self._trunk(ops, z_right)
        return result

    def _trunk(self, ops: Ops, z: Any) -> Any:
        n = self.features
        x = ops.depth_to_space(ops.integer_conv(z, "h0", 4 * n, 1))
        x = ops.integer_conv(x, "h1", n)
        return ops.depth_to_space(ops.integer_conv(x, "h2", 4 * n, 1))

    def context_y(self, ops: Ops, y_left: Any, features: Any) -> Any:
        """Convolutions of the left latents, which means also get as they are, and of features."""
        hidden = ops.integer_conv(ops.concat([y_left, features]), "cy_0", self.features)
        hidden = ops.integer_conv(hidden, "cy_1", self.features)
        return self._head(ops, hidden, "cy", {"left": y_left})

    def spatial_context(self, ops: Ops, side: Side, inputs: Mapping[str, Any]) -> Any:
        """Perceptron of what is around a block, and what tells of it beforehand."""
        near = inputs["near"]
        seen, added = [near, inputs["size"], inputs["count"]], {"near": near}
        if side == "left":
            name, features = "sl", self._trunk(ops, inputs["z_left"])
        else:
            name, features = "sr", inputs["features"]
            left, before = inputs["y_left"], inputs["near_left"]
            seen += [left, before]
            added |= {"left": left, "before": before}
        hidden = ops.integer_conv(ops.concat([features, *seen]), f"{name}_0", self.features, 1)
        hidden = ops.integer_conv(hidden, f"{name}_1", self.features, 1)
        return self._head(ops, hidden, name, added)

    def _head(self, ops: Ops, hidden: Any, name: str, added: Mapping[str, Any]) -> Any:
        """Means and tables of latents. Those of other blocks tell means, each of its own kind."""
        means = ops.integer_conv(hidden, f"{name}_m", self.latents, 1, signed=True, added=added)
        return ops.concat(
            [means, ops.integer_conv(hidden, f"{name}_t", self.latents, 1, signed=True)]
        )

    def synthesis(
        self,
        ops: Ops,
        y_left: Any,
        y_right: Any,
        sides: Sequence[Side],
        behind: Mapping[Side, Behind] | None = None,
    ) -> dict[Side, Any]:
        """Residual blocks at an eighth, then sub-pixel convolutions."""
        both = {"left": y_left, "right": y_right}
        if self._settings.attention:
            lifted = {side: self._lift(ops, y) for side, y in both.items()}
            lifted = joint_context(ops, lifted, "dj", self._settings.channels, sides)
        else:
            lifted = {side: self._lift(ops, both[side]) for side in sides}
        images = {side: self._synthesis(ops, both[side], lifted[side]) for side in sides}
        if behind is None:
            return images
        return {side: self._composed(ops, images[side], *behind[side]) for side in sides}

    def _lift(self, ops: Ops, y: Any) -> Any:
        return ops.leaky(ops.conv(ops.scale(y, 0.25), "d0", self._settings.channels))

    def _synthesis(self, ops: Ops, y: Any, x: Any) -> Any:
        n = self._settings.channels
        blocks = ops.scale(ops.conv(y, "ds", LATENT_STRIDE**2 * self.channels, 1), BACK_UNIT)
        for _ in range(DOUBLINGS):
            blocks = ops.depth_to_space(blocks)
        x = _residual(ops, x, "d1", n)
        x = ops.leaky(ops.depth_to_space(ops.conv(x, "d2", 2 * n)))
        x = _residual(ops, x, "d3", n // 2)
        x = ops.leaky(ops.depth_to_space(ops.conv(x, "d4", n)))
        return ops.add(blocks, ops.depth_to_space(ops.conv(x, "d5", 4 * self.channels)))

    def _composed(self, ops: Ops, image: Any, cover: Any, background: Any) -> Any:
        """``image`` before its background: pixels of the rim are mixed, by the rim's shape."""
        x = ops.leaky(ops.conv(cover, "dm0", _RIM_FEATURES, 5, stride=2))
        x = ops.leaky(ops.conv(x, "dm1", _RIM_FEATURES))
        opacity = ops.sigmoid(ops.depth_to_space(ops.conv(x, "dm2", 4)))
        opacity = ops.multiply(opacity, cover)
        front = ops.add(image, ops.scale(background, -1.0))
        return ops.add(background, ops.multiply(opacity, front))

    def means(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Means in sixteenths and numbers of tables."""
        mean, table = parameters.chunk(2, dim=1)
        counted = bounded(table, 0, NUMBER_OF_SCALES - 1)
        ratio = torch.exp2(counted / TABLES_PER_OCTAVE - OCTAVES_TO_FIRST)
        # t = w / (w + 2**16), b = -1 / (2 ln t).
        return mean / MEAN_UNIT, 0.5 / torch.log1p(1 / ratio)

    def seen(self, latents: Tensor, shift: int = 0) -> Tensor:
        """Sixteenths, or coarser units, limited to what the integer networks may see."""
        units = latents * (MEAN_UNIT / 2**shift)
        whole: Tensor = units + (torch.floor(units + _ALMOST) - units).detach()
        return whole.clamp(-MOST_SEEN, MOST_SEEN)


def _residual(ops: Ops, x: Any, name: str, channels: int) -> Any:
    hidden = ops.leaky(ops.conv(x, f"{name}_first", channels))
    return ops.add(x, ops.conv(hidden, f"{name}_residual", channels))
