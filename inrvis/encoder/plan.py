"""Choose the size of a network for a number of bytes, and its blocks for a grid."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

from inrvis.encoder.models.siren import parameter_count
from inrvis.encoder.settings import SirenSettings
from inrvis.errors import UsageError

# Measured at ratio 200 (docs/benchmarks.md): trunks of about this many weights do well in the
# time of the presets. Smaller ones waste bytes, larger ones see too few samples. Volumes with
# sharp detail want the finer weights, smooth ones would do with five bits.
_WEIGHTS_PER_BLOCK = 4500
BITS_PER_WEIGHT = 6.0
# Small networks, which see enough samples, use their bytes better with more and coarser weights;
# on engine_ct at 42 kB that lost 0.6 dB.
_BITS_OF_SMALL, _MOST_OF_SMALL = 5.0, 20_000
_OVERLAP = 3
_NARROWEST, _WIDEST = 4, 512
# SIREN's omega_0, for each neuron of a layer: narrow networks want low frequencies, from which
# they fold higher ones (docs/benchmarks.md).
_LEAST_FREQUENCY, _FREQUENCY_PER_NEURON, _MOST_FREQUENCY = 10.0, 0.3, 30.0
_MOST_BLOCKS = 4096


@dataclass(frozen=True)
class Variant:
    """How a network is made and trained, relative to what does well on most volumes.

    Attributes
    ----------
    density : float
        Number of blocks.
    rate : float
        Steps of the orthogonalised matrices.
    fineness : float
        Bits of a weight: there are fewer weights where they are finer.
    """

    density: float = 1.0
    rate: float = 1.0
    fineness: float = 1.0


USUAL_VARIANT = Variant()


def choose_blocks(dimensions: tuple[int, int, int], number: float) -> tuple[int, int, int]:
    """Blocks along x, y and z: about ``number`` of them, as close to cubes as can be."""

    def badness(blocks: tuple[int, int, int]) -> tuple[float, tuple[int, int, int]]:
        sides = [n / b for n, b in zip(dimensions, blocks, strict=True) if n > 1]
        shape = math.log(max(sides) / min(sides)) if sides else 0.0
        return 2 * abs(math.log(math.prod(blocks) / number)) + shape, blocks

    # An axis of fewer than 16 voxels is not worth a cut.
    most = [max(1, min(n // 8, math.ceil(2 * number))) for n in dimensions]
    return min(
        (
            (x, y, z)
            for x, y, z in product(*(range(1, m + 1) for m in most))
            if x * y * z <= min(_MOST_BLOCKS, max(1.0, 1.6 * number))
        ),
        key=badness,
    )


def plan_model(
    dimensions: tuple[int, int, int],
    channels: int,
    weight_bits: float,
    spacing: int = 0,
    variant: Variant = USUAL_VARIANT,
) -> SirenSettings:
    """Network whose weights cost about ``weight_bits`` once quantised.

    Parameters
    ----------
    dimensions : tuple of 3 int
        Voxels along x, y and z.
    channels : int
        Outputs.
    weight_bits : float
        Bits for all weights.
    spacing : int
        Voxels between knots; 0 for none.
    variant : Variant
        How many blocks and weights they are spread over.

    Raises
    ------
    UsageError
        If not even the smallest network fits.
    """
    small = weight_bits < _BITS_OF_SMALL * _MOST_OF_SMALL
    bits = variant.fineness * (_BITS_OF_SMALL if small else BITS_PER_WEIGHT)
    parameters = weight_bits / bits
    number = variant.density * parameters / _WEIGHTS_PER_BLOCK
    blocks = choose_blocks(dimensions, max(1.0, number))
    shortest = (
        min(n // b for n, b in zip(dimensions, blocks, strict=True) if b > 1)
        if max(blocks) > 1
        else 0
    )
    overlap = min(_OVERLAP, shortest // 4)
    features = 16 if parameters > 4000 else 8

    def settings(width: int) -> SirenSettings:
        return SirenSettings(
            width=width,
            blocks=blocks,
            overlap=overlap,
            spacing=spacing,
            features=features,
            head_width=features,
            frequency=min(max(_FREQUENCY_PER_NEURON * width, _LEAST_FREQUENCY), _MOST_FREQUENCY),
        )

    fitting = [
        width
        for width in range(_NARROWEST, _WIDEST + 1)
        if parameter_count(settings(width), channels) <= parameters
    ]
    if not fitting:
        smallest = parameter_count(settings(_NARROWEST), channels) * bits / 8
        raise UsageError(
            f"the target leaves {max(0, int(weight_bits / 8))} bytes for the network; the smallest "
            f"one takes {int(smallest)}: ask for a lower ratio"
        )
    return settings(fitting[-1])


def least_bits(channels: int, variant: Variant = USUAL_VARIANT) -> float:
    """Bits of the weights of the smallest network, about."""
    smallest = SirenSettings(width=_NARROWEST, blocks=(1, 1, 1), features=8, head_width=8)
    return variant.fineness * _BITS_OF_SMALL * parameter_count(smallest, channels) + 1
