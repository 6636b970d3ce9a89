#!/bin/bash
# Runs make targets in a bare Debian, as somebody with a new machine would.
#
#   sudo scripts/check-fresh-debian.sh [TARGET…]          (default: demo)
#
# A minimal Debian with make and ca-certificates is unpacked into a new folder, the last commit of
# this checkout is cloned into it, and each target runs there as root, without standard input.
# Needs root, debootstrap, git, and about 8 GB.
#
#   SUITE=bookworm        the Debian release
#   CHROOT=FOLDER         where to unpack (default: a new folder in TMPDIR); must be empty or absent
#   EXTRA_BIND=DIR:DIR    folders to see at the same path inside, read-only (wheels, data)
#   PIP_CONFIG=FILE       pip's configuration inside; every PIP_* variable is handed on as well
#   KEEP=1                do not remove the folder at the end
set -euo pipefail

say() { printf '%s\n' "check-fresh-debian: $*" >&2; }
fail() {
    say "$@"
    exit 1
}

targets=("$@")
[[ ${#targets[@]} -gt 0 ]] || targets=(demo)
suite=${SUITE:-bookworm}
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

[[ $(id -u) -eq 0 ]] || fail "must run as root"
for program in debootstrap git unshare; do
    command -v "$program" >/dev/null || fail "'$program' is missing"
done

# In a mount namespace of its own, nothing mounted below outlives this script.
if [[ -z ${INRVIS_OWN_MOUNTS:-} ]]; then
    INRVIS_OWN_MOUNTS=1 exec unshare --mount --propagation private "${BASH_SOURCE[0]}" "$@"
fi

root=${CHROOT:-$(mktemp -d "${TMPDIR:-/tmp}/inrvis-debian.XXXXXX")}
mkdir -p "$root"
[[ -z $(ls -A "$root") ]] || fail "$root is not empty"
root=$(cd "$root" && pwd)

clean_up() {
    # Inner mounts first; the folder goes only when nothing of the host is visible in it.
    awk -v root="$root/" 'index($2, root) == 1 { print $2 }' /proc/mounts | sort -r |
        while read -r place; do umount -l "$place" || true; done
    if [[ -n ${KEEP:-} ]]; then
        say "kept $root"
    elif grep -qF " $root/" /proc/mounts; then
        say "something is still mounted in $root: it is left alone"
    else
        rm -rf --one-file-system "$root"
    fi
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# The archive of the first Debian source of this machine; debootstrap knows one otherwise.
mirror=$(sed -n -e 's/^URIs: *\(http[^ ]*debian\/\{0,1\}\)$/\1/p' \
    -e 's/^deb \(\[[^]]*\] \)\{0,1\}\(http[^ ]*debian\/\{0,1\}\) .*/\2/p' \
    /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null | head -n 1) || true

say "unpacking $suite into $root"
debootstrap --variant=minbase --include=make,ca-certificates "$suite" "$root" ${mirror:+"$mirror"} \
    >"$root.debootstrap.log" 2>&1 || fail "debootstrap failed; its words are in $root.debootstrap.log"
rm -f "$root.debootstrap.log"

# The network and the package sources as they are on this machine.
cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
for source in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources; do
    [[ ! -s $source ]] || cp --parents "$source" "$root"
done
# The host's sources name its own release.
host_suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
if [[ -n $host_suite && $host_suite != "$suite" ]]; then
    find "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d -type f \
        -exec sed -i "s/\b$host_suite\b/$suite/g" {} +
fi
[[ ! -e $root/etc/apt/sources.list.d/debian.sources ]] || : >"$root/etc/apt/sources.list"
apt-config dump Acquire 2>/dev/null |
    grep -E '^Acquire::(Check-Valid-Until|Check-Date|https?::Proxy) ' \
        >"$root/etc/apt/apt.conf.d/90this-machine" || true
if compgen -G '/usr/local/share/ca-certificates/*.crt' >/dev/null; then
    cp /usr/local/share/ca-certificates/*.crt "$root/usr/local/share/ca-certificates/"
    chroot "$root" update-ca-certificates >/dev/null
fi
[[ -z ${PIP_CONFIG:-} ]] || cp "$PIP_CONFIG" "$root/etc/pip.conf"

mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --bind -o ro /sys "$root/sys" || true
IFS=: read -r -a binds <<<"${EXTRA_BIND:-}"
for folder in "${binds[@]}"; do
    [[ -n $folder ]] || continue
    mkdir -p "$root$folder"
    mount --bind "$folder" "$root$folder"
    mount -o remount,bind,ro "$root$folder"
done

git clone -q --no-hardlinks "$repository" "$root/src/inrvis"
[[ -z $(git -C "$repository" status --porcelain) ]] ||
    say "uncommitted changes are not part of this check"

# Nothing of this shell's environment goes in, except the way to the network.
environment=(HOME=/root LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)
while IFS= read -r -d '' variable; do
    case "$variable" in
    PIP_CONFIG=*) ;;
    PIP_*=* | http_proxy=* | https_proxy=* | no_proxy=*) environment+=("$variable") ;;
    esac
done < <(env -0)

for target in "${targets[@]}"; do
    say "make $target"
    start=$SECONDS
    status=0
    # shellcheck disable=SC2016  # the inner shell expands its own argument
    env -i "${environment[@]}" chroot "$root" sh -c 'cd /src/inrvis && exec make "$1"' sh "$target" \
        </dev/null || status=$?
    say "make $target: exit $status after $((SECONDS - start)) s"
    [[ $status -eq 0 ]] || exit "$status"
done
