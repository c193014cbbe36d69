//! The contents of directories.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::look::{Found, Kind, look};
use crate::failure::{Doing, Failure, Result};
use crate::values::Mode;

/// The names in a directory, sorted by their bytes.
pub fn list(path: &Path) -> Result<Vec<String>> {
    let reading = || format!("reading the directory {}", path.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(path).doing(reading)? {
        let name = entry.doing(reading)?.file_name();
        names.push(name.into_string().map_err(|name| {
            Failure::io(format!("{} is not a UTF-8 name", name.display())).while_doing(reading())
        })?);
    }
    names.sort_unstable();
    Ok(names)
}

/// The same, without names that are not UTF-8: for finding names that Kiln has given.
pub fn list_utf8(path: &Path) -> Result<Vec<String>> {
    let reading = || format!("reading the directory {}", path.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(path).doing(reading)? {
        names.extend(entry.doing(reading)?.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}

/// One entry below a walked directory.
pub struct Walked {
    /// Relative to the start of the walk.
    pub path: PathBuf,
    pub kind: Kind,
    pub mode: Mode,
    /// In bytes; the apparent size of a sparse file.
    pub size: u64,
    /// The user ID of its owner.
    pub owner: u32,
    /// The target of a link.
    pub target: Option<PathBuf>,
}

/// Everything below a directory, sorted, links not followed.
pub fn walk(root: &Path) -> Result<Vec<Walked>> {
    let mut all = Vec::new();
    for entry in walkdir::WalkDir::new(root).min_depth(1).sort_by_file_name() {
        let entry = entry.map_err(|error| {
            // walkdir's own text repeats the path.
            let path = error.path().unwrap_or(root).display().to_string();
            let reason = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
            Failure::io(reason).while_doing(format!("reading {path}"))
        })?;
        let path = entry.path().strip_prefix(root).unwrap_or(entry.path()).to_owned();
        let Some(found) = look(entry.path())? else { continue };
        let target = match found.kind {
            Kind::Link => Some(
                fs::read_link(entry.path())
                    .doing(|| format!("reading the link {}", entry.path().display()))?,
            ),
            _ => None,
        };
        let Found { kind, mode, size, owner } = found;
        all.push(Walked { path, kind, mode, size, owner, target });
    }
    Ok(all)
}

/// A file in a directory of files.
pub struct Stored {
    pub path: PathBuf,
    pub size: u64,
    /// Seconds and nanoseconds since 1970.
    pub modified: (i64, i64),
}

/// The files in a directory, in no order.
pub fn stored(directory: &Path) -> Result<Vec<Stored>> {
    let reading = || format!("reading the directory {}", directory.display());
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).doing(reading)? {
        let entry = entry.doing(reading)?;
        // Another run may have removed it meanwhile.
        let Ok(meta) = entry.metadata() else { continue };
        if meta.is_file() {
            all.push(Stored {
                path: entry.path(),
                size: meta.len(),
                modified: (meta.mtime(), meta.mtime_nsec()),
            });
        }
    }
    Ok(all)
}
