//! A cluster that has formed, or that certificates were issued to, is never rebuilt as another one.

mod authority;
mod members;
mod rebuild;
mod record;
mod release;

use std::fs;
use std::process::Command;

use crate::support::{Workshop, refused, run, snapshot, store};

const SMALL: &str = r#"
schema = 1
cluster = { name = "small" }
etcd = { version = "3.5.16" }
network = { cidr = "10.0.0.0/24" }
bundle = { carriers = ["tar"], binaries = "shared" }
pki = { leaf-algorithm = "p256" }
[[node]]
name = "a"
address = "10.0.0.4"
[[node]]
name = "b"
address = "10.0.0.5"
[[node]]
name = "c"
address = "10.0.0.6"
"#;

const FOURTH: &str = "[[node]]\nname = \"d\"\naddress = \"10.0.0.7\"\n";

fn workshop() -> Workshop {
    let work = Workshop::new();
    work.file("small.toml", SMALL);
    work.keystore("small");
    work
}

fn build(work: &Workshop, arguments: &[&str]) -> Command {
    let mut command = work.kiln(["build", "--profile", "small.toml", "--artifacts"]);
    command.arg(store()).args(arguments);
    command
}

fn changed(from: &str, to: &str) -> String {
    assert!(SMALL.contains(from), "{from}");
    SMALL.replacen(from, to, 1)
}

fn list(work: &Workshop) -> String {
    fs::read_to_string(work.path().join("keystore/small/keystore.toml")).unwrap()
}

/// The changes to a profile, and the expected messages about each.
type Changes<'c> = &'c [(&'c str, String, &'c [&'c str])];

#[track_caller]
fn all_are_refused(work: &Workshop, changes: Changes<'_>) {
    let before = (snapshot(&work.path().join("out")), list(work));
    for (what, profile, sentences) in changes {
        work.file("small.toml", profile);
        for arguments in [&[][..], &["--out", "elsewhere"]] {
            let message = refused(&mut build(work, arguments), 6);
            for sentence in *sentences {
                assert!(message.contains(sentence), "{what}: {sentence:?} is not in\n{message}");
            }
            for advice in ["remove it", "delete", "overwrite", "empty "] {
                assert!(!message.contains(advice), "{what}: {message}");
            }
        }
        work.file("sites/small.toml", profile);
        for of in [["--profile", "small.toml"], ["--fleet", "sites"]] {
            refused(work.kiln(["check", "--artifacts"]).arg(store()).args(of), 6);
        }
        refused(work.kiln(["build", "--fleet", "sites", "--artifacts"]).arg(store()), 6);
        let planned =
            work.kiln(["plan", "--profile", "small.toml", "--artifacts"]).arg(store()).output().unwrap();
        let said = String::from_utf8_lossy(&planned.stderr);
        assert!(
            planned.status.success() && said.contains("warning: kiln build refuses this: "),
            "{what}: {said}"
        );
        assert!(!work.path().join("elsewhere").exists(), "{what}");
        assert_eq!((snapshot(&work.path().join("out")), list(work)), before, "{what}");
    }
    work.file("small.toml", SMALL);
}

/// A workshop whose cluster has been built, sealed and built again.
fn sealed_workshop() -> Workshop {
    let work = workshop();
    run(&mut build(&work, &[]));
    run(&mut work.kiln(["seal", "out/small"]));
    run(&mut build(&work, &[]));
    work
}

fn own_ca(work: &Workshop) {
    let mut openssl = Command::new("openssl");
    openssl.current_dir(work.path()).args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
    ]);
    run(openssl.args([
        "-addext",
        "keyUsage=critical,keyCertSign",
        "-nodes",
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
        "-days",
        "3650",
        "-subj",
        "/CN=outside",
    ]));
}

fn import(work: &Workshop) -> Command {
    work.kiln(["keystore", "import-ca", "small", "--cert", "ca.pem", "--key", "ca.key"])
}
