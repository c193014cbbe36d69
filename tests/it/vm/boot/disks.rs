//! Power cuts, and disks that are lost or exchanged.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::DEADLINE;
use super::site::Site;
use crate::support::{is_inside, refused, root, run};

/// Runs three writers that put keys, and cuts the power of every node meanwhile; returns the acknowledged keys.
fn write_until_the_power_is_cut(site: &Site) -> Vec<String> {
    let (stop, acknowledged) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for writer in 0..3 {
            let (stop, acknowledged) = (&stop, &acknowledged);
            scope.spawn(move || {
                for number in 0.. {
                    let key = format!("w{writer}-{number}");
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    if site.put(&key, &key) {
                        acknowledged.lock().unwrap().push(key);
                    }
                }
            });
        }
        while acknowledged.lock().unwrap().len() < 30 {
            thread::sleep(Duration::from_millis(20));
        }
        site.cut_power();
        stop.store(true, Ordering::Relaxed);
    });
    acknowledged.into_inner().unwrap()
}

/// A power failure of all nodes, then the loss of every disk at once.
#[test]
#[ignore = "emulated machines take many minutes for this: ci/long runs it"]
fn a_power_cut_on_every_node_loses_nothing() {
    if !is_inside("boot::disks::a_power_cut_on_every_node_loses_nothing", &["live", "cloud"]) {
        return;
    }
    let site = Site::ha3("qemu", "initramfs", "look");
    site.form();
    let acknowledged = write_until_the_power_is_cut(&site);
    site.form();
    site.verify();
    let all = run(&mut site.kiln("etcdctl", &["--", "get", "--prefix", "w", "--keys-only"]));
    let there: BTreeSet<_> = all.lines().collect();
    let lost: Vec<_> = acknowledged.iter().filter(|key| !there.contains(key.as_str())).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?} of {}", acknowledged.len());
    eprintln!("{} acknowledged writes are there after the power cut", acknowledged.len());

    // One node gets the disk of another: it is not modified.
    site.cut_power();
    fs::rename(site.data_disk("cp-a"), site.work.path().join("cp-a.qcow2")).unwrap();
    fs::copy(site.data_disk("cp-b"), site.data_disk("cp-a")).unwrap();
    let said = refused(&mut site.up(&["--deadline", DEADLINE]), 1);
    assert!(said.contains("/var/lib/etcd has the data of cp-b; attach this node's own disk"), "{said}");
    // And its own again.
    site.cut_power();
    fs::rename(site.work.path().join("cp-a.qcow2"), site.data_disk("cp-a")).unwrap();
    site.form();
    site.verify();

    // Every disk comes back empty: no other member can be asked, but the host has the record.
    site.cut_power();
    for node in &site.nodes {
        fs::remove_file(site.data_disk(node)).unwrap();
    }
    run(&mut site.up(&["--no-wait"]));
    let words = "does not bootstrap a new cluster: ha3 has formed before, but /var/lib/etcd is empty and no peer answers";
    for node in &site.nodes {
        site.wait_for(node, words, 1);
    }
    assert_eq!(site.status().matches(words).count(), 3);
    assert!(!site.put("anything", "at all"));
}

/// The disk of a cluster with the same name and the same addresses, made from another keystore.
#[test]
fn the_disk_of_another_cluster_is_left_alone() {
    if !is_inside("boot::disks::the_disk_of_another_cluster_is_left_alone", &["live", "cloud"]) {
        return;
    }
    let single = || {
        let text = fs::read_to_string(root().join("profiles/single.toml")).unwrap();
        let text = text.replace("token = \"etcd-cluster-k8s\"\n", "");
        Site::of(
            "single",
            format!("{text}\n[machine]\nmemory-mib = 512\n"),
            vec!["control-plane-1".into()],
            "qemu",
            "initramfs",
        )
    };
    // Two keystores, and so two clusters.
    let (one, two) = (single(), single());
    one.form();
    one.verify();
    run(&mut one.kiln("down", &[]));
    fs::create_dir_all(two.own("control-plane-1")).unwrap();
    fs::copy(one.data_disk("control-plane-1"), two.data_disk("control-plane-1")).unwrap();
    let said = refused(&mut two.up(&["--deadline", DEADLINE]), 1);
    assert!(said.contains("/var/lib/etcd belongs to another cluster than single"), "{said}");
    assert!(two.status().contains("blocked"), "{}", two.status());
    // The disk still works for its own cluster.
    run(&mut two.kiln("down", &[]));
    fs::copy(two.data_disk("control-plane-1"), one.data_disk("control-plane-1")).unwrap();
    one.form();
    one.verify();
}
