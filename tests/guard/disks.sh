# The bundle's data-disk.sh, on real block devices: sourced by the test of the data disk. $script is the script, $work
# an empty directory; runs in a mount namespace of its own, as root.
set -eu
mkdir "$work/data" "$work/etc"
sed -e "s#^data=.*#data=$work/data#" -e "s#^disk=.*#disk=$work/disk#" -e "s#/etc/kiln/has-data-disk#$work/etc/has#" \
    -e "s#chown etcd:etcd#chown 0:0#" "$script" >"$work/data-disk.sh"
image=$work/image
trap '[ ! -e "$work/disk" ] || losetup -d "$(readlink "$work/disk")"' EXIT

# blank BYTES: an empty disk.
blank() {
    rm -f "$image"
    truncate -s "$1" "$image"
}
# at OFFSET: writes stdin to it at this offset.
at() { dd of="$image" bs=65536 oflag=seek_bytes seek="$1" conv=notrunc status=none; }
attach() {
    ln -s "$(losetup -f --show "$@" "$image")" "$work/disk"
}
detach() {
    losetup -d "$(readlink "$work/disk")"
    rm "$work/disk"
}
fail() {
    echo "$*"
    cat "$work/said"
    exit 1
}
start() {
    code=0
    sh "$work/data-disk.sh" >"$work/said" 2>&1 || code=$?
}
# refused CASE WORDS: it exits with 74, says why, and changes no byte.
refused() {
    before=$(sha256sum <"$image")
    start
    [ "$code" = 74 ] || fail "$1: exit $code"
    grep -q "does not start etcd: .*$2" "$work/said" || fail "$1: does not say: $2"
    ! mountpoint -q "$work/data" || fail "$1: mounted"
    detach
    [ "$(sha256sum <"$image")" = "$before" ] || fail "$1: the disk was written to"
}
# taken CASE: it is mounted with this etcd's directory on it.
taken() {
    start
    [ "$code" = 0 ] || fail "$1: exit $code"
    mountpoint -q "$work/data" || fail "$1: not mounted"
    [ "$(stat -c %a "$work/data")" = 700 ] || fail "$1: mode"
    [ -e "$work/etc/has" ] || fail "$1: not remembered"
}
