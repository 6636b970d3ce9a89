"""Make the golden file of images. Run once for a format, and never again for it.

Its reference is what torch's synthesis gives, in double precision, for the decoded latents: ONNX
Runtime takes no part in it. That the latents are right, their checksums say.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from inrvis.decoder.images import Images
from inrvis.encoder.images.pair_encoder import PairEncoder
from inrvis.encoder.images.ops import TorchOps
from inrvis.encoder.images.settings import ExactSettings, ImageTraining
from inrvis.parameters import Cell, Parameter
from inrvis.sources.database import ImageDatabase, StoredImage

FOLDER = Path(__file__).parent
PHIS = ("0", "30", "60")


def view(phi: float, column: str) -> Any:
    """Return a ball, with alpha or as a float with NaN around it."""
    y, x = np.mgrid[:40, :50].astype(float)
    height = np.clip(1 - np.hypot(y - 20, x - 25 - phi / 6) ** 2 / 150, 0, 1)
    if column == "depth":
        return np.where(height > 0, 2 + height, np.nan).astype(np.float32)
    rgb = np.stack([height, height**2, 0.2 + 0.5 * height], axis=-1)
    alpha = (height > 0)[..., None]
    return np.rint(255 * np.concatenate([rgb, alpha], axis=-1)).astype(np.uint8)


def database() -> ImageDatabase:
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
        (Parameter("phi", PHIS),), ("colour", "depth"), tuple(cells), tuple(images)
    )


def main() -> None:
    """Write the file and its reference."""
    torch.set_num_threads(1)
    training = ImageTraining(steps=250, batch=4, crop=32, rate=3e-3, trade_off=0.02)
    encoder = PairEncoder(database(), ExactSettings(8, 6, 4, 8, 16), training, device="cpu")
    model = encoder.make_model()
    trainer = encoder.trainer(model)
    trainer.train()
    exported = encoder.export(trainer)
    data = encoder.pack(exported, encoder.code(model, exported), {}, trainer.steps)
    (FOLDER / "format1_images.inr").write_bytes(data)
    quantiser = trainer.quantiser
    assert quantiser is not None
    weights = torch.nn.ParameterDict(
        {
            name: torch.round(p.detach().double() / quantiser.step(name)) * quantiser.step(name)
            for name, p in model.stored.items()
            if name in quantiser.relative
        }
    )
    pictures = {}
    with Images("golden", "cpu", data=data) as images:
        for left, right in encoder.pairs:
            latents = images._pictures.latents(right if right >= 0 else left)
            for image, y in ((left, latents.left), (right, latents.right)):
                if image >= 0:
                    side = torch.from_numpy(y).double()
                    with torch.no_grad():
                        made = model.synthesis(TorchOps(weights), side, side, ["left"])["left"]
                    channels = encoder.pictures.facts.kinds[image].coded_channels
                    picture = made[0, :channels, :40, :50].clamp(0, 1)
                    # 1/16384 is far below half a level.
                    pictures[f"image{image}"] = torch.round(picture * 16384).short().numpy()
    np.savez_compressed(FOLDER / "format1_images.npz", **pictures)


if __name__ == "__main__":
    main()
