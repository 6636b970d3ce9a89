"""FCNR as published, with ECSIC and the two ablations between them (Figure 2, Table 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from inrvis.decoder.pairs import LEAST_SCALE
from inrvis.encoder.images.bounds import bounded
from inrvis.encoder.images.model import BOTH, Behind, PairModel, Side
from inrvis.encoder.images.ops import Ops
from inrvis.encoder.images.settings import PaperSettings

_HEADS = 2
_HEAD_CHANNELS = 16
_EPIPOLAR_HEADS = 4
_EPIPOLAR_CHANNELS = 384


def joint_context(
    ops: Ops, x: Mapping[Side, Any], name: str, channels: int, sides: Sequence[Side] = BOTH
) -> dict[Side, Any]:
    """Joint context transfer of LDMIC: each image asks, the other one answers.

    Attention is the efficient kind: keys, softmax over pixels, times values first, so that cost
    grows with the pixels and not with their square. Weights are shared by both images.
    """
    inner = _HEADS * _HEAD_CHANNELS
    own = {
        side: _residual(ops, _residual(ops, v, f"{name}0", channels), f"{name}1", channels)
        for side, v in x.items()
    }
    result = {}
    for side in sides:
        other = own["right" if side == "left" else "left"]
        split = (0, _HEADS, _HEAD_CHANNELS, -1)
        keys = ops.softmax(ops.reshape(ops.conv(other, f"{name}k", inner, 1), split), -1)
        values = ops.reshape(ops.conv(other, f"{name}v", inner, 1), split)
        context = ops.matmul(keys, ops.transpose(values, (0, 1, 3, 2)))
        context = ops.reshape(context, (0, 0, 1, _HEAD_CHANNELS, _HEAD_CHANNELS))
        asked = _heads(ops, ops.conv(own[side], f"{name}q", inner, 1), _HEADS, _HEAD_CHANNELS)
        asked = ops.softmax(ops.transpose(asked, (0, 3, 1, 2, 4)), -1)
        answer = ops.transpose(ops.matmul(asked, context), (0, 2, 3, 1, 4))
        answer = ops.transpose(ops.reshape(answer, (0, 0, 0, inner)), (0, 3, 1, 2))
        answer = ops.conv(answer, f"{name}o", channels, 1)
        both = ops.concat([answer, own[side]])
        hidden = ops.conv(ops.leaky(ops.conv(both, f"{name}2a", channels)), f"{name}2b", channels)
        refined = ops.add(hidden, ops.conv(both, f"{name}2s", channels, 1))
        result[side] = ops.add(x[side], _residual(ops, refined, f"{name}3", channels))
    return result


def epipolar_context(
    ops: Ops, x: Mapping[Side, Any], name: str, channels: int, sides: Sequence[Side] = BOTH
) -> dict[Side, Any]:
    """Stereo cross-attention of ECSIC: along corresponding rows alone."""
    size = _EPIPOLAR_CHANNELS // _EPIPOLAR_HEADS
    normal = {side: _normal(ops, v, name, channels) for side, v in x.items()}

    def heads(v: Any, part: str) -> Any:
        lines = ops.conv(v, f"{name}{part}", _EPIPOLAR_CHANNELS, (1, 3))
        return ops.transpose(_heads(ops, lines, _EPIPOLAR_HEADS, size), (0, 1, 3, 2, 4))

    result = {}
    for side in sides:
        other = normal["right" if side == "left" else "left"]
        asked, keys, values = heads(normal[side], "q"), heads(other, "k"), heads(other, "v")
        likeness = ops.matmul(asked, ops.transpose(keys, (0, 1, 2, 4, 3)))
        weights = ops.softmax(ops.scale(likeness, size**-0.5), -1)
        answer = ops.transpose(ops.matmul(weights, values), (0, 1, 3, 2, 4))
        answer = ops.reshape(answer, (0, 0, 0, _EPIPOLAR_CHANNELS))
        answer = ops.conv(ops.transpose(answer, (0, 3, 1, 2)), f"{name}o", channels, 1)
        result[side] = ops.add(x[side], answer)
    return result


def _heads(ops: Ops, x: Any, heads: int, size: int) -> Any:
    """(batch, height, width, heads, size)."""
    return ops.reshape(ops.transpose(x, (0, 2, 3, 1)), (0, 0, 0, heads, size))


def _normal(ops: Ops, x: Any, name: str, channels: int) -> Any:
    last = ops.layer_norm(ops.transpose(x, (0, 2, 3, 1)), f"{name}n", channels)
    return ops.transpose(last, (0, 3, 1, 2))


def _residual(ops: Ops, x: Any, name: str, channels: int) -> Any:
    hidden = ops.leaky(ops.conv(x, f"{name}a", channels))
    return ops.add(x, ops.conv(hidden, f"{name}b", channels))


class PaperModel(PairModel):
    """Networks of Figure 2.

    Parameters
    ----------
    settings : PaperSettings
        Sizes, and which ablation.
    channels, code_size, generator
        As in `PairModel`.
    """

    exact = False
    # torch's own first weights: uniform within 1 / sqrt(inputs).
    gain = 0.42

    def __init__(
        self,
        settings: PaperSettings,
        channels: int,
        code_size: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__(channels, code_size, generator)
        self._n, self._settings = settings.channels, settings
        self.latents = self.hyperlatents = settings.latents
        self.features = settings.channels
        self.make_weights()

    def _context(
        self, ops: Ops, x: Mapping[Side, Any], name: str, sides: Sequence[Side] = BOTH
    ) -> dict[Side, Any]:
        """The attention, and the PReLU that follows it."""
        attend = joint_context if self._settings.attention == "joint" else epipolar_context
        return attend(ops, x, name, self._n, sides)

    def analyse(self, ops: Ops, left: Any, right: Any) -> tuple[Any, Any]:
        """E: three strided convolutions, shared, and the context at an eighth."""
        x = {"left": left, "right": right}
        for i in range(3):
            x = {
                side: ops.prelu(ops.conv(v, f"e{i}", self._n, stride=2), f"e{i}p")
                for side, v in x.items()
            }
        x = self._context(ops, x, "ej")
        y = [ops.conv(ops.prelu(x[s], "e3p"), f"e4{s}", self.latents) for s in BOTH]
        return y[0], y[1]

    def hyper_analyse(self, ops: Ops, y_left: Any, y_right: Any) -> tuple[Any, Any]:
        """h_E."""
        x = {"left": y_left, "right": y_right}
        x = {
            s: ops.prelu(ops.conv(v, f"a0{s}", self._n, stride=2), f"a0p{s}") for s, v in x.items()
        }
        x = {s: ops.conv(v, f"a1{s}", self._n, stride=2) for s, v in x.items()}
        x = self._context(ops, {s: ops.prelu(v, f"a1p{s}") for s, v in x.items()}, "aj")
        z = [ops.conv(ops.prelu(x[s], f"a2p{s}"), f"a3{s}", self.latents) for s in BOTH]
        return z[0], z[1]

    def prior(self, ops: Ops, code: Any, side: Side) -> Any:
        """Equations 5 and 9; free parameters for ECSIC."""
        if self._settings.prior == "free":
            return ops.free(code, f"free{side}", 2 * self.latents)
        hidden = ops.leaky(ops.conv(code, f"m0{side}", self._n, 1))
        return ops.conv(hidden, f"m1{side}", 2 * self.latents, 1)

    def context_z(self, ops: Ops, prior: Any, z_left: Any) -> Any:
        """Equation 8."""
        x = ops.prelu(ops.conv(ops.concat([prior, z_left]), "cz0", self._n), "cz0p")
        x = ops.prelu(ops.conv(x, "cz1", self._n), "cz1p")
        return ops.conv(x, "cz2", 2 * self.latents)

    def hyper(self, ops: Ops, z_left: Any, z_right: Any, sides: Sequence[Side]) -> dict[Side, Any]:
        """h_D, equation 10."""
        x = {"left": z_left, "right": z_right}
        x = {s: ops.prelu(ops.upsample(v, f"h0{s}", self._n), f"h0p{s}") for s, v in x.items()}
        x = self._context(ops, x, "hj", sides)
        result = {}
        for s in sides:
            v = ops.upsample(ops.prelu(x[s], f"h1p{s}"), f"h2{s}", self._n)
            outputs = 2 * self.latents if s == "left" else self._n
            result[s] = ops.conv(ops.prelu(v, f"h2p{s}"), f"h3{s}", outputs)
        return result

    def context_y(self, ops: Ops, y_left: Any, features: Any) -> Any:
        """Equation 11."""
        x = {
            "left": ops.prelu(ops.conv(y_left, "cy0", self._n), "cy0p"),
            "right": ops.prelu(ops.conv(features, "cy1", self._n), "cy1p"),
        }
        x = self._context(ops, x, "cyj")
        both = ops.prelu(ops.concat([x["left"], x["right"]]), "cy2p")
        return ops.conv(both, "cy3", 2 * self.latents)

    def synthesis(
        self,
        ops: Ops,
        y_left: Any,
        y_right: Any,
        sides: Sequence[Side],
        behind: Mapping[Side, Behind] | None = None,  # noqa: ARG002
    ) -> dict[Side, Any]:
        """D, equation 12; no activation at the end."""
        x = {"left": y_left, "right": y_right}
        x = {s: ops.prelu(ops.upsample(v, f"d0{s}", self._n), f"d0p{s}") for s, v in x.items()}
        x = self._context(ops, x, "dj", sides)
        result = {}
        for s in sides:
            v = ops.prelu(x[s], f"d1p{s}")
            for i in (2, 3):
                v = ops.prelu(ops.upsample(v, f"d{i}{s}", self._n), f"d{i}p{s}")
            result[s] = ops.upsample(v, f"d4{s}", self.channels, stride=1)
        return result

    def means(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Means, and scales of at least 0.1."""
        mean, scale = parameters.chunk(2, dim=1)
        return mean, bounded(scale, LEAST_SCALE)

    def seen(self, latents: Tensor, shift: int = 0) -> Tensor:  # noqa: ARG002
        """As they are."""
        return latents
