//! Disks that are full, or can only be read.

use super::machine::{Machine, PLAIN};

#[test]
fn a_full_disk_leaves_what_is_there() {
    let machine = Machine::new();
    // Files of 4 KiB each: room for one generation, and for a part of another.
    machine.shell("mount -t tmpfs -o size=64k,mode=0755 tmpfs /mnt/var");
    machine.renewed();
    machine.etcd(&PLAIN);
    machine.another_subject("other");
    for free in [0, 4, 8, 12] {
        machine.shell(&format!(
            "rm -f /mnt/var/room; dd if=/dev/zero of=/mnt/var/fill bs=4k 2>/dev/null || :
             truncate -s -{free}k /mnt/var/fill"
        ));
        machine.keeps_what_it_has("No space left on device");
        assert_eq!(machine.names(), ["1", "live", "lock"], "{free}");
        machine.serves();
    }
    machine.shell("rm /mnt/var/fill");
    machine.renewed();
    machine.serves();
}

#[test]
fn a_disk_that_cannot_be_written_leaves_what_is_there() {
    let machine = Machine::new();
    machine.shell("mount -t tmpfs -o mode=0755 tmpfs /mnt/var");
    machine.renewed();
    machine.etcd(&PLAIN);
    machine.shell("mount -o remount,ro /mnt/var");
    let (code, said) = machine.renew(&[]);
    assert!(code == 0 && said.is_empty(), "nothing is due: {code}: {said}");
    machine.another_subject("other");
    machine.keeps_what_it_has("Read-only file system");
    machine.serves();
    machine.shell("mount -o remount,rw /mnt/var");
    machine.renewed();
    machine.serves();
}

/// Monitoring is not worth a node that does not start.
#[test]
fn a_status_that_cannot_be_written_is_said() {
    let machine = Machine::new();
    machine.shell("mkdir /mnt/run; mount -t tmpfs -o ro tmpfs /mnt/run");
    for options in [&[][..], &["--ensure"]] {
        let (code, said) = machine.renew(options);
        assert_eq!(code, i32::from(options.is_empty()), "{said}");
        assert!(
            said.contains("cannot write its status: creating /mnt/run/kiln: Read-only file system"),
            "{said}"
        );
    }
    assert_eq!(machine.live(), "1");
}
