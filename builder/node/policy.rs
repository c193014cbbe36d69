//! Files of JSON that root alone can write: what a build has told this program, and what its last runs have left.

use std::path::Path;

use serde::de::DeserializeOwned;

use crate::disk;
use crate::failure::{Failure, Result};

/// What spans several fields: why they cannot be.
type Check<T> = fn(&T) -> std::result::Result<(), &'static str>;

/// Reads such a file, and holds it against `check`.
///
/// # Errors
/// Where it is not this program's user's alone, or not what it should be.
pub fn read<T: DeserializeOwned>(path: &Path, check: Check<T>) -> Result<T> {
    parse(path, &disk::read(path, false)?, check)
}

/// The same of bytes that are read already; the path is for messages.
///
/// # Errors
/// Where they are not what they should be.
pub fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8], check: Check<T>) -> Result<T> {
    let wrong = |why: &dyn std::fmt::Display| Failure::new(format!("{}: {why}", path.display()));
    let told: T = serde_json::from_slice(bytes).map_err(|error| wrong(&error))?;
    check(&told).map_err(|why| wrong(&why))?;
    Ok(told)
}
