//! What `kiln profile import` makes of other people's files forms a cluster of real members, under the CA that it had.

use std::fs;
use std::process::Command;

use crate::support::{Workshop, output, root, run, turn};

/// A CA as their scripts make it.
fn foreign_ca(work: &Workshop) {
    let openssl = "openssl req -x509 -newkey rsa:2048 -nodes -keyout ca-key.pem -out ca.pem -days 3650 -subj /CN=theirs \
                   -addext basicConstraints=critical,CA:TRUE,pathlen:0 -addext keyUsage=critical,keyCertSign,cRLSign";
    run(Command::new("sh").args(["-c", openssl]).current_dir(work.path()));
    run(&mut work.kiln(["keystore", "init", "etcd"]));
    run(&mut work.kiln(["keystore", "import-ca", "etcd", "--cert", "ca.pem", "--key", "ca-key.pem"]));
}

/// A case of `tests/import`: what a person who read the list of what is left changes in the profile, what that list
/// says, and what is in the files of the first node.
fn rehearse(case: &str, changes: &[(&str, &str)], left: &[&str], files: &[(&str, &str)]) {
    let _turn = turn::cluster();
    let work = Workshop::new();
    let mut inputs = Vec::new();
    for entry in fs::read_dir(root().join("tests/import").join(case)).unwrap().map(|entry| entry.unwrap()) {
        let name = entry.file_name().into_string().unwrap();
        if !name.starts_with("want.") {
            work.file(&name, fs::read(entry.path()).unwrap());
            inputs.push(name);
        }
    }
    inputs.sort();
    let (code, mut profile, said) = output(work.kiln(["profile", "import"]).args(&inputs));
    assert_eq!(code, 0, "{said}");
    for what in left {
        assert!(said.contains(what), "{what}: {said}");
    }
    for (from, to) in changes {
        assert!(profile.contains(from), "{from}: {profile}");
        profile = profile.replace(from, to);
    }
    if profile.contains("source = \"imported\"") {
        foreign_ca(&work);
    }
    work.file("etcd.toml", profile);
    let mut build = work.kiln(["build", "--profile", "./etcd.toml"]);
    run(crate::support::with_store(build.args(["--set", "etcd.version=3.5.16"])));
    let mut nodes: Vec<_> = fs::read_dir(work.path().join("out/etcd/nodes")).unwrap().collect();
    nodes.sort_by_key(|node| node.as_ref().unwrap().file_name());
    let archive = nodes[0].as_ref().unwrap().path().join("overlay.tar.gz");
    for (path, text) in files {
        let file = run(Command::new("tar").arg("-xzOf").arg(&archive).arg(path));
        assert!(file.contains(text), "{text}: {file}");
    }
    run(&mut work.kiln(["rehearse", "out/etcd"]));
}

const UNIT: &str = "etc/systemd/system/etcd.service";

#[test]
fn one_node_with_everything_in_its_flags_rehearses() {
    let files = [
        (UNIT, "--cert-file=/etc/etcd/etcd.pem"),
        (UNIT, "--initial-cluster-token=etcd-cluster-k8s"),
        (UNIT, "Restart=on-failure"),
    ];
    rehearse("single", &[], &[], &files);
}

#[test]
fn a_role_with_flags_and_the_journal_rehearses() {
    let files = [
        (UNIT, "ExecStart=/opt/etcd/bin/etcd"),
        (UNIT, "--log-outputs=systemd/journal"),
        (UNIT, "--wal-dir=/var/lib/etcd-wal/wal"),
        (UNIT, "--quota-backend-bytes=8589934592"),
    ];
    rehearse(
        "flags-journal",
        &[],
        &["etcd.service:17: --heartbeat-intervall is not a flag of etcd's"],
        &files,
    );
}

#[test]
fn kubesprays_inventory_rehearses() {
    let left =
        ["etcd.yml:5: the variable etcd_deployment_type", "hosts.yaml:5: the host node1 is the member etcd1"];
    let files = [
        ("etc/etcd/etcd.conf", "heartbeat-interval: 250"),
        ("etc/etcd/etcd.conf", "quota-backend-bytes: 2147483648"),
    ];
    rehearse("kubespray", &[], &left, &files);
}

#[test]
fn a_member_that_kubespray_made_rehearses() {
    let left = ["etcd.service:7: [etcd] user cannot be this value", "etcd.env:13: the variable ETCD_PROXY"];
    let files = [
        ("etc/etcd/etcd.env", "/etc/ssl/etcd/ssl/member-node1.pem"),
        ("etc/etcd/etcd.env", "ETCD_SNAPSHOT_COUNT"),
        (UNIT, "LimitNOFILE=40000"),
    ];
    rehearse("kubespray-env", &[], &left, &files);
}

/// Its two trust files are one CA, which only a person who looks into them knows.
#[test]
fn typhoons_controller_rehearses() {
    let two = "[pki.peer-ca]\n# The same for the CA that peers trust: kiln keystore import-ca --as peer-ca.\nsource = \
               \"imported\"\nfile = \"peer-ca.crt\"";
    let left = [
        "etcd-member.service:8: ExecStart does not start etcd itself",
        "etcd.env:5: listen-client-urls listens on all addresses",
        "etcd.env:14: whether peer-ca.crt is another CA than server-ca.crt",
    ];
    let files = [
        ("etc/etcd/etcd.env", "/etc/ssl/etcd/etcd/server-ca.crt"),
        ("etc/etcd/etcd.env", "0.0.0.0:2381"),
        ("etc/systemd/system/etcd-member.service", "LimitNOFILE=40000"),
    ];
    rehearse("typhoon", &[(two, "[pki.links]\n\"peer-ca.crt\" = \"ca\"")], &left, &files);
}
