//! Independent programs read Kiln's output. They are lax (most accept an unknown key), so an empty stderr is required
//! as well as exit code 0.

mod archives;
mod certificates;
mod documents;
mod domain;
mod login;
mod network;
mod systemd;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Workshop, ha3_with, run};

fn ha3() -> (Workshop, PathBuf) {
    let work = Workshop::new();
    work.file("ha3.toml", ha3_with(&[("# [etcd] version = \"3.5.33\"", "[etcd]\nversion = \"3.5.16\" #")]));
    work.keystore("ha3");
    let bundle = work.build("./ha3.toml");
    (work, bundle)
}

fn unpack(archive: &Path, into: &Path) {
    fs::create_dir_all(into).unwrap();
    run(Command::new("tar").arg("-xpzf").arg(archive).arg("-C").arg(into));
}

/// Runs a checker that must succeed without complaints.
#[track_caller]
fn silent(command: &mut Command) -> String {
    let output =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; run ci/setup --tests"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.trim().is_empty(), "{command:?}: {}\n{stderr}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}
