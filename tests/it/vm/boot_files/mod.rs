//! `boot/` and the nodes' `initrd.img`: their contents, and that machines boot from them without Kiln.

mod contents;
mod power_on;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{self, Workshop, ha3_with, run, store};

/// The base system that `ci/base live` makes.
fn live() -> PathBuf {
    let live = fs::canonicalize(support::lab()).unwrap_or_default().join("base/live");
    assert!(live.join("initrd.img").exists(), "run ci/setup --vm first");
    live
}

/// `kiln` that finds base systems in the lab.
fn kiln(work: &Workshop, arguments: &[&str]) -> Command {
    let mut command = work.kiln(arguments);
    command.env("KILN_LAB", live().ancestors().nth(2).unwrap());
    command
}

fn build(work: &Workshop, profile: &str) -> Command {
    let mut command = kiln(work, &["build", "--quiet", "--profile", profile, "--artifacts"]);
    command.arg(store());
    command
}

/// Three members on the base system `live`.
fn ha3(bundle: &str) -> String {
    let more = format!(
        "[etcd]\nversion = \"3.5.16\"\n\n[machine]\nbase = \"live\"\n\n[bundle]\n{bundle}\n\n# Client certificates"
    );
    ha3_with(&[("# Client certificates", &more)])
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn sha256(path: &Path) -> String {
    run(Command::new("sha256sum").arg(path))[..64].to_owned()
}

/// A base system in the workshop: the files of `live`, with some replaced by others.
fn base_with(work: &Workshop, name: &str, others: &[(&str, &[u8])]) -> PathBuf {
    let directory = work.path().join(name);
    fs::create_dir_all(&directory).unwrap();
    for file in ["vmlinuz", "initrd.img", "cmdline"] {
        match others.iter().find(|(other, _)| *other == file) {
            Some((_, bytes)) => fs::write(directory.join(file), bytes).unwrap(),
            None => symlink(live().join(file), directory.join(file)).unwrap(),
        }
    }
    for (file, bytes) in others.iter().filter(|(other, _)| *other == "disk.qcow2") {
        fs::write(directory.join(file), bytes).unwrap();
    }
    directory
}

/// profiles/single.toml on the base system `live`.
fn single(bundle: &str) -> String {
    let text = fs::read_to_string(support::root().join("profiles/single.toml")).unwrap();
    let text = text.replace("[etcd]\n", "[etcd]\nversion = \"3.5.16\"\n");
    format!("{text}\n[machine]\nbase = \"live\"\n\n[bundle]\n{bundle}\n")
}
