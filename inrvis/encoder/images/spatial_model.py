"""Codecs for pairs whose latents come in phases, each of which knows what is known around."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from inrvis.encoder.images.model import Known, PairModel, Side, straight_through
from inrvis.encoder.images.ops import Ops
from inrvis.encoder.images.spatial import Surroundings, phases


class SpatialModel(PairModel):
    """Networks of such a codec; the phases are those of `inrvis.decoder.surroundings`."""

    @abstractmethod
    def spatial_context(self, ops: Ops, side: Side, inputs: Mapping[str, Any]) -> Any:
        """Means and scales of latents from what is known around them; inputs as in ROLES."""

    def _latents(  # noqa: PLR0917
        self,
        ops: Ops,
        side: Side,
        latents: Tensor,
        parameters: Tensor,
        known: Known,
        generator: torch.Generator | None,
        blocks: Tensor | None,
        left: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """As in `PairModel`; after the first phase, the context gives means and scales."""
        own = torch.ones_like(latents[:, :1]) if blocks is None else blocks
        rounded, seen = torch.zeros_like(latents), torch.zeros_like(own)
        means, scales = torch.zeros_like(latents), torch.zeros_like(latents)
        for number, phase in enumerate(phases(latents)):
            if number:
                near = self._near(rounded, seen, left)
                parameters = self.spatial_context(ops, side, {**known, **near})
            mean, scale = self.means(parameters)
            rounded = rounded + straight_through(latents, mean) * (own * phase)
            seen = seen + own * phase
            means, scales = means + mean * phase, scales + scale * phase
        return rounded, self._bits(latents - means, scales, generator, blocks)

    def _near(self, latents: Tensor, seen: Tensor, left: Tensor | None) -> Known:
        """What is known around, for a right image also of the ``left`` one's latents."""
        around = Surroundings(seen)
        near = {
            "near": self.seen(around.mean(latents), self.shift),
            "size": self.seen(around.mean(latents.abs())),
            "count": around.count,
        }
        if left is not None:
            near["near_left"] = self.seen(around.mean(left), self.shift)
        return near
