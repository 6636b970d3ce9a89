"""What the subcommands share: JSON, aligned lines, and the progress bar."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from tqdm import tqdm

if TYPE_CHECKING:
    from inrvis.encoder.training import Progress


def to_json(value: Any) -> str:
    """Serialise on one line; infinities and NaN, which JSON lacks, become strings."""
    return json.dumps(_plain(value), allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value


def lines(rows: Mapping[str, Any]) -> str:
    """Format as aligned lines for people."""
    width = max(len(key) for key in rows)
    return "\n".join(f"{key:<{width}}  {_text(value)}" for key, value in rows.items())


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return " ".join(_text(item) for item in value)
    return str(value)


class ProgressBar:
    """A bar on standard error that shows the current PSNR."""

    def __init__(self, quiet: bool) -> None:
        self._bar = tqdm(
            total=1.0,
            disable=quiet,
            bar_format="{desc} {percentage:3.0f}%|{bar}| {elapsed} {postfix}",
            mininterval=0.2,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.close()

    def training(self, progress: Progress) -> None:
        """Show the state of a training."""
        self._bar.set_description_str(f"{progress.stage:<8}", refresh=False)
        self._bar.set_postfix_str(f"{progress.psnr_db:.2f} dB", refresh=False)
        self.fraction(progress.fraction)

    def fraction(self, fraction: float) -> None:
        """Show a fraction done; a smaller one than before starts the bar again."""
        if fraction < self._bar.n:
            self._bar.reset()
        self._bar.update(fraction - self._bar.n)
