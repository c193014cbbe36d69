//! Receiving a bundle that was built elsewhere, atomically.

use std::collections::BTreeSet;
use std::path::Path;

use super::layout;
use super::manifest::Manifest;
use super::place::{Holds, begin, check_replaceable};
use super::problem::{MAX_PROBLEMS_SHOWN, listed};
use super::read::Bundle;
use crate::disk::{Output, Staging};
use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::values::{GuestPath, Mode};

/// A bundle being received. Shared between threads: every file is its own.
pub struct Receiver {
    staging: Staging,
}

impl Receiver {
    /// Makes the directories for the manifest's files.
    ///
    /// # Errors
    /// `Exit::Unsafe` when something that is not a bundle is at the target, `Exit::Locked` when another run is writing
    /// it.
    pub fn begin(target: &Path, manifest: &Manifest) -> Result<Self> {
        let staging = begin(target, Holds::Bundle)?;
        for (path, mode) in directories(manifest) {
            staging.directory(path.as_str(), mode)?;
        }
        Ok(Self { staging })
    }

    /// A new file, with its mode from the moment it exists.
    pub fn create(&self, path: &str, mode: Mode) -> Result<Output> {
        self.staging.create(path, mode)
    }

    /// Compares everything that has arrived with its manifest, and publishes the bundle.
    ///
    /// # Errors
    /// `Exit::Untrusted` when it does not match its manifest.
    pub fn publish(self) -> Result<()> {
        let problems = Bundle::open(&self.staging.held_path()?)?.check()?;
        if !problems.is_empty() {
            return Err(Failure::untrusted(format!(
                "it does not match its manifest{}",
                listed(&problems, MAX_PROBLEMS_SHOWN)
            )));
        }
        interrupt::check()?;
        // Checked again: another process may have added a file meanwhile.
        self.staging.publish(|staging| check_replaceable(staging, Holds::Bundle))
    }
}

/// Every directory above a file, outermost first.
fn directories(manifest: &Manifest) -> Vec<(GuestPath, Mode)> {
    let all: BTreeSet<_> = manifest.files.keys().flat_map(GuestPath::parents).collect();
    let with_mode = |path: GuestPath| {
        let mode = layout::directory_mode(&path);
        (path, mode)
    };
    all.into_iter().map(with_mode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::example;

    #[test]
    fn a_directory_with_a_secret_is_its_owners() {
        let made: Vec<_> =
            directories(&example::manifest()).iter().map(|(path, mode)| format!("{mode} {path}")).collect();
        assert_eq!(made, ["0700 client", "0755 nodes", "0700 nodes/a", "0700 nodes/b"]);
    }
}
