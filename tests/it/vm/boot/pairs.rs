//! Each pair of carrier and driver: three nodes from power-on to a verified cluster, and nothing remains.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use super::DEADLINE;
use super::site::{Site, links, machines};
use crate::support::{self, is_inside, refused, run};

/// Whether this run takes as long as it needs.
fn is_long() -> bool {
    std::env::var_os("KILN_BOOT").is_some_and(|boot| boot == "all")
}

/// Whether a pair is in this run.
fn is_taken(driver: &str, carrier: &str) -> bool {
    let all = is_long();
    if !all {
        eprintln!("skipped: {carrier} with {driver} is for ci/boot --all");
    }
    all
}

/// The properties that a running node must have.
fn is_in_order(site: &Site, node: &str) {
    let said = site.look(node);
    let exposure: Vec<f64> = said
        .iter()
        .filter_map(|line| {
            line.strip_prefix("Overall exposure level for etcd.service: ")?.split(' ').next()?.parse().ok()
        })
        .collect();
    assert!(matches!(exposure[..], [level] if level <= 2.0), "{node}: {said:?}");
    let failed: Vec<_> = said.iter().filter(|line| line.starts_with("failed: ")).collect();
    assert!(failed.is_empty(), "{node}: {failed:?}");
    let keys: BTreeSet<_> = said.iter().filter_map(|line| line.strip_prefix("key: ")).collect();
    let own = [
        "600 etcd:etcd /etc/etcd/pki/peer-key.pem",
        "600 etcd:etcd /etc/etcd/pki/server-key.pem",
        "600 root:root /etc/etcd/pki/etcdctl-key.pem",
    ];
    assert_eq!(keys, BTreeSet::from(own), "{node}: a copy of a key, or a key of others");
    assert!(said.contains(&"mode: 700 etcd:etcd /var/lib/etcd".to_owned()), "{node}: {said:?}");
    // Devices and files that QEMU passes belong to root, and other users cannot read them.
    for line in said.iter().filter_map(|line| line.strip_prefix("mode: ")) {
        assert!(line.as_bytes()[2] == b'0', "{node}: {line}");
    }
    assert!(said.contains(&"hosts: 3".to_owned()), "{node}: {said:?}");
}

/// For each pair: three nodes from power-on to a verified cluster, and nothing remains.
fn from_power_on_to_nothing_left(driver: &'static str, carrier: &'static str) -> Site {
    is_well_from_power_on(Site::ha3(driver, carrier, "look"))
}

fn is_well_from_power_on(site: Site) -> Site {
    let sums = fs::read(site.work.path().join("out/ha3/SHA256SUMS")).unwrap();
    site.form();
    let first = machines();
    assert_eq!(first.len(), 3);
    // Inspecting the nodes keeps the machines busy: anything that is timed comes after it.
    for node in &site.nodes {
        is_in_order(&site, node);
    }
    site.verify();
    assert!(site.put("kept", "yes"));
    for node in &site.nodes {
        assert!(site.console(node).contains(&format!("kiln: {node} serves as a member of ha3")));
    }
    // A second `up` continues: the same machines, with their data.
    run(&mut site.up(&["--deadline", DEADLINE]));
    assert_eq!(machines().keys().collect::<Vec<_>>(), first.keys().collect::<Vec<_>>());
    assert_eq!(site.get("kept"), "yes");
    assert_eq!(fs::read(site.work.path().join("out/ha3/SHA256SUMS")).unwrap(), sums);
    site
}

/// Also the question of `--purge`, and that the bundle has not changed.
fn take_away(site: &Site, bare: &BTreeSet<String>) {
    run(&mut site.kiln("down", &[]));
    assert_eq!(machines(), BTreeMap::new());
    assert_eq!(links(), *bare);
    assert!(refused(&mut site.kiln("status", &[]), 1).contains("cp-c: off"));
    let asked = refused(&mut site.kiln("down", &["--purge"]), 6);
    assert!(asked.contains("--yes"), "{asked}");
    run(&mut site.kiln("down", &["--purge", "--yes"]));
    assert!(!site.work.path().join("out/.ha3.machines").exists());
    run(&mut site.kiln("check", &[]));
    if site.driver == "libvirt" {
        for listing in
            [["list", "--all", "--name"], ["net-list", "--all", "--name"], ["pool-list", "--all", "--name"]]
        {
            assert_eq!(run(Command::new("virsh").args(listing)).trim(), "", "{listing:?}");
        }
        assert!(!site.pool().exists());
    }
}

#[test]
fn libvirt_and_initramfs() {
    if !is_inside("boot::pairs::libvirt_and_initramfs", &["live", "cloud"]) {
        return;
    }
    let bare = links();
    let site = from_power_on_to_nothing_left("libvirt", "initramfs");
    let mixed =
        refused(&mut site.kiln("up", &["--driver", "libvirt", "--carrier", "ignition", "--base", "."]), 2);
    assert!(mixed.contains("is not a base system for ignition"), "{mixed}");
    let mixed = refused(&mut site.kiln("up", &["--driver", "qemu"]), 6);
    assert!(mixed.contains("were created with --driver libvirt --carrier initramfs"), "{mixed}");

    // The disk of one node is lost, with libvirt. The others serve; it bootstraps nothing and says what to do.
    run(&mut site.kiln("down", &[]));
    // Two of three were requested: it waits for them, and for no other.
    run(&mut site.up(&["--deadline", DEADLINE, "--node", "cp-b", "--node", "cp-c"]));
    run(Command::new("virsh").args(["vol-delete", "--pool", &site.libvirt_name(), "cp-a.data.qcow2"]));
    let said = refused(&mut site.up(&["--deadline", DEADLINE]), 1);
    assert!(
        said.contains("a node is blocked") && said.contains("says that cp-a has served ha3 before"),
        "{said}"
    );
    let stands = site.status();
    assert!(
        stands.contains("cp-a  10.240.16.10  blocked  does not start etcd")
            && stands.matches("formed").count() == 2,
        "{stands}"
    );
    assert_eq!(site.get("kept"), "yes");
    take_away(&site, &bare);
}

/// In a long run: the seed is needed only once.
#[test]
fn qemu_and_cloud_init() {
    if !is_inside("boot::pairs::qemu_and_cloud_init", &["live", "cloud"]) {
        return;
    }
    let bare = links();
    let site = from_power_on_to_nothing_left("qemu", "cloud-init");
    if is_long() {
        detach_the_seeds_and_cut_the_power(&site);
        for node in &site.nodes {
            site.wait_for(node, "serves as a member", 2);
        }
        site.verify();
        assert_eq!(site.get("kept"), "yes");
    }
    take_away(&site, &bare);
}

/// Restarts every QEMU with the same arguments, except for the disk with the seed.
fn detach_the_seeds_and_cut_the_power(site: &Site) {
    let all = machines();
    site.cut_power();
    for words in all.values() {
        let seed = words.iter().position(|word| word.contains("seed.iso")).unwrap();
        // -drive …seed.iso -device virtio-blk-pci,drive=…
        let kept = words.iter().enumerate().filter(|(at, _)| !(seed - 1..=seed + 2).contains(at));
        run(Command::new(&words[0]).args(kept.map(|(_, word)| word).skip(1)));
    }
    assert_eq!(machines().len(), all.len());
}

#[test]
fn qemu_and_initramfs() {
    if is_taken("qemu", "initramfs") && is_inside("boot::pairs::qemu_and_initramfs", &["live", "cloud"]) {
        let bare = links();
        take_away(&from_power_on_to_nothing_left("qemu", "initramfs"), &bare);
    }
}

/// Nodes on a whole disk with a boot loader, such as the cloud images of distributions.
fn on_a_disk_image(driver: &'static str) -> Site {
    let base = Some(support::lab().join("base/image/disk.qcow2"));
    Site { base, ..Site::ha3(driver, "cloud-init", "look") }
}

#[test]
fn qemu_and_a_disk_image() {
    if is_taken("qemu", "a disk image") && is_inside("boot::pairs::qemu_and_a_disk_image", &["live", "cloud"])
    {
        let bare = links();
        take_away(&is_well_from_power_on(on_a_disk_image("qemu")), &bare);
    }
}

#[test]
fn libvirt_and_a_disk_image() {
    if is_taken("libvirt", "a disk image")
        && is_inside("boot::pairs::libvirt_and_a_disk_image", &["live", "cloud"])
    {
        let bare = links();
        take_away(&is_well_from_power_on(on_a_disk_image("libvirt")), &bare);
    }
}

#[test]
fn qemu_and_ignition() {
    if is_taken("qemu", "ignition") && is_inside("boot::pairs::qemu_and_ignition", &["live", "cloud"]) {
        let bare = links();
        take_away(&from_power_on_to_nothing_left("qemu", "ignition"), &bare);
    }
}

#[test]
fn libvirt_and_cloud_init() {
    if is_taken("libvirt", "cloud-init")
        && is_inside("boot::pairs::libvirt_and_cloud_init", &["live", "cloud"])
    {
        let bare = links();
        take_away(&from_power_on_to_nothing_left("libvirt", "cloud-init"), &bare);
    }
}

#[test]
fn libvirt_and_ignition() {
    if is_taken("libvirt", "ignition") && is_inside("boot::pairs::libvirt_and_ignition", &["live", "cloud"]) {
        let bare = links();
        take_away(&from_power_on_to_nothing_left("libvirt", "ignition"), &bare);
    }
}
