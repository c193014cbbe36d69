# A node with a root directory of its own for the seed's script: sourced by the test of the seed. $bundle is a bundle,
# $script the script as Ignition installs it on the node, $work an empty directory on a real file system; runs in
# mount, network and PID namespaces.
set -eu
root=$work/root
disks=
trap 'for disk in $disks; do losetup -d $disk; done' EXIT

# A fresh system: this machine's, with an overlay so that none of its files are changed.
fresh() {
    ! mountpoint -q "$root" || umount -l "$root"
    rm -rf "$work/upper" "$work/work"
    mkdir -p "$work/upper" "$work/work" "$root"
    mount -t overlay overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/work" "$root"
    mount --rbind /dev "$root/dev"
    mount --rbind /sys "$root/sys"
    mount -t proc proc "$root/proc"
    mount -t tmpfs tmpfs "$root/run"
    # tmpfiles.d of other packages is not needed here.
    mount -t tmpfs tmpfs "$root/usr/lib/tmpfiles.d"
    mkdir -p "$root/etc/kiln"
    cp "$script" "$root/etc/kiln/unpack-seed.sh"
}
# seed ARCHIVE: a disk with the seed's label and this archive on it.
seed() {
    number=$((${number-0} + 1))
    rm -rf "$work/content"
    mkdir "$work/content"
    cp "$1" "$work/content/overlay.tar.gz"
    truncate -s 64M "$work/disk.$number"
    mkfs.ext4 -q -L CIDATA -d "$work/content" "$work/disk.$number"
    disks="$disks $(losetup -f --show "$work/disk.$number")"
}
detach() {
    for disk in $disks; do losetup -d "$disk"; done
    disks=
}
unpack() {
    code=0
    chroot "$root" /bin/sh /etc/kiln/unpack-seed.sh >"$work/said" 2>&1 || code=$?
    ! ls -d "$root"/run/kiln-seed-* 2>/dev/null || fail "it leaves a copy of the keys"
}
fail() {
    echo "$*"
    cat "$work/said"
    exit 1
}
# stopped WORDS: it says why, and nothing of the archive is on the system.
stopped() {
    unpack
    [ "$code" = 1 ] || fail "exit $code, not 1"
    grep -q "kiln: cp-a does not start etcd: $1" "$work/said" || fail "does not say: $1"
    [ ! -e "$root/etc/etcd" ] && [ ! -e "$root/etc/kiln/guard.sh" ] && [ ! -e "$root/etc/kiln/unpacked" ] || fail "something is unpacked"
}
