//! `kiln up` that ends before a VM was started, and `kiln down` without VMs.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use crate::support::bundles::mode;
use crate::support::{SMALL, Workshop, have, output, refused, snapshot};
use serde_json::{Value, json};

/// A bundle for `kiln up --carrier initramfs`, and a base system that no machine is started from.
fn for_machines() -> Workshop {
    let work = Workshop::new();
    work.keystore("small");
    work.file("small.toml", SMALL.replace("[\"tar\"]", "[\"initramfs\"]"));
    work.build("./small.toml");
    for name in ["vmlinuz", "initrd.img", "cmdline"] {
        work.file(&format!("base/{name}"), "console=ttyS0");
    }
    // A QEMU that does not start.
    fs::create_dir(work.path().join("bin")).unwrap();
    for arch in ["x86_64", "aarch64"] {
        symlink("/bin/false", work.path().join(format!("bin/qemu-system-{arch}"))).unwrap();
    }
    work
}

/// `kiln up`, run as "$@" of a shell script in a user namespace; returns the exit code and stderr.
fn up(work: &Workshop, unshare: &[&str], script: &str) -> (i32, String) {
    let path = std::env::var("PATH").unwrap();
    let mut command = Command::new("unshare");
    command.args(unshare).args(["--map-root-user", "sh", "-ec", script, "sh", env!("CARGO_BIN_EXE_kiln")]);
    command.args(["up", "out/small", "--carrier", "initramfs", "--base", "base", "--accel", "tcg"]);
    command.args(["--allow-unverified"]).current_dir(work.path());
    command.env("PATH", format!("{}:{path}:/usr/sbin", work.path().join("bin").display()));
    let (code, _, said) = output(command.env("XDG_STATE_HOME", work.path().join(".state")));
    // Neither disks nor a record.
    let below = |path: &str| snapshot(&work.path().join(path)).into_iter().map(|(name, ..)| name);
    assert!(!below("out").any(|name| name.contains("machines")), "{said}");
    if work.path().join(".state/kiln").exists() {
        assert_eq!(below(".state/kiln").filter(|name| name.starts_with("machines/")).count(), 0, "{said}");
    }
    (code, said)
}

#[test]
fn refused_up_leaves_a_directory() {
    if !have("ip") || !have("unshare") {
        return;
    }
    let work = for_machines();
    let is_in_the_network = "ip address add 10.0.0.9/24 dev lo; exec \"$@\"";
    let (code, said) = up(&work, &["--net"], is_in_the_network);
    assert!(code == 6 && said.contains("overlaps with"), "{said}");
    let (code, said) = up(&work, &[], "exec \"$@\"");
    assert!(code == 5 && said.contains("cannot create network interfaces"), "{said}");
    // The network is made; then no VM starts, or this user may not make its tap.
    let and_count_interfaces =
        "\"$@\" || code=$?; echo interfaces: $(ip -o link show | wc -l) >&2; exit $code";
    let (code, said) = up(&work, &["--net"], and_count_interfaces);
    assert!(code == 5 && said.contains("interfaces: 1"), "{said}");
}

/// A VM has one card on one link, without tags, and is matched by its MAC address.
#[test]
fn up_refuses_cards_and_links_that_it_cannot_give() {
    let cidr = "cidr = \"10.0.0.0/24\"";
    let peer = ", peer = { cidr = \"172.16.0.0/24\" }";
    let subnet = ", subnet = [{ cidr = \"10.0.0.0/25\", gateway = \"10.0.0.126\" }]";
    let one = "kiln up gives each VM one card, on one link";
    let vlan = "a tags its frames for VLAN 20";
    let bond = ", bond = { cards = [\"eno1\", \"eno2\"] }";
    for (more, address, why) in [
        (peer, "peer-address = \"172.16.0.4\"\n", one),
        (subnet, "", one),
        (", vlan = 20", "", vlan),
        (", card = \"eno1\"", "", "the card of a is called eno1"),
        (bond, "", "a has a bond of several cards"),
        (
            ", gateway = \"10.9.0.1\", on-link = true",
            "",
            "the gateway of a is 10.9.0.1, outside of its network",
        ),
    ] {
        let work = Workshop::new();
        work.keystore("small");
        let profile = SMALL.replace("[\"tar\"]", "[\"initramfs\"]").replace(cidr, &format!("{cidr}{more}"));
        work.file("small.toml", profile + address);
        work.build("./small.toml");
        // No base system is asked for first: it would not help.
        let mut up = work.kiln(["up", "out/small", "--carrier", "initramfs", "--accel", "tcg"]);
        let said = refused(up.arg("--allow-unverified"), 2);
        assert!(said.contains(why), "{said}");
        assert!(said.contains("Form the cluster with kiln rehearse"), "{said}");
        assert!(!work.path().join(".state/kiln/machines").exists(), "{said}");
    }
}

/// The advice of `down` and `status` names no base system.
#[test]
fn up_starts_vms_again_from_the_base_system_that_they_had() {
    if !have("unshare") {
        return;
    }
    let work = for_machines();
    let manifest: Value =
        serde_json::from_slice(&fs::read(work.path().join("out/small/bundle.json")).unwrap()).unwrap();
    let again = |base: &str| {
        let record = json!({
            "schema": 2, "cluster": "small", "cluster_id": manifest["cluster"]["id"], "named_by": "id",
            "driver": "qemu", "carrier": "initramfs", "accel": "tcg", "connect": "qemu:///system",
            "base": work.path().join(base), "laid": false, "nodes": {}
        });
        work.file("out/.small.machines/machines.json", record.to_string());
        let path = std::env::var("PATH").unwrap();
        let mut up = Command::new("unshare");
        up.args([
            "--net",
            "--map-root-user",
            env!("CARGO_BIN_EXE_kiln"),
            "up",
            "out/small",
            "--accel",
            "tcg",
        ]);
        up.arg("--allow-unverified")
            .current_dir(work.path())
            .env("XDG_STATE_HOME", work.path().join(".state"));
        up.env("PATH", format!("{}:{path}:/usr/sbin", work.path().join("bin").display()));
        output(up.env("KILN_LAB", work.path().join("nowhere"))).2
    };
    let said = again("base");
    assert!(said.contains("qemu-system") && !said.contains("base system"), "{said}");
    let said = again("gone");
    assert!(said.contains("there is no base system"), "{said}");
}

#[test]
fn interrupted_up_says_that_vms_run() {
    if !have("unshare") {
        return;
    }
    let work = for_machines();
    let ip = work.file("bin/ip", "#!/bin/sh\nkill -INT $PPID\nsleep 20\n");
    mode(&ip, 0o755);
    let (code, said) = up(&work, &["--net"], "exec \"$@\"");
    assert_eq!(code, 130, "{said}");
    assert!(said.contains("interrupted; no VM was started, and nothing was left behind"), "{said}");
}

#[test]
fn down_asks_about_disks_that_another_run_may_remove() {
    let work = for_machines();
    let manifest: Value =
        serde_json::from_slice(&fs::read(work.path().join("out/small/bundle.json")).unwrap()).unwrap();
    let record = json!({
        "schema": 2, "cluster": "small", "cluster_id": manifest["cluster"]["id"], "named_by": "id",
        "driver": "libvirt", "carrier": "initramfs", "accel": "tcg", "connect": "qemu:///system",
        "laid": false, "nodes": {}
    });
    work.file("out/.small.machines/machines.json", record.to_string());
    let mut asking = work.kiln(["down", "out/small", "--purge"]);
    let mut asking = asking.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut question = [0; 31];
    asking.stderr.as_mut().unwrap().read_exact(&mut question).unwrap();
    assert_eq!(&question[..], b"this removes the disks of small");
    let said = refused(&mut work.kiln(["down", "out/small", "--purge", "--yes"]), 7);
    assert!(said.contains("another run of kiln has locked"), "{said}");
    asking.stdin.take().unwrap().write_all(b"y\n").unwrap();
    assert!(asking.wait().unwrap().success());
    assert!(!work.path().join("out/.small.machines").exists());
}
