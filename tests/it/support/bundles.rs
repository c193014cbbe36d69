//! Bundles of ha3 that a test modifies by hand.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Workshop, ha3_with, run};

pub fn with(more: &str) -> Workshop {
    let work = Workshop::new();
    work.keystore("ha3");
    let etcd = format!("{more}[etcd]\nversion = \"3.5.16\"\n\n# Client certificates");
    work.file("ha3.toml", ha3_with(&[("# Client certificates", &etcd)]));
    work.build("./ha3.toml");
    work
}

/// A copy that can be changed: large files are hard links.
pub fn copy(work: &Workshop) -> PathBuf {
    let to = work.path().join("b");
    let _ = fs::remove_dir_all(&to);
    run(Command::new("cp").arg("-al").arg(work.path().join("out/ha3")).arg(&to));
    to
}

pub fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Replaces the file at a path without changing the old one, which has other links.
pub fn put(path: &Path, bytes: &[u8], bits: u32) {
    let _ = fs::remove_file(path);
    fs::write(path, bytes).unwrap();
    mode(path, bits);
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

/// Runs it with so little memory that a bomb would kill it, and without a network, because some verbs would contact a
/// cluster.
pub fn with_little_memory(work: &Workshop, arguments: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command
        .args([
            "--map-root-user",
            "--net",
            "sh",
            "-c",
            "ulimit -v 900000; exec \"$@\"",
            "sh",
            env!("CARGO_BIN_EXE_kiln"),
        ])
        .args(arguments)
        .current_dir(work.path());
    command
}

/// One node with the overlay `mine`, as an initramfs.
pub const OVERLAID: &str = r#"schema = 1

[cluster]
name = "site"

[etcd]
version = "3.5.16"

[network]
cidr = "10.0.0.0/24"

[bundle]
carriers = ["tar", "initramfs"]
binaries = "shared"
overlays = ["mine"]

[[node]]
name = "a"
address = "10.0.0.4"
"#;
