"""First weights of the exact codec: a transform codec with adaptive tables."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from inrvis.bitstream.latents import NUMBER_OF_SCALES
from inrvis.container.images_header import LATENT_STRIDE
from inrvis.decoder.surroundings import MEAN_UNIT
from inrvis.encoder.images.ops import MOST_ACTIVATION, WEIGHT_BITS, TorchOps
from inrvis.encoder.images.transform import Transform

# Layers that give means and tables.
HEADS = ("prior_1", "cz_2", "hl", "cy_m", "cy_t", "sl_m", "sl_t", "sr_m", "sr_t")
_SPATIAL = ("sl_0", "sl_1", "sr_0", "sr_1")
INTEGER_LAYERS = (*HEADS, *_SPATIAL, "cz_0", "cz_1", "h0", "h1", "h2", "cy_0", "cy_1")
# Weights of the transform are of the order of one in these units, as Adam likes them.
BACK_UNIT = 1 / 64
# Logits of opacity: a half where a straight rim leaves six of nine pixels covered.
_RIM_SLOPE, _RIM_OFFSET = 15.0, -10.0
_LITTLE = 0.1
# From blocks to pixels.
DOUBLINGS = 3
# Tables count octaves of t / (1 - t) = w / 2**16, of which the first has w = 2**3.
TABLES_PER_OCTAVE, OCTAVES_TO_FIRST = 8, 13
# Hyperlatents are negative, hidden layers are not: what is added on the way, in latent units.
_LIFT = MOST_ACTIVATION // 2 / MEAN_UNIT


@torch.no_grad()
def start_from(
    stored: nn.ParameterDict,
    analysing: nn.ParameterDict,
    t: Transform,
    generator: torch.Generator,
) -> None:
    """Set the weights of `ExactModel`; branches beside the transform begin with nothing."""
    latents, values = t.basis.shape
    place = _places(values)
    centre = t.centre.repeat_interleave(LATENT_STRIDE**2)
    _fill(analysing, "es", t.basis / t.step, t.basis @ (0.5 - centre) / t.step)
    _fill(stored, "ds", t.basis.T[place] * t.step / BACK_UNIT, centre[place] / BACK_UNIT)
    for weights, name in ((analysing, "e4"), (stored, "d5"), (analysing, "a2")):
        _nothing(weights, name)
    for name in HEADS:
        _nothing(stored, name)
    _hyperlatents(stored, analysing, t)
    hidden = _pass_on(stored, t)
    nothing, unit = torch.zeros(latents), 2.0**t.shift
    # What each head is told beside the hyperlatents, and the octaves of what is left then.
    told = {
        "hl": ({}, t.octaves),
        "cy": ({"left": t.carried}, t.right_octaves),
        "sl": ({"near": t.near}, t.near_octaves),
        "sr": (
            {"left": t.carried, "near": t.near_rest, "before": -t.near_rest * t.carried},
            t.near_right_octaves,
        ),
    }
    means = len(t.mean_units)
    for name, (factors, octaves) in told.items():
        for key, factor in factors.items():
            stored[f"{name}_m_{key}_s"].copy_(unit * factor[:, None, None])
        rows = torch.zeros(2 * latents, len(t.hyper_means))
        left = (1 - factors.get("left", nothing)) * (1 - factors.get("near", nothing))
        rows[torch.arange(means), torch.arange(means)] = t.mean_units * left[:means]
        # Tables are counted in eighths of an octave, activations in sixteenths.
        rows[latents:, means:] = t.components.T * TABLES_PER_OCTAVE / MEAN_UNIT
        bias = torch.zeros(2 * latents)
        bias[latents:] = (octaves + OCTAVES_TO_FIRST) * TABLES_PER_OCTAVE / MEAN_UNIT
        bias -= _LIFT * rows[:, :hidden].sum(dim=1)
        ends = ("_m", "_t") if factors else ("",)
        for end, own, offset in zip(
            ends, rows.chunk(len(ends)), bias.chunk(len(ends)), strict=True
        ):
            head = stored[f"{name}{end}_w"]
            middle = head.shape[2] // 2
            head[:, :hidden, middle, middle] = own[:, :hidden]
            stored[f"{name}{end}_b"].copy_(offset)
    for name in INTEGER_LAYERS:
        weight = stored[f"{name}_w"]
        # Weights that all are 0 would all at once be rounded to something else.
        little = (torch.rand(weight.shape, generator=generator) - 0.5) * 2.0**-WEIGHT_BITS
        weight += torch.where(weight == 0, little, 0)


@torch.no_grad()
def start_rim(stored: nn.ParameterDict) -> None:
    """Let the opacity of a pixel follow how many of the nine around it are covered."""
    for name in ("dm0", "dm1", "dm2"):
        stored[f"{name}_w"] *= _LITTLE
    for pixel in range(4):
        y, x = divmod(pixel, 2)
        stored["dm0_w"][pixel, 0] = 0
        stored["dm0_w"][pixel, 0, 1 + y : 4 + y, 1 + x : 4 + x] = 1 / 9
        stored["dm1_w"][pixel] = 0
        stored["dm1_w"][pixel, pixel, 1, 1] = 1
        stored["dm2_w"][pixel, pixel, 1, 1] += _RIM_SLOPE
    stored["dm2_b"] += _RIM_OFFSET


def tables(scales: Tensor) -> Tensor:
    """Numbers of the tables of Laplace scales, not rounded."""
    # b = -1 / (2 ln t).
    ratio = 1 / torch.expm1(0.5 / scales)
    counted = TABLES_PER_OCTAVE * (torch.log2(ratio) + OCTAVES_TO_FIRST)
    return counted.clamp(0, NUMBER_OF_SCALES - 1)


def _places(values: int) -> Tensor:
    """Where in a block, as channel, row and column, each channel of the last layer ends."""
    order = torch.arange(values).reshape(1, -1, 1, 1)
    for _ in range(DOUBLINGS):
        order = TorchOps(nn.ParameterDict()).depth_to_space(order)
    place = torch.empty(values, dtype=torch.long)
    place[order.flatten()] = torch.arange(values)
    return place


def _hyperlatents(stored: nn.ParameterDict, analysing: nn.ParameterDict, t: Transform) -> None:
    latents, means = len(t.basis), len(t.mean_units)
    number = len(t.hyper_means)
    weight = torch.zeros(number, 2 * latents)
    weight[torch.arange(means), torch.arange(means)] = 1 / t.mean_units
    squares = t.components.square().sum(dim=1, keepdim=True).clamp(min=1e-9)
    back = t.components / squares
    weight[means:, latents:] = back
    bias = torch.zeros(number)
    bias[means:] = -(back @ t.octaves)
    _fill(analysing, "as", weight, bias)
    stored["prior_1_b"][:number] = t.hyper_means
    stored["prior_1_b"][number:] = tables(t.hyper_scales.clamp(min=0.2)) / MEAN_UNIT
    # The right image's are near the left one's.
    for name, offset in (("cz_0", 2 * number), ("cz_1", 0)):
        _identity(stored, name, number, offset, _LIFT if offset else 0.0)
    kept = min(number, stored["cz_0_w"].shape[0])
    stored["cz_2_w"][:kept, :kept, 0, 0] = torch.eye(kept)
    stored["cz_2_b"][:kept] = -_LIFT
    stored["cz_2_b"][number:] = tables(t.hyper_changes.clamp(min=0.2)) / MEAN_UNIT


def _pass_on(stored: nn.ParameterDict, t: Transform) -> int:
    """Let the first hidden channels of the trunk be the hyperlatents; return how many."""
    features: int = stored["h1_w"].shape[0]
    number = min(len(t.hyper_means), features)
    for name, lift in (("h0", _LIFT), ("h2", 0.0)):
        for part in range(4):
            _identity(stored, name, number, 0, lift, part * features)
    _identity(stored, "h1", number, 0, 0.0)
    _identity(stored, "cy_0", number, len(t.basis), 0.0)
    for name in ("cy_1", *_SPATIAL):
        _identity(stored, name, number, 0, 0.0)
    return number


def _identity(  # noqa: PLR0917
    weights: nn.ParameterDict, name: str, number: int, first: int, lift: float, to: int = 0
) -> None:
    """Pass ``number`` channels from ``first`` on to the outputs from ``to`` on, lifted."""
    weight, bias = weights[f"{name}_w"], weights[f"{name}_b"]
    number = min(number, weight.shape[0] - to)
    middle, channels = weight.shape[2] // 2, torch.arange(number)
    weight[to : to + number] = 0
    weight[to + channels, first + channels, middle, middle] = 1
    bias[to : to + number] = lift


def _nothing(weights: nn.ParameterDict, name: str) -> None:
    weights[f"{name}_w"].zero_()
    weights[f"{name}_b"].zero_()


def _fill(weights: nn.ParameterDict, name: str, weight: Tensor, bias: Tensor) -> None:
    weights[f"{name}_w"].copy_(weight.reshape(weights[f"{name}_w"].shape))
    weights[f"{name}_b"].copy_(bias)
