"""`inrvis paraview-env`."""

from __future__ import annotations

import argparse
import shlex
from typing import Any

from inrvis.paraview_environment import paraview_environment


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "paraview-env",
        help="print the exports that make ParaView load the plugin",
        description="Print POSIX shell exports that make pvpython, pvbatch, pvserver and paraview "
        'load the plugin. Use as: eval "$(inrvis paraview-env)"',
    )
    parser.set_defaults(run=run)


def run(_arguments: argparse.Namespace) -> int:
    """Print the exports."""
    for name, value in paraview_environment().items():
        print(f"export {name}={shlex.quote(value)}")
    return 0
