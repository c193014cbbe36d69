//! A node's files on this machine. No link among them is followed, because it would lead to files of this machine.

use std::path::{Path, PathBuf};

use crate::disk::{self, Kind};
use crate::failure::{Failure, Result};

/// The limit on a configuration file; these are small.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// A path of the node on this machine, if it exists.
///
/// # Errors
/// `Exit::Wrong` when a part of it is a link, or `..`.
pub fn inside(root: &Path, path: &str) -> Result<Option<PathBuf>> {
    let mut at = root.to_owned();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        if part == ".." {
            return Err(Failure::wrong(format!("{path} of the node leads out of the node's files")));
        }
        at.push(part);
        match disk::look(&at)? {
            None => return Ok(None),
            Some(found) if found.kind == Kind::Link => {
                return Err(Failure::wrong(format!(
                    "{path} of the node leads through a symbolic link, which a rehearsal does not follow"
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
/// `Exit::Wrong` when a link or `..` would lead out of the node.
pub fn below(root: &Path, directory: &str) -> Result<PathBuf> {
    Ok(inside(root, directory)?.unwrap_or_else(|| root.join(directory.trim_start_matches('/'))))
}

/// The text of a configuration file.
///
/// # Errors
/// `Exit::Wrong` when it is not text; `Exit::Io` when it cannot be read, or is too large.
pub fn text(path: &Path) -> Result<String> {
    String::from_utf8(disk::read(path, MAX_CONFIG_BYTES)?)
        .map_err(|_| Failure::wrong(format!("{} is not UTF-8 text", path.display())))
}

/// Whether something of this kind is at the path.
pub fn is(path: &Path, kind: Kind) -> Result<bool> {
    Ok(disk::look(path)?.is_some_and(|found| found.kind == kind))
}
