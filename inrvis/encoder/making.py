"""Networks of an image before they are trained: of a size, of blocks, from a start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from inrvis.decoder.blocks import blocks_of
from inrvis.encoder.assembly import Assembly
from inrvis.encoder.masks import training_mask
from inrvis.encoder.models.base import Model, plain
from inrvis.encoder.models.fourier import FourierNetwork, plan_fourier
from inrvis.encoder.models.sci import plan_sci
from inrvis.encoder.models.separate import Separate
from inrvis.encoder.models.siren import BlockSiren, parameter_count
from inrvis.encoder.plan import BITS_PER_WEIGHT, Variant, least_bits, plan_model
from inrvis.encoder.rounding import TRIAL_VOXELS
from inrvis.encoder.sampling import Sampler, TrainingData
from inrvis.encoder.settings import FourierSettings, SciSettings, SirenSettings
from inrvis.encoder.start import Start

_RAW_BITS = 32.0


class Maker:
    """Makes networks for one image.

    Parameters
    ----------
    assembly : Assembly
        The image.
    choice : {"siren"}, FourierSettings or SciSettings
        What to make.
    device : torch.device
        Where values are.
    knot_spacing : int
        Voxels between the knots at which trunks are evaluated; 0 for every voxel.

    Attributes
    ----------
    separate : bool
        Whether each array has a network of its own.
    shares : ndarray
        Relative sizes of these, beyond those of the smallest networks.
    """

    def __init__(
        self,
        assembly: Assembly,
        choice: Literal["siren"] | FourierSettings | SciSettings,
        device: torch.device,
        knot_spacing: int,
    ) -> None:
        self._image, self._normalised = assembly.image, assembly.normalised
        self._choice, self._device, self._knot_spacing = choice, device, knot_spacing
        self._dimensions = self._image.grid.dimensions
        self.separate = False
        self.shares = np.array([float(array.components) for array in self._normalised.arrays])

    @property
    def channels(self) -> int:
        """Channels of all networks."""
        return int(self._normalised.values.shape[-1])

    def data(self, seed: int) -> TrainingData:
        """Values to train on, drawn as ``seed`` tells."""
        generator = torch.Generator(self._device).manual_seed(seed)
        return TrainingData(self._normalised.values, self._device, generator, self._voxels())

    def _voxels(self) -> NDArray[np.bool_] | None:
        """Voxels to train on; None for all."""
        known = self._normalised.known
        if not isinstance(self._choice, FourierSettings) or self._choice.mask.kind == "all":
            return known
        mask = training_mask(self._image.arrays, self._choice.mask)
        return mask if known is None else mask & known

    def make(
        self, data: TrainingData, bits: float, generator: torch.Generator, variant: Variant
    ) -> Model:
        """Model whose weights cost about ``bits``.

        Raises
        ------
        UsageError
            If no network is as small as that.
        """
        choice = self._choice
        if isinstance(choice, FourierSettings):
            number = bits / (_RAW_BITS if choice.as_published else BITS_PER_WEIGHT)
            return FourierNetwork(plan_fourier(choice, data.channels, number), data, generator)
        if isinstance(choice, SciSettings):
            number = bits / (_RAW_BITS if choice.as_published else BITS_PER_WEIGHT)
            return plan_sci(choice, self._normalised, int(number), data, generator)
        groups = self.groups()
        models = [
            self._siren(plan, self._of_channels(data, channels), generator)
            for plan, channels in zip(self.plans(bits, variant), groups, strict=True)
        ]
        return Separate(models, groups) if len(models) > 1 else models[0]

    def groups(self) -> list[tuple[int, ...]]:
        """Channels of each network."""
        if not self.separate:
            return [tuple(range(self.channels))]
        return [
            tuple(range(array.channel, array.channel + array.components))
            for array in self._normalised.arrays
        ]

    def plans(self, bits: float, variant: Variant) -> tuple[SirenSettings, ...]:
        """Size and blocks of each network, of ``bits`` in all; UsageError as `make`."""
        groups, own = self.groups(), [bits]
        if len(groups) > 1:
            # Shares are of what the smallest networks leave.
            least = np.array([least_bits(len(group), variant) for group in groups])
            more = max(bits - least.sum(), 0.0)
            own = (
                least * min(bits / least.sum(), 1.0) + more * self.shares / self.shares.sum()
            ).tolist()
        return tuple(
            plan_model(self._dimensions, len(group), part, self._knot_spacing, variant)
            for group, part in zip(groups, own, strict=True)
        )

    def weights(self, plans: Sequence[SirenSettings]) -> list[int]:
        """Weights of each network of ``plans``, if all are chains; none otherwise."""
        if not all(plan.is_chain for plan in plans):
            return []
        return [
            parameter_count(plan, len(channels))
            for plan, channels in zip(plans, self.groups(), strict=True)
        ]

    def _siren(
        self, settings: SirenSettings, data: TrainingData, generator: torch.Generator
    ) -> BlockSiren:
        sampler = Sampler(data, blocks_of(self._dimensions, settings.lattice))
        return BlockSiren(settings, data.channels, sampler, generator)

    def started(
        self,
        start: Start,
        data: TrainingData,
        generator: torch.Generator,
    ) -> tuple[Model, float]:
        """Model that goes on from ``start``, and its loss before it does."""
        groups = [own.channels for own in start.networks]
        parts = [
            self._siren(own.settings, self._of_channels(data, own.channels), generator)
            for own in start.networks
        ]
        joined: Model = Separate(parts, groups) if len(parts) > 1 else parts[0]
        model = joined.to(self._device)
        batch = model.draw(TRIAL_VOXELS, 1.0)

        @torch.no_grad()
        def loss() -> float:
            return float(model.loss(batch, plain))

        return model, start.load(model, self._normalised.arrays, loss)

    def is_worth(self, start: Start, seed: int) -> bool:
        """Whether ``start`` is nearer to the values than their mean is.

        Measured on waves and bumps that move: up to there it trains better than a new network
        does, and beyond ever worse.
        """
        data = self.data(seed)
        _, loss = self.started(start, data, torch.Generator().manual_seed(seed))
        voxels, values = self._voxels(), self._normalised.values
        values = values.reshape(-1, self.channels) if voxels is None else values[voxels]
        return loss < float(values.var(axis=0, dtype=np.float64).mean())

    def _of_channels(self, data: TrainingData, channels: tuple[int, ...]) -> TrainingData:
        if len(channels) == data.channels:
            return data
        values = np.ascontiguousarray(self._normalised.values[..., list(channels)])
        return TrainingData(values, self._device, data.generator, data.known)
