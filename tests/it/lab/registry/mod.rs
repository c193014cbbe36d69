//! `kiln push` and `kiln pull`, through the program, against Debian's docker-registry and read by skopeo.

mod broken;
mod daemon;
mod login;
mod refused;
mod transfer;

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{Workshop, ha3_with, run, snapshot};
use serde_json::Value;

/// Three nodes with binaries in a layer, and the same with another token.
fn workshop() -> Workshop {
    let work = Workshop::new();
    let shared = "[bundle]\nbinaries = \"shared\"\n\n# Client certificates";
    for token in ["one", "two"] {
        let name = format!("name = \"ha3\"\ntoken = \"{token}\"");
        let text = ha3_with(&[("name = \"ha3\"", &name), ("# Client certificates", shared)]);
        work.file(&format!("{token}.toml"), text);
    }
    work.keystore("ha3");
    work
}

/// Runs a verb without the logins of the user who runs the test.
fn kiln(work: &Workshop, arguments: &[&str]) -> Command {
    let mut command = work.kiln(arguments);
    command.env("HOME", work.path()).env_remove("REGISTRY_AUTH_FILE").env_remove("DOCKER_CONFIG");
    for proxy in ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "all_proxy", "https_proxy", "http_proxy"] {
        // Nothing listens there: a connection to this machine must not use a proxy.
        command.env(proxy, "http://127.0.0.1:1");
    }
    command
}

#[track_caller]
fn json(command: &mut Command) -> Value {
    serde_json::from_str(&run(command.arg("--json"))).unwrap()
}

/// Not `assert_eq!`, which would print megabytes of private keys.
#[track_caller]
fn assert_same(one: &Path, other: &Path) {
    let [one, other] = [one, other].map(snapshot);
    assert!(one.len() > 21 && other.len() > 21);
    let names = |all: &[(String, u32, Vec<u8>)]| -> Vec<_> {
        all.iter().map(|(name, mode, content)| format!("{mode:o} {:>9} {name}", content.len())).collect()
    };
    assert_eq!(names(&one), names(&other));
    assert!(one == other, "the same names with other bytes");
}

/// The names in a directory, hidden ones too.
fn list(path: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn manifest(bundle: &Path) -> Value {
    serde_json::from_slice(&fs::read(bundle.join("bundle.json")).unwrap()).unwrap()
}
