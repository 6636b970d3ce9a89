"""Settings of the encoder as frozen dataclasses, and the presets."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal

from inrvis.container.header import LatticeHeader
from inrvis.encoder.funnel import AllocationRule
from inrvis.encoder.masks import MaskSettings
from inrvis.encoder.octree import PartitionSettings
from inrvis.errors import UsageError

Preset = Literal["fast", "balanced", "best"]
# Steps of a warm start, relative to a cold one's.
_WARM_RATE = 0.3
# Evaluations in a step for each weight, measured at 4,700, 10,400 and 57,000 weights.
_BATCH_PER_WEIGHT, _LEAST_BATCH = 1.6, 4096


@dataclass(frozen=True)
class SirenSettings:
    """Size and shape of the default model, a SIREN in uniform blocks.

    Attributes
    ----------
    depth : int
        Hidden layers of a trunk, the first one not counted.
    width : int
        Neurons of a trunk's layer.
    features : int
        Features of a knot.
    head_width : int
        Neurons of the head's hidden layer.
    blocks : tuple of 3 int
        Trunks along x, y and z.
    overlap : int
        Voxels that neighbouring blocks reach into each other.
    spacing : int
        Voxels between the knots at which trunks are evaluated; 0 for every voxel.
    frequency : float
        Spread of the first layer's angular frequencies over a block, in radians per half side
        (SIREN's omega_0, which is 30 there).
    lattice_start : float
        Fraction of the training after which voxels are seen through the knots, if there are any.
    """

    width: int
    blocks: tuple[int, int, int]
    overlap: int = 3
    spacing: int = 0
    depth: int = 4
    features: int = 16
    head_width: int = 16
    frequency: float = 10.0
    lattice_start: float = 0.7

    @property
    def is_chain(self) -> bool:
        """Whether all of the volume is one block, evaluated at every voxel."""
        return math.prod(self.blocks) == 1 and not self.spacing

    @property
    def lattice(self) -> LatticeHeader:
        """Blocks as a file describes them."""
        return LatticeHeader(self.blocks, self.overlap, self.spacing, self.features)

    def shapes(self, channels: int) -> dict[str, tuple[int, ...]]:
        """Shapes of all tensors of a file, by their names."""
        widths = [3] + [self.width] * (self.depth + 1) + [self.features]
        head = [self.features, self.head_width, channels]
        blocks = math.prod(self.blocks)
        found: dict[str, tuple[int, ...]] = {}
        for index, (columns, rows) in enumerate(pairwise(widths)):
            found |= {f"w{index}": (blocks, rows, columns), f"w{index}b": (blocks, rows, 1)}
        for index, (columns, rows) in enumerate(pairwise(head)):
            found |= {f"h{index}": (rows, columns), f"h{index}b": (rows, 1)}
        return found


@dataclass(frozen=True)
class FourierSettings:
    """Fourier features and a multilayer perceptron, trained on some of the voxels.

    Attributes
    ----------
    features : int
        Fourier features, k; 0 for as many as a layer has neurons.
    multiplier : float
        Spread of the frequencies: the paper's Gauss multiplier.
    groups : int
        Groups of features, each with a learnable multiplier.
    spread : float
        Octaves by which the first and the last group's multipliers lie below and above.
    layers : int
        Hidden layers, m.
    width : int
        Neurons of a layer, n; 0 for as many as the target leaves room for.
    mask : MaskSettings
        Voxels to train on.
    keep_mask : bool
        Whether the background is to be restored exactly.
    as_published : bool
        Whether to train with Adam at a constant rate, and to keep float32 weights.
    """

    features: int = 0
    multiplier: float = 2.5
    groups: int = 4
    spread: float = 1.0
    layers: int = 4
    width: int = 0
    mask: MaskSettings = field(default_factory=MaskSettings)
    keep_mask: bool = False
    as_published: bool = False

    name = "fourier"

    @classmethod
    def paper(cls, mask: MaskSettings | None = None) -> FourierSettings:
        """Sizes of the paper's Table 1, its optimiser and its unquantised weights."""
        return cls(
            features=1280, layers=8, width=512, mask=mask or MaskSettings(), as_published=True
        )

    def sized(self, width: int) -> FourierSettings:
        """With sizes that were not set filled in for layers of ``width`` neurons."""
        width = self.width or width
        return replace(self, width=width, features=self.features or width)


@dataclass(frozen=True)
class SciSettings:
    """Blocks of concentrated spectrum with a funnel-shaped SIREN each.

    Attributes
    ----------
    partition : {"octree", "equidistant", "whole"}
        How blocks are chosen: by the paper's optimum, evenly, or not at all.
    spectrum : PartitionSettings
        Depth, number of blocks and spectrum measure of the partition.
    allocation : {"size_over_concentration", "size", "concentration", "equal"}
        What a block's parameters are proportional to. The paper's is the first.
    least_weights : int
        Weights that there must be for a block: there are fewer blocks in a small file.
    layers, ratio : int, float
        Linear maps of a network, and its funnel's ratio.
    frequency : float
        Frequency factor of the first layer, w0.
    overlap : int
        Voxels that neighbouring blocks reach into each other.
    as_published : bool
        Whether to train with Adamax and the paper's schedule, and to keep float32 weights.
    """

    partition: Literal["octree", "equidistant", "whole"] = "octree"
    spectrum: PartitionSettings = field(default_factory=PartitionSettings)
    allocation: AllocationRule = "size"
    least_weights: int = 4000
    layers: int = 7
    ratio: float = 2.2
    frequency: float = 20.0
    overlap: int = 3
    as_published: bool = False

    name = "sci"

    @classmethod
    def paper(cls) -> SciSettings:
        """Rule and optimiser of the paper, and its unquantised weights."""
        return cls(allocation="size_over_concentration", least_weights=0, as_published=True)


@dataclass(frozen=True)
class TrainingSettings:
    """How a network is trained.

    Attributes
    ----------
    seconds : float
        Training time. Without `clocked` it is turned into a number of steps by a fixed model of
        two desktop cores, so that equal seeds give equal files; with `clocked` the steps that
        fit into it by the clock.
    clocked : bool
        Whether `seconds` is measured.
    batch : int
        Evaluations of the trunk in a step, at most: fewer on volumes of few voxels and for
        networks of few weights.
    first_batch, growth : int, float
        Evaluations in the first steps, and the fraction of the training in which they grow to
        `batch`: rough steps are many at first, and fine ones few at the end.
    muon_rate, adam_rate, frequency_rate : float
        Peak step sizes of the orthogonalised matrices, of the head, and of the first layer.
    weight_decay : float
        Decay of the orthogonalised matrices, relative to the step.
    quantise_start : float
        Fraction of the schedule after which weights are seen through their quantiser.
    optimiser : {"muon", "adam", "adamax"}
        Orthogonalised steps with a cosine schedule; or, to compare with the papers, Adam at the
        constant `adam_rate`, or Adamax at it with three drops, both without a quantiser.
    """

    seconds: float
    clocked: bool = False
    batch: int = 65536
    first_batch: int = 16384
    growth: float = 0.25
    muon_rate: float = 0.1
    adam_rate: float = 2e-3
    frequency_rate: float = 2e-2
    weight_decay: float = 0.02
    quantise_start: float = 0.8
    optimiser: Literal["muon", "adam", "adamax"] = "muon"

    def batch_at(self, fraction: float) -> int:
        """Evaluations in a step at a ``fraction`` of the training."""
        first = min(self.first_batch, self.batch)
        if self.optimiser != "muon" or first == self.batch:
            return self.batch
        grown = math.pow(self.batch / first, min(1.0, fraction / self.growth))
        return round(first * grown)

    def sized(self, weights: int) -> TrainingSettings:
        """Return those for a network of so many weights: small ones want many rough steps."""
        batch = 1 << round(math.log2(max(1.0, _BATCH_PER_WEIGHT * weights)))
        batch = min(self.batch, max(_LEAST_BATCH, batch))
        first = max(_LEAST_BATCH, batch // 4)
        return replace(self, batch=batch, first_batch=min(self.first_batch, first))

    def warm(self) -> TrainingSettings:
        """Return those of a training that goes on from a trained network: small, fine steps."""
        return replace(
            self,
            muon_rate=_WARM_RATE * self.muon_rate,
            adam_rate=_WARM_RATE * self.adam_rate,
            frequency_rate=_WARM_RATE * self.frequency_rate,
            first_batch=self.batch,
        )


ModelChoice = Literal["auto", "siren", "fourier", "sci", "none"] | FourierSettings | SciSettings
_PRESET_SECONDS = {"fast": 20.0, "balanced": 105.0, "best": 900.0}


def training_settings(preset: str, time_budget: float | None = None) -> TrainingSettings:
    """Training settings of a preset, or those that fill ``time_budget`` seconds.

    Raises
    ------
    UsageError
        If the preset is unknown or the budget not positive.
    """
    if preset not in _PRESET_SECONDS:
        raise UsageError(f"unknown preset {preset!r}: choose {', '.join(_PRESET_SECONDS)}")
    if time_budget is None:
        return TrainingSettings(seconds=_PRESET_SECONDS[preset])
    if not 0 < time_budget < float("inf"):
        raise UsageError(f"the time budget must be a positive number of seconds, not {time_budget}")
    return TrainingSettings(seconds=time_budget, clocked=True)
