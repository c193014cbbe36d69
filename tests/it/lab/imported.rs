//! What `kiln profile import` makes of a unit's flags forms a cluster of real members, under the CA that it had.

use std::fs;
use std::process::Command;

use crate::support::{Workshop, root, run, turn};

/// The directory of `tests/import`, and what its members' command lines say.
fn rehearse(case: &str, flags: &[&str]) {
    let _turn = turn::cluster();
    let work = Workshop::new();
    let unit = root().join("tests/import").join(case).join("etcd.service");
    work.file("etcd.service", fs::read(unit).unwrap());
    run(&mut work.kiln(["profile", "import", "--out", "etcd.toml", "etcd.service"]));
    let openssl = "openssl req -x509 -newkey rsa:2048 -nodes -keyout ca-key.pem -out ca.pem -days 3650 -subj /CN=theirs \
                   -addext basicConstraints=critical,CA:TRUE,pathlen:0 -addext keyUsage=critical,keyCertSign,cRLSign";
    run(Command::new("sh").args(["-c", openssl]).current_dir(work.path()));
    run(&mut work.kiln(["keystore", "init", "etcd"]));
    run(&mut work.kiln(["keystore", "import-ca", "etcd", "--cert", "ca.pem", "--key", "ca-key.pem"]));
    run(crate::support::with_store(
        work.kiln(["build", "--profile", "./etcd.toml"]).args(["--set", "etcd.version=3.5.16"]),
    ));
    let node = fs::read_dir(work.path().join("out/etcd/nodes")).unwrap().next().unwrap().unwrap();
    let archive = node.path().join("overlay.tar.gz");
    let unit =
        run(Command::new("tar").args(["-xzOf"]).arg(archive).args(["etc/systemd/system/etcd.service"]));
    for flag in flags {
        assert!(unit.contains(flag), "{flag}: {unit}");
    }
    run(&mut work.kiln(["rehearse", "out/etcd"]));
}

#[test]
fn one_node_with_everything_in_its_flags_rehearses() {
    rehearse(
        "single",
        &["--cert-file=/etc/etcd/etcd.pem", "--initial-cluster-token=etcd-cluster-k8s", "Restart=on-failure"],
    );
}

#[test]
fn a_role_with_flags_and_the_journal_rehearses() {
    rehearse(
        "flags-journal",
        &[
            "ExecStart=/opt/etcd/bin/etcd",
            "--log-outputs=systemd/journal",
            "--wal-dir=/var/lib/etcd-wal/wal",
            "--quota-backend-bytes=8589934592",
        ],
    );
}
