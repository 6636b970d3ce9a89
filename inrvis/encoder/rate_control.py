"""Turn a target into a file: networks, coded layers or both, whichever keeps it best."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from inrvis.container.header import MAX_SPACING
from inrvis.container.sections import write_file
from inrvis.container.series_file import append_volume
from inrvis.encoder.assembly import Assembly, Encoded, LayerParts, NetworkParts
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
    from inrvis.encoder.start import Start
    from inrvis.encoder.training import Report
    from inrvis.encoder.volume import Trained, VolumeEncoder

# A short training tells what a long one will reach, less about so much after so many steps.
_TRIAL_SHARE = 0.12
_TRIAL_DEFICIT_DB, _TRIAL_DEFICIT_DB_STEPS, _MOST_DEFICIT_DB = 1.0, 1500.0, 8.0
# How many dB a doubling of the bytes is taken to bring before anything is measured.
_DB_PER_DOUBLING = 2.2
_MOST_ATTEMPTS = 4
# A network is tried where it may save this much of what layers take.
_CHALLENGE_SHARE = 0.9
_SMALLEST_BYTES = 6000
# Share of a file with an error bound that a network may take: less than what it saves.
_BASE_SHARE = 0.35
# Trainings that go on from a start, each from where the last one ended: shares of a whole one.
_WARM_SHARES = (0.05, 0.1, 0.2, 0.4)
# A start's volume took about what the next one will; a little more room may be rounded away.
_WARM_ROOM = 1.1
# Time that rounding to a size takes, and packing, decoding and measuring for each value.
_FINISH_SECONDS, _FINISH_SECONDS_PER_VALUE = 0.4, 1.2e-6
# Rounds of aiming at a PSNR, and how far above it a file may be.
_AIM_ROUNDS, _AIM_DB = 5, 0.06
_FURTHER_DB = (0.5, 2.0, 6.0, 20.0)
_NO_NETWORKS = NetworkParts()
# What a series takes more than a volume for its first step: in all, and for each array.
_SERIES_BYTES, _SERIES_ARRAY_BYTES = 640, 48


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
    first = mode != "write" and not Path(path).exists()
    extra = _SERIES_BYTES + _SERIES_ARRAY_BYTES * len(image.arrays) if first else 0
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
    search = _Search(assembly, make_encoder, coder, training, strategy)
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

    @cached_property
    def encoder(self) -> VolumeEncoder:
        """What trains networks."""
        return self.make_encoder()

    def size(self, budget: int) -> tuple[Encoded, bool]:
        """Best quality in at most ``budget`` bytes."""
        if self.strategy == "network":
            return self._network(budget, self.training), True
        layers = self._layers_in(self.coder.wavelets(), budget)
        coded = None if layers is None else self.assembly.finish(_NO_NETWORKS, layers)
        if self.strategy == "layers":
            if coded is None:
                raise UsageError(
                    f"coded layers of this volume do not fit into {budget} bytes: "
                    "ask for a lower ratio, or for --model auto"
                )
            return coded, True
        try:
            network = self._network(budget, self.training, worth=coded)
        except UsageError:
            # Too small for a network at all.
            if coded is None:
                raise
            return coded, True
        best = max((e for e in (network, coded) if e is not None), key=_worst)
        return best, True

    def quality(self, psnr_db: float) -> tuple[Encoded, bool]:
        """Smallest file of at least ``psnr_db``."""
        start = time.monotonic()
        candidates = []
        if self.strategy != "network":
            candidates.append(self._layers_of(psnr_db, _NO_NETWORKS))
        if self.strategy == "network":
            candidates += self._warm_of(psnr_db, start)
            if not any(_worst(encoded) >= psnr_db for encoded in candidates):
                candidates += self._networks_of(psnr_db, self._first_size(psnr_db), start)
        elif self.strategy == "auto":
            candidates += self._challengers(psnr_db, len(candidates[0].data), start)
        best = _best(candidates, psnr_db)
        return best, _worst(best) >= psnr_db

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

    def _size(self, choice: tuple[NetworkParts, LayerParts]) -> int:
        return self.assembly.size(*choice)

    def _network(
        self, budget: int, training: TrainingSettings, worth: Encoded | None = None
    ) -> Encoded:
        """Encode with a network alone; a short training only if it cannot match ``worth``."""
        start = None
        if worth is not None:
            trial = replace(training, seconds=training.seconds * _TRIAL_SHARE)
            trained = self.encoder.train(budget, trial)
            first = self.assembly.finish(self.encoder.fit(trained, budget))
            if _worst(first) + _deficit_db(trained.steps) < _worst(worth):
                return first
            start = self.encoder.after(trained)
            training = replace(training, seconds=training.seconds * (1 - _TRIAL_SHARE))
        trained = self.encoder.train(budget, training, start)
        return self.assembly.finish(self.encoder.fit(trained, budget))

    def _fitted(self, budget: int, training: TrainingSettings) -> NetworkParts:
        return self.encoder.fit(self.encoder.train(budget, training), budget)

    def _layers_in(self, wavelets: WaveletLayers, budget: int) -> LayerParts | None:
        """Finest layers with which the file has at most ``budget`` bytes; None if none fit."""
        low, high = 2.0**-20, 4.0
        best = None
        for _ in range(18):
            middle = math.sqrt(low * high)
            layers = wavelets.encode(middle)
            size = self.assembly.size(_NO_NETWORKS, layers)
            if size <= budget:
                high, best = middle, layers
                if size > 0.985 * budget:
                    break
            else:
                low = middle
        return best

    def _layers_of(self, psnr_db: float, networks: NetworkParts) -> Encoded:
        """Encode with wavelet layers of at least ``psnr_db``, on top of ``networks``."""
        channels = self.assembly.base(networks) if networks.models else None
        wavelets = self.coder.wavelets(channels)
        aims = {array.name: psnr_db for array in wavelets.arrays}

        def encoded_at(aims: Mapping[str, float]) -> Encoded:
            steps = {name: wavelets.step_for(name, aim) for name, aim in aims.items()}
            return self.assembly.finish(networks, wavelets.encode(steps))

        candidates = []
        for _ in range(_AIM_ROUNDS):
            encoded = encoded_at(aims)
            over = {name: m.psnr_db - psnr_db for name, m in encoded.metrics.items()}
            candidates.append(encoded)
            if all(0 <= excess < _AIM_DB for excess in over.values()):
                break
            # An exact array has no PSNR to correct by.
            aims = {n: aims[n] - min(over[n], 20.0) + _AIM_DB / 3 for n in aims}
        # Few integers know few qualities, and the aim may swing around one.
        for further in _FURTHER_DB:
            if any(_worst(encoded) >= psnr_db for encoded in candidates):
                break
            candidates.append(encoded_at(dict.fromkeys(aims, psnr_db + further)))
        return _best(candidates, psnr_db)

    def _first_size(self, psnr_db: float) -> float:
        """Size at which a network may have ``psnr_db``, from a short training at another."""
        size = max(_SMALLEST_BYTES, self._original / 100)
        trial = replace(self.training, seconds=self.training.seconds * _TRIAL_SHARE)
        networks = self._fitted(int(size), trial)
        first = self.assembly.finish(networks)
        missing = psnr_db - _worst(first) - _deficit_db(networks.steps) / 2
        return min(size * 2 ** (missing / _DB_PER_DOUBLING), self._original)

    def _warm_of(self, psnr_db: float, start: float, most: float = math.inf) -> Iterator[Encoded]:
        """Files of at most ``most`` bytes that go on from a start, until one has ``psnr_db``."""
        weights = self.encoder.start
        if weights is None:
            return
        budget = min(_WARM_ROOM * weights.encoded_bytes, most)
        for share in _WARM_SHARES:
            training = self._remaining(share, start, first=share == _WARM_SHARES[0])
            if training is None:
                return
            trained = self.encoder.train(budget, training, weights)
            encoded = self._coarsest(trained, psnr_db)
            if encoded is not None:
                yield encoded
                return
            weights = self.encoder.after(trained)

    def _networks_of(self, psnr_db: float, size: float, start: float) -> Iterator[Encoded]:
        """Files with a network alone, larger and larger until one has ``psnr_db``."""
        for attempt in range(_MOST_ATTEMPTS):
            training = self._remaining(1 - _TRIAL_SHARE, start, first=attempt == 0)
            if training is None:
                return
            # Where a quality is out of reach, sizes must not run away.
            size = min(max(size, _SMALLEST_BYTES), self._original)
            # Weights trained for a somewhat larger file can be rounded coarser, not finer.
            trained = self.encoder.train(size, training)
            encoded = self._coarsest(trained, psnr_db)
            if encoded is not None:
                yield encoded
                return
            best = self.assembly.finish(self.encoder.fit(trained, int(size)))
            yield best
            size *= max(1.3, 2 ** ((psnr_db - _worst(best) + 0.3) / _DB_PER_DOUBLING))

    def _challengers(self, psnr_db: float, size: int, start: float) -> Iterator[Encoded]:
        """Files with a network that may have ``psnr_db`` in less than the ``size`` of layers."""
        budget = _CHALLENGE_SHARE * size
        for warm in self._warm_of(psnr_db, start, budget):
            if len(warm.data) < size:
                yield warm
                return
        if budget < _SMALLEST_BYTES:
            return
        try:
            trial = replace(self.training, seconds=self.training.seconds * _TRIAL_SHARE)
            networks = self._fitted(int(budget), trial)
            missing = psnr_db - _worst(self.assembly.finish(networks))
            deficit = _deficit_db(networks.steps)
            if missing > deficit:
                return
            budget *= 2 ** ((missing - deficit / 2) / _DB_PER_DOUBLING)
            budget = min(max(budget, _SMALLEST_BYTES), _CHALLENGE_SHARE * size)
            training = self._remaining(1 - _TRIAL_SHARE, start, first=True)
            if training is None:
                return
            trained = self.encoder.train(budget, training)
            encoded = self._coarsest(trained, psnr_db)
            if encoded is not None:
                yield encoded
                return
            fitted = self.encoder.fit(trained, int(budget))
        except UsageError:
            # Too small for a network at all.
            return
        yield self._layers_of(psnr_db, fitted)

    def _remaining(self, share: float, start: float, *, first: bool) -> TrainingSettings | None:
        """Share of the training time that the clock has left; None if that is too little."""
        training = replace(self.training, seconds=self.training.seconds * share)
        if not self.training.clocked:
            return training
        left = self.training.seconds - (time.monotonic() - start)
        least = _TRIAL_SHARE * self.training.seconds
        # A first attempt there must be, even where all else took the time.
        if left < least and not first:
            return None
        return replace(training, seconds=min(training.seconds, max(left, least)))

    def _coarsest(self, trained: Trained, psnr_db: float) -> Encoded | None:
        """Smallest file of ``trained`` that reaches ``psnr_db``, or None if it cannot."""
        quantiser = trained.quantiser
        if quantiser is None:
            encoded = self.assembly.finish(self.encoder.parts(trained, None))
            return encoded if _worst(encoded) >= psnr_db else None
        low, high = quantiser.scale / 4, quantiser.scale * 4
        best = self.assembly.finish(self.encoder.parts(trained, quantiser.at(low)))
        if _worst(best) < psnr_db:
            return None
        for _ in range(6):
            middle = math.sqrt(low * high)
            encoded = self.assembly.finish(self.encoder.parts(trained, quantiser.at(middle)))
            if _worst(encoded) >= psnr_db:
                low, best = middle, encoded
            else:
                high = middle
        return best

    def _with_base(
        self, bounds: Sequence[float], size: int
    ) -> Iterator[tuple[NetworkParts, LayerParts]]:
        """Networks with layers that keep ``bounds``, where ``size`` bytes do without."""
        budget = int(_BASE_SHARE * size)
        if budget < _SMALLEST_BYTES:
            if self.strategy == "auto":
                return
            budget = _SMALLEST_BYTES
        stages = [_TRIAL_SHARE, 1 - _TRIAL_SHARE] if self.strategy == "auto" else [1.0]
        for share in stages:
            training = replace(self.training, seconds=self.training.seconds * share)
            try:
                networks = self._fitted(budget, training)
            except UsageError:
                if self.strategy == "network":
                    raise
                return
            layers = self.coder.bounded(bounds, self.assembly.base(networks))
            yield networks, layers
            # What a short training leaves 15 % too large a long one will hardly make smaller.
            if self.assembly.size(networks, layers) > 1.15 * size:
                return


def _deficit_db(steps: int) -> float:
    return min(_TRIAL_DEFICIT_DB + _TRIAL_DEFICIT_DB_STEPS / max(steps, 1), _MOST_DEFICIT_DB)


def _best(candidates: Sequence[Encoded], psnr_db: float) -> Encoded:
    """Smallest file of at least ``psnr_db``, or the one that comes nearest to it."""
    good = [encoded for encoded in candidates if _worst(encoded) >= psnr_db]
    if good:
        return min(good, key=lambda encoded: len(encoded.data))
    return max(candidates, key=_worst)


def _worst(encoded: Encoded) -> float:
    worst = encoded.worst_psnr_db
    return worst if not np.isnan(worst) else -math.inf
