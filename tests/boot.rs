//! Real virtual machines, from power-on to a verified cluster, in a network namespace of their own (ci/lab).

#![allow(clippy::disallowed_methods, reason = "tests use files and programs as people do")]

mod lab;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use lab::{Workshop, ha3_with, refused, root, run, store};

/// Says to the test that it runs inside the lab.
const INSIDE: &str = "KILN_TEST_INSIDE";

/// Three emulated machines at a time are enough for a small computer.
static TURN: Mutex<()> = Mutex::new(());

/// Outside the lab: runs the test of this name again in there and returns false.
fn is_inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let qemu = std::env::split_paths(&std::env::var_os("PATH").unwrap())
        .any(|directory| directory.join("qemu-system-x86_64").exists());
    assert!(qemu && lab::lab().join("base/live/initrd.img").exists(), "run ci/setup --vm first");
    store();
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let mut command = Command::new(root().join("ci/lab"));
    command.current_dir(root()).arg("env").arg(format!("{INSIDE}=1")).arg(std::env::current_exe().unwrap());
    run(command.args(["--exact", test, "--nocapture"]).env("KILN_LAB", lab::lab()));
    false
}

/// The QEMUs that run here: the lab has a PID namespace of its own.
fn machines() -> BTreeSet<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.file_name());
    let pids = entries.filter_map(|name| name.into_string().ok());
    let is_qemu = |pid: &String| {
        let line = fs::read(Path::new("/proc").join(pid).join("cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).next().is_some_and(|name| name.ends_with(b"qemu-system-x86_64"))
    };
    pids.filter(|pid| pid.bytes().all(|b| b.is_ascii_digit())).filter(is_qemu).collect()
}

fn links() -> BTreeSet<String> {
    fs::read_dir("/sys/class/net").unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

fn work() -> Workshop {
    let work = Workshop::new();
    let etcd = "[etcd]\nversion = \"3.5.16\"\n\n[machine]\nmemory-mib = 512\n\n# Client certificates";
    work.file("ha3.toml", ha3_with(&[("# Client certificates", etcd)]));
    work.build("./ha3.toml");
    work
}

#[test]
fn three_machines_of_qemu_form_from_ram() {
    if is_inside("three_machines_of_qemu_form_from_ram") {
        from_power_on_to_nothing_left("qemu");
    }
}

#[test]
fn three_machines_of_libvirt_form_from_ram() {
    if is_inside("three_machines_of_libvirt_form_from_ram") {
        from_power_on_to_nothing_left("libvirt");
    }
}

fn from_power_on_to_nothing_left(driver: &str) {
    let work = work();
    let kiln = |arguments: &[&str]| work.kiln(arguments);
    let (bare, sums) = (links(), fs::read(work.path().join("out/ha3/SHA256SUMS")).unwrap());
    let up = ["up", "out/ha3", "--driver", driver, "--accel", "tcg", "--deadline", "400"];
    let said = run(&mut kiln(&up));
    assert!(said.starts_with("ha3: 3 members formed after "), "{said}");
    let first = machines();
    assert_eq!(first.len(), 3);
    let verified = run(&mut kiln(&["verify", "out/ha3"]));
    assert!(verified.contains("the cluster is what the bundle promises") && !verified.contains("FAILED"));
    run(&mut kiln(&["etcdctl", "out/ha3", "--", "put", "kept", "yes"]));

    // A second one continues: the same machines, with what was written.
    run(&mut kiln(&up));
    assert_eq!(machines(), first);
    assert!(run(&mut kiln(&["etcdctl", "out/ha3", "--", "get", "kept"])).contains("yes"));
    let mixed =
        refused(&mut kiln(&["up", "out/ha3", "--driver", driver, "--carrier", "ignition", "--base", "."]), 2);
    assert!(mixed.contains("is not a base system for ignition"), "{mixed}");

    run(&mut kiln(&["down", "out/ha3"]));
    assert_eq!(machines(), BTreeSet::new());
    assert_eq!(links(), bare);
    assert!(refused(&mut kiln(&["status", "out/ha3"]), 1).contains("cp-c: off"));
    let asked = refused(&mut kiln(&["down", "out/ha3", "--purge"]), 6);
    assert!(asked.contains("--yes"), "{asked}");
    run(&mut kiln(&["down", "out/ha3", "--purge", "--yes"]));
    assert!(!work.path().join("out/.ha3.machines").exists());
    run(&mut kiln(&["check", "out/ha3"]));
    assert_eq!(fs::read(work.path().join("out/ha3/SHA256SUMS")).unwrap(), sums);
}
