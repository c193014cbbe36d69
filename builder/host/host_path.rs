//! A path of this machine in a record that other users may have written.

use std::path::Path;
use std::str::FromStr;

use serde::Serialize;

use crate::values::{Invalid, deserialize_parsed};

/// An absolute path on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostPath(String);

impl HostPath {
    /// `None` where it cannot be recorded: a relative path, or one that is not a line of text.
    pub fn of(path: &Path) -> Option<Self> {
        path.to_str().and_then(|text| text.parse().ok())
    }

    pub fn path(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl FromStr for HostPath {
    type Err = Invalid;
    fn from_str(text: &str) -> std::result::Result<Self, Invalid> {
        match text.starts_with('/') && text.len() < 4096 && !text.chars().any(char::is_control) {
            true => Ok(Self(text.to_owned())),
            false => Err(Invalid("it is not an absolute path".into())),
        }
    }
}

deserialize_parsed!(HostPath);
