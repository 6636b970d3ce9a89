"""The command `inrvis`: one module for each subcommand; the only code that prints."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

import inrvis
from inrvis.cli import compare, decode, encode, info, paraview_env
from inrvis.errors import InrvisError

_INTERRUPTED = 130


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, as all errors of the command line are."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"inrvis: {message}; see '{self.prog} --help'\n")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = _Parser(prog="inrvis", description="Neural compression for scientific visualization.")
    parser.add_argument("--version", action="version", version=f"inrvis {inrvis.__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in (encode, decode, info, compare, paraview_env):
        module.add_parser(subparsers)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parsed = build_parser().parse_args(arguments)
    try:
        status: int = parsed.run(parsed)
    except InrvisError as error:
        print(f"inrvis: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("inrvis: interrupted; nothing was written", file=sys.stderr)
        return _INTERRUPTED
    except MemoryError:
        print("inrvis: not enough memory; decode a part with --extent or --stride", file=sys.stderr)
        return 3
    except BrokenPipeError:
        return _INTERRUPTED
    return status
