//! The ready profiles, each as a cluster of real members, with the release that is at hand.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::support::{Workshop, run, store, turn};
use crate::verify::node_renewal::detail;
use crate::verify::running::{Running, failed};

fn build(work: &Workshop, profile: &str) -> PathBuf {
    let mut build = work.kiln(["build", profile, "--set", "etcd.version=3.5.16", "--artifacts"]);
    run(build.arg(store()));
    work.path().join("out").join(profile)
}

/// Forms it, and returns how many checks passed; none may have failed.
fn rehearse(work: &Workshop, profile: &str) -> usize {
    let bundle = build(work, profile);
    let report: serde_json::Value =
        serde_json::from_str(&run(work.kiln(["rehearse", "--json"]).arg(bundle))).unwrap();
    assert_eq!(failed(&report), Vec::<String>::new(), "{profile}");
    report["checks"].as_array().unwrap().len()
}

/// Side by side on the same three nodes.
#[test]
fn two_clusters_of_ansible_form() {
    let _turn = turn::cluster();
    let work = Workshop::new();
    let bundles = ["ansible-k8s", "ansible-events"].map(|profile| build(&work, profile));
    let reports: serde_json::Value =
        serde_json::from_str(&run(work.kiln(["rehearse", "--json"]).args(&bundles))).unwrap();
    for (report, cluster) in reports.as_array().unwrap().iter().zip(["k8s", "events"]) {
        assert_eq!(report["cluster"], cluster);
        assert_eq!(failed(report), Vec::<String>::new(), "{cluster}");
        assert!(report["checks"].as_array().unwrap().len() >= 63, "{cluster}");
    }
    assert_eq!(reports.as_array().unwrap().len(), 2);
}

/// Without a server for its CA: each node makes the certificates of its member, below the intermediates. Those of
/// clients come from the desk.
#[test]
fn ansible_k8s_renews_on_its_nodes() {
    let work = Workshop::new();
    let sets = ["--set", "etcd.version=3.5.16", "--set", "pki.renewal=node"];
    run(work.kiln(["build", "ansible-k8s"]).args(sets).arg("--artifacts").arg(store()));
    let bundle = work.path().join("out/ansible-k8s");
    let running = Running::new(&bundle);
    assert_eq!(failed(&running.report(&bundle)), Vec::<String>::new());
    let nodes = ["master1", "master2", "master3"];
    for node in nodes {
        // The first ones are not due for sixteen months; another kind of key is wanted.
        running.let_renew(node, |policy| {
            for pair in policy["pairs"].as_array_mut().unwrap() {
                pair["algorithm"] = "p384".into();
            }
        });
        let said = running.renew(node);
        assert!(
            said.code == Some(0) && said.stderr.contains("etcd presents them"),
            "{node}: {}",
            said.stderr
        );
    }
    let keystore = work.path().join("keystore");
    let said = running.verify(&bundle, &["--json", "--keystore", keystore.to_str().unwrap()]);
    let report = said.report();
    assert_eq!(failed(&report), Vec::<String>::new());
    assert_eq!(said.code, Some(0), "{report}");
    for node in nodes {
        for check in ["certificate as baked", "peer certificate as baked"] {
            let made = detail(&report, check, node);
            assert!(made.starts_with("made by the node on "), "{check}: {made}");
        }
        let client = detail(&report, "client certificates in date", node);
        let begin = format!("etc/etcd/ssl/{node}-client.crt (CN=etcdctl@{node}) expires in 72");
        assert!(client.starts_with(&begin), "{client}");
    }
}

#[test]
fn the_single_node_forms() {
    let _turn = turn::cluster();
    assert!(rehearse(&Workshop::new(), "single") >= 20);
}

/// The CA is one that the real cfssl made, as in the tutorial.
#[test]
fn chapter4_forms_below_the_ca_of_cfssl() {
    let work = Workshop::new();
    let mut refused = work.kiln(["build", "chapter4", "--set", "etcd.version=3.5.16", "--artifacts"]);
    let refused = refused.arg(store()).output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(4) && said.contains("keystore import-ca"), "{said}");

    work.file(
        "csr.json",
        r#"{"CN": "Kubernetes", "key": {"algo": "rsa", "size": 2048},
            "names": [{"C": "US", "L": "Portland", "O": "Kubernetes", "OU": "CA", "ST": "Oregon"}],
            "ca": {"expiry": "87600h"}}"#,
    );
    let mut cfssl = Command::new("cfssl");
    cfssl.args(["gencert", "-initca", "csr.json"]).current_dir(work.path()).stdout(Stdio::piped());
    let made = cfssl.stderr(Stdio::null()).spawn().unwrap().wait_with_output().unwrap();
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    work.file("ca.pem", made["cert"].as_str().unwrap());
    work.file("ca-key.pem", made["key"].as_str().unwrap());
    run(&mut work.kiln(["keystore", "init", "chapter4"]));
    run(&mut work.kiln(["keystore", "import-ca", "chapter4", "--cert", "ca.pem", "--key", "ca-key.pem"]));
    let _turn = turn::cluster();
    assert!(rehearse(&work, "chapter4") >= 60);
    let client = work.path().join("out/chapter4/client");
    run(Command::new("openssl")
        .args(["verify", "-x509_strict", "-purpose", "sslclient", "-CAfile"])
        .args([client.join("ca.pem"), client.join("etcd-client.pem")]));
}

#[test]
fn six_members_on_two_hosts_tell_their_health_over_http() {
    let work = Workshop::new();
    let bundle = build(&work, "six");
    let mut plan = work.kiln(["plan", "six", "--set", "etcd.version=3.5.16", "--artifacts"]);
    let plan = run(plan.arg(store()));
    assert!(plan.contains("members    6 (quorum 4, tolerates 2 failures)"), "{plan}");
    assert_eq!(plan.matches("3 members left: no quorum, the cluster stops").count(), 2, "{plan}");
    let running = Running::new(&bundle);
    assert_eq!(failed(&running.report(&bundle)), Vec::<String>::new());
    for last in [101, 102, 103, 201, 202, 203] {
        let url = format!("http://10.103.0.{last}:2381/health");
        let health = run(running.command("curl").args(["-sS", "--max-time", "20", &url]));
        assert!(health.contains("\"health\":\"true\""), "{last}: {health}");
    }
    let client = fs::read_dir(bundle.join("client")).unwrap().map(|entry| entry.unwrap().file_name());
    let client: Vec<_> = client.map(|name| name.into_string().unwrap()).collect();
    for name in ["apiserver-etcd-client.crt", "apiserver-etcd-client.key", "kube-apiserver.crt"] {
        assert!(client.iter().any(|there| there == name), "{name} is not in {client:?}");
    }
    run(Command::new("openssl")
        .args(["verify", "-x509_strict", "-purpose", "sslclient", "-CAfile"])
        .args(["ca.pem", "apiserver-etcd-client.crt"])
        .current_dir(bundle.join("client")));
}
