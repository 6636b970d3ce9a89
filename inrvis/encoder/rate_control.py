"""Turn a target into a file: networks, coded layers or both, whichever keeps it best."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from inrvis.container.header import MAX_SPACING
from inrvis.container.sections import write_file
from inrvis.container.series_file import append_volume
from inrvis.encoder.aim import Aim
from inrvis.encoder.assembly import Assembly, Encoded, LayerParts, NetworkParts, worst
from inrvis.encoder.bases import Based, bases
from inrvis.encoder.grids import GridCoder, WaveletLayers
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
# Rounds of aiming at a PSNR, and how far above it a file may be.
_AIM_ROUNDS, _AIM_DB = 6, 0.02
# Share of the time for plans of wavelets, the most encodings for that, and what one takes.
_TRIALS_SHARE, _MOST_TRIALS = 0.05, 100
_TRIAL_SECONDS, _TRIAL_SECONDS_PER_VALUE = 0.03, 3.3e-7
_FURTHER_DB = (0.5, 2.0, 6.0, 20.0)
_NO_NETWORKS = NetworkParts()
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
    def networks(self) -> NetworkSearch:
        """Search for networks alone."""
        from inrvis.encoder.network_search import NetworkSearch

        return NetworkSearch(self.assembly, self.encoder, self.training, self.began)

    def size(self, budget: int) -> tuple[Encoded, bool]:
        """Best quality in at most ``budget`` bytes."""
        if self.strategy == "network":
            return self.networks.of_size(budget), True
        coded = self._layers_in(budget)
        if self.strategy == "layers":
            if coded is None:
                raise UsageError(
                    f"coded layers of this volume do not fit into {budget} bytes: "
                    "ask for a lower ratio, or for --model auto"
                )
            return coded, True
        if coded is None:
            return self.networks.of_size(budget), True
        return max([coded, *self.networks.better(budget, worst(coded))], key=worst), True

    def quality(self, psnr_db: float) -> tuple[Encoded, bool]:
        """Smallest file of at least ``psnr_db``."""
        layers = self._layers_of(psnr_db, _NO_NETWORKS)
        size, complete = len(layers.data), partial(self._layers_of, psnr_db)
        if self.strategy == "network":
            most = max(_MOST_TIMES * size, _MOST_AT_LEAST + self.assembly.fixed_bytes)
            most = min(self._original, most)
            best = _best([*self.networks.of_quality(psnr_db, most, complete)], psnr_db)
            return best, worst(best) >= psnr_db
        candidates = [layers]
        if self.strategy == "auto":
            candidates += self.networks.challenge(psnr_db, size, complete)
        best = _best(candidates, psnr_db)
        if worst(best) < psnr_db:
            # Beyond what the steps of wavelets reach: no error is larger than the mean one may be.
            try:
                return self.bounded(MaxError(10 ** (-psnr_db / 20), relative=True))
            except UsageError:
                pass
        return best, worst(best) >= psnr_db

    def bounded(self, target: MaxError) -> tuple[Encoded, bool]:
        """Smallest file in which every value is within its bound."""
        bounds = [
            target.bound * ((array.high - array.low) or 1.0) if target.relative else target.bound
            for array in self.assembly.normalised.arrays
        ]
        by_levels = self.coder.by_levels(bounds)
        choices = [] if by_levels is None else [(_NO_NETWORKS, by_levels)]
        try:
            choices.append((_NO_NETWORKS, self.coder.bounded(bounds)))
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

    def _layers_in(self, budget: int) -> Encoded | None:
        """Best file of layers alone with at most ``budget`` bytes; None if none fit."""
        wavelets = self.coder.wavelets()
        first = self._finest_in(wavelets, budget)
        if first is None:
            return None
        step, layers = first
        files = [self.assembly.finish(_NO_NETWORKS, layers)]
        better = wavelets.rehalved({array.name: step for array in wavelets.arrays}, self._trials)
        if better.plans != wavelets.plans and (finer := self._finest_in(better, budget)):
            files.append(self.assembly.finish(_NO_NETWORKS, finer[1]))
        return max(files, key=worst)

    def _finest_in(self, wavelets: WaveletLayers, budget: int) -> tuple[float, LayerParts] | None:
        """Finest step with which the file has at most ``budget`` bytes, and its layers."""
        low, high = 2.0**-20, 4.0
        best = None
        for _ in range(18):
            middle = math.sqrt(low * high)
            layers = wavelets.encode(middle)
            size = self.assembly.size(_NO_NETWORKS, layers)
            if size <= budget:
                high, best = middle, (middle, layers)
                if size > 0.99 * budget:
                    break
            else:
                low = middle
        return best

    @property
    def _trials(self) -> int:
        """Encodings of wavelets that may be spent on how they halve axes."""
        values = sum(array.size for array in self.assembly.image.arrays.values())
        each = _TRIAL_SECONDS + _TRIAL_SECONDS_PER_VALUE * values
        return min(_MOST_TRIALS, int(_TRIALS_SHARE * self.training.seconds / each))

    def _layers_of(self, psnr_db: float, networks: NetworkParts) -> Encoded:
        """Encode with wavelet layers of at least ``psnr_db``, on top of ``networks``."""
        channels = self.assembly.base(networks) if networks.models else None
        wavelets = self.coder.wavelets(channels)
        best, steps = self._aimed(psnr_db, networks, wavelets)
        better = wavelets.rehalved(steps, self._trials)
        if better.plans == wavelets.plans:
            return best
        return _best([best, self._aimed(psnr_db, networks, better)[0]], psnr_db)

    def _aimed(
        self, psnr_db: float, networks: NetworkParts, wavelets: WaveletLayers
    ) -> tuple[Encoded, Mapping[str, float]]:
        """Smallest file of at least ``psnr_db``, or the nearest to it; and its steps."""
        aims = {array.name: Aim(psnr_db) for array in wavelets.arrays}
        candidates: list[tuple[Encoded, Mapping[str, float]]] = []

        def encode_at(aims: Mapping[str, float]) -> Encoded:
            steps = {name: wavelets.step_for(name, aim) for name, aim in aims.items()}
            encoded = self.assembly.finish(networks, wavelets.encode(steps))
            candidates.append((encoded, steps))
            return encoded

        for _ in range(_AIM_ROUNDS):
            encoded = encode_at({name: aim.psnr_db for name, aim in aims.items()})
            found = {name: metrics.psnr_db for name, metrics in encoded.metrics.items()}
            if all(0 <= db - psnr_db < _AIM_DB for db in found.values()):
                break
            for name, aim in aims.items():
                aim.learn(found[name])
        # Few integers know few qualities, and the aim may swing around one.
        for further in _FURTHER_DB:
            if any(worst(encoded) >= psnr_db for encoded, _ in candidates):
                break
            encode_at(dict.fromkeys(aims, psnr_db + further))
        best = _best([encoded for encoded, _ in candidates], psnr_db)
        return next((encoded, steps) for encoded, steps in candidates if encoded is best)

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


def _best(candidates: Sequence[Encoded], psnr_db: float) -> Encoded:
    """Smallest file of at least ``psnr_db``, or the one that comes nearest to it."""
    good = [encoded for encoded in candidates if worst(encoded) >= psnr_db]
    if good:
        return min(good, key=lambda encoded: len(encoded.data))
    return max(candidates, key=worst)
