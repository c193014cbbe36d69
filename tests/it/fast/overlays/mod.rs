//! Overlays through the program: files that never get to a node, the modes that files get there, and that all findings
//! are reported at once.

mod files;
mod findings;
mod modes;
mod paths;
mod secrets;
mod sizes;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Workshop, bundles::OVERLAID as PROFILE, refused, run, store};

/// A profile with an overlay in which one file is valid.
fn work() -> Workshop {
    let work = Workshop::new();
    work.file("site.toml", PROFILE);
    put(&work, "mine/etc/motd", "hello\n", 0o644);
    work
}

fn put(work: &Workshop, name: &str, text: impl AsRef<[u8]>, mode: u32) -> PathBuf {
    let path = work.file(name, text);
    set(&path, mode);
    path
}

fn set(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn kiln(work: &Workshop, verb: &str, more: &[&str]) -> Command {
    let mut command = work.kiln([verb, "--profile", "site.toml", "--artifacts"]);
    command.arg(store()).args(more);
    command
}

/// The refusal of a build; a check reports the same, and nothing is left behind.
#[track_caller]
fn refusal(work: &Workshop, code: i32) -> String {
    let message = refused(&mut kiln(work, "build", &["-q"]), code);
    assert_eq!(refused(&mut kiln(work, "check", &["-q"]), code), message);
    assert!(!work.path().join("out/site").exists() && !work.path().join("keystore").exists(), "{message}");
    message
}

fn listing(work: &Workshop) -> String {
    run(&mut kiln(work, "build", &["-q"]));
    fs::read_to_string(work.path().join("out/site/nodes/a/listing.txt")).unwrap()
}
