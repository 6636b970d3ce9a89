"""Networks from the parameters of an image to the whole image, after E-NeRV and HNeRV.

Both end in blocks of a convolution and a rearrangement of channels to pixels, which double the
resolution until the image is reached. They differ in where they begin: E-NeRV (Li et al., 2022)
keeps place and view apart, waves of the place going through one small network and waves of the
view through another, and lets the view scale and shift the features of every block; HNeRV (Chen et
al., 2023) starts from a small map that an analysis makes of the image, and spreads its weights
evenly, with larger kernels and more channels at the finer blocks. FCNR's authors compare with both
(Table 2). Unlike in the papers, every block doubles the resolution, where E-NeRV begins with
a factor of 5, activations are swish, and there is no instance normalisation and no attention.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from inrvis.encoder.images.model import ImageModel
from inrvis.encoder.images.ops import OnnxOps, Ops, TorchOps, Weigh

# What a block divides the channels by, and the fewest it leaves.
_REDUCTION = {"e-nerv": 1.5, "hnerv": 1.2}
_LEAST_WIDTH = 6
# Side of the kernels of the blocks, from the coarsest on; the last one goes on.
_KERNELS = {"e-nerv": (3,), "hnerv": (1, 3, 5)}
_ANALYSIS_WIDTH = 32
# Factor on first weights of scales, shifts and the last convolution.
_TIMID = 0.1
# Integers of an embedding are of 6 bits, as in HNeRV; what an integer counts.
MOST_EMBEDDING = 31
EMBEDDING_STEP = 1 / 16


@dataclass(frozen=True)
class NervShape:
    """Sizes of a network.

    Attributes
    ----------
    name : str
        e-nerv or hnerv.
    width : int
        Channels of the first map.
    stride : int
        Pixels a side to one of its cells.
    outputs : int
        Channels of the result.
    code_size, grid_size : int
        Channels of a code and of the grid.
    embedding : int
        Channels of embeddings; 0 without them.
    """

    name: str
    width: int
    stride: int
    outputs: int
    code_size: int
    grid_size: int
    embedding: int


@dataclass(frozen=True)
class ViewBatch:
    """Images of one size.

    Attributes
    ----------
    images : Tensor
        (batch, colours, padded height, padded width) from 0 to 1.
    code : Tensor
        (batch, k, 1, 1).
    grid : Tensor
        (1, g, rows, columns).
    """

    images: Tensor
    code: Tensor
    grid: Tensor


class NervModel(ImageModel):
    """One network for all images.

    Parameters
    ----------
    shape : NervShape
        Its sizes.
    colours : int
        Channels of the images that its analysis sees.
    generator : torch.Generator
        Source of first weights.
    """

    def __init__(self, shape: NervShape, colours: int, generator: torch.Generator) -> None:
        super().__init__()
        self.shape, self._generator = shape, generator
        images = torch.zeros(1, colours, shape.stride, shape.stride)
        code = torch.zeros(1, shape.code_size, 1, 1)
        with torch.no_grad():
            self(ViewBatch(images, code, torch.zeros(1, shape.grid_size, 1, 1)))
            for name in self.stored:
                if name.endswith(("_scale_w", "_shift_w")) or name == "head_w":
                    # Images start from grey, and blocks from hardly being told of the view:
                    # else the scales of all blocks multiply to wild values.
                    self.stored[name] *= _TIMID
            self.stored["head_b"] += 0.5

    def forward(
        self, batch: ViewBatch, weigh: Weigh | None = None, noise: torch.Generator | None = None
    ) -> Tensor:
        """Images as they will be decoded, or with ``noise`` in place of rounded embeddings."""
        embedding = None
        if self.shape.embedding:
            integers = self.analyse(batch.images)
            if noise is not None:
                random = torch.rand(integers.shape, generator=noise).to(integers.device)
                integers = integers + random - 0.5
            else:
                integers = integers + (torch.round(integers) - integers).detach()
            embedding = integers * EMBEDDING_STEP
        ops = TorchOps(self.stored, self._generator, weigh)
        output: Tensor = self.view(ops, batch.code, batch.grid, embedding)
        return output

    def analyse(self, images: Tensor) -> Tensor:
        """Embeddings of images, (batch, embedding, rows, columns), before they are rounded."""
        ops = TorchOps(self.analysing, self._generator)
        x = images
        for level in range(self.shape.stride.bit_length() - 1):
            x = ops.leaky(ops.conv(x, f"a{level}", _ANALYSIS_WIDTH, 3, 2))
        x = ops.conv(x, "embed", self.shape.embedding, 1)
        # Bounded, but never flat: with tanh, whole channels ended at their limits for good.
        return x / (1 + x.abs()) * MOST_EMBEDDING

    def view(self, ops: Ops, code: Any, grid: Any, embedding: Any) -> Any:
        """The network that is stored; images, nominally from 0 to 1."""
        shape = self.shape
        told = None
        if shape.embedding:
            x = ops.swish(ops.conv(embedding, "first", shape.width, 3))
        else:
            told = ops.swish(ops.conv(code, "t0", max(16, shape.width), 1))
            told = ops.swish(ops.conv(told, "t1", max(16, shape.width), 1))
            place = ops.swish(ops.conv(grid, "s0", shape.width, 1))
            place = ops.conv(place, "s1", shape.width, 1)
            x = ops.swish(ops.conv(self._told(ops, place, told, "join"), "first", shape.width, 3))
        width, kernels = shape.width, _KERNELS[shape.name]
        for level in range(shape.stride.bit_length() - 1):
            width = max(_LEAST_WIDTH, round(width / _REDUCTION[shape.name]))
            kernel = kernels[min(level, len(kernels) - 1)]
            x = ops.depth_to_space(ops.conv(x, f"up{level}", 4 * width, kernel))
            if told is not None:
                x = self._told(ops, x, told, f"m{level}", width)
            x = ops.swish(x)
        return ops.conv(x, "head", shape.outputs, 3)

    def _told(self, ops: Ops, x: Any, told: Any, name: str, width: int = 0) -> Any:
        """Features, scaled and shifted by what the network is told of the view."""
        width = width or self.shape.width
        scaled = ops.multiply(x, ops.conv(told, f"{name}_scale", width, 1))
        return ops.add(ops.add(x, scaled), ops.conv(told, f"{name}_shift", width, 1))

    def graph(self) -> tuple[bytes, list[str]]:
        """The stored network as a graph, and the names of its weights in order."""
        ops = OnnxOps()
        output = self.view(ops, "code", "grid", "embedding")
        inputs = {"code", "grid", "embedding"} & ops.used
        return ops.finish(output, sorted(inputs)), ops.weights


def stored_weights(shape: NervShape) -> int:
    """Weights that a file of a network of these sizes holds."""
    model = NervModel(shape, shape.outputs, torch.Generator())
    return sum(p.numel() for p in model.stored.values())
