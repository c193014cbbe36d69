//! The bundle's program that reads snapshots.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kiln_wire::Record;
use serde::Deserialize;

use super::plain::Plain;
use crate::bundle::Bundle;
use crate::bundle::manifest::EtcdProgram;
use crate::cluster::bundled_program;
use crate::failure::{Doing, Failure, Result};
use crate::process::Program;

/// It reads all of a file, which may be one of 8 GiB on a slow disk.
const PATIENCE: Duration = Duration::from_secs(900);

/// etcdutl, or etcdctl where the release has none.
pub struct Reader {
    program: PathBuf,
}

/// What it says of a snapshot; of the fields that are missing etcd's JSON means zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Status {
    /// Of all keys and values.
    pub hash: u32,
    pub revision: u64,
}

impl Reader {
    /// The program that it will be.
    pub fn program(bundle: &Bundle) -> EtcdProgram {
        let has_own = bundle.manifest.etcd.binaries.contains_key(&EtcdProgram::Etcdutl);
        if has_own { EtcdProgram::Etcdutl } else { EtcdProgram::Etcdctl }
    }

    /// Takes it out of the bundle into `scratch`.
    ///
    /// # Errors
    /// Those of `bundled_program`.
    pub fn new(bundle: &Bundle, scratch: &Path) -> Result<Self> {
        let program = bundled_program(&bundle.path, &bundle.manifest, Self::program(bundle), scratch)?;
        Ok(Self { program })
    }

    /// Of a snapshot that is whole: the program panics on others.
    ///
    /// # Errors
    /// `Exit::Io` where it cannot read the file.
    pub fn status(&self, plain: &Plain) -> Result<Status> {
        let program = Program::new(&self.program)
            .env("ETCDCTL_API", "3")
            .args(["snapshot", "status", "--write-out=json"])
            .arg(&plain.path)
            .within(PATIENCE);
        let reading = || "reading what is in the snapshot".to_owned();
        let finished =
            program.must_telling(|said| said.lines().last().unwrap_or_default().to_owned()).doing(reading)?;
        let status: Status = serde_json::from_slice(&finished.stdout).map_err(|error| {
            Failure::io(format!("its JSON is unexpected: {error}")).while_doing(reading())
        })?;
        // A store in which nothing was ever written is at revision 1, and its file says 0.
        Ok(Status { revision: status.revision.max(1), ..status })
    }

    /// The highest revision in a snapshot that is whole.
    ///
    /// # Errors
    /// As `status`.
    pub fn revision(&self, plain: &Plain) -> Result<u64> {
        self.status(plain).map(|status| status.revision)
    }

    /// # Errors
    /// `Exit::Wrong` where what is in the snapshot is not what its record says.
    pub fn check(&self, plain: &Plain, record: &Record) -> Result<()> {
        let Status { hash, revision } = self.status(plain)?;
        match (hash, revision) == (record.hash, record.revision) {
            true => Ok(()),
            false => Err(Failure::wrong(format!(
                "{} holds revision {revision} with hash {hash:08x}, and its record says revision {} with {:08x}",
                record.name, record.revision, record.hash
            ))),
        }
    }
}
