"""Environment variables that make ParaView's programs find the plugin and what it imports."""

from __future__ import annotations

import importlib.util
import os
import sysconfig
from collections.abc import Iterable, Mapping
from pathlib import Path

from inrvis.errors import UsageError

__all__ = ["paraview_environment"]

_PROXIES = "inrvis.xml"


def paraview_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Variables for pvpython, pvbatch, pvserver and paraview.

    ParaView does not know the virtual environment that inrvis is installed in. ``PYTHONPATH``
    shows it the packages there, and ``PV_PLUGIN_PATH`` the folder with the plugin's XML.

    Parameters
    ----------
    environment : mapping of str to str, optional
        Values to keep; they follow ours. The process's own by default.

    Returns
    -------
    dict of str to str
        ``PYTHONPATH`` and ``PV_PLUGIN_PATH``.

    Raises
    ------
    UsageError
        If the plugin is not installed, or lies where these variables cannot name it.
    """
    kept = os.environ if environment is None else environment
    plugin = _folder("inrvis_paraview")
    # A .pth file, as an editable installation leaves, counts for nothing on PYTHONPATH: the
    # folders that hold our two packages are named themselves.
    packages = [
        Path(sysconfig.get_path("purelib")),
        Path(sysconfig.get_path("platlib")),
        _folder("inrvis").parent,
        plugin.parent,
    ]
    return {
        "PYTHONPATH": _joined(packages, kept.get("PYTHONPATH", ""), ":"),
        "PV_PLUGIN_PATH": _joined([_proxies(plugin)], kept.get("PV_PLUGIN_PATH", ""), ":;"),
    }


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(f"the package {package} is not installed; install inrvis again")
    return Path(spec.submodule_search_locations[0]).resolve()


def _proxies(plugin: Path) -> Path:
    """Folder with the XML: in a wheel, or in a checkout and where CMake installed it."""
    places = (plugin / "xml", plugin.parents[1] / "xml")
    for place in places:
        if (place / _PROXIES).is_file():
            return place
    raise UsageError(
        f"{_PROXIES} is neither in {places[0]} nor in {places[1]}; install inrvis again"
    )


def _joined(folders: Iterable[Path], kept: str, separators: str) -> str:
    names = [str(folder) for folder in folders]
    for name in names:
        if any(separator in name for separator in separators):
            raise UsageError(
                f"{name} has one of '{separators}' in it, which separates folders in the "
                "variables that ParaView reads; move inrvis to another folder"
            )
    return ":".join(dict.fromkeys(name for name in [*names, *kept.split(":")] if name))
