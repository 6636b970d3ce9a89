#!/bin/sh
# Installs the system packages that inrvis uses, and does nothing when they are all there.
#
#   scripts/system-packages.sh [run|test]
#
# run   what encoding, decoding and drawing in ParaView need (the default)
# test  the same, and cmake for the installation test
set -eu

say() { printf '%s\n' "inrvis: $*" >&2; }

# paraview            GUI, pvserver, pvbatch            openmpi-bin       mpiexec
# python3-paraview    pvpython and its Python modules   python3-mpi4py    writing on several ranks
# xvfb, xauth         a display where there is none     libgl1-mesa-dri   OpenGL without a graphics card
# python3-venv        pip for the virtual environment   ca-certificates   certificates for pip
packages="ca-certificates libgl1-mesa-dri openmpi-bin paraview python3-mpi4py python3-paraview
          python3-venv xauth xvfb"

case "${1:-run}" in
run) ;;
test) packages="$packages cmake" ;;
*)
    say "unknown set of packages '$1': use run or test"
    exit 2
    ;;
esac

if ! command -v dpkg-query >/dev/null 2>&1; then
    # Not Debian: trust what is there, and name the first program that is not.
    for program in pvpython pvbatch mpiexec xvfb-run; do
        if ! command -v "$program" >/dev/null 2>&1; then
            say "'$program' is missing; install ParaView 5.11 or later with Python, MPI and Xvfb"
            exit 1
        fi
    done
    exit 0
fi

missing=
for package in $packages; do
    # shellcheck disable=SC2016  # the format is dpkg-query's, not the shell's
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || status=
    [ "$status" = installed ] || missing="$missing $package"
done
missing=${missing# }
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -eq 0 ]; then
    as_root=
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    say "system packages are missing; run this as an administrator, then try again:" \
        "apt-get install --no-install-recommends $missing"
    exit 1
fi

# The two variables below are lists of words on purpose.
# shellcheck disable=SC2086
apt() { $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y "$@" </dev/null; }
# shellcheck disable=SC2086
known() { apt-cache show --no-all-versions $missing >/dev/null 2>&1; }
# shellcheck disable=SC2086
install() { apt install --no-install-recommends $missing; }

say "installing $missing"
if known; then
    # The lists may be older than the archive; refresh them only when that shows.
    install || { apt update && install; }
else
    apt update
    install
fi

# ParaView's icons are drawn by a plugin of its Qt that Debian only recommends. Pygments, which
# colours scripts there, is left out on purpose: with it, the editor of ParaView 5.13 crashes.
# shellcheck disable=SC2016  # the format is dpkg-query's, not the shell's
case $(dpkg-query -W -f '${Depends}' paraview) in
*libqt6gui*) icons=qt6-svg-plugins ;;
*) icons=libqt5svg5 ;;
esac
apt install --no-install-recommends "$icons" ||
    say "$icons could not be installed: ParaView's window will have no icons"
