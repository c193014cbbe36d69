//! The user's directories for files of programs (XDG Base Directory Specification 0.8).

use std::path::PathBuf;

use crate::disk;
use crate::environ;
use crate::failure::Result;

/// Kiln's directory below the one that `variable` names, or below `fallback` in the user's home. It need not exist.
/// `None` where there is no home directory.
///
/// # Errors
/// `Exit::Io` when it cannot be determined whether the home directory exists.
pub fn directory(variable: &str, fallback: &str) -> Result<Option<PathBuf>> {
    let named = |name: &str| environ::value(name).map(PathBuf::from);
    // The specification requires relative paths to be ignored.
    if let Some(directory) = named(variable).filter(|path| path.is_absolute()) {
        return Ok(Some(directory.join("kiln")));
    }
    match named("HOME").filter(|home| home.is_absolute()) {
        // A missing home directory is not created.
        Some(home) if disk::look(&home)?.is_some() => Ok(Some(home.join(fallback).join("kiln"))),
        _ => Ok(None),
    }
}
