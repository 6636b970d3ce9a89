"""Quality of a sequence of RGB images, over all pixels and over the foreground alone."""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.image_peers import Rgb

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def background(images: Sequence[Rgb]) -> tuple[int, int, int]:
    """The colour that the most pixels of the images have."""
    counts: dict[int, int] = {}
    for image in images:
        codes = image.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
        colours, numbers = np.unique(codes, return_counts=True)
        for colour, count in zip(colours.tolist(), numbers.tolist(), strict=True):
            counts[colour] = counts.get(colour, 0) + count
    best = max(counts, key=lambda colour: counts[colour])
    return best >> 16, best >> 8 & 255, best & 255


@dataclass
class Quality:
    """Measures of quality, gathered image by image.

    Parameters
    ----------
    background : tuple of 3 int
        Colour that is not foreground in the original.
    lpips : callable or None
        Distance of two images, where LPIPS can be had.
    """

    background: tuple[int, int, int]
    lpips: Any = None
    _squares: float = 0.0
    _values: int = 0
    _foreground_squares: float = 0.0
    _foreground_values: int = 0
    _ssim: list[float] = field(default_factory=list)
    _foreground_ssim: list[float] = field(default_factory=list)
    _distances: list[float] = field(default_factory=list)

    def add(self, original: Rgb, decoded: Rgb) -> None:
        """Take in one image."""
        squares = (original.astype(np.int32) - decoded.astype(np.int32)) ** 2
        mask = (original != np.array(self.background, np.uint8)).any(axis=2)
        self._squares += float(squares.sum())
        self._values += squares.size
        self._foreground_squares += float(squares[mask].sum())
        self._foreground_values += 3 * int(mask.sum())
        similarity = ssim_map(original, decoded)
        self._ssim.append(float(similarity.mean()))
        if mask.any():
            self._foreground_ssim.append(float(similarity[mask].mean()))
        if self.lpips is not None:
            self._distances.append(self.lpips(original, decoded))

    def record(self) -> dict[str, float | None]:
        """The measures; None stands for no foreground, no LPIPS, or no error at all."""
        return {
            "psnr_db": psnr_db(self._squares, self._values),
            "foreground_psnr_db": psnr_db(self._foreground_squares, self._foreground_values),
            "ssim": _mean(self._ssim),
            "foreground_ssim": _mean(self._foreground_ssim),
            "lpips": _mean(self._distances),
            "foreground_share": self._foreground_values / max(1, self._values),
        }


def psnr_db(squares: float, values: int) -> float | None:
    """PSNR of a sum of squared errors, with a peak of 255."""
    return 10 * math.log10(255**2 * values / squares) if squares and values else None


def ssim_map(original: Rgb, decoded: Rgb) -> npt.NDArray[Any]:
    """Structural similarity of the luma at each pixel (Wang 2004), Gaussian window of 1.5."""
    metrics = importlib.import_module("skimage.metrics")
    _, full = metrics.structural_similarity(
        original @ _LUMA,
        decoded @ _LUMA,
        data_range=255.0,
        gaussian_weights=True,
        use_sample_covariance=False,
        full=True,
    )
    return np.asarray(full)


def load_lpips() -> tuple[Any, str]:
    """A function that gives the LPIPS of two images, or None and why there is none."""
    try:
        lpips, torch = importlib.import_module("lpips"), importlib.import_module("torch")
        # Its AlexNet must be in torch's cache already: nothing is downloaded here.
        hub = importlib.import_module("torch.hub")
        if not any(name.startswith("alexnet") for name in _listed(hub.get_dir())):
            return None, "the weights of LPIPS' AlexNet are not on this machine"
        network = lpips.LPIPS(net="alex", verbose=False).eval()
    except ImportError as error:
        return None, f"LPIPS is not installed ({error})"

    def distance(original: Rgb, decoded: Rgb) -> float:
        pair = [
            torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
            for image in (original, decoded)
        ]
        with torch.no_grad():
            return float(network(*pair))

    return distance, ""


def _listed(folder: str) -> list[str]:
    from pathlib import Path

    checkpoints = Path(folder) / "checkpoints"
    return [path.name for path in checkpoints.iterdir()] if checkpoints.is_dir() else []


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
