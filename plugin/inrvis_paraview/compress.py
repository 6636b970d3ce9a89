"""The filter Neural Compress: what a file would hold, seen before it is saved."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vtkmodules.vtkCommonDataModel import vtkImageData
from vtkmodules.vtkCommonExecutionModel import vtkStreamingDemandDrivenPipeline

from inrvis import sources
from inrvis.comparison import error_field
from inrvis.decoder.volume import Layers, Volume
from inrvis.errors import InrvisError, UsageError
from inrvis.grid import Extent
from inrvis.report import EncodeReport
from inrvis.sources import Image
from inrvis_paraview import ranks
from inrvis_paraview.columns import column, metric_columns
from inrvis_paraview.encoding import EncodingAlgorithm
from inrvis_paraview.images import add_point_array, requested_extent, requested_time, set_grid
from inrvis_paraview.pieces import overlap, own_part, point_pieces

LAYERS: tuple[Layers, ...] = ("all", "base")
_KEYS = vtkStreamingDemandDrivenPipeline


@dataclass(frozen=True)
class _Encoded:
    """What an encoding gave."""

    volume: Volume
    report: EncodeReport


class NeuralCompress(EncodingAlgorithm):
    """Encodes an image, and hands on what decoding gives, with the errors beside it.

    The ranks gather their pieces on the first, which encodes as the writer does; its file goes to
    all, and each decodes what the pipeline asks it for. The encoding is kept until the input or a
    setting changes: other extents and ghost levels cost a decoding only, and involve no other rank.

    The properties are described in ``xml/inrvis.xml``.
    """

    def __init__(self) -> None:
        super().__init__(
            "Neural Compress",
            nInputPorts=1,
            nOutputPorts=1,
            inputType="vtkImageData",
            outputType="vtkImageData",
        )
        self._layers: Layers = "all"
        self._encoded: _Encoded | InrvisError | None = None
        self._encoded_for: tuple[Any, ...] = ()

    # ------------------------------------------------------------ properties

    def SetLayers(self, layers: int) -> None:
        self._choose("_layers", "Layers", layers, LAYERS)

    def GetChosenModel(self) -> str:
        return self._report.model if self._report else ""

    def GetPSNR(self) -> float:
        return self._report.psnr_db if self._report else math.nan

    def GetMaximumError(self) -> float:
        return self._report.max_abs_error if self._report else math.nan

    def GetCompressionRatio(self) -> float:
        return self._report.compression_ratio if self._report else 0.0

    def GetEncodedBytes(self) -> int:
        return self._report.encoded_bytes if self._report else 0

    @property
    def _report(self) -> EncodeReport | None:
        return self._encoded.report if isinstance(self._encoded, _Encoded) else None

    # ------------------------------------------------------------ pipeline

    def RequestUpdateExtent(self, _request: Any, inputs: Any, outputs: Any) -> int:
        wanted = outputs.GetInformationObject(0)
        source = inputs[0].GetInformationObject(0)
        source.Set(_KEYS.UPDATE_EXTENT(), own_part(wanted, source, requested_extent(wanted)), 6)
        return 1

    def RequestData(self, _request: Any, inputs: Any, outputs: Any) -> int:
        image = vtkImageData.GetData(outputs, 0)
        image.Initialize()
        source = vtkImageData.GetData(inputs[0], 0)
        information = outputs.GetInformationObject(0)
        try:
            encoded = self._up_to_date(source, requested_time(information))
            self._decode(encoded, source, requested_extent(information), image)
        except InrvisError as error:
            # The image stays empty. A failed request would let all that follows complain, too.
            image.Initialize()
            if ranks.is_first():
                self._messages.error(str(error))
        return 1

    def _up_to_date(self, source: vtkImageData, time: float | None) -> _Encoded:
        """Encode, unless that was done for this input and these settings."""
        key = (
            # What tells the pipeline itself that its input changed. The age of the data would not
            # do: other extents make them new on some ranks and not on others.
            self.GetInputExecutive(0, 0).GetPipelineMTime(),
            time,
            *(self._target, self._value, self._model, self._preset),
            *(self._time_budget, self._device, self._seed),
        )
        if key != self._encoded_for:
            self._encoded, self._encoded_for = None, key
            self._messages.forget()
            try:
                pieces = [p for own in ranks.gather(lambda: point_pieces(source)) for p in own]
                self._encoded = _opened(*ranks.by_first(lambda: self._file(pieces)))
            except InrvisError as error:
                # Kept: a view that draws again must not start anew what was stopped.
                self._encoded = error
        if not isinstance(self._encoded, _Encoded):
            raise self._encoded or UsageError("nothing was encoded; change a setting")
        return self._encoded

    def _file(self, pieces: list[Image]) -> tuple[bytes, EncodeReport]:
        with tempfile.TemporaryDirectory(prefix="inrvis-") as folder:
            path = Path(folder) / "compressed.inr"
            report = self._encode(sources.join(pieces), path)
            return path.read_bytes(), report

    def _decode(
        self, encoded: _Encoded, source: vtkImageData, wanted: Extent | None, image: vtkImageData
    ) -> None:
        volume, report = encoded.volume, encoded.report
        for array in (
            *metric_columns(report.arrays),
            column("compression_ratio", [report.compression_ratio]),
            column("encoded_bytes", [report.encoded_bytes]),
            column("original_bytes", [report.original_bytes]),
            column("model", [report.model]),
        ):
            image.GetFieldData().AddArray(array)
        extent = overlap(wanted, source.GetExtent())
        set_grid(image, volume.grid, extent)
        if extent is None:
            return
        original = sources.from_vtk(source)
        part = original.grid.slices(extent)
        decoded = volume.decode_arrays(volume.arrays, extent=extent, layers=self._layers)
        for name, values in zip(volume.arrays, decoded, strict=True):
            add_point_array(image, name, values)
        for name, values in zip(volume.arrays, decoded, strict=True):
            error = error_field(original.arrays[name][part], values)
            add_point_array(image, f"{name}_error", error)


def _opened(data: bytes, report: EncodeReport) -> _Encoded:
    with tempfile.TemporaryDirectory(prefix="inrvis-") as folder:
        path = Path(folder) / "compressed.inr"
        path.write_bytes(data)
        return _Encoded(Volume(path), report)
