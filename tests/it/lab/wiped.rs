//! kiln-node takes a host back: what the list has goes, whatever stops it; nothing else does, and no quorum is lost
//! unasked.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::snapshots::machine::Lab;
use crate::support::{node::kiln_node, root};

/// In their order.
const STEPS: &[&str] = &["stopped", "marked", "disabled", "emptied", "removed", "emptied-all", "forgotten"];

/// What the host of a member has, in `host-N`, with the member's own data.
fn host(lab: &Lab, number: usize) {
    let at = |name: &str| lab.path(&format!("host-{number}/{name}"));
    for directory in
        ["etc/etcd/pki", "etc/kiln", "var/kiln/pki/1", "var/kiln/snapshots/s1/2026", "bin", "site"]
    {
        fs::create_dir_all(at(directory)).unwrap();
    }
    for file in [
        "etc/etcd/etcd.conf",
        "etc/etcd/pki/server-key.pem",
        "etc/kiln/guard.sh",
        "var/kiln/served-00aa000000000001",
        "var/kiln/served-aa000000000002",
        "var/kiln/pki/1/peer.pem",
        "var/kiln/snapshots/s1/2026/a.db.age",
        "var/kiln/snapshots/of-the-site",
        "bin/etcd",
        "bin/kiln-node",
        "site/file",
    ] {
        fs::write(at(file), "x").unwrap();
    }
    symlink(at("site"), at("etc/etcd/pki/link")).unwrap();
    symlink(at("site"), at("var/kiln/pki/live")).unwrap();
}

/// The list of a member, after a change.
fn list(lab: &Lab, number: usize, change: impl FnOnce(&mut Value)) {
    let at = |name: &str| lab.path(&format!("host-{number}/{name}"));
    let backup: Value = serde_json::from_str(&lab.read(&format!("backup-{number}.json"))).unwrap();
    let others = (1..=3).filter(|other| *other != number);
    let mut list = json!({
        "schema": 1, "cluster": "s1", "node": format!("n{number}"), "cluster-id": backup["cluster-id"],
        "etcdctl": backup["etcdctl"], "ca": backup["ca"], "cert": backup["cert"], "key": backup["key"],
        "endpoint": backup["endpoint"], "peer-url": format!("https://127.0.0.1:{number}2380"),
        "others": others.map(|other| format!("https://127.0.0.1:{other}2379")).collect::<Vec<_>>(),
        "account": "root", "units": ["etcd.service", "kiln-snapshot.timer"],
        "data": lab.path(&format!("data-{number}")),
        "trees": [lab.path(&format!("data-{number}")), at("var/kiln/pki"), at("var/kiln/snapshots/s1")],
        "files": [at("etc/etcd/etcd.conf"), at("etc/etcd/pki/link"), at("etc/etcd/pki/server-key.pem"),
                  at("etc/kiln/guard.sh"), at("etc/kiln/never-there"), at("etc/kiln/wipe.json")],
        "shared": [at("bin/etcd"), at("bin/kiln-node")],
        "directories": [at("var/kiln/snapshots"), at("var/kiln"), at("etc/kiln"), at("etc/etcd/pki"), at("etc/etcd")],
        "own": at("etc/kiln"), "state": at("var/kiln"), "hosts": true,
    });
    change(&mut list);
    fs::write(at("etc/kiln/wipe.json"), list.to_string()).unwrap();
    fs::set_permissions(at("etc/kiln/wipe.json"), fs::Permissions::from_mode(0o644)).unwrap();
}

fn wiping(lab: &Lab, number: usize, more: &[&str], fail_at: Option<&str>) -> Command {
    let mut command = lab.command("env");
    command.args(fail_at.map(|step| format!("KILN_FAIL_AT={step}")));
    command.arg(kiln_node()).arg("wipe").arg("--policy");
    command.arg(lab.path(&format!("host-{number}/etc/kiln/wipe.json"))).args(more).stdin(Stdio::null());
    command
}

/// The exit code of a run, and what was said.
fn wipe(lab: &Lab, number: usize, more: &[&str]) -> (i32, String) {
    let Output { status, stderr, .. } = wiping(lab, number, more, None).output().unwrap();
    (status.code().unwrap_or(-1), String::from_utf8(stderr).unwrap())
}

const NAMED: &[&str] = &["--cluster", "s1"];
const FORCED: &[&str] = &["--cluster", "s1", "--force"];

/// All paths of a host and of its member's data.
fn paths(lab: &Lab, number: usize) -> BTreeSet<String> {
    let tops = [format!("host-{number}"), format!("data-{number}")];
    let all =
        tops.iter().flat_map(|top| walkdir::WalkDir::new(lab.path(top)).into_iter().filter_map(Result::ok));
    all.map(|entry| entry.path().strip_prefix(lab.work.path()).unwrap().display().to_string()).collect()
}

#[track_caller]
fn refuses(lab: &Lab, number: usize, more: &[&str], why: &str) {
    let before = paths(lab, number);
    let (code, said) = wipe(lab, number, more);
    assert!(code == 1 && said.contains(why), "{code}: {said}");
    assert_eq!(paths(lab, number), before, "{said}");
}

/// Only what is not Kiln's is there.
#[track_caller]
fn is_wiped(lab: &Lab, number: usize) {
    let left: Vec<_> = paths(lab, number).into_iter().collect();
    let host = format!("host-{number}");
    let expected = [
        "",
        "/bin",
        "/etc",
        "/site",
        "/site/file",
        "/var",
        "/var/kiln",
        "/var/kiln/snapshots",
        "/var/kiln/snapshots/of-the-site",
    ];
    assert_eq!(left, expected.map(|name| format!("{host}{name}")));
}

/// A file system of its own for /etc, in which Kiln's files can be.
fn own_etc(lab: &Lab) {
    lab.shell(
        "mkdir etc; mount -t tmpfs tmpfs etc; mkdir etc/up etc/work
         mount -t overlay -o lowerdir=/etc,upperdir=etc/up,workdir=etc/work overlay /etc; mkdir -p /etc/kiln
         printf '127.0.0.1 localhost\\n# kiln: s1\\n10.0.0.1 n1\\n# kiln: end of s1\\n# ours\\n' >/etc/hosts",
    );
}

#[test]
fn each_step_of_the_source_is_in_the_table() {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(root().join("builder/node/wipe")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        found.extend(text.split("reached(\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()));
    }
    assert_eq!(found, STEPS.iter().map(|step| (*step).to_owned()).collect());
}

#[test]
fn a_member_goes_while_the_others_have_a_quorum() {
    let lab = Lab::new("3.5.16", 3);
    own_etc(&lab);
    for number in 1..=3 {
        host(&lab, number);
        list(&lab, number, |_| {});
    }
    refuses(&lab, 3, &[], "--cluster");
    refuses(&lab, 3, &["--cluster", "s2"], "not the name of its cluster");
    // There is no systemd here that would have stopped it.
    refuses(&lab, 3, NAMED, "etcd still has");
    lab.stop("n2");
    refuses(&lab, 3, NAMED, "without it 1 of 3 members answer, and 2 are a quorum");
    lab.etcd(2);
    crate::support::wait_for("n2", || lab.ctl(2, &["endpoint", "health"]).status.success().then_some(()));
    lab.stop("n3");
    let (code, said) = wipe(&lab, 3, NAMED);
    assert!(code == 0 && said.contains("2 other members answer") && said.contains("no systemd"), "{said}");
    assert!(said.contains("var/kiln/snapshots: it has what is not Kiln's, as of-the-site"), "{said}");
    is_wiped(&lab, 3);
    assert_eq!(lab.shell("cat /etc/hosts"), "127.0.0.1 localhost\n# ours\n");
    assert!(lab.put("b", "2"), "the others serve");

    // One of the two that are left is needed, until the third is removed; then both are.
    lab.stop("n2");
    refuses(&lab, 1, NAMED, "no member of s1 says who its members are");
    lab.etcd(2);
    crate::support::wait_for("n2", || lab.ctl(2, &["endpoint", "health"]).status.success().then_some(()));
    refuses(&lab, 1, NAMED, "is needed");
    // The list of another cluster's node.
    list(&lab, 1, |list| list["cluster-id"] = json!("00aa000000000001"));
    refuses(&lab, 1, NAMED, "was built for 00aa000000000001");
    // A member that is not in the list of members any more.
    list(&lab, 1, |list| list["peer-url"] = json!("https://127.0.0.9:2380"));
    lab.stop("n1");
    lab.stop("n2");
    let (code, said) = wipe(&lab, 1, FORCED);
    assert!(code == 0 && said.contains("--force"), "{said}");
    is_wiped(&lab, 1);
}

#[test]
fn the_only_member_goes_by_force_and_a_killed_run_goes_on() {
    let lab = Lab::new("3.5.16", 1);
    own_etc(&lab);
    host(&lab, 1);
    list(&lab, 1, |list| list["others"] = json!([]));
    refuses(&lab, 1, NAMED, "the only copy of the data");
    lab.stop("n1");
    refuses(&lab, 1, NAMED, "no member of s1 says who its members are");
    lab.shell("cp -a data-1 kept");
    for step in STEPS {
        lab.shell("rm -rf data-1 host-1 && cp -a kept data-1");
        host(&lab, 1);
        list(&lab, 1, |list| list["others"] = json!([]));
        let output = wiping(&lab, 1, FORCED, Some(step)).output().unwrap();
        let is_aborted = output.status.signal() == Some(6) || output.status.code() == Some(134);
        assert!(is_aborted, "{step}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
        match *step {
            "forgotten" => {
                let left = paths(&lab, 1);
                assert!(!left.contains("host-1/etc/kiln/wipe.json") && left.contains("host-1/bin/kiln-node"));
                lab.shell("rm host-1/bin/kiln-node; rmdir host-1/etc/kiln");
            }
            // Nothing has gone yet, so that it asks again.
            "stopped" => assert_eq!(wipe(&lab, 1, FORCED).0, 0),
            _ => {
                let (code, said) = wipe(&lab, 1, NAMED);
                assert!(code == 0 && said.contains("goes on"), "{step}: {said}");
            }
        }
        is_wiped(&lab, 1);
    }
}

#[test]
fn links_and_mounts_are_not_followed() {
    let lab = Lab::new("3.5.16", 1);
    own_etc(&lab);
    lab.stop("n1");
    host(&lab, 1);
    list(&lab, 1, |list| list["others"] = json!([]));
    lab.shell("mkdir precious && echo p >precious/file");
    let is_whole = || assert_eq!(lab.shell("cat precious/file"), "p\n");

    // In place of the data.
    lab.shell("mv data-1 elsewhere && ln -s precious data-1");
    refuses(&lab, 1, FORCED, "data-1 is not a directory");
    is_whole();
    lab.shell("rm data-1 && mv elsewhere data-1");
    // Below a directory that another account can change.
    lab.shell("chmod 0777 .");
    refuses(&lab, 1, FORCED, "can be changed by other accounts");
    lab.shell("chmod 0755 .");
    // Another account's data.
    lab.shell("chown nobody host-1/var/kiln/pki");

    // The data is a disk of its own, with a link, another disk and a directory that is mounted there.
    lab.shell(
        "mv data-1 old && mkdir data-1 && mount -t tmpfs tmpfs data-1 && cp -a old/. data-1 && rm -rf old
         ln -s ../precious data-1/link; mkdir data-1/disk data-1/bound data-1/lost+found data-1/member/lost+found
         mount -t tmpfs tmpfs data-1/disk; echo d >data-1/disk/file; mkdir data-1/disk/inner
         mount --bind precious data-1/bound",
    );
    let (code, said) = wipe(&lab, 1, FORCED);
    assert_eq!(code, 0, "{said}");
    is_whole();
    assert_eq!(lab.shell("ls data-1; cat data-1/disk/file"), "bound\ndisk\nlost+found\nd\n");
    for why in [
        "data-1/disk: another file system",
        "data-1/bound: another file system",
        "var/kiln/pki: it belongs to another",
    ] {
        assert!(said.contains(why), "{why}: {said}");
    }
    lab.shell("test -e host-1/var/kiln/pki/1/peer.pem; test -e host-1/site/file");
}

#[test]
fn programs_stay_with_another_instance() {
    let lab = Lab::new("3.5.16", 1);
    own_etc(&lab);
    lab.stop("n1");
    host(&lab, 1);
    list(&lab, 1, |list| list["others"] = json!([]));
    lab.shell("mkdir /etc/kiln/events && touch /etc/kiln/events/guard.sh");
    let (code, said) = wipe(&lab, 1, FORCED);
    assert!(code == 0 && said.contains("the instance in /etc/kiln/events"), "{said}");
    for name in ["etcd", "kiln-node"] {
        assert!(Path::new(&lab.path(&format!("host-1/bin/{name}"))).exists());
    }
    assert!(!lab.path("host-1/etc/kiln").exists());
    lab.shell("test -e /etc/kiln/events/guard.sh");
}

#[test]
fn the_status_is_of_all_that_runs() {
    let lab = Lab::new("3.5.16", 1);
    own_etc(&lab);
    let status = |more: &[&str]| {
        let output = lab.command(kiln_node()).arg("status").args(more).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(status(&[]).0, Some(1), "there is nothing");
    lab.local_policy(1, |policy| policy["interval"] = json!(60));
    host(&lab, 1);
    list(&lab, 1, |list| list["others"] = json!([]));
    lab.shell("cp backup-1.json /etc/kiln/backup.json; cp host-1/etc/kiln/wipe.json /etc/kiln/wipe.json");
    lab.taken(1);
    let id = lab.read("host-1/etc/kiln/wipe.json");
    let id = serde_json::from_str::<Value>(&id).unwrap()["cluster-id"].as_str().unwrap().to_owned();
    lab.shell(&format!(
        "echo {id} >data-1/kiln-cluster; echo generation 3 0123456789abcdef >>data-1/kiln-cluster"
    ));
    let (code, said) = status(&[]);
    assert!(code == Some(0) && said.contains(&format!("generation 3 of s1, cluster {id}")), "{said}");
    let all: Value = serde_json::from_str(&status(&["--json"]).1).unwrap();
    assert_eq!((&all["good"], &all["rows"][0]["state"]), (&json!(true), &json!("good")), "{all}");

    lab.stop("n1");
    assert_eq!(lab.snapshot(1).0, 1);
    let (code, said) = status(&[]);
    assert!(code == Some(1) && said.contains("failed"), "{said}");
    // Two intervals later.
    lab.shell("sed -i 's/\"last-success\": [0-9]*/\"last-success\": 1764000001/' run-1/backup-status.json");
    assert!(status(&[]).1.contains("overdue"));
    lab.shell("echo 00aa000000000001 >data-1/kiln-cluster");
    assert!(status(&[]).1.contains("foreign"));
}
