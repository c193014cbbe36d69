//! A cluster that serves becomes its next generation, out of a snapshot.

use std::process::{Command, Stdio};

use super::machine::{BUMP, Lab};
use crate::support::{turn, wait_for};

#[test]
fn three_members_of_3_5_16() {
    becomes(&Lab::new("3.5.16", 3, false));
}

#[test]
fn three_members_of_3_5_30_with_logs_elsewhere() {
    becomes(&Lab::new("3.5.30", 3, true));
}

/// Of 3.4, whose etcdctl restores, and which cannot add to the revision.
#[test]
fn three_members_of_3_4_23() {
    becomes(&Lab::new("3.4.23", 3, false));
}

#[test]
fn a_single_member_of_3_4_23_with_its_log_elsewhere() {
    becomes(&Lab::new("3.4.23", 1, true));
}

#[test]
fn a_single_member_of_3_5_16_with_its_log_elsewhere() {
    becomes(&Lab::new("3.5.16", 1, true));
}

fn becomes(lab: &Lab) {
    let _turn = turn::cluster();
    lab.serve(1);
    let revision = lab.fill();
    for number in 1..=lab.members {
        lab.orders(number, |_| {});
        lab.does(number, "prepare", "has prepared generation 2 of r1");
        lab.does(number, "prepare", "has prepared generation 2 already");
        assert!(lab.put("while", "serving"), "etcd serves on");
        lab.refuses(number, "switch", "stop it first: systemctl stop etcd.service");
    }
    // That it was prepared changed nothing: also a restart goes on with the data that is there.
    lab.stop(lab.members);
    lab.start(lab.members, 1);
    wait_for("the member", || lab.has(lab.members, "after").then_some(()));
    lab.stop_all();
    for number in 1..=lab.members {
        lab.does(number, "switch", "is switched to generation 2 of r1; the data before is kept in");
        lab.does(number, "switch", "is switched to generation 2 already");
        lab.does(number, "prepare", "is switched to generation 2 already");
        lab.does(number, "abandon", "has nothing to abandon");
        lab.is_tidy(number);
        let record = lab.shell(&format!("cat data-{number}/kiln-cluster"));
        assert_eq!(record, format!("{:x}\ngeneration 2 00000000000000aa\n", lab.ids(2).1.0));
    }
    lab.serve(2);
    serves_what_was(lab, revision);
    if lab.members > 1 {
        an_old_member_stays_outside(lab);
    }
}

#[track_caller]
fn serves_what_was(lab: &Lab, revision: u64) {
    for number in 1..=lab.members {
        for key in ["k0", "k19"] {
            assert!(lab.has(number, key), "{key} on {number}");
        }
        assert!(!lab.has(number, "after"), "written after the snapshot");
    }
    let now = lab.get(1, "k0")["header"].clone();
    assert_eq!(now["cluster_id"].as_u64(), Some(lab.ids(2).1.0));
    if !lab.can_bump() {
        return;
    }
    assert!(now["revision"].as_u64().unwrap() >= revision + BUMP, "{now}");
    // Whoever watched before is told to begin anew.
    let mut command = Command::new("timeout");
    let watching = lab.ctl_command(1, &["watch", "k0", "--rev", "2"]);
    command.arg("20").arg(watching.get_program()).args(watching.get_args()).stdin(Stdio::null());
    let output = command.env("ETCDCTL_API", "3").output().unwrap();
    let said = format!("{output:?}");
    assert!(said.contains("compacted"), "{said}");
}

/// What is kept is whole: a member of before. Peers of the next generation do not take it for one of theirs.
fn an_old_member_stays_outside(lab: &Lab) {
    let old = lab.members;
    lab.stop(old);
    let data = format!("data-{old}/kiln-before-g1");
    let wal = lab.has_wal.then(|| format!("wal-{old}/kiln-before-g1/wal"));
    lab.shell(&format!("true >n{old}.out"));
    lab.start_with(old, 1, &data, wal.as_deref());
    let said = wait_for("a refusal", || {
        let said = lab.shell(&format!("cat n{old}.out"));
        said.contains("cluster ID mismatch").then_some(said)
    });
    assert!(!lab.ctl(old, &["get", "k0"]).status.success(), "it has no quorum: {said}");
    lab.stop(old);
    lab.start(old, 2);
    wait_for("the member", || lab.has(old, "k0").then_some(()));
}
