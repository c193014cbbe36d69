# Made by Kiln for a of golden: mounts this node's data disk where there is one, and formats it once.
# Not a mount unit: that would wait 90 s for a disk on every machine that has none.
set -u
data=/var/lib/etcd
disk=/dev/disk/by-id/virtio-kiln-a
refuse() {
    echo "kiln: a does not start etcd: $*"
    { echo "kiln: a does not start etcd: $*" >/dev/console; } 2>/dev/null || :
    exit 74
}
if command -v udevadm >/dev/null; then udevadm settle --exit-if-exists="$disk" --timeout=30; fi
if [ ! -e "$disk" ]; then
    # Late or pulled out is not the same as never there: an empty directory would take its place.
    [ ! -e /etc/kiln/has-data-disk ] || refuse "its data disk $disk is not there"
    exit 0
fi
while read -r _ where _; do
    [ "$where" != "$data" ] || exit 0
done </proc/self/mounts

# systemd-makefs would overwrite a partition table, so: zeros at both ends, or it is not empty.
zeros() { [ -z "$(dd if="$disk" bs=1M count=1 skip="$1" 2>/dev/null | tr -d '\0' | head -c 1 | od -An -tx1)" ]; }
device=$(readlink -f "$disk")
size=$(cat "/sys/class/block/${device##*/}/size") || refuse "the size of $disk is unknown"
mkdir -p "$data"
if zeros 0 && zeros $((size / 2048 - 1)); then
    mkfs.ext4 -q -m 0 -L kiln-data "$disk" || refuse "$disk is empty and cannot be formatted"
fi
mount -t ext4 -o nodev,nosuid,noexec "$disk" "$data" ||
    refuse "$disk is not empty and holds no ext4 file system; bring this node's own disk, or wipe this one if nobody needs it"
: >/etc/kiln/has-data-disk
# etcd warns of files that it does not know; fsck makes it again when it is wanted.
rmdir "$data/lost+found" 2>/dev/null
chown etcd:etcd "$data" && chmod 0700 "$data" || refuse "$data cannot be given to etcd"
