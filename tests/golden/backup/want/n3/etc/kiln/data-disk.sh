# Made by Kiln for n3 of golden: mounts this node's data disk where there is one, and formats it once.
# Not a mount unit: that would wait 90 s for a disk on every machine that has none.
set -u
data=/var/lib/etcd
disk=/dev/disk/by-id/virtio-kiln-n3
refuse() {
    echo "kiln: n3 does not start etcd: $*"
    exit 74
}
if command -v udevadm >/dev/null; then udevadm settle --exit-if-exists="$disk" --timeout=30; fi
if [ ! -e "$disk" ]; then
    # Late or pulled out is not the same as never there: an empty directory would take its place.
    [ ! -e /etc/kiln/has-data-disk ] || refuse "its data disk $disk is missing; attach it and start etcd again"
    exit 0
fi
mkdir -p "$data" || refuse "the directory $data cannot be created"
where=$(readlink -f "$data")
while read -r _ mounted _; do
    [ "$mounted" != "$where" ] || exit 0
done </proc/self/mounts

# What a mount hides is gone for etcd, and a member that has lost its data would be founded a second time.
there=$(ls -A "$data") || refuse "$data cannot be read"
[ -z "$there" ] ||
    refuse "$data already holds files on the system disk, and mounting $disk there would hide them; copy them to that disk, or detach it to continue without it"
device=$(readlink -f "$disk")
device=/sys/class/block/${device##*/}
sectors=$(cat "$device/size") && [ "$sectors" -gt 0 ] || refuse "the size of $disk is unknown"
[ "$sectors" -ge 131072 ] || refuse "$disk has $((sectors / 2)) KiB, and one file of etcd's log takes 64 MiB; attach a larger disk"

# part SIZE AT COUNT: so many blocks of that size from the disk; it fails where a read fails.
part() { dd if="$disk" bs="$1" skip="$2" count="$3" 2>/dev/null; }
# Follows the last part. Without it there are too few bytes, whatever the reason was.
finish() { head -c 512 /dev/zero; }
# judge BYTES: what came in is `empty` (so many zeros), `unreadable` (fewer, and zeros so far) or `data`. od writes equal
# lines as one star.
judge() {
    set -f
    bytes=$1
    # shellcheck disable=SC2046 # a word per number
    set -- $(od | head -n 4)
    zeros="0000000 000000 000000 000000 000000 000000 000000 000000 000000 *"
    case $* in
    "$zeros $(printf %07o "$bytes")") echo empty ;;
    0000000) echo unreadable ;;
    "$zeros "*) if [ $# = 11 ]; then echo unreadable; else echo data; fi ;;
    *) echo data ;;
    esac
}
unreadable() { refuse "$disk cannot be read to the end, so it is not known to be empty; check the disk and how it is connected"; }

# The first 4 MiB, whole: partition tables, and what the disk or its first partition begins with.
first=$({ part 65536 0 64 && finish; } | judge 4194816)
[ "$first" != unreadable ] || unreadable
if [ "$first" = empty ]; then
    for sign in "$device"/*/partition "$device"/holders/*; do
        [ ! -e "$sign" ] || refuse "$disk has partitions or is part of another device; attach this node's own disk"
    done
    # Where other partitions begin, of which the table may be lost; 64 KiB in every 64 MiB, in at most 16384 places; and the
    # last MiB, where RAID and the copy of a GPT are.
    blocks=$((sectors / 128))
    step=1024
    [ $((blocks / step)) -le 16384 ] || step=$((blocks / 16384 + 1))
    places=$(((blocks - 1) / step))
    rest=$({
        at=64
        while [ "$at" -lt 1024 ]; do
            part 65536 "$at" 2 || exit
            at=$((at + 16))
        done
        at=$step
        while [ "$at" -lt "$blocks" ]; do
            part 65536 "$at" 1 || exit
            at=$((at + step))
        done
        part 512 $((sectors - 2048)) 2048 && finish
    } | judge $((60 * 131072 + places * 65536 + 1049088)))
    [ "$rest" != unreadable ] || unreadable
    [ "$rest" = empty ] || refuse "$disk is not empty and holds no ext4 file system; attach this node's own disk"
    if command -v wipefs >/dev/null; then
        signs=$(wipefs --no-act "$disk") || unreadable
        [ -z "$signs" ] || refuse "$disk has the signature of a file system, RAID or partition table; attach this node's own disk"
    fi
    mkfs.ext4 -q -m 0 -L kiln-data "$disk" </dev/null || refuse "$disk is empty and cannot be formatted"
fi
if ! mount -t ext4 -o nodev,nosuid,noexec "$disk" "$data"; then
    [ "$first" != empty ] || refuse "$disk has a new file system that cannot be mounted; check the kernel's log"
    refuse "$disk is not empty and holds no ext4 file system that can be mounted; it was not modified: attach this node's own disk"
fi
# etcd warns of files that it does not know; fsck makes it again when it is wanted.
rmdir "$data/lost+found" 2>/dev/null
chown etcd:etcd "$data" && chmod 0700 "$data" || refuse "$data cannot be given to etcd"
# Not `:`, which would end the shell here.
true >/etc/kiln/has-data-disk || refuse "/etc/kiln cannot record that $disk is attached; free space there"
