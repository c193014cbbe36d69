//! Taking in a bundle that was built elsewhere: whole, or not at all.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::manifest::{self, Manifest};
use super::place::{Holds, check_replaceable};
use super::read::{Bundle, listed};
use super::write::{MANIFEST, SUMS};
use crate::disk::{Output, Staging};
use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::values::{GuestPath, Mode};

/// A bundle being received. Shared between threads: every file is its own.
pub struct Receiver {
    staging: Staging,
    target: PathBuf,
}

impl Receiver {
    /// Makes the directories that the manifest's files lie in.
    ///
    /// # Errors
    /// `Exit::Unsafe` when something that is not a bundle stands at the target, `Exit::Locked` when another run is
    /// writing it, `Exit::Untrusted` for a manifest that no build writes.
    pub fn begin(target: &Path, manifest: &Manifest) -> Result<Self> {
        let directories = directories(manifest)?;
        check_replaceable(target, Holds::Bundle)?;
        let staging = Staging::begin(target)?;
        for (path, mode) in &directories {
            staging.directory(path.as_str(), *mode)?;
        }
        Ok(Self { staging, target: target.to_owned() })
    }

    /// A new file, with its mode from the moment it exists.
    pub fn create(&self, path: &str, mode: Mode) -> Result<Output> {
        self.staging.create(path, mode)
    }

    /// Holds everything that has arrived to its manifest, and lets the bundle appear.
    ///
    /// # Errors
    /// `Exit::Untrusted` when it is not what its manifest says.
    pub fn publish(self) -> Result<()> {
        let problems = Bundle::open(self.staging.path())?.check()?;
        if !problems.is_empty() {
            return Err(Failure::untrusted(format!("it is not as it was built{}", listed(&problems))));
        }
        interrupt::check()?;
        // Once more: somebody may have put something else there meanwhile.
        self.staging.publish(|| check_replaceable(&self.target, Holds::Bundle))
    }
}

/// The mode that a manifest names.
///
/// # Errors
/// `Exit::Untrusted` for one that no build gives: a set-uid bit, or no octal digits.
pub fn mode(path: &str, file: &manifest::File) -> Result<Mode> {
    let bits = u32::from_str_radix(&file.mode, 8).ok().filter(|bits| *bits <= 0o777);
    match bits.map(Mode::from_bits) {
        Some(mode) if mode.to_string() == file.mode => Ok(mode),
        _ => Err(Failure::untrusted(format!("{path} has the mode {:?} in the manifest", file.mode))),
    }
}

/// Every directory above a file, outermost first. The manifest does not name their modes: a directory with a file in
/// it that only its owner may read is for its owner alone, as every build makes it.
fn directories(manifest: &Manifest) -> Result<Vec<(GuestPath, Mode)>> {
    let refuse = |path: &str, why: &str| {
        Err(Failure::untrusted(format!("{path:?} in the manifest is nothing that kiln writes: {why}")))
    };
    let mut all = BTreeSet::new();
    let mut secret = BTreeSet::new();
    for (path, file) in &manifest.files {
        let Ok(guest) = path.parse::<GuestPath>() else { return refuse(path, "it is not a path") };
        if path == MANIFEST || path == SUMS {
            return refuse(path, "it lists itself");
        }
        if mode(path, file)?.bits() & 0o077 == 0 {
            secret.extend(guest.parents().last());
        }
        all.extend(guest.parents());
    }
    if let Some(path) = all.iter().find(|path| manifest.files.contains_key(path.as_str())) {
        return refuse(path.as_str(), "it is a file and a directory");
    }
    let with_mode = |path: GuestPath| {
        let mode = if secret.contains(&path) { Mode::SECRET_DIRECTORY } else { Mode::DIRECTORY };
        (path, mode)
    };
    Ok(all.into_iter().map(with_mode).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Exit;

    fn manifest(files: &[(&str, &str)]) -> Manifest {
        let files: serde_json::Map<_, _> = files
            .iter()
            .map(|(path, mode)| {
                (path.to_string(), serde_json::json!({ "size": 1, "mode": mode, "sha256": "0" }))
            })
            .collect();
        serde_json::from_value(serde_json::json!({
            "schema": 1, "builder": "kiln", "epoch": 0,
            "cluster": { "name": "ha3", "token": "t", "id": "1" },
            "etcd": { "version": "3.5.16", "arch": "amd64", "binaries": {}, "peers_by_name": true, "sources": [] },
            "network": { "cidr": "10.0.0.0/8" }, "nodes": [], "carriers": [], "binaries": "embedded",
            "certificates": [], "files": files,
        }))
        .unwrap()
    }

    #[test]
    fn a_directory_with_a_secret_is_its_owners() {
        let made = directories(&manifest(&[
            ("client/ca.pem", "0644"),
            ("client/etcdctl-key.pem", "0600"),
            ("layers/etcd.tar.gz", "0644"),
            ("network.xml", "0644"),
            ("nodes/a/seed.iso", "0600"),
            ("nodes/a/meta-data", "0644"),
        ]));
        let made: Vec<_> = made.unwrap().iter().map(|(path, mode)| format!("{mode} {path}")).collect();
        assert_eq!(made, ["0700 client", "0755 layers", "0755 nodes", "0700 nodes/a"]);
    }

    #[test]
    fn what_no_build_writes_is_refused() {
        for files in [
            [("a", "0644"), ("a/b", "0644")],
            [("a", "0644"), ("../b", "0644")],
            [("a", "0644"), ("/etc/b", "0644")],
            [("a", "0644"), ("bundle.json", "0644")],
            [("a", "0644"), ("SHA256SUMS", "0644")],
            [("a", "0644"), ("b", "4755")],
            [("a", "0644"), ("b", "rw")],
            [("a", "0644"), ("b", "644")],
            [("a", "0644"), ("b", "+644")],
        ] {
            let error = directories(&manifest(&files)).unwrap_err();
            assert_eq!(error.exit(), Exit::Untrusted, "{files:?}: {error}");
        }
    }
}
