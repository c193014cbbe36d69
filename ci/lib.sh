# Shared by the scripts in ci/. Sourced, not run.
# shellcheck shell=bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
LAB=${KILN_LAB:-$PWD/target/lab}
export KILN_LAB=$LAB

say() { printf '\n==> %s\n' "$*" >&2; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# install PACKAGE…: those that are not there yet.
install() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    if [ ${#missing[@]} -gt 0 ]; then
        say "installing ${missing[*]}"
        as_root apt-get update -qq
        as_root env DEBIAN_FRONTEND=noninteractive ${RUNLEVEL:+"RUNLEVEL=$RUNLEVEL"} \
            apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    fi
}

# install_stopped PACKAGE: the tests start its program themselves; the service of that name stays off.
install_stopped() {
    dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'ok installed' && return
    RUNLEVEL=1 install "$1"
    as_root systemctl --quiet disable "$1.service"
}

# install_backported PACKAGE…: what bookworm has too old and its backports, or trixie itself, have new. Only QEMU and
# libvirt come from there; `-t bookworm-backports` would bring another systemd as well.
install_backported() {
    dpkg-query -W -f '${Package} ${Status}\n' "$@" 2>/dev/null | grep -c 'ok installed' | grep -qx $# && return
    if ! grep -q '^VERSION_CODENAME=bookworm' /etc/os-release; then install "$@" && return; fi
    local own=$LAB/apt-backports
    mkdir -p "$own/sources" "$own/lists/partial" "$own/archives/partial"
    printf "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(archive) %s main\n" \
        bookworm bookworm-backports >"$own/sources/debian.list"
    printf 'Package: src:qemu src:libvirt src:seabios src:mmdebstrap\nPin: release n=bookworm-backports\nPin-Priority: 900\n' >"$own/preferences"
    local options=(-o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$own/sources" -o Dir::State::Lists="$own/lists"
        -o Dir::Etc::Preferences="$own/preferences" -o Dir::Cache::Archives="$own/archives" -o APT::Sandbox::User=root
        -o Acquire::Languages=none)
    say "installing $* from backports"
    as_root apt-get "${options[@]}" update -qq
    # No service is started: ci/lab starts its own.
    as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get "${options[@]}" install -y -qq --no-install-recommends "$@" >/dev/null
    as_root apt-get "${options[@]}" clean
}

# archive: the Debian archive that this machine already uses, whichever mirror that is.
archive() {
    local archive
    archive=$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | grep -v security | head -n 1 || true)
    if [ -z "$archive" ]; then
        archive=$(sed -nE 's/^deb( \[[^]]*\])? +([^ ]+) .*/\2/p' /etc/apt/sources.list 2>/dev/null | grep -v security | head -n 1)
    fi
    echo "${archive%% *}"
}

# download SUITE DIRECTORY PACKAGE…: packages of any Debian suite, checked by apt against the archive's signature, into a
# new directory. A PACKAGE is NAME, NAME=VERSION, NAME:ARCH or NAME:ARCH=VERSION; this system need not know that ARCH.
download() {
    local suite=$1 directory=$2 apt=$LAB/apt package name foreign=() wanted=()
    shift 2
    for package in "$@"; do
        name=${package%%=*}
        case $name in *:*) foreign+=(-o "APT::Architectures::=${name#*:}") ;; esac
        case $package in *=*) wanted+=("$package") ;; *) wanted+=("$package/$suite") ;; esac
    done
    # With lists of its own: others need not wait for those of all architectures.
    if [ ${#foreign[@]} -gt 0 ]; then
        apt=$LAB/apt-$suite-foreign
        foreign+=(-o "APT::Architectures::=$(dpkg --print-architecture)")
    fi
    mkdir -p "$apt/sources" "$apt/lists/partial" "$apt/cache/archives/partial"
    local options=(-o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$apt/sources" -o Dir::State::Lists="$apt/lists"
        -o Dir::Cache="$apt/cache" -o APT::Sandbox::User=root -o Acquire::Languages=none -o Debug::NoLocking=1
        -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false "${foreign[@]}")
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(archive) $suite main" >"$apt/sources/$suite.list"
    apt-get "${options[@]}" update -qq
    rm -rf "$directory"
    mkdir -p "$directory"
    (cd "$directory" && apt-get "${options[@]}" download -qq "${wanted[@]}")
}

# debs SUITE: etcd's packages of that Debian suite, as ci/etcd downloaded them.
debs() {
    sed "s|^[0-9a-f]*  |$LAB/debs/|" "$LAB/debs/.$1"
}
