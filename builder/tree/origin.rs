//! Where the entries of a tree come from.

use std::fmt;

/// Where an entry comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// An overlay: the name of one of Kiln's, or the directory of a user's.
    Overlay(String),
    /// A `[[file]]`, by its absolute path on the node.
    File(String),
    /// Another table of the profile, such as `[etcd.service.install]`.
    Table(&'static str),
    /// A part of Kiln that makes it, such as `the certificates`.
    Part(&'static str),
}

impl Origin {
    /// Without what kind of source it is.
    pub fn name(&self) -> &str {
        match self {
            Self::Overlay(name) | Self::File(name) => name,
            Self::Table(name) | Self::Part(name) => name,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overlay(name) => write!(f, "overlay {name:?}"),
            Self::File(path) => write!(f, "[[file]] {path}"),
            Self::Table(name) | Self::Part(name) => f.write_str(name),
        }
    }
}

impl From<&'static str> for Origin {
    fn from(part: &'static str) -> Self {
        Self::Part(part)
    }
}

impl From<&Origin> for Origin {
    fn from(origin: &Origin) -> Self {
        origin.clone()
    }
}
