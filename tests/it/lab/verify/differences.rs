//! Members that run, compared with bundles that they were not made from.

use std::fs;

use super::running::{Running, failed};
use super::{baked, build, notes, profile};
use crate::support::{self, Workshop, newer_release, run};

#[test]
fn a_renewal_is_followed_node_by_node() {
    let work = Workshop::new();
    work.keystore("t");
    let text = profile(3, "3.5.16", "");
    let old = build(&work, "old", &text);
    let running = Running::new(&old);
    assert_eq!(failed(&running.report(&old)), Vec::<String>::new());

    run(&mut work.kiln(["keystore", "renew", "t", "--issued", "2026-02-01"]));
    let new = build(&work, "new", &text);
    let older = |nodes: &[&str]| -> Vec<String> {
        let row = |check: &str| {
            nodes.iter().map(move |node| format!("{check}: older-certificate {node}")).collect::<Vec<_>>()
        };
        [row("certificate as baked"), row("peer certificate as baked")].concat()
    };
    assert_eq!(failed(&running.report(&new)), older(&["a", "b", "c"]));
    let said = running.verify(&new, &[]);
    assert_eq!(said.code, Some(1));
    assert!(said.stdout.contains("The node still serves an earlier certificate."), "{}", said.stdout);
    // Certificates are valid from a day before their issue.
    for dates in ["valid from 2025-12-31T00:00:00Z; the bundle has", "valid from 2026-01-31T00:00:00Z"] {
        assert!(said.stdout.contains(dates), "{}", said.stdout);
    }

    // etcd reads key and certificate again at every handshake.
    for name in ["server", "peer"] {
        for file in [format!("etc/etcd/pki/{name}-key.pem"), format!("etc/etcd/pki/{name}.pem")] {
            fs::write(running.file("a", &file), baked(&new, "a", &file)).unwrap();
        }
    }
    assert_eq!(failed(&running.report(&new)), older(&["b", "c"]));
    let newer =
        ["certificate as baked: newer-certificate a", "peer certificate as baked: newer-certificate a"];
    assert_eq!(failed(&running.report(&old)), newer);
}

#[test]
fn another_version_than_baked_is_named() {
    let work = Workshop::new();
    work.keystore("t");
    let old = build(&work, "old", &profile(1, "3.5.16", ""));
    let newer = support::newer_release();
    let new = build(&work, "new", &profile(1, &newer, ""));
    let running = Running::new(&old);
    assert_eq!(failed(&running.report(&old)), Vec::<String>::new());
    assert_eq!(failed(&running.report(&new)), ["version as baked: other-version a"]);
    let said = running.verify(&new, &[]);
    assert_eq!(said.code, Some(1));
    assert!(said.stdout.contains(&format!("it runs 3.5.16; the bundle has {newer}")), "{}", said.stdout);
}

#[test]
fn other_options_than_baked_are_named_where_etcd_tells() {
    let newest = newer_release();
    for (version, style) in [("3.4.23", "flags"), ("3.5.16", "file"), (newest.as_str(), "env")] {
        let work = Workshop::new();
        let text = |config: &str| {
            profile(
                1,
                version,
                &format!("config-style = \"{style}\"\naccept-risk = [\"{version}\"]\n{config}"),
            )
        };
        let plain = build(&work, "plain", &text(""));
        let running = Running::new(&plain);
        let report = running.report(&plain);
        assert_eq!(failed(&report), Vec::<String>::new(), "{version}");
        let untold = notes(&report);
        assert_eq!(
            untold.contains("not checked, because etcd does not report it: cipher-suites, data-dir"),
            style != "flags",
            "{untold}"
        );

        let config = "[etcd.config]\nheartbeat-interval = 200\nelection-timeout = 2000\nquota-backend-bytes = 8589934592\nmetrics = \"extensive\"\n";
        let tuned = build(&work, "tuned", &text(config));
        let report = running.report(&tuned);
        assert_eq!(failed(&report), ["options as baked: other-options a"], "{version}");
        let row =
            report["checks"].as_array().unwrap().iter().find(|check| check["check"] == "options as baked");
        let detail = row.unwrap()["detail"].as_str().unwrap();
        let told = match style {
            "flags" => {
                vec!["heartbeat-interval is not set; the bundle sets 200", "quota-backend-bytes is not set"]
            }
            _ => vec!["quota-backend-bytes is 2147483648, not 8589934592", "metrics is basic, not extensive"],
        };
        assert!(told.iter().all(|told| detail.contains(told)), "{version}: {detail}");
        assert_eq!(notes(&report).contains("heartbeat-interval"), style != "flags", "{}", notes(&report));
        drop(running);

        let running = Running::new(&tuned);
        assert_eq!(failed(&running.report(&tuned)), Vec::<String>::new(), "{version}");
    }
}
