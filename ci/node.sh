# Shared by ci/node and ci/node-cross. Sourced after ci/lib.sh, not run.
# shellcheck shell=bash
set -euo pipefail
target=$(realpath -m "${CARGO_TARGET_DIR:-target}/node")
cargo_home=${CARGO_HOME:-$HOME/.cargo}

# Limits of bytes and crates: what runs as root on every node stays small enough to be looked through.
max_bytes=3000000
max_crates=109

# wrong WHAT: ends this script.
wrong() { printf '%s: %s\n' "ci/${0##*/}" "$1" >&2 && exit 1; }

# build SOURCES TARGET TRIPLE: no path of this machine may be in the program. An explicit target keeps build scripts
# dynamic. Relocations are packed, functions with the same code are one, and there are no tables for unwinding: it
# aborts. The path of node.ld, which leaves them out, is relative, as Cargo makes names of symbols from it; it links in
# the workspace's directory.
build() (
    cd "$1"
    env -u CARGO_ENCODED_RUSTFLAGS CARGO_TARGET_DIR="$2" CARGO_INCREMENTAL=0 \
        RUSTFLAGS="-C target-feature=+crt-static -C force-unwind-tables=no -C link-arg=-Wl,-z,pack-relative-relocs,--icf=all,--no-eh-frame-hdr,--hash-style=gnu,--build-id=none,-O2,-T,builder/node/node.ld --remap-path-prefix=$1=/kiln --remap-path-prefix=$2=/target --remap-path-prefix=$cargo_home=/cargo" \
        CFLAGS="-fno-asynchronous-unwind-tables -ffile-prefix-map=$cargo_home=/cargo -ffile-prefix-map=$2=/target" \
        cargo build --quiet --locked --package kiln-node --profile node --target "$3"
)

# make_program ARCH TRIPLE: makes $target/kiln-node-ARCH, sets `program` to its path, and puts a copy beside kiln.
make_program() {
    local crates bytes path
    crates=$(cargo tree --locked --package kiln-node --edges normal --prefix none --target "$2" | sed 's/ (.*//' | sort -u | wc -l)
    [ "$crates" -le "$max_crates" ] || wrong "$crates crates are in the program, and at most $max_crates are allowed"

    say "building kiln-node for $1"
    build "$PWD" "$target" "$2"
    program=$target/kiln-node-$1
    command install -m 0755 "$target/$2/node/kiln-node" "$program"
    bytes=$(stat -c %s "$program")
    [ "$bytes" -le "$max_bytes" ] || wrong "$program has $bytes bytes, and at most $max_bytes are allowed"
    readelf --program-headers --wide "$program" | grep -q INTERP && wrong "$program is dynamically linked"
    # glibc has no static programs for ppc64le that are.
    if [ "$1" != ppc64le ]; then
        readelf --dynamic --wide "$program" | grep -q 'FLAGS_1.*PIE' || wrong "$program is not position-independent"
    fi
    readelf --dynamic --wide "$program" | grep -q NEEDED && wrong "$program needs libraries"
    readelf --sections --wide "$program" | grep -q eh_frame && wrong "$program has tables for unwinding, which nothing reads"
    readelf --sections --wide "$program" | grep -q '\.symtab' && wrong "$program is not stripped"
    for path in "$PWD" "$target" "$cargo_home" "$LAB"; do
        grep --quiet --fixed-strings --text "$path" "$program" && wrong "$program contains $path"
    done
    # Where kiln looks for it first. Tests, with a kiln that is not optimised, find it themselves, or find none.
    mkdir -p "${target%/node}/release"
    command install -m 0755 "$program" "${target%/node}/release/"
    say "kiln-node for $1: $bytes bytes, $crates crates, sha256 $(sha256sum <"$program" | cut -c1-64)"
}

# again TRIPLE: builds the program once more, from a copy of the sources in another place, and compares.
again() (
    place=$(mktemp -d)
    trap 'rm -rf "$place"' EXIT
    mkdir -p "$place/another/place"
    git ls-files -z | xargs -0 cp --parents --target-directory="$place/another/place"
    say "building it again in $place"
    (umask 077 && TZ=Pacific/Kiritimati LC_ALL=C build "$place/another/place" "$place/made" "$1")
    cmp "$program" "$place/made/$1/node/kiln-node" || wrong "two builds of kiln-node differ"
    say "the same"
)
