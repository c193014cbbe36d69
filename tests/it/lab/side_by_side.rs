//! Two clusters on the same three nodes, from real releases: each by itself, and both at once.

use std::process::Command;

use serde_json::Value;

use crate::support::{Workshop, refused, run, turn, with_store};

const NODES: &str = "\n[network]\ncidr = \"10.240.0.0/16\"\n\
    [[node]]\nname = \"cp-a\"\naddress = \"10.240.16.10\"\n\
    [[node]]\nname = \"cp-b\"\naddress = \"10.240.48.10\"\n\
    [[node]]\nname = \"cp-c\"\naddress = \"10.240.80.10\"\n";

const EVENTS: &str = "instance = \"events\"\nclient-port = 2381\npeer-port = 2382\n";

fn built(more: impl Fn(&Workshop, &str) -> String) -> Workshop {
    let work = Workshop::new();
    for (cluster, etcd) in [("k8s", ""), ("events", EVENTS)] {
        let more = more(&work, cluster);
        let head = format!("schema = 1\n[cluster]\nname = \"{cluster}\"\ndomain = \"kloud.lan\"\n");
        let etcd = format!("[etcd]\nversion = \"3.5.16\"\naccept-risk = \"3.5.16\"\n{etcd}");
        work.file(&format!("{cluster}.toml"), format!("{head}{etcd}{NODES}{more}"));
        work.keystore(cluster);
    }
    let mut command = work.kiln(["build", "--quiet", "--profile", "k8s.toml", "--profile", "events.toml"]);
    run(with_store(&mut command));
    work
}

fn rehearse(work: &Workshop, arguments: &[&str]) -> Command {
    let mut command = work.kiln(["rehearse", "--quiet", "--allow-unverified"]);
    command.args(arguments);
    command
}

#[test]
fn two_clusters_form_on_the_same_nodes() {
    let _turn = turn::cluster();
    let work = built(|_, _| String::new());
    let (k8s, events) = ("out/fleet/k8s", "out/fleet/events");
    let said = run(&mut rehearse(&work, &[events, "--json"]));
    let one: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&one["cluster"], &one["passed"]), (&"events".into(), &true.into()), "{said}");
    let said = run(&mut rehearse(&work, &[k8s, events, "--json", "--junit", "report.xml"]));
    let both: Value = serde_json::from_str(&said).unwrap();
    let both = both.as_array().unwrap();
    for (report, (cluster, port)) in both.iter().zip([("k8s", 2379), ("events", 2381)]) {
        assert_eq!((&report["cluster"], &report["passed"]), (&cluster.into(), &true.into()), "{said}");
        let endpoint = format!("https://10.240.16.10:{port}");
        assert_eq!(report["members"][0]["endpoint"], endpoint, "{said}");
    }
    assert_eq!(both.len(), 2);
    assert_ne!(both[0]["cluster_id"], both[1]["cluster_id"]);
    let xml = std::fs::read_to_string(work.path().join("report.xml")).unwrap();
    assert_eq!(xml.matches("<testsuite ").count(), 2, "{xml}");
}

/// Each built without the other's profile, with lines of its own for `[cluster]`, `[etcd]` and after the nodes.
fn apart(events: &str, more: impl Fn(&Workshop, &str) -> [String; 2]) -> Workshop {
    let work = Workshop::new();
    for (cluster, etcd) in [("k8s", String::new()), ("events", format!("instance = \"events\"\n{events}"))] {
        let [of_cluster, last] = more(&work, cluster);
        let head = format!("schema = 1\n[cluster]\nname = \"{cluster}\"\n{of_cluster}");
        let etcd = format!("[etcd]\nversion = \"3.5.16\"\naccept-risk = \"3.5.16\"\n{etcd}");
        work.file(&format!("{cluster}.toml"), format!("{head}{etcd}{NODES}{last}"));
        work.keystore(cluster);
        run(with_store(&mut work.kiln(["build", "--quiet", "--profile", &format!("./{cluster}.toml")])));
    }
    work
}

const PORTS: &str = "client-port = 2381\npeer-port = 2382\n";

#[test]
fn a_path_that_two_clusters_bring_is_the_same_in_both() {
    let _turn = turn::cluster();
    let work = apart(PORTS, |work, cluster| {
        work.file(&format!("{cluster}/etc/motd"), format!("of {cluster}\n"));
        [String::new(), format!("[bundle]\noverlays = [\"{cluster}\"]\n")]
    });
    let said = refused(&mut rehearse(&work, &["out/k8s", "out/events"]), 6);
    assert!(said.contains("both k8s and events bring /etc/motd to cp-"), "{said}");
    let said = refused(&mut rehearse(&work, &["out/k8s", "out/k8s"]), 6);
    assert!(said.contains("two of the bundles are of the cluster k8s"), "{said}");
}

#[test]
fn a_token_that_two_clusters_have_is_refused() {
    let _turn = turn::cluster();
    let work = apart(PORTS, |_, _| ["token = \"same\"\n".into(), String::new()]);
    let said = refused(&mut rehearse(&work, &["out/k8s", "out/events"]), 6);
    assert!(said.contains("k8s and events both have the token same"), "{said}");
}

/// Each was built without the other's profile.
#[test]
fn clusters_that_were_built_apart_and_clash_are_refused() {
    let _turn = turn::cluster();
    let cases = [
        ("client-port = 2381\npeer-port = 2380\n", "k8s and events both listen on port 2380 on cp-a"),
        ("client-port = 2381\npeer-port = 2382\nmetrics-port = 2379\n", "both listen on port 2379 on cp-a"),
        (
            "client-port = 2381\npeer-port = 2382\ndata-dir = \"/var/lib/etcd\"\n",
            "both use the directory /var/lib/etcd on cp-a",
        ),
        (
            "client-port = 2381\npeer-port = 2382\nwal-dir = \"/var/lib/etcd/log/wal\"\n",
            "both use /var/lib/etcd and /var/lib/etcd/log, one in the other on cp-a",
        ),
        (
            "client-port = 2381\npeer-port = 2382\nunit = \"etcd\"\n",
            "both k8s and events bring /etc/systemd/system/",
        ),
        ("client-port = 2381\npeer-port = 2382\nuser = \"etcd\"\n", "k8s and events both run as etcd on cp-"),
    ];
    for (etcd, want) in cases {
        let work = apart(etcd, |_, _| [String::new(), String::new()]);
        let said = refused(&mut rehearse(&work, &["out/k8s", "out/events"]), 6);
        assert!(said.contains(want), "{want}: {said}");
    }
}
