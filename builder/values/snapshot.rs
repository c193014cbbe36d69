//! What a user gives for snapshots: the name of one, and files of secrets.

use std::path::PathBuf;
use std::str::FromStr;

use kiln_wire::{BODY, RECORD, SnapshotName};

use super::Invalid;

/// What a user names: a snapshot, or the newest sound one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotChoice {
    /// The newest that can be believed.
    Newest,
    /// This one.
    Named(SnapshotName),
}

impl FromStr for SnapshotChoice {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "newest" => Ok(Self::Newest),
            _ => {
                let plain = text.rsplit('/').next().unwrap_or(text);
                let plain =
                    [BODY, RECORD].into_iter().find_map(|end| plain.strip_suffix(end)).unwrap_or(plain);
                plain.parse().map(Self::Named).map_err(|why| Invalid(format!("{why}; or write newest")))
            }
        }
    }
}

/// What a cluster is restored from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestoreFrom {
    /// A snapshot that a node has taken, with its record.
    Taken(SnapshotChoice),
    /// A file in plain: `NAME.db`.
    Plain(PathBuf),
}

impl FromStr for RestoreFrom {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.ends_with(".db") {
            true => Ok(Self::Plain(text.into())),
            false => text.parse().map(Self::Taken),
        }
    }
}

/// Why a file of secrets cannot be read: serde_json's own text may quote what is in it.
pub fn unread_secrets(error: &serde_json::Error) -> String {
    let why = match error.classify() {
        serde_json::error::Category::Data => {
            "a key is unknown or a duplicate, or a value is not valid; schema is 1, and a secret is a string of printable ASCII"
        }
        _ => "it is no JSON",
    };
    format!("{why} (line {}, column {})", error.line(), error.column())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_stands_for_its_snapshot() {
        let name = "ha3-20261128T223451Z-r5-cp-a";
        let wanted = Ok(SnapshotChoice::Named(name.parse().unwrap()));
        for text in [name, &format!("{name}.db.age"), &format!("ha3/2026/11/{name}.json")] {
            assert_eq!(text.parse(), wanted, "{text}");
        }
        assert_eq!("newest".parse(), Ok(SnapshotChoice::Newest));
        for text in ["", "oldest", "ha3", "ha3-20261128T223451Z-r5-cp-a.db"] {
            assert!(text.parse::<SnapshotChoice>().is_err(), "{text}");
        }
    }
}
