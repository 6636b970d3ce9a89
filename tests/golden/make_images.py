"""Make the golden files of images: `make_images.py pairs` (or another name). Once each.

Their reference is what torch's networks give, in double precision, for the decoded latents or
embeddings: ONNX Runtime takes no part in it. That these are right, their checksums say.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from inrvis.bitstream.outlines import learn_outlines
from inrvis.decoder.codes import grid_of, waves_of
from inrvis.decoder.images import Images
from inrvis.encoder.images.implicit_encoder import ImplicitEncoder
from inrvis.encoder.images.masks import CodedMasks
from inrvis.encoder.images.ops import TorchOps
from inrvis.encoder.images.pair_encoder import PairEncoder
from inrvis.encoder.images.settings import ExactSettings, ImageTraining, NervSettings
from inrvis.encoder.quantise import Quantiser
from inrvis.parameters import Cell, Parameter
from inrvis.sources.database import ImageDatabase, StoredImage
from inrvis.targets import Ratio

FOLDER = Path(__file__).parent
PHIS = ("0", "30", "60")
# With one partner for two images; the later one has spatial contexts, too.
SHARED = ("shared", "spatial")


def view(phi: float, column: str) -> Any:
    """Return a ball, with alpha or as a float with NaN around it."""
    y, x = np.mgrid[:40, :50].astype(float)
    height = np.clip(1 - np.hypot(y - 20, x - 25 - phi / 6) ** 2 / 150, 0, 1)
    if column == "depth":
        return np.where(height > 0, 2 + height, np.nan).astype(np.float32)
    rgb = np.stack([height, height**2, 0.2 + 0.5 * height], axis=-1)
    alpha = (height > 0)[..., None]
    return np.rint(255 * np.concatenate([rgb, alpha], axis=-1)).astype(np.uint8)


def database(parameter: str = "phi") -> ImageDatabase:
    """Return two columns of three views; the last depth is missing."""
    images, cells = [], []
    for k, phi in enumerate(PHIS):
        row = []
        for column in ("colour", "depth"):
            if (phi, column) == (PHIS[-1], "depth"):
                row.append(-1)
                continue
            pixels = view(float(phi), column)
            channels, dtype = (4, "uint8") if column == "colour" else (1, "float32")
            row.append(len(images))
            images.append(StoredImage(40, 50, channels, dtype, lambda p=pixels: p))  # type: ignore[misc, arg-type]
        cells.append(Cell((k,), tuple(row)))
    return ImageDatabase(
        (Parameter(parameter, PHIS),), ("colour", "depth"), tuple(cells), tuple(images)
    )


def rounded(model: Any, quantiser: Quantiser) -> torch.nn.ParameterDict:
    """Weights as the file has them, in double precision."""
    return torch.nn.ParameterDict(
        {
            name: torch.round(p.detach().double() / quantiser.step(name)) * quantiser.step(name)
            for name, p in model.stored.items()
            if name in quantiser.relative
        }
    )


def make_pairs(name: str, covers: bool) -> None:
    """Write a file of pairs and its reference."""
    pairing = "time" if name in SHARED else "sorted"
    training = ImageTraining(
        steps=250, batch=4, crop=32, rate=3e-3, trade_off=0.02, pairing=pairing
    )
    settings = ExactSettings(8, 6, 4, 8, 16, covers=covers)
    source = database("time" if name in SHARED else "phi")
    encoder = PairEncoder(source, settings, training, device="cpu")
    if covers:
        masks = [encoder.pictures.mask(i) for i in range(len(encoder.pictures))]
        outlines = learn_outlines([m for m in masks if m is not None])
        records = {i: outlines.encode(m) for i, m in enumerate(masks) if m is not None}
        encoder._masks = CodedMasks(records, outlines.to_bytes())
    model = encoder.make_model()
    trainer = encoder.trainer(model)
    trainer.train()
    exported = encoder.export(trainer)
    data = encoder.pack(exported, encoder.code(model, exported), {}, trainer.steps)
    (FOLDER / f"format1_{name}.inr").write_bytes(data)
    quantiser = trainer.quantiser
    assert quantiser is not None
    weights = rounded(model, quantiser)
    pictures = {}
    with Images("golden", "cpu", data=data) as images:
        for left, right in encoder.pairs:
            latents = images._pictures.latents(right if right >= 0 else left)
            for image, y in ((left, latents.left), (right, latents.right)):
                if image >= 0:
                    side = torch.from_numpy(y).double()
                    cover = torch.from_numpy(encoder.pictures.cover(image)[None, None]).double()
                    colour = torch.from_numpy(encoder.pictures.background(image)).double()
                    behind = {"left": (cover, colour[None, :, None, None])} if covers else None
                    with torch.no_grad():
                        ops = TorchOps(weights)
                        made = model.synthesis(ops, side, side, ["left"], behind)["left"]
                    channels = encoder.pictures.facts.kinds[image].coded_channels
                    picture = made[0, :channels, :40, :50].clamp(0, 1)
                    # 1/16384 is far below half a level.
                    pictures[f"image{image}"] = torch.round(picture * 16384).short().numpy()
    np.savez_compressed(FOLDER / f"format1_{name}.npz", **pictures)


def make_network() -> None:
    """Write the file of one network and its reference, a view between the stored ones included."""
    training = ImageTraining(steps=250, batch=3, crop=0, rate=4e-3, clip=1.0)
    codec = NervSettings("hnerv", Ratio(2.5), width=10, stride=16, embedding=2)
    encoder = ImplicitEncoder(database(), codec, training, device="cpu")
    path = FOLDER / "format1_network.inr"
    path.write_bytes(encoder.encode(path, 0.0).data)
    path.with_name(f".{path.name}.checkpoint.npz").unlink(missing_ok=True)
    model = encoder.make_model()
    pictures = {}
    with Images(path, "cpu") as images:
        header: Any = images.header.codec
        steps = {tensor.name: tensor.step for tensor in header.tensors}
        stored = images._pictures._stored.weights  # type: ignore[union-attr]
        weights = torch.nn.ParameterDict(
            {
                name: torch.round(torch.from_numpy(values).double() / steps[name]) * steps[name]
                for name, values in stored.items()
            }
        )
        source: Any = images._pictures
        embeddings = {f"image{k}": source._embedding(k) for k in range(images.count)}
        places = {f"image{k}": images.cells[k // 2].values[0] * 30.0 for k in range(images.count)}
        # A third of the way from the first colours to the second.
        first, second = embeddings["image0"], embeddings["image2"]
        embeddings["between"], places["between"] = (2 * first + second) / 3, 10.0
        for name, embedding in embeddings.items():
            inputs = waves_of(header, [places[name], 0.0]), grid_of(header, images.kind(0))
            code, grid = (torch.from_numpy(values).double() for values in inputs)
            with torch.no_grad():
                made = model.view(
                    TorchOps(weights), code, grid, torch.from_numpy(embedding).double()
                )
            picture = made[0, :, :40, :50].clamp(0, 1)
            pictures[name] = torch.round(picture * 16384).short().numpy()
    np.savez_compressed(FOLDER / "format1_network.npz", **pictures)


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1] == "network":
        make_network()
    else:
        name = {"pairs": "images"}.get(sys.argv[1], sys.argv[1])
        make_pairs(name, covers=name != "images")
