//! A node's files on this machine. No link among them is followed: it would lead out of them.

use std::path::{Path, PathBuf};

use crate::disk::{self, Kind};
use crate::failure::{Failure, Result};

/// Configuration files are small; a larger one is not what it seems.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// A path of the node on this machine, where it is there.
///
/// # Errors
/// `Exit::Wrong` when a part of it is a link, or leads up.
pub fn inside(root: &Path, path: &str) -> Result<Option<PathBuf>> {
    let mut at = root.to_owned();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        if part == ".." {
            return Err(Failure::wrong(format!(
                "{path} of the node leads up, and a rehearsal stays in the node"
            )));
        }
        at.push(part);
        match disk::look(&at)? {
            None => return Ok(None),
            Some(found) if found.kind == Kind::Link => {
                return Err(Failure::wrong(format!(
                    "{path} of the node leads through a link, and a rehearsal follows none"
                )));
            }
            Some(_) => {}
        }
    }
    Ok(Some(at))
}

/// A directory of the node on this machine, which may be missing.
///
/// # Errors
/// `Exit::Wrong` when a link, or a part that leads up, would lead out of the node.
pub fn below(root: &Path, directory: &str) -> Result<PathBuf> {
    Ok(inside(root, directory)?.unwrap_or_else(|| root.join(directory.trim_start_matches('/'))))
}

/// A configuration file, whole.
///
/// # Errors
/// `Exit::Wrong` when it is not text; `Exit::Io` when it cannot be read, or is too large for one.
pub fn text(path: &Path) -> Result<String> {
    String::from_utf8(disk::read(path, MAX_CONFIG_BYTES)?)
        .map_err(|_| Failure::wrong(format!("{} is not UTF-8 text", path.display())))
}

/// Whether something of this kind is at the path.
pub fn is(path: &Path, kind: Kind) -> Result<bool> {
    Ok(disk::look(path)?.is_some_and(|found| found.kind == kind))
}
