#!/bin/sh
# Makes or brings up to date one of the two virtual environments of this checkout.
#
#   scripts/make-venv.sh full   .venv          everything, and ParaView's modules from the system
#   scripts/make-venv.sh decode .venv-decode   what decoding needs and pytest, nothing else
#
# The interpreter is the one whose version pvpython embeds (PVPYTHON names another pvpython).
# pip's own configuration is left alone.
set -eu

say() { printf '%s\n' "inrvis: $*" >&2; }
fail() {
    say "$@"
    exit 1
}

kind=${1:?usage: make-venv.sh full|decode FOLDER}
venv=${2:?usage: make-venv.sh full|decode FOLDER}
cd "$(dirname "$0")/.."

case "$kind" in
full) packages='.[encode,dev]' site=--system-site-packages ;;
decode) packages='.' site= ;;
*) fail "unknown kind '$kind': use full or decode" ;;
esac

# Modules of somebody else's Python must not leak into this one.
unset PYTHONHOME PYTHONPATH PYTHONSTARTUP || true
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_NO_INPUT=1

pvpython=${PVPYTHON:-pvpython}
command -v "$pvpython" >/dev/null 2>&1 || fail "'$pvpython' is missing; run 'make env'"
version=$("$pvpython" -c 'import sys; print("embeds=%d.%d" % sys.version_info[:2])' 2>/dev/null </dev/null |
    sed -n 's/^embeds=\([0-9][0-9]*\.[0-9][0-9]*\)$/\1/p' | head -n 1)
[ -n "$version" ] || fail "'$pvpython' does not tell its Python version; does it start?"
case "$version" in
3.[0-9] | 3.10 | 2.*) fail "ParaView embeds Python $version here; inrvis needs 3.11 or later" ;;
esac

python=/usr/bin/python$version
[ -x "$python" ] || python=$(command -v "python$version") ||
    fail "ParaView embeds Python $version, but python$version is not installed"

# A folder that another version made, or that was moved, is made again.
if [ -e "$venv" ]; then
    prefix=$("$venv/bin/python$version" -c 'import sys; print(sys.prefix)' 2>/dev/null) || prefix=
    [ "$prefix" = "$(cd "$venv" && pwd)" ] || rm -rf "$venv"
fi
if [ ! -e "$venv" ]; then
    # shellcheck disable=SC2086  # no argument at all when empty
    "$python" -m venv $site "$venv" || fail "no virtual environment could be made with $python"
fi

pip() { "$venv/bin/python" -m pip "$@" </dev/null; }

say "installing the pinned Python packages into $venv (minutes the first time)"
# The build back end comes first so that it is pinned too.
pip install -q -c constraints.txt hatchling
[ "$kind" = full ] || pip install -q -c constraints.txt pytest
pip install -q -c constraints.txt --no-build-isolation -e "$packages"

"$venv/bin/python" - "$kind" <<'END'
import importlib.util
import sys

import numpy
import onnxruntime

full = sys.argv[1] == "full"
if tuple(map(int, numpy.__version__.split(".")[:2])) >= (2, 4):
    sys.exit("inrvis: numpy is too new for ParaView; remove the environment and try again")
if full:
    import vtkmodules

    if vtkmodules.__file__.startswith(sys.prefix):
        sys.exit("inrvis: a vtk wheel shadows ParaView's VTK; run 'make clean' and try again")
elif importlib.util.find_spec("torch") is not None:
    sys.exit("inrvis: torch is visible in the environment that must not have it")
END
