"""A flip book of a turntable: every azimuth of an image database, one picture each.

    eval "$(inrvis paraview-env)"
    pvpython flip_book.py views.inr FOLDER [NAME=VALUE]…

``NAME=VALUE`` fixes another parameter, such as ``theta=30``; any number takes the nearest stored
value. The pictures are ``turn.0000.png``, ``turn.0001.png``…, pixel for pixel what the file holds.
"""

from __future__ import annotations

import sys

from paraview import simple


def open_turntable(path, azimuth, fixed):
    """Open a database with one parameter as the time, and set others by their names."""
    reader = simple.OpenDataFile(path)
    if reader is None or reader.GetXMLName() != "INRImageReader":
        sys.exit(f"{path} is no database of images")
    reader.TimeParameter = azimuth
    reader.UpdatePipelineInformation()
    for slot in range(1, 9):
        prop = reader.GetProperty(f"Parameter{slot}")
        # What a property offers begins with the name of its parameter: 'theta=30.00', …
        name = prop.Available[0].partition("=")[0] if prop.Available else ""
        if name in fixed:
            reader.SetPropertyWithName(f"Parameter{slot}", f"{name}={fixed.pop(name)}")
    if fixed:
        sys.exit(f"there is no parameter {', '.join(fixed)} to choose")
    return reader


def main():
    """Write the pictures."""
    path, folder, *choices = sys.argv[1:]
    reader = open_turntable(path, "phi", dict(choice.split("=", 1) for choice in choices))
    for number, azimuth in enumerate(reader.TimestepValues):
        reader.UpdatePipeline(azimuth)
        simple.SaveData(f"{folder}/turn.{number:04d}.png", proxy=reader)
        reader.UpdatePipelineInformation()
        sys.stdout.write(f"turn.{number:04d}.png: {reader.Shown}\n")


if __name__ == "__main__":
    main()
