//! `kiln-node` as nodes get it, and the one that is installed with Kiln, beside its own program.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::artifact::{self, MAX_NODE_BYTES, Trust};
use crate::disk;
use crate::failure::{Failure, Result};
use crate::tree::Blob;
use crate::values::{Arch, NODE_PROGRAM, Version};

/// Kiln's own program, which the kernel resolves, whatever name or link it was started by.
const OWN: &str = "/proc/self/exe";

/// The program as nodes get it. It is of this Kiln's version, static, and for the nodes' architecture.
pub struct NodeProgram {
    pub version: Version,
    pub blob: Arc<Blob>,
    pub origin: Origin,
    /// The file beside Kiln, or the one that was imported.
    pub file: String,
}

impl NodeProgram {
    /// Whether its bytes are in the artifact store.
    pub fn is_stored(&self) -> bool {
        self.origin != Origin::Beside
    }
}

/// Where a `kiln-node` comes from. A plan says it; no byte of a bundle depends on it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A file in the directory of Kiln's own program.
    Beside,
    /// The artifact store, and why the import accepted it.
    Store(Trust),
}

impl Origin {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Beside => "beside kiln",
            Self::Store(trust) => trust.as_str(),
        }
    }
}

/// Where the program for an architecture is when it was installed with Kiln.
pub fn path(arch: Arch) -> PathBuf {
    disk::resolved(Path::new(OWN)).with_file_name(format!("{NODE_PROGRAM}-{arch}"))
}

/// `None` where there is no such file.
///
/// # Errors
/// Why it cannot be used.
pub fn look(path: &Path, arch: Arch) -> Result<Option<NodeProgram>> {
    let real = disk::resolved(path);
    let (Some(found), own) = (disk::look(&real)?, disk::look(&disk::resolved(Path::new(OWN)))?) else {
        return Ok(None);
    };
    // Who may change Kiln itself may change what it bakes, too.
    if let Some(why) = found.open_to_others(own.as_ref()) {
        return Err(Failure::untrusted(format!("it {why}")));
    }
    let bytes = disk::read(&real, MAX_NODE_BYTES)?;
    let found = artifact::examine_node(&bytes)?;
    artifact::refuse_other_version(&found)?;
    artifact::check_node(&bytes, arch, &found.version)?;
    Ok(Some(NodeProgram {
        version: found.version,
        blob: Arc::new(Blob::new(bytes)),
        origin: Origin::Beside,
        file: path.display().to_string(),
    }))
}
