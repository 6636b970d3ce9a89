"""Run by pvpython: does the compiled plugin read a file with the classes that it carries?

pvpython check_compiled.py LIBRARY FILE.inr
"""

from __future__ import annotations

import sys

from paraview import simple

library, volume = sys.argv[1:]
simple.LoadPlugin(library, remote=False, ns=globals())

reader = simple.OpenDataFile(volume)
reader.UpdatePipeline()
if reader.GetDataInformation().GetNumberOfPoints() == 0:
    sys.exit("failed: nothing was read")

algorithm = type(reader.GetClientSideObject())
origin = getattr(sys.modules[algorithm.__module__], "__file__", None)
if algorithm.__module__ != "inrvis_paraview.reader" or (origin or "").endswith(".py"):
    sys.exit(f"failed: the reader is {algorithm} of {origin}, not of the library")

print("inrvis library loaded")
