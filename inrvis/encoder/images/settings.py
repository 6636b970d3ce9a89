"""Settings of the codecs for image databases."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from inrvis.errors import UsageError
from inrvis.targets import BitRate, Ratio

Attention = Literal["joint", "epipolar"]
Prior = Literal["parameters", "free"]


_PUBLISHED: dict[str, tuple[Attention, Prior]] = {
    "fcnr": ("joint", "parameters"),
    "jct-only": ("joint", "free"),
    "pe-only": ("epipolar", "parameters"),
    "ecsic": ("epipolar", "free"),
}


@dataclass(frozen=True)
class PaperSettings:
    """FCNR as published, or one of its ablations (section 4 and Table 3).

    Attributes
    ----------
    channels, latents : int
        N and M.
    attention : {"joint", "epipolar"}
        Joint context transfer, or ECSIC's cross-attention along rows.
    prior : {"parameters", "free"}
        Distributions of hyperlatents from the images' parameters, or free, as in ECSIC.
    float_weights : bool
        Whether the file keeps weights as float32; else they are quantised and entropy-coded.
    """

    channels: int = 192
    latents: int = 48
    attention: Attention = "joint"
    prior: Prior = "parameters"
    float_weights: bool = False

    @property
    def name(self) -> str:
        """What it is called in the paper's Table 3."""
        return next(
            name for name, parts in _PUBLISHED.items() if parts == (self.attention, self.prior)
        )

    @classmethod
    def named(cls, name: str) -> PaperSettings:
        """Full size of one of the table: fcnr, jct-only, pe-only or ecsic."""
        attention, prior = _PUBLISHED[name]
        return cls(attention=attention, prior=prior)


@dataclass(frozen=True)
class ExactSettings:
    """The default codec: small networks, those before the entropy coder on integers.

    Attributes
    ----------
    channels : int
        Of the synthesis at an eighth of the resolution; half as many at each finer one. 0 for
        whichever of EXACT_SIZES suits the database.
    latents, hyperlatents, features : int
        Channels of latents, hyperlatents and the entropy networks' hidden layers.
    analysis : int
        Channels of the analysis, which is not stored.
    attention : bool
        Whether the synthesis sees the other image of the pair through a joint context transfer,
        at an eighth of the resolution.
    covers : bool, optional
        Whether masks tell what the networks need not give: no symbols are stored for it, and the
        rim before it is mixed with it. Without a choice, where that seems to be smaller.
    """

    channels: int = 48
    latents: int = 64
    hyperlatents: int = 12
    features: int = 32
    analysis: int = 64
    attention: bool = False
    covers: bool | None = None

    name = "fcnr-exact"


EXACT_SIZES = {
    "small": ExactSettings(16, 48, 8, 16, 48),
    "medium": ExactSettings(),
    "large": ExactSettings(96, 64, 16, 48, 96),
}


@dataclass(frozen=True)
class NervSettings:
    """One network that gives a whole image from its parameters, after E-NeRV or HNeRV.

    Attributes
    ----------
    name : {"e-nerv", "hnerv"}
        From the parameters alone, or from a small embedding of each image.
    target : Ratio or BitRate
        Size of the file, which the network is chosen for: at most this many bytes.
    width : int
        Channels of the first map; 0 for as many as the target allows.
    stride : int
        Pixels a side to a cell of the first map, a power of two from 8 to 256; 0 for one that
        suits the images.
    embedding : int
        Channels of the embedding of hnerv.
    foreground : float
        What the foreground counts in the loss, against a background of 1, as in NeRVI.
    """

    name: Literal["e-nerv", "hnerv"] = "e-nerv"
    target: Ratio | BitRate = field(default_factory=lambda: BitRate(0.02))
    width: int = 0
    stride: int = 0
    embedding: int = 8
    foreground: float = 1.0

    def __post_init__(self) -> None:
        if self.name not in ("e-nerv", "hnerv"):
            raise UsageError(f"unknown codec {self.name!r}: choose e-nerv or hnerv")
        if self.stride and self.stride not in (8, 16, 32, 64, 128, 256):
            raise UsageError(f"the stride must be a power of two from 8 to 256, not {self.stride}")
        if not 1 <= self.embedding <= 64 or self.width < 0:
            raise UsageError("an embedding has 1 to 64 channels, and a width is positive")
        if not 0 < self.foreground < float("inf"):
            raise UsageError(f"the weight of the foreground must be positive: {self.foreground}")


@dataclass(frozen=True)
class ImageTraining:
    """How a codec is trained.

    Attributes
    ----------
    seconds : float
        Time for everything, by the clock.
    steps : int
        Steps instead of seconds; 0 for as many as fit.
    trade_off : float
        Weight of the squared error (8-bit units) against bits a pixel: lambda.
    batch : int
        Pairs of a step.
    crop : int
        Side of the random squares trained on, a multiple of 32; 0 for whole images.
    rate : float
        Step size of Adam.
    decay : bool
        Whether the step size falls to nothing over the training.
    every_view, every_time : int
        Take every n-th view and every n-th time step for training; the paper has 2 and 3.
    pairing : str
        Which images are partners: "sorted" views in the order of theta and phi, as in the paper,
        "sphere" for the nearest views, a parameter's name for neighbours along that, or "auto" for
        those of them that are most alike.
    clip : float
        Largest norm of a gradient.
    """

    seconds: float = 600.0
    steps: int = 0
    trade_off: float = 0.01
    batch: int = 4
    crop: int = 128
    rate: float = 1e-3
    decay: bool = True
    every_view: int = 1
    every_time: int = 1
    pairing: str = "auto"
    clip: float = 2.5

    def __post_init__(self) -> None:
        if not 0 < self.seconds < float("inf"):
            raise UsageError(f"the time budget must be positive, not {self.seconds} seconds")
        if not 0 < self.trade_off < float("inf"):
            raise UsageError(f"the trade-off must be a positive number, not {self.trade_off}")
        if self.crop % 32 or self.crop < 0:
            raise UsageError(f"the crop must be a multiple of 32, not {self.crop}")
        if min(self.every_view, self.every_time, self.batch) < 1 or self.steps < 0:
            raise UsageError("every_view, every_time, batch and steps must be positive")

    @classmethod
    def paper(cls, seconds: float = 3600.0, pairing: str = "sorted") -> ImageTraining:
        """Recipe of the paper, section 4: whole images, one pair a step, Adam at 1e-4."""
        return cls(
            seconds=seconds,
            batch=1,
            crop=0,
            rate=1e-4,
            decay=False,
            every_view=2,
            every_time=3,
            pairing=pairing,
        )

    @classmethod
    def implicit(cls, seconds: float = 600.0) -> ImageTraining:
        """Recipe for networks of whole images."""
        return cls(seconds=seconds, batch=1, crop=0, rate=2e-3, clip=1.0)


ImageCodec = PaperSettings | ExactSettings | NervSettings

_PRESET_SECONDS = {"fast": 120.0, "balanced": 900.0, "best": 7200.0}


def image_training(
    preset: str = "balanced", time_budget: float | None = None, codec: ImageCodec | None = None
) -> ImageTraining:
    """Training of a preset, or one that fills ``time_budget`` seconds.

    Parameters
    ----------
    preset : {"fast", "balanced", "best"}
        How long.
    time_budget : float, optional
        Seconds for the whole encoding, in place of the preset's.
    codec : ExactSettings, PaperSettings or NervSettings, optional
        What it is for: the paper's networks are trained by the paper's recipe.

    Raises
    ------
    UsageError
        If the preset is unknown or the budget not positive.
    """
    if preset not in _PRESET_SECONDS:
        raise UsageError(f"unknown preset {preset!r}: choose {', '.join(_PRESET_SECONDS)}")
    seconds = _PRESET_SECONDS[preset] if time_budget is None else time_budget
    if isinstance(codec, PaperSettings):
        return ImageTraining.paper(seconds)
    if isinstance(codec, NervSettings):
        return ImageTraining.implicit(seconds)
    return ImageTraining(seconds=seconds)


def describe(settings: ImageCodec | ImageTraining) -> dict[str, Any]:
    """Settings as plain values."""
    return asdict(settings)
