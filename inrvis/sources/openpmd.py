"""Geometry of the meshes of openPMD (standard 1.1.0, section "Mesh Based Records")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from inrvis.sources import cf
from inrvis.sources.variables import Geometry, Order, Part

__all__ = ["geometry"]


def geometry(part: Part, parents: Sequence[cf.Attribute]) -> Geometry | None:
    """Geometry of a mesh or of a component of one; None for what is no mesh.

    Lengths are in metres where the file knows its unit, times in seconds. A mesh whose axes are
    labelled x, y and z, in any order, is turned so that x is the fastest.

    Parameters
    ----------
    part : Part
        The component's dataset.
    parents : sequence of callable
        Attributes of the groups above it, the nearest first.
    """
    own = part.variable.attribute

    def record(name: str) -> Any:
        # A vector has a group with the attributes above its components, a scalar is both in one.
        value = own(name)
        return value if value is not None or not parents else parents[0](name)

    count = len(part.variable.shape)
    spacing = np.array(cf.numbers(record("gridSpacing")))
    offset = np.array(cf.numbers(record("gridGlobalOffset")))
    # The unit is one number, or, since openPMD 2.0, one for each axis.
    unit = np.array(cf.numbers(record("gridUnitSI")) or [1.0])
    labels = [cf.text(label) for label in np.ravel(record("axisLabels"))]
    if len(spacing) != count or len(offset) != count or unit.size not in (1, count):
        return None
    position = np.array(cf.numbers(own("position")))
    if len(position) == count:
        offset = offset + position * spacing
    steps, origins = (spacing * unit).tolist(), (offset * unit).tolist()
    if cf.text(record("dataOrder")) == "F":
        steps, origins, labels = steps[::-1], origins[::-1], labels[::-1]
    dropped = len(part.indices)
    kept = labels[dropped:]
    order: Order = (0, 1, 2) if part.rank == 3 else (None, 0, 1)
    if len(kept) == part.rank and len(set(kept)) == part.rank and set(kept) <= set("xyz"):
        z, y, x = (kept.index(axis) if axis in kept else None for axis in "zyx")
        order = (z, y, x)
    return Geometry(order, tuple(steps[dropped:]), tuple(origins[dropped:]), _time(parents))


def _time(parents: Sequence[cf.Attribute]) -> float | None:
    """Time of the iteration that the mesh belongs to."""
    for attribute in parents:
        time, unit = cf.numbers(attribute("time")), cf.numbers(attribute("timeUnitSI"))
        if len(time) == len(unit) == 1:
            return time[0] * unit[0]
    return None
