//! The one error type: a sentence for people. It never contains a secret.

use std::fmt;

/// Printed after `kiln: NODE `; no full stop at its end.
#[derive(Debug)]
pub struct Failure(String);

/// The result of every function here that may fail.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// For this reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }

    /// A system call on a path.
    pub fn io(what: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Self(format!("{what} {}: {error}", path.display()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
