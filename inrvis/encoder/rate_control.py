"""Turn a target into a file: networks, coded layers or both, whichever keeps it best."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from inrvis.container.header import MAX_SPACING
from inrvis.container.sections import write_file
from inrvis.container.series_file import append_volume
from inrvis.encoder.assembly import Assembly, Encoded, worst
from inrvis.encoder.bases import Based, bases
from inrvis.encoder.grids import GridCoder
from inrvis.encoder.layer_search import NO_NETWORKS, LayerSearch, smallest
from inrvis.encoder.masks import background_value
from inrvis.encoder.normalise import normalise
from inrvis.encoder.settings import (
    FourierSettings,
    ModelChoice,
    SciSettings,
    TrainingSettings,
)
from inrvis.errors import OutputError, UsageError
from inrvis.sources import Image
from inrvis.targets import MaxError, Psnr, Target, byte_budget

if TYPE_CHECKING:
    from inrvis.encoder.network_search import NetworkSearch
    from inrvis.encoder.start import Start
    from inrvis.encoder.training import Report
    from inrvis.encoder.volume import VolumeEncoder

# A network that takes so many times what layers alone do is too large for any quality; but so
# many bytes any one may have.
_MOST_TIMES, _MOST_AT_LEAST = 4, 3000
# Time that rounding to a size takes, and packing, decoding and measuring for each value.
_FINISH_SECONDS, _FINISH_SECONDS_PER_VALUE = 0.4, 1.2e-6
# Most of the time that is kept for layers on networks.
_MOST_SHARE = 0.25
# What a series takes more than a volume of its own: for any step, a section in HDF5; and for the
# first one in all, and for each array.
_STEP_BYTES, _SERIES_BYTES, _SERIES_ARRAY_BYTES = 120, 1000, 48


Strategy = Literal["auto", "network", "layers"]
Mode = Literal["write", "append", "restart"]


@dataclass(frozen=True)
class Result:
    """The chosen encoding, as written; what it added to the file."""

    encoded: Encoded
    target_met: bool
    device: str
    encoded_bytes: int


def encode_to_target(
    image: Image,
    path: str | PathLike[str],
    target: Target,
    training: TrainingSettings,
    *,
    model: ModelChoice = "auto",
    device: str = "auto",
    seed: int = 0,
    report: Report | None = None,
    knot_spacing: int = 0,
    start: Start | None = None,
    mode: Mode = "write",
) -> Result:
    """Encode ``image`` and write it to ``path``; see :func:`inrvis.encode`."""
    strategy, network = model_choice(model)
    if not 0 <= knot_spacing <= MAX_SPACING:
        raise UsageError(f"knots {knot_spacing} voxels apart: choose 0 to {MAX_SPACING}")
    if not 0 <= seed < 1 << 63:
        raise UsageError(f"the seed {seed} is not a number from 0 to 2**63 - 1")
    _check_writable(path)
    values = sum(array.size for array in image.arrays.values())
    if training.clocked:
        finish = _FINISH_SECONDS + _FINISH_SECONDS_PER_VALUE * values
        finish = min(finish, training.seconds / 2)
        training = replace(training, seconds=training.seconds - finish)
    facts = {"target": target.describe(), "seed": seed}
    background = None
    if isinstance(network, FourierSettings) and network.keep_mask:
        background = tuple(background_value(array) for array in image.arrays.values())
    extra = 0 if mode == "write" else _STEP_BYTES
    if mode != "write" and not Path(path).exists():
        extra += _SERIES_BYTES + _SERIES_ARRAY_BYTES * len(image.arrays)
    assembly = Assembly(image, normalise(image, background), facts, extra)

    def make_encoder() -> VolumeEncoder:
        # torch takes longer to load than many volumes to encode without it.
        from inrvis.encoder.volume import VolumeEncoder

        return VolumeEncoder(
            assembly,
            network,
            device=device,
            seed=seed,
            report=report,
            knot_spacing=knot_spacing,
            start=start,
        )

    coder = GridCoder(assembly.normalised, image.grid.dimensions)
    search = _Search(assembly, make_encoder, coder, training, strategy, time.monotonic())
    trains = strategy != "layers" or device not in ("auto", "cpu")
    # Before the work: a device may be missing.
    trained_on = search.encoder.device.type if trains else "cpu"
    if isinstance(target, MaxError):
        encoded, met = search.bounded(target)
    elif isinstance(target, Psnr):
        encoded, met = search.quality(target.db)
    else:
        original = sum(array.nbytes for array in image.arrays.values())
        encoded, met = search.size(byte_budget(target, original, values) or 0)
    written = len(encoded.data)
    if mode == "write":
        write_file(path, encoded.data)
    else:
        written = append_volume(path, encoded.data, restart=mode == "restart")
    return Result(encoded, met, trained_on, written)


def model_choice(
    model: ModelChoice,
) -> tuple[Strategy, Literal["siren"] | FourierSettings | SciSettings]:
    """Whether to use networks, coded layers or both, and which network.

    Raises
    ------
    UsageError
        If there is no such model.
    """
    match model:
        case FourierSettings() | SciSettings():
            return "network", model
        case "auto":
            return "auto", "siren"
        case "none":
            return "layers", "siren"
        case "siren":
            return "network", "siren"
        case "fourier":
            return "network", FourierSettings()
        case "sci":
            return "network", SciSettings()
    raise UsageError(f"unknown model {model!r}: choose auto, siren, fourier, sci or none")


def _check_writable(path: str | PathLike[str]) -> None:
    """Fail before the work rather than after it."""
    file = Path(path)
    if not file.parent.is_dir():
        raise OutputError(f"cannot write {file}: the folder {file.parent} does not exist")
    if file.is_dir():
        raise OutputError(f"cannot write {file}: it is a folder; give a file name")


@dataclass(frozen=True)
class _Search:
    """Looks for the best file of one image that keeps a target.

    Coded layers take seconds, so they go first; with the model ``auto`` a network must beat them.
    """

    assembly: Assembly
    make_encoder: Callable[[], VolumeEncoder]
    coder: GridCoder
    training: TrainingSettings
    strategy: Strategy
    began: float

    @cached_property
    def encoder(self) -> VolumeEncoder:
        """What trains networks."""
        return self.make_encoder()

    @cached_property
    def layers(self) -> LayerSearch:
        """Search for coded layers."""
        return LayerSearch(self.assembly, self.coder, self.training)

    @cached_property
    def networks(self) -> NetworkSearch:
        """Search for networks alone."""
        from inrvis.encoder.network_search import NetworkSearch

        training = self.training
        if training.clocked:
            # Layers on a network will take about what layers alone did.
            finish = min(self.layers.seconds, _MOST_SHARE * training.seconds)
            training = replace(training, seconds=training.seconds - finish)
        return NetworkSearch(self.assembly, self.encoder, training, self.began)

    def size(self, budget: int) -> tuple[Encoded, bool]:
        """Best quality in at most ``budget`` bytes."""
        coded = self.layers.of_size(budget) if self.strategy != "network" else None
        if self.strategy == "layers" and coded is None:
            raise UsageError(
                f"coded layers of this volume do not fit into {budget} bytes: "
                "ask for a lower ratio, or for --model auto"
            )
        if coded is None:
            best = self.networks.of_size(budget)
        elif self.strategy == "layers":
            best = coded
        else:
            best = max([coded, *self.networks.better(budget, worst(coded))], key=worst)
        return self._finished(best), True

    def quality(self, psnr_db: float) -> tuple[Encoded, bool]:
        """Smallest file of at least ``psnr_db``."""
        complete = partial(self.layers.of_quality, psnr_db)
        layers = complete(NO_NETWORKS)
        size = len(layers.data)
        if self.strategy == "network":
            most = max(_MOST_TIMES * size, _MOST_AT_LEAST + self.assembly.fixed_bytes)
            most = min(self._original, most)
            best = smallest([*self.networks.of_quality(psnr_db, most, complete)], psnr_db)
            return self._finished(best), worst(best) >= psnr_db
        candidates = [layers]
        if self.strategy == "auto":
            candidates += self.networks.challenge(psnr_db, size, complete)
        best = smallest(candidates, psnr_db)
        if worst(best) < psnr_db:
            # Beyond what the steps of wavelets reach: no error is larger than the mean one may be.
            try:
                return self.bounded(MaxError(10 ** (-psnr_db / 20), relative=True))
            except UsageError:
                pass
        return self._finished(best), worst(best) >= psnr_db

    def _finished(self, encoded: Encoded) -> Encoded:
        """Once more, with all measures of what the whole decoder gives."""
        return self.assembly.finish(encoded.networks, encoded.layers)

    def bounded(self, target: MaxError) -> tuple[Encoded, bool]:
        """Smallest file in which every value is within its bound."""
        bounds = [
            target.bound * ((array.high - array.low) or 1.0) if target.relative else target.bound
            for array in self.assembly.normalised.arrays
        ]
        by_levels = self.coder.by_levels(bounds)
        choices = [] if by_levels is None else [(NO_NETWORKS, by_levels)]
        try:
            choices.append((NO_NETWORKS, self.coder.bounded(bounds)))
        except UsageError:
            if not choices:
                raise
        if self.strategy == "network" or (
            self.strategy == "auto" and self.coder.base_can_help(bounds)
        ):
            choices += self._with_base(bounds, min(self._size(choice) for choice in choices))
        if self.strategy == "network" and len(choices) > 1:
            choices = [choice for choice in choices if choice[0].models]
        networks, layers = min(choices, key=self._size)
        for shrink in (1.0, 0.99, 0.95):
            if shrink < 1:
                channels = self.assembly.base(networks) if networks.models else None
                layers = self.coder.bounded(bounds, channels, shrink=shrink)
            encoded = self.assembly.finish(networks, layers)
            errors = [encoded.metrics[a.name].max_abs_error for a in layers.arrays]
            if all(error <= bound for error, bound in zip(errors, bounds, strict=True)):
                return encoded, True
        raise UsageError(
            f"{target.describe()} is finer than what values of this size can be computed to: "
            "ask for a larger one"
        )

    @property
    def _original(self) -> int:
        """Bytes of the arrays as they came."""
        return sum(array.nbytes for array in self.assembly.image.arrays.values())

    def _size(self, choice: Based) -> int:
        return self.assembly.size(*choice)

    def _with_base(self, bounds: Sequence[float], size: int) -> Iterator[Based]:
        """Networks with layers that keep ``bounds``, where ``size`` bytes do without."""
        # Masks take what they take: shares are of the rest.
        fixed = self.assembly.fixed_bytes

        def prepare(budget: int, training: TrainingSettings) -> TrainingSettings:
            return self.encoder.prepare(budget + fixed, training)[1]

        def make(budget: int, training: TrainingSettings) -> Based:
            trained = self.encoder.train(budget + fixed, training)
            networks = self.encoder.fit(trained, budget + fixed)
            return networks, self.coder.bounded(bounds, self.assembly.base(networks))

        def size_of(found: Based) -> int:
            return self._size(found) - fixed

        return bases(
            size - fixed,
            self.training,
            prepare,
            make,
            size_of,
            began=self.began,
            named=self.strategy == "network",
        )
