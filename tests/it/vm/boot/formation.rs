//! Members that form and form again: started late, five of them, rebooted.

use std::fs;
use std::thread;
use std::time::Duration;

use super::site::Site;
use crate::support::{ha3_with, is_inside, run};

/// Started a minute apart and in reverse order; two of three serve before the third has ever started.
#[test]
#[ignore = "emulated machines take many minutes for this: ci/long runs it"]
fn members_come_a_minute_apart_in_reverse() {
    if !is_inside("boot::formation::members_come_a_minute_apart_in_reverse", &["live", "cloud"]) {
        return;
    }
    let site = Site::ha3("qemu", "initramfs", "look");
    run(&mut site.up(&["--no-wait", "--node", "cp-c"]));
    thread::sleep(Duration::from_secs(60));
    // A single node waits, without a timeout.
    let stands = site.status();
    assert!(
        stands.contains("cp-c  10.240.80.10  etcd started") && stands.contains("cp-a  10.240.16.10  off"),
        "{stands}"
    );
    run(&mut site.up(&["--no-wait", "--node", "cp-b"]));
    site.wait_for("cp-b", "serves as a member of ha3", 1);
    site.wait_for("cp-c", "serves as a member of ha3", 1);
    assert!(site.put("two", "of three"));
    // `up` did not wait for them: the host records that they have formed when `status` asks.
    site.status();
    let record = fs::read_to_string(site.machines().join("machines.json")).unwrap();
    assert!(
        record.contains("\"cp-b\"") && record.contains("\"cp-c\"") && !record.contains("\"cp-a\""),
        "{record}"
    );
    thread::sleep(Duration::from_secs(30));
    site.form();
    site.verify();
    assert_eq!(site.get("two"), "of three");
    let console = site.console("cp-c");
    assert!(!console.contains("does not bootstrap") && !console.contains("does not start etcd"), "{console}");
}

/// Clean reboots, each of which ends all programs and unmounts the disk.
#[test]
#[ignore = "emulated machines take many minutes for this: ci/long runs it"]
fn five_reboots_found_nothing_anew() {
    if !is_inside("boot::formation::five_reboots_found_nothing_anew", &["live", "cloud"]) {
        return;
    }
    let site = Site::ha3("qemu", "initramfs", "reboot");
    run(&mut site.up(&["--no-wait"]));
    for node in &site.nodes {
        site.wait_for(node, "reboots: 5", 1);
    }
    site.form();
    site.verify();
    for node in &site.nodes {
        let console = site.console(node);
        assert_eq!(console.matches("serves as a member of ha3").count(), 6, "{node}:\n{console}");
        assert!(
            !console.contains("does not bootstrap") && !console.contains("does not start etcd"),
            "{console}"
        );
    }
}

#[test]
#[ignore = "emulated machines take many minutes for this: ci/long runs it"]
fn five_members_form() {
    if !is_inside("boot::formation::five_members_form", &["live", "cloud"]) {
        return;
    }
    let mut profile =
        ha3_with(&[("# Client certificates", "[machine]\nmemory-mib = 512\n\n# Client certificates")]);
    profile.push_str("\n[bundle]\ninitramfs-compression = \"zstd\"\n");
    profile = profile.replace("\"ha3\"", "\"ha5\"");
    profile.push_str("\n[[node]]\nname = \"cp-d\"\naddress = \"10.240.112.10\"\n\n[[node]]\nname = \"cp-e\"\naddress = \"10.240.144.10\"\n");
    let nodes = ["cp-a", "cp-b", "cp-c", "cp-d", "cp-e"].map(str::to_owned).to_vec();
    let site = Site::of("ha5", profile, nodes, "qemu", "initramfs");
    site.form();
    site.verify();
}
