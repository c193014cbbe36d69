//! A cluster that is restored into new machines.

use std::fs;
use std::process::Command;

use super::DEADLINE;
use super::site::Site;
use crate::support::{is_inside, refused, run, store};

/// The bundle that `kiln restore` makes, and what it is restored with.
const NEXT: [&str; 2] = ["out/ha3-g2/bundle", "out/ha3-g2"];

fn up(site: &Site, options: &[&str]) -> Command {
    let how = ["up", NEXT[0], "--driver", site.driver, "--carrier", site.carrier, "--accel", "tcg"];
    site.work.kiln([&how[..], &["--deadline", DEADLINE], options].concat())
}

fn ctl(site: &Site, arguments: &[&str]) -> String {
    run(&mut site.work.kiln([&["etcdctl", NEXT[0], "--"], arguments].concat()))
}

/// The machines of the generation before keep their disks; the new ones begin with the snapshot, and `again` with what
/// they have since.
fn a_cluster_is_restored_into_new_machines(driver: &'static str, carrier: &'static str, again: bool) {
    let site = Site::ha3(driver, carrier, "look");
    site.form();
    assert!(site.put("before", "1"));
    run(&mut site.kiln("etcdctl", &["--", "snapshot", "save", "old.db"]));
    assert!(site.put("after", "1"));
    run(&mut site.kiln("seal", &[]));
    let restore = ["restore", "out/ha3", "--snapshot", "old.db", "--accept-unsigned", "--cluster", "ha3"];
    let mut restore = site.work.kiln([&restore[..], &["--profile", "./ha3.toml", "-o", NEXT[1]]].concat());
    restore.args(["--no-cache", "--artifacts"]).arg(store());
    let output = restore.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let next = format!(
        "kiln down out/ha3, then kiln up out/ha3-g2/bundle --restore out/ha3-g2 --driver {driver}{} --carrier {carrier};",
        if driver == "libvirt" { " --connect qemu:///system" } else { "" }
    );
    assert!(said.contains(&next), "{next}: {said}");

    if driver == "qemu" {
        let said = refused(&mut up(&site, &["--restore", NEXT[1]]), 6);
        assert!(said.contains("overlaps with"), "{said}");
    }
    let said = refused(site.up(&["--restore", NEXT[1]]).env("LC_ALL", "C"), 2);
    assert!(said.contains("is of generation 1 of ha3, which is not restored"), "{said}");
    run(&mut site.kiln("down", &[]));
    // New machines have empty disks, and no snapshot unless it is named; nothing is made then.
    let said = refused(&mut up(&site, &[]), 2);
    assert!(said.contains("name the directory that kiln restore has made"), "{said}");
    assert!(!site.work.path().join("out/ha3-g2/.bundle.machines").exists());
    let said = run(&mut up(&site, &["--restore", NEXT[1]]));
    assert!(said.starts_with("ha3: 3 members formed after "), "{said}");
    assert_eq!(ctl(&site, &["get", "--print-value-only", "before"]).trim(), "1");
    assert_eq!(ctl(&site, &["get", "after"]), "");
    run(&mut site.work.kiln(["verify", NEXT[0]]));
    // The cluster's data does not stay there.
    let machines = site.work.path().join("out/ha3-g2/.bundle.machines/nodes");
    for node in &site.nodes {
        assert!(!machines.join(node).join("restore.img").exists());
        assert!(site.own(node).join("data.qcow2").exists() || driver == "libvirt");
        let console = fs::read(machines.join(node).join("console.log")).unwrap();
        let console = String::from_utf8_lossy(&console).into_owned();
        assert!(
            console.contains("is switched to generation 2 of ha3; there was no data before"),
            "{console}"
        );
    }
    if again {
        ctl(&site, &["put", "since", "1"]);
        run(&mut site.work.kiln(["down", NEXT[0]]));
        run(&mut up(&site, &[]));
        assert_eq!(ctl(&site, &["get", "--print-value-only", "since"]).trim(), "1");
    }
    run(&mut site.work.kiln(["down", NEXT[0], "--purge", "--yes"]));
}

#[test]
fn qemu_and_initramfs() {
    if is_inside("boot::restored::qemu_and_initramfs", &["live"]) {
        a_cluster_is_restored_into_new_machines("qemu", "initramfs", false);
    }
}

#[test]
#[ignore = "emulated machines take many minutes for this: ci/long runs it"]
fn libvirt_and_cloud_init() {
    if is_inside("boot::restored::libvirt_and_cloud_init", &["cloud"]) {
        a_cluster_is_restored_into_new_machines("libvirt", "cloud-init", true);
    }
}
