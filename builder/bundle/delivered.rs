//! `nodes/NAME/files.json`: every file that a node gets, with its source.

use serde::{Deserialize, Serialize};

use super::json::not_written;
use crate::etcd::Release;
use crate::failure::{Failure, Result};
use crate::values::{self, Account, Digest, GuestPath, Line, Mode, NodeName};

/// An entry of a node's files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delivered {
    pub node: NodeName,
    /// Its path in the guest, without the first slash, as in the manifest.
    pub destination: GuestPath,
    pub kind: Kind,
    pub mode: Mode,
    /// The account that has it on the node that runs; in archives everything is root's.
    pub owner: Account,
    pub group: Account,
    /// In bytes; of a link, the length of its target.
    pub size: u64,
    /// Of a file that others than its owner may read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sha256: Option<Digest>,
    /// Of a link.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub target: Option<Line>,
    pub source: Source,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Directory,
    File,
    Link,
}

/// Where an entry comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "lowercase", deny_unknown_fields)]
pub enum Source {
    /// The files of that release are in the manifest, as `etcd.sources`.
    Release { version: Release },
    /// The label of a certificate or its key, `node/cp-a/peer`, or the name of an authority.
    Keystore { label: Line },
    /// A directory of `[bundle] overlays` or `--overlays`: the last part of its path.
    Overlay { name: Line },
    /// A table of the profile.
    Profile { table: Line },
    /// A part of Kiln: one of its own overlays, or etcd's configuration.
    Kiln { part: Line },
}

/// An upper limit on the entries of a node: those of its overlays, and Kiln's own.
const MAX_ENTRIES: usize = 1 << 18;

/// A JSON array with an entry per line.
///
/// # Errors
/// `Exit::Io`, when it cannot be written as JSON.
pub fn to_json(list: &[Delivered]) -> Result<Vec<u8>> {
    let line = |one: &Delivered| {
        serde_json::to_string(one).map_err(|error| Failure::io(format!("writing it as JSON: {error}")))
    };
    let lines = list.iter().map(line).collect::<Result<Vec<_>>>()?;
    Ok(format!("[\n{}\n]\n", lines.join(",\n")).into_bytes())
}

/// # Errors
/// `Exit::Wrong` when it is not such a list, or not that of this node.
pub fn from_json(bytes: &[u8], node: &str) -> Result<Vec<Delivered>> {
    #[derive(Deserialize)]
    struct All(#[serde(deserialize_with = "values::list::<_, _, MAX_ENTRIES>")] Vec<Delivered>);
    let All(list) = serde_json::from_slice(bytes).map_err(|error| not_written("list of files", &error))?;
    match list.iter().find(|one| one.node.as_str() != node) {
        Some(other) => Err(Failure::wrong(format!("it is the list of {}, not of {node}", other.node))),
        None => Ok(list),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one() -> Delivered {
        Delivered {
            node: "cp-a".parse().unwrap(),
            destination: "usr/local/bin/etcd".parse().unwrap(),
            kind: Kind::File,
            mode: Mode::PROGRAM,
            owner: "root".parse().unwrap(),
            group: "root".parse().unwrap(),
            size: 7,
            sha256: Some(Digest::of(b"etcd")),
            target: None,
            source: Source::Release { version: Release::new(3, 5, 16) },
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let list = [one(), Delivered { source: Source::Kiln { part: "etcd".parse().unwrap() }, ..one() }];
        let bytes = to_json(&list).unwrap();
        assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 4, "an entry per line");
        assert_eq!(from_json(&bytes, "cp-a").unwrap(), list);
        assert!(from_json(&bytes, "cp-b").unwrap_err().to_string().contains("list of cp-a, not of cp-b"));
    }

    #[test]
    fn other_values_are_refused() {
        let good = String::from_utf8(to_json(&[one()]).unwrap()).unwrap();
        for (from, to) in [
            ("\"root\"", "\"Root\""),
            ("usr/local", "../local"),
            ("\"0755\"", "\"rwx\""),
            ("\"file\"", "\"device\""),
            ("\"from\":\"release\"", "\"from\":\"web\""),
            ("\"size\":7", "\"size\":-7"),
            ("\"size\"", "\"sise\""),
            ("\"version\"", "\"x\":1,\"version\""),
            ("cp-a", "cp\\u001ba"),
        ] {
            assert!(good.contains(from), "{from}");
            assert!(from_json(good.replacen(from, to, 1).as_bytes(), "cp-a").is_err(), "{to}");
        }
    }
}
