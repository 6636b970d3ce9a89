"""Run by pvpython: is the installed plugin loaded, and does its reader come from there?

    pvpython check_load.py FOLDER       FOLDER holds the installed Python packages

pvpython can print an error and still succeed, so the test looks for the last line printed here.
"""

from __future__ import annotations

import sys
from pathlib import Path

from paraview import servermanager, simple

folder = Path(sys.argv[1]).resolve()

manager = servermanager.ProxyManager()
if manager.SMProxyManager.GetPrototypeProxy("sources", "INRReader") is None:
    sys.exit("failed: no proxy INRReader in the group sources")

# ParaView puts a stand-in where the class cannot be imported, and says so on standard error only.
algorithm = type(simple.INRReader().GetClientSideObject())
if not algorithm.__module__.startswith("inrvis_paraview."):
    sys.exit(f"failed: behind INRReader stands {algorithm.__name__}, not a class of the plugin")

for name in ("inrvis", "inrvis_paraview"):
    origin = Path(sys.modules[name].__file__).resolve()
    if not origin.is_relative_to(folder):
        sys.exit(f"failed: {name} comes from {origin}, not from the installed copy")

print("inrvis plugin loaded")
