"""Behaviour under stress: FOLDER VOLUME LATER DAMAGED CUT_SHORT."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
from pathlib import Path

import common
from paraview import simple

volume, later, damaged, cut_short = common.ARGUMENTS
found = {}


def held():
    """Memory in MB and open files of this process."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return [pages * os.sysconf("SC_PAGESIZE") / 2**20, len(list(Path("/proc/self/fd").iterdir()))]


def mean(reader):
    data = common.arrays(common.output(reader))
    return float(data["density"].mean()) if data else None


# ---------------------------------------------------------------- growth

common.stage("cycles")
measured = []
for cycle in range(200):
    reader = simple.OpenDataFile(volume)
    reader.UpdatePipeline()
    simple.Delete(reader)
    del reader
    if cycle in (49, 199):
        measured.append(held())
found["cycles"] = measured

common.stage("steps")
paths = []
for number in range(100):
    paths.append(str(common.FOLDER / f"step_{number:03d}.inr"))
    Path(paths[-1]).symlink_to(volume)
series = simple.OpenDataFile(paths)
measured = []
for _ in range(2):
    for time in range(100):
        series.UpdatePipeline(time)
    measured.append(held())
found["steps"] = [len(series.TimestepValues), *measured]

# ---------------------------------------------------------------- bad files


def points_at(reader, times):
    """Points of the reader and of a filter behind it, at several times."""
    plane = simple.Slice(Input=reader)
    seen = []
    for time in times:
        plane.UpdatePipeline(time)
        seen.append([common.output(p).GetNumberOfPoints() for p in (reader, plane)])
    return seen


# The header of one can be read, and its weights cannot: it is a step that cannot be shown.
common.stage("damaged")
mixed = simple.OpenDataFile([volume, damaged, later])
found["damaged"] = [list(mixed.TimestepValues), points_at(mixed, (0, 1, 2, 1, 0))]
common.stage("damaged first")
mixed.FileNames = [damaged, later]
found["damaged first"] = points_at(mixed, (2.5, 4.5))
# Of the other nothing can be read, its time neither.
common.stage("cut short")
mixed.FileNames = [cut_short, volume, later]
found["cut short"] = [points_at(mixed, (2.5, 4.5)), list(mixed.TimestepValues)]
common.stage("cut short and numbered")
mixed.FileNames = [volume, cut_short, volume, str(common.FOLDER / "nowhere.inr"), later]
found["cut short and numbered"] = [points_at(mixed, (0, 2, 4)), list(mixed.TimestepValues)]

common.stage("vanished")
vanishing = common.FOLDER / "vanishing.inr"
shutil.copy(volume, vanishing)
reader = simple.OpenDataFile(str(vanishing))
reader.UpdatePipeline()
expected = mean(reader)
vanishing.unlink()
# What is there stays, until something asks the file again.
simple.Slice(Input=reader).UpdatePipeline()
found["slice of what is there"] = common.output(reader).GetNumberOfPoints()
reader.Stride = 2
reader.UpdatePipeline()
found["vanished"] = common.output(reader).GetNumberOfPoints()
shutil.copy(volume, vanishing)
simple.ReloadFiles(reader)
reader.UpdatePipeline()
found["came back"] = common.output(reader).GetNumberOfPoints()

# ---------------------------------------------------------------- several at once

common.stage("written")
target = common.FOLDER / "written.inr"
shutil.copy(volume, target)
program = (
    "import os, shutil, sys, time\n"
    "a, b, target, stop = sys.argv[1:]\n"
    "while not os.path.exists(stop):\n"
    "    for source in (a, b):\n"
    "        shutil.copy(source, target + '.part'); os.replace(target + '.part', target)\n"
    "        time.sleep(0.002)\n"
)
stop = common.FOLDER / "stop"
writer = subprocess.Popen(
    ["/usr/bin/python3", "-c", program, volume, later, str(target), str(stop)]
)
reader = simple.OpenDataFile(str(target))
seen = set()
for _ in range(40):
    simple.ReloadFiles(reader)
    reader.UpdatePipeline()
    seen.add(mean(reader))
stop.touch()
writer.wait(timeout=30)
found["written"] = sorted({value for value in seen if value is not None})
found["expected"] = expected
common.stage("written at last")
simple.ReloadFiles(reader)
reader.UpdatePipeline()
found["written at last"] = mean(reader)

common.stage("two readers")
first, second = simple.OpenDataFile(volume), simple.OpenDataFile(volume)
second.Stride = 2
for reader in (first, second):
    reader.UpdatePipeline()
simple.Delete(first)
second.Stride = 1
second.UpdatePipeline()
found["two readers"] = mean(second) == expected

# ---------------------------------------------------------------- values out of range

common.stage("out of range")
reader = second
for name, values in {"Stride": (0, -7, 99), "Device": (9,), "Layers": (-1,)}.items():
    prop = reader.SMProxy.GetProperty(name)
    for value in values:
        prop.SetElement(0, value)
        reader.UpdateVTKObjects()
    reader.UpdatePipeline()
found["out of range"] = common.output(reader).GetNumberOfPoints()
reader.PointArrays = ["nothing like this"]
reader.UpdatePipeline()
found["no array"] = [
    common.output(reader).GetNumberOfPoints(),
    list(common.arrays(common.output(reader))),
]
common.stage("not a number")
image = simple.Wavelet(WholeExtent=[0, 8, 0, 8, 0, 8])
for value in (float("nan"), float("inf"), 0):
    compress = simple.NeuralCompress(Input=image, Target="PSNR", Value=value, Model="None")
    compress.UpdatePipeline()
simple.NeuralResample(Input=reader, SamplingDimensions=[-1, 2, 2]).UpdatePipeline()
box = simple.NeuralResample(Input=reader, UseInputBounds=0, SamplingBounds=[1, 0, 0, 1, 0, 1])
box.UpdatePipeline()

common.stage("end")
common.finish(found)
sys.stdout.flush()
