"""Measures of arrays as columns of a table or of field data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from vtkmodules.vtkCommonCore import vtkDoubleArray, vtkStringArray

from inrvis.metrics import Metrics


def metric_columns(metrics: Mapping[str, Metrics]) -> list[Any]:
    """One column with the names of the arrays, and one for each measure."""
    names = [field.name for field in fields(Metrics)]
    return [
        column("array", list(metrics)),
        *(column(name, [getattr(m, name) for m in metrics.values()]) for name in names),
    ]


def column(name: str, values: Sequence[str] | Sequence[float]) -> Any:
    """VTK array of text, where `values` are, or of numbers."""
    text = bool(values) and isinstance(values[0], str)
    array: Any = vtkStringArray() if text else vtkDoubleArray()
    array.SetName(name)
    for value in values:
        array.InsertNextValue(value)
    return array
