//! Instances on a node: each has its files in a directory of Kiln's.

use std::path::{Path, PathBuf};

use crate::disk;
use crate::failure::Result;

/// Where the first instance has its files; those of others are in directories there.
pub const KILN: &str = "/etc/kiln";

/// The directories in which instances may be, that of the first one first; none where Kiln has no files.
///
/// # Errors
/// Of the system.
pub fn directories() -> Result<Vec<PathBuf>> {
    let top = Path::new(KILN);
    if !disk::is_there(top) {
        return Ok(Vec::new());
    }
    let mut names = disk::names(top)?;
    names.sort();
    Ok(std::iter::once(top.to_owned()).chain(names.iter().map(|name| top.join(name))).collect())
}
