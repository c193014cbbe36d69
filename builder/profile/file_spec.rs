//! `[[file]]` as values.

use std::path::PathBuf;

use super::pki::OnNodes;
use crate::values::{Account, GuestPath, Mode};

/// A file, link or directory of nodes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileSpec {
    pub path: GuestPath,
    pub body: FileBody,
    /// Whether it is filled in for each node; never for a link or a directory.
    pub is_template: bool,
    /// `None`: that of `source`, as for a file of an overlay; 0644 for a text, 0755 for a directory.
    pub mode: Option<Mode>,
    /// Account and group on the node; `None`: root.
    pub owner: Option<(Account, Account)>,
    pub nodes: OnNodes,
    /// Where its path is in the profile's whole text, in bytes.
    pub at: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileBody {
    Text(String),
    /// A file on this machine.
    Source(PathBuf),
    /// The target of a symbolic link.
    Link(String),
    Directory,
}
