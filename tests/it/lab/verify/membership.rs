//! Clusters of other members than the bundle has, or with members that are down.

use std::fs;

use super::running::{Running, failed};
use super::{build, notes, profile};
use crate::support::{Workshop, wait_for};
use serde_json::Value;

/// After a change of members the bundle describes another cluster; no advice may cost the data of the running one.
#[test]
fn a_bundle_of_another_cluster_is_told_from_a_foreign_machine() {
    let work = Workshop::new();
    let three = build(&work, "three", &profile(3, "3.5.16", ""));
    // As built before keystores recorded formed clusters: with a token of its own.
    let other = profile(3, "3.5.16", "").replace("[etcd]", "token = \"another\"\n[etcd]");
    let other = build(&work, "other", &other);
    let running = Running::new(&three);
    let said = running.verify(&other, &[]);
    assert_eq!(said.code, Some(1));
    assert!(said.stdout.contains("boot no node from this one"), "{}", said.stdout);
    for word in ["empty", "remove", "move its old", "delete it"] {
        assert!(!said.stdout.contains(word), "{word}: {}", said.stdout);
    }
    let report = running.report(&other);
    assert!(
        failed(&report).contains(&"identity as baked: other-bundle a".to_owned()),
        "{:?}",
        failed(&report)
    );
    // Nothing is written to another cluster.
    let written =
        report["checks"].as_array().unwrap().iter().filter(|c| c["check"] == "a write reaches every member");
    assert!(written.map(|check| &check["outcome"]).all(|outcome| outcome == "skipped"));
}

#[test]
fn a_replaced_member_is_one_difference() {
    let work = Workshop::new();
    let bundle = build(&work, "three", &profile(3, "3.5.16", ""));
    let running = Running::new(&bundle);
    let list: Value = serde_json::from_str(&running.etcdctl(&["member", "list", "-w", "json"])).unwrap();
    let old = list["members"].as_array().unwrap().iter().find(|member| member["name"] == "c").unwrap();
    let id = format!("{:x}", old["ID"].as_u64().unwrap());
    // etcd accepts no change of membership until its members have been connected for five seconds.
    wait_for("the removal", || running.try_etcdctl(&["member", "remove", &id]).ok());
    wait_for("the end of the removed member", || running.etcd_of("c").is_none().then_some(()));

    wait_for("the new member", || {
        running.try_etcdctl(&["member", "add", "c", "--peer-urls=https://10.77.0.13:2380"]).ok()
    });
    // As in the README: a new data directory, and a temporary configuration that joins.
    fs::rename(running.file("c", "var/lib/etcd/member"), running.file("c", "var/lib/etcd/old")).unwrap();
    let conf = running.file("c", "etc/etcd/etcd.conf");
    let text = fs::read_to_string(&conf).unwrap();
    fs::write(&conf, text.replace("initial-cluster-state: \"new\"", "initial-cluster-state: \"existing\""))
        .unwrap();
    let _etcd = running.start("c", "/usr/local/bin/etcd --config-file /etc/etcd/etcd.conf");
    let report = wait_for("the new member", || {
        let report = running.report(&bundle);
        (failed(&report).len() == 1).then_some(report)
    });
    assert_eq!(failed(&report), ["identity as baked: replaced c"]);
    let skipped = report["checks"].as_array().unwrap().iter().filter(|check| check["outcome"] == "skipped");
    assert_eq!(skipped.count(), 0, "{report}");
}

#[test]
fn a_member_that_is_down_leaves_a_quorum_that_is_said() {
    let work = Workshop::new();
    let bundle = build(&work, "three", &profile(3, "3.5.16", ""));
    let running = Running::new(&bundle);
    running.kill("c");
    let report = wait_for("an election", || {
        let report = running.report(&bundle);
        (failed(&report) == ["answers: stopped c"]).then_some(report)
    });
    let quorum = "2 of 3 members are healthy as seen from here; the quorum is 2: the cluster tolerates no further failure";
    assert!(notes(&report).contains(quorum), "{}", notes(&report));
    // The verdict is in the report, and nowhere else.
    let said = running.verify(&bundle, &[]);
    assert_eq!(said.code, Some(1));
    assert_eq!(said.stdout.matches("does NOT match the bundle").count(), 1, "{}", said.stdout);
    assert!(!said.stderr.contains("match"), "{}", said.stderr);

    running.kill("b");
    wait_for("the loss of the quorum", || {
        let notes = notes(&running.report(&bundle));
        notes
            .contains(
                "0 of 3 members are healthy as seen from here; the quorum is 2: the cluster rejects writes",
            )
            .then_some(())
    });
}
