//! The data disk, with the bundle's script on real block devices: formatted once, when it is certainly empty, and
//! never otherwise.

use std::fs;
use std::process::Command;

use crate::support::{self, Workshop, ha3_with, run};

const MIB: u64 = 1 << 20;

/// Runs steps with the functions of tests/guard/disks.sh, in a mount namespace that is removed afterwards.
#[track_caller]
fn play(steps: &str) {
    support::needs_root();
    let work = Workshop::new();
    work.file("ha3.toml", ha3_with(&[("# [etcd] version = \"3.5.33\"", "[etcd]\nversion = \"3.5.16\" #")]));
    work.keystore("ha3");
    let bundle = work.build("./ha3.toml");
    let archive = bundle.join("nodes/cp-a/overlay.tar.gz");
    run(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(work.path()).arg("etc/kiln"));
    let disks = support::root().join("tests/guard/disks.sh");
    let of_its_own = work.path().join("disk");
    fs::create_dir(&of_its_own).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--mount", "bash", "-c"]).arg(format!(". {}\n{steps}", disks.display()));
    run(command.env("script", work.path().join("etc/kiln/data-disk.sh")).env("work", of_its_own));
}

#[test]
fn an_empty_data_disk_is_formatted_once_and_kept() {
    // Exact to the sector, and longer than one step of the samples.
    for size in [64 * MIB, 64 * MIB + 716_800, 300 * MIB + 512] {
        play(&format!(
            "
            blank {size}; attach; taken empty
            [ \"$(blkid -o value -s LABEL $work/disk)\" = kiln-data ]
            echo precious >$work/data/member
            # Another start of etcd, another boot.
            taken again; umount $work/data; taken 'at the next boot'
            [ \"$(cat $work/data/member)\" = precious ]
            umount $work/data; detach
            # Without it etcd does not start any more.
            start; [ $code = 74 ]; grep -q 'its data disk .* is missing' $work/said
            "
        ));
    }
}

#[test]
fn data_disk_formats_nothing_that_is_not_known_to_be_empty() {
    play(
        "
        words='attach this node.s own disk'
        # Data at its end, in its last sector, in its middle.
        blank $((64 * 1048576 + 716800)); head -c 65536 /dev/urandom | at $((64 * 1048576 + 716800 - 65536)); attach
        refused 'the end of a disk of no whole MiB' \"$words\"
        blank $((64 * 1048576 + 512)); printf x | at $((64 * 1048576 + 511)); attach
        refused 'the last byte' \"$words\"
        blank 200M; head -c 65536 /dev/urandom | at $((128 * 1048576)); attach
        refused 'the middle' \"$words\"
        # File systems in partitions whose table is lost.
        blank 64M; mkfs.ext4 -q -F -E offset=1048576 $image 60M 2>/dev/null; attach
        refused 'a partition at 1 MiB' \"$words\"
        blank 96M; mkfs.ext4 -q -F -E offset=$((8 * 1048576)) $image 80M 2>/dev/null; attach
        refused 'a partition behind what is read whole' \"$words\"
        # Tables, swap, LUKS, RAID of several kinds.
        for table in dos gpt; do
            blank 64M; printf 'label: %s\\n,,\\n' $table | sfdisk -q $image; attach; refused \"a $table table\" \"$words\"
        done
        blank 64M; printf 'label: gpt\\n,,\\n' | sfdisk -q $image; head -c 4M /dev/zero | at 0; attach
        refused 'the copy of a GPT' \"$words\"
        blank 64M; mkswap -q $image 2>/dev/null; attach; refused swap \"$words\"
        blank 64M; printf 'LUKS\\272\\276' | at 0; attach; refused LUKS \"$words\"
        blank 64M; printf '\\374\\116\\053\\251' | at $((64 * 1048576 - 8192)); attach; refused 'RAID 1.0' \"$words\"
        # Too small for one file of etcd's log.
        for size in 512K 63M; do blank $size; attach; refused $size 'attach a larger disk'; done
        ",
    );
}

/// A loop device whose file was truncated: the kernel itself returns EIO.
#[test]
fn a_data_disk_that_cannot_be_read_is_not_empty() {
    play(
        "
        unreadable() {
            truncate -s $1 $image; blockdev --flushbufs $work/disk
            start; [ $code = 74 ] || fail \"cut to $1: exit $code\"
            grep -q 'cannot be read to the end, so it is not known to be empty' $work/said || fail \"cut to $1\"
            detach; [ \"$(stat -c %s $image)\" = $1 ] && [ -z \"$(tr -d '\\0' <$image | head -c 1)\" ] || fail \"cut to $1: written to\"
        }
        # From its first byte, behind what is read whole, and at its end.
        for cut in 0 $((32 * 1048576)) $((320 * 1048576 - 4096)); do
            blank 320M; attach; unreadable $cut
        done
        # With data on it: the file system is there again when the disk is.
        blank 64M; mkfs.ext4 -q $image; cp $image $image.whole; attach; truncate -s 0 $image; blockdev --flushbufs $work/disk
        start; [ $code = 74 ] || fail \"exit $code\"
        grep -q 'cannot be read' $work/said; detach
        cp $image.whole $image; attach; taken 'its own disk again'
        umount $work/data; detach
        ",
    );
}

#[test]
fn a_late_data_disk_hides_no_member() {
    play(
        "
        mkdir -p $work/data/member/wal; echo x >$work/data/member/wal/0.wal
        blank 64M; attach; refused 'an empty disk' 'already holds files on the system disk'
        blank 64M; mkfs.ext4 -q $image; attach; refused 'a disk with a file system' 'already holds files'
        [ \"$(cat $work/data/member/wal/0.wal)\" = x ]
        # Without the disk the member goes on as before.
        start; [ $code = 0 ]; [ ! -e $work/etc/has ]
        ",
    );
}
