//! A snapshot that a rehearsal begins with.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What the members of a cluster begin with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Snapshot {
    /// A file of this machine, decrypted.
    pub path: PathBuf,
    /// The revision that each member must have afterwards.
    pub revision: u64,
}
