//! The kinds of entries.

use std::fmt;

use serde::Serialize;

/// The kind of an entry, which names its directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// Compressed programs that the artifact store lacks and that cannot be written to it.
    Packed,
    /// The files of a part of a bundle.
    Part,
    /// The digests of large files when they were last read.
    Seen,
}

impl EntryKind {
    pub const ALL: [EntryKind; 3] = [EntryKind::Packed, EntryKind::Part, EntryKind::Seen];

    pub(super) fn directory(self) -> &'static str {
        match self {
            EntryKind::Packed => "packed",
            EntryKind::Part => "part",
            EntryKind::Seen => "seen",
        }
    }
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.directory())
    }
}
