"""What an encoding gave, of one volume or of the steps of a series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from inrvis.metrics import Metrics, bits_per_value, compression_ratio
from inrvis.targets import Target

if TYPE_CHECKING:
    from inrvis.encoder.rate_control import Result
    from inrvis.sources import Image


@dataclass(frozen=True)
class EncodeReport:
    """What an encoding gave, measured on the written file.

    Attributes
    ----------
    psnr_db, max_abs_error, nrmse, ssim : float
        Quality; of the worst array when there are several.
    compression_ratio, bits_per_value : float
        From the size on disk and the source's own type.
    encoded_bytes, original_bytes : int
        Size of the file, and of the values in the source's type.
    model : str
        Name of the model.
    parameters, blocks : int
        Its weights and biases, and the blocks that they are divided into.
    encode_seconds, decode_seconds : float
        Wall time of the whole encoding and of one whole decoding.
    device : str
        Where it was trained.
    target : str
        What was asked for.
    target_met : bool
        Whether the file keeps it.
    arrays : dict of str to Metrics
        Quality of each array.
    """

    psnr_db: float
    max_abs_error: float
    nrmse: float
    ssim: float
    compression_ratio: float
    bits_per_value: float
    encoded_bytes: int
    original_bytes: int
    model: str
    parameters: int
    blocks: int
    encode_seconds: float
    decode_seconds: float
    device: str
    target: str
    target_met: bool
    arrays: dict[str, Metrics] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary for JSON; ``arrays`` only when there are several."""
        values = asdict(self)
        if len(self.arrays) == 1:
            del values["arrays"]
        return values

    @classmethod
    def of(cls, result: Result, image: Image, target: Target, seconds: float) -> EncodeReport:
        """Report of one volume that took ``seconds`` in all."""
        header, metrics = result.encoded.header, result.encoded.metrics
        values = sum(array.size for array in image.arrays.values())
        return cls(
            psnr_db=min(m.psnr_db for m in metrics.values()),
            max_abs_error=max(m.max_abs_error for m in metrics.values()),
            nrmse=max(m.nrmse for m in metrics.values()),
            ssim=min(m.ssim for m in metrics.values()),
            compression_ratio=compression_ratio(header.original_bytes, result.encoded_bytes),
            bits_per_value=bits_per_value(result.encoded_bytes, values),
            encoded_bytes=result.encoded_bytes,
            original_bytes=header.original_bytes,
            model=header.model_name,
            parameters=header.parameters,
            blocks=sum(model.number_of_blocks for model in header.models),
            encode_seconds=seconds,
            decode_seconds=result.encoded.decode_seconds,
            device=result.device,
            target=target.describe(),
            target_met=result.target_met,
            arrays=dict(metrics),
        )


def joined(reports: Sequence[EncodeReport]) -> EncodeReport:
    """Report of several steps: the worst quality of each array, sizes and times in all."""
    encoded_bytes = sum(r.encoded_bytes for r in reports)
    original_bytes = sum(r.original_bytes for r in reports)
    values = sum(8 * r.encoded_bytes / r.bits_per_value for r in reports)
    arrays = {}
    for name in reports[0].arrays:
        own = [r.arrays[name] for r in reports]
        arrays[name] = Metrics(
            psnr_db=min(m.psnr_db for m in own),
            max_abs_error=max(m.max_abs_error for m in own),
            nrmse=max(m.nrmse for m in own),
            ssim=min(m.ssim for m in own),
        )
    return replace(
        reports[-1],
        psnr_db=min(r.psnr_db for r in reports),
        max_abs_error=max(r.max_abs_error for r in reports),
        nrmse=max(r.nrmse for r in reports),
        ssim=min(r.ssim for r in reports),
        compression_ratio=compression_ratio(original_bytes, encoded_bytes),
        bits_per_value=bits_per_value(encoded_bytes, round(values)),
        encoded_bytes=encoded_bytes,
        original_bytes=original_bytes,
        model="+".join(dict.fromkeys("+".join(r.model for r in reports).split("+"))),
        encode_seconds=sum(r.encode_seconds for r in reports),
        decode_seconds=sum(r.decode_seconds for r in reports),
        target_met=all(r.target_met for r in reports),
        arrays=arrays,
    )
