//! A member that begins with a disk that its host has attached: the orders, and behind them the snapshot.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use kiln_wire::ATTACHED_ORDERS;

use super::machine::Lab;
use crate::support::{self, node::kiln_node};

/// An empty place, a snapshot of a member that has served elsewhere, and the disk that is made of it.
fn new_machine(has_wal: bool) -> Lab {
    let lab = Lab::new("3.5.16", 1, has_wal);
    lab.serve(1);
    lab.fill();
    lab.stop(1);
    lab.orders(1, |_| {});
    lab.shell("mv data-1 elsewhere; umount wal-1 2>/dev/null && rmdir wal-1 || :");
    lab.place(1);
    disk(&lab, |_| {});
    lab
}

/// As `kiln up --restore` makes it.
fn disk(lab: &Lab, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(lab.path("restore-1.json")).unwrap();
    bytes.resize(ATTACHED_ORDERS, 0);
    bytes.extend(fs::read(lab.path("snapshot.db")).unwrap());
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    change(&mut bytes);
    lab.work.file("disk", bytes);
}

fn command(lab: &Lab, member: &str, fail_at: Option<&str>) -> Command {
    let mut command = lab.command("env");
    command.args(fail_at.map(|step| format!("KILN_FAIL_AT={step}"))).arg(kiln_node());
    command.args(["restore", "attached", "--member", member, "--disk"]).arg(lab.path("disk"));
    command
}

fn run(lab: &Lab, member: &str) -> (i32, String) {
    let (code, out, said) = support::output(&mut command(lab, member, None));
    assert!(out.is_empty(), "{out}");
    (code, said)
}

fn own(lab: &Lab) -> String {
    format!("{:x}", lab.ids(2).0[0])
}

#[track_caller]
fn refuses(lab: &Lab, reason: &str) {
    let before = lab.listed(1);
    let (code, said) = run(lab, &own(lab));
    assert!(code == 1 && said.contains(reason), "{code}: {said}");
    assert_eq!(lab.listed(1), before, "{said}");
}

fn a_machine_begins_with_it(has_wal: bool) {
    let lab = new_machine(has_wal);
    // Killed anywhere, and begun again as at the next boot.
    for step in ["restored", "prepared", "journaled", "data-replaced", "recorded"] {
        let output = command(&lab, &own(&lab), Some(step)).output().unwrap();
        assert!(output.status.signal() == Some(6) || output.status.code() == Some(134), "{step}: {output:?}");
    }
    let (code, said) = run(&lab, &own(&lab));
    assert!(code == 0 && said.contains("is switched to generation 2 of r1"), "{code}: {said}");
    lab.is_tidy(1);
    lab.start(1, 2);
    assert!(lab.has(1, "k0") && !lab.has(1, "after"));
    assert!(lab.put("since", "kept"));
    lab.stop(1);
    // The disk is there at the next boots as well.
    let before = lab.listed(1);
    assert_eq!(run(&lab, &own(&lab)), (0, String::new()));
    assert_eq!(lab.listed(1), before);
    lab.start(1, 2);
    assert!(lab.has(1, "since"));
    lab.stop(1);
    // A later restore was done in its place, and the disk of this one is still there: it is another member's then.
    let whole = fs::read(lab.path("disk")).unwrap();
    lab.orders(1, |orders| {
        (orders["cluster-id"], orders["member-id"]) = ("00000000000000cc".into(), "00000000000000dd".into());
    });
    disk(&lab, |_| {});
    assert_eq!(run(&lab, &own(&lab)), (0, String::new()));
    assert_eq!(lab.listed(1), before);
    lab.work.file("disk", whole);
    // Its data is lost: what is on the disk is older than what this member has told the others.
    lab.shell("rm -r data-1/member; if [ -d wal-1 ]; then rm -r wal-1/wal; fi");
    refuses(&lab, "does not start etcd: it is not restored: ");
    // The record, too: then it is root's own that says it, or the host.
    lab.shell("rm data-1/kiln-cluster");
    let (served, made) = (format!("/var/lib/kiln/served-{:x}", lab.ids(2).1), "/run/kiln/formed");
    for file in [served.as_str(), made] {
        lab.shell(&format!(
            "for each in /var/lib /run; do mount -t tmpfs none $each; done; mkdir -p $(dirname {file}); touch {file}"
        ));
        refuses(&lab, "it has served generation 2 of r1 before, and its data is gone");
        lab.shell("umount /var/lib /run");
    }
}

#[test]
fn a_new_machine_begins_with_the_snapshot() {
    a_machine_begins_with_it(false);
}

#[test]
fn a_new_machine_with_its_log_elsewhere_begins_with_the_snapshot() {
    a_machine_begins_with_it(true);
}

#[test]
fn a_disk_that_is_not_the_one() {
    let lab = new_machine(false);
    let begin = |lab: &Lab| fs::read(lab.path("disk")).unwrap();
    let whole = begin(&lab);
    // Of another member, of nobody, of none that can be.
    let (code, said) = run(&lab, "1");
    assert!(code == 1 && said.contains("and this node is 1; attach its own"), "{code}: {said}");
    for member in ["", "x", "0x1", "-1", "12345678901234567"] {
        assert_eq!(run(&lab, member).0, 2, "{member}");
    }
    // Too short for its orders, without any, with others, and with a snapshot that ends early or is another.
    disk(&lab, |bytes| bytes.truncate(ATTACHED_ORDERS - 1));
    refuses(&lab, "copying the snapshot from");
    disk(&lab, |bytes| bytes.fill(0));
    refuses(&lab, "EOF");
    disk(&lab, |bytes| bytes[0] = b'[');
    refuses(&lab, "disk");
    disk(&lab, |bytes| bytes.truncate(bytes.len() - 4096));
    refuses(&lab, "bytes behind its orders, and the snapshot has");
    disk(&lab, |bytes| bytes[ATTACHED_ORDERS + 5000] ^= 1);
    refuses(&lab, "the snapshot that is attached: ");
    // Others can write it.
    lab.work.file("disk", &whole);
    lab.shell("chmod 666 disk");
    refuses(&lab, "is not a disk that only root can write");
    // There is none, as at each boot of a machine that was not restored.
    lab.shell("rm disk");
    assert_eq!(run(&lab, &own(&lab)), (0, String::new()));
    lab.shell("mkdir disk");
    refuses(&lab, "is not a disk");
    lab.shell("rmdir disk");
    // No room for the copy: nothing of it stays.
    lab.work.file("disk", &whole);
    lab.shell("rmdir data-1; mkdir data-1; mount -t tmpfs -o size=64m,mode=700,uid=998,gid=997 none data-1");
    refuses(&lab, "bytes free, and");
    assert_eq!(lab.shell("find data-1 -mindepth 1"), "");
}

#[test]
fn options_of_a_disk() {
    for (arguments, why) in [
        (&["restore", "attached"][..], "restore needs --policy FILE"),
        (&["restore", "attached", "--disk", "x"], "takes --disk FILE and --member ID"),
        (&["restore", "attached", "--disk", "x", "--member", "1", "--policy", "y"], "takes --disk FILE"),
        (&["restore", "attached", "--disk", "x", "--member", "1", "--snapshot", "y"], "takes --disk FILE"),
        (&["restore", "switch", "--policy", "x", "--disk", "y"], "are for restore attached"),
        (&["wipe", "--disk", "y"], "--disk is for restore"),
        (&["renew", "--member", "1"], "--member is for restore"),
    ] {
        let said = support::refused(Command::new(kiln_node()).args(arguments), 2);
        assert!(said.contains(why), "{arguments:?}: {said}");
    }
}
