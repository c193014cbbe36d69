//! `kiln-node`: into the artifact store, and onto nodes that renew their certificates.

mod beside;
mod bundle;
mod import;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::support::made::{AMD64, node_program};
use crate::support::{Workshop, run, store};

const OWN: &str = env!("CARGO_PKG_VERSION");

/// Two members whose nodes renew their certificates.
const RENEWING: &str = r#"schema = 1
cluster = { name = "renewing", allow-two-members = true }
network = { cidr = "10.77.0.0/24" }
etcd = { version = "3.5.16" }
pki = { renewal = "node" }
bundle = { carriers = ["tar", "initramfs", "ignition"] }
[[node]]
name = "a"
address = "10.77.0.11"
[[node]]
name = "b"
address = "10.77.0.12"
"#;

fn own() -> Vec<u8> {
    node_program(AMD64, OWN, 0)
}

/// A workshop with the profile, a keystore, and a store that has releases and no `kiln-node`.
fn work() -> Workshop {
    let work = Workshop::new();
    work.keystore("renewing");
    work.file("renewing.toml", RENEWING);
    run(Command::new("cp").arg("-r").arg(store()).arg(work.path().join("artifacts")));
    fs::remove_dir_all(work.path().join("artifacts/node")).unwrap();
    work
}

/// The same with a `kiln-node`.
fn work_with_program() -> Workshop {
    let work = work();
    add(&work, &own());
    work
}

/// Adds a program to the workshop's store in place of the one that is there.
fn add(work: &Workshop, program: &[u8]) -> String {
    let file: PathBuf = work.file("kiln-node-amd64", program);
    run(work.kiln(["artifacts", "add", "--allow-unverified", "--replace"]).arg(file))
}
