//! A kernel unpacks an initramfs with an overlay.

use std::fs;
use std::process::{Command, Stdio};

use crate::support::{self, Workshop, bundles::OVERLAID as PROFILE, run, turn};

/// The kernel's own unpacking (init/initramfs.c): a base system whose /root is private and whose /lib is a link,
/// followed by a node's segment.
#[test]
fn initramfs_parents_leave_a_base_system_as_it_was() {
    let base = support::lab().join("base/live");
    assert!(base.join("initrd.img").exists(), "run ci/setup --tests first");
    let _turn = turn::machine();
    let work = Workshop::new();
    work.file("site.toml", PROFILE);
    work.file("mine/etc/motd", "hello\n");
    work.file("mine/root/keys/a", "x");
    work.file("mine/usr/lib/site/x", "x");
    work.build("./site.toml");
    let initrd = work.path().join("initrd");
    let mut bytes = fs::read(base.join("initrd.img")).unwrap();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.extend(fs::read(work.path().join("out/site/nodes/a/overlay.cpio.gz")).unwrap());
    fs::write(&initrd, bytes).unwrap();
    // The text after -- is the arguments of the first program (kernel-parameters); when it ends, the kernel panics.
    let line = "console=ttyS0 quiet panic=-1 tsc=reliable rdinit=/usr/bin/stat -- -c %a:%F:%n /root /root/keys /root/keys/a /lib /tmp /usr/lib/site/x";
    let mut command = Command::new("qemu-system-x86_64");
    command.args([
        "-machine",
        "q35,accel=tcg",
        "-m",
        "512",
        "-nodefaults",
        "-display",
        "none",
        "-no-reboot",
        "-serial",
        "stdio",
    ]);
    command.arg("-kernel").arg(base.join("vmlinuz")).arg("-initrd").arg(&initrd).args(["-append", line]);
    let console = run(command.stdin(Stdio::null()));
    for want in [
        "700:directory:/root",
        "755:directory:/root/keys",
        "644:regular file:/root/keys/a",
        "777:symbolic link:/lib",
        "1777:directory:/tmp",
        "644:regular file:/usr/lib/site/x",
    ] {
        assert!(console.lines().any(|line| line.trim() == want), "{want}\n{console}");
    }
}
