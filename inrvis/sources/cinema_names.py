"""Tables of ParaView's exports that lack one, from the names of their images.

ParaView writes ``data.csv`` with pandas, which its packages do not always bring along: then there
are images and no table. Their names tell the time step and the camera, as in
``RenderView1_000004p=120.00t=180.00.png``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["table_from_names"]

_NAME = re.compile(
    r"(?P<producer>.+?)_?(?P<timestep>\d{6})"
    r"(?:p=(?P<phi>-?\d+(?:\.\d+)?)t=(?P<theta>-?\d+(?:\.\d+)?))?"
    r"\.(?P<extension>[a-z]{3,4})"
)


def table_from_names(names: Iterable[str]) -> list[list[str]]:
    """Header and rows of the table that ParaView would have written; nothing if a name is other.

    Parameters
    ----------
    names : iterable of str
        Names of all images of a folder.

    Returns
    -------
    list of list of str
        Columns phi and theta, where there are cameras, producer, where there are several, timestep
        and one column of files for each extension.
    """
    matches = [_NAME.fullmatch(name) for name in sorted(names)]
    found = [match for match in matches if match is not None]
    if not found or len(found) < len(matches):
        return []
    parameters = [name for name in ("phi", "theta") if any(match[name] for match in found)]
    if len({match["producer"] for match in found}) > 1:
        parameters.append("producer")
    extensions = sorted({match["extension"] for match in found})
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for match in found:
        values = (*(match[name] or "" for name in parameters), str(int(match["timestep"])))
        rows.setdefault(values, {})[match["extension"]] = match[0]
    header = [*parameters, "timestep", *(f"FILE_{extension}" for extension in extensions)]
    return [header, *([*v, *(files.get(e, "") for e in extensions)] for v, files in rows.items())]
