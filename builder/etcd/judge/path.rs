//! Paths in the guest.

use crate::values::Invalid;

/// An absolute path of a file in the guest.
pub(super) fn file(text: &str) -> Result<&str, Invalid> {
    if !text.starts_with('/') {
        return Err(Invalid("it takes an absolute path, which begins with /".into()));
    }
    if text.split('/').skip(1).any(|part| matches!(part, "" | "." | "..")) {
        return Err(Invalid("it takes the path of a file, without empty, . and .. parts".into()));
    }
    Ok(text)
}
