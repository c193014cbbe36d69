//! What adding files to the store has changed.

use serde::Serialize;

use super::node_record::NodeRecord;
use super::record::ReleaseRecord;

/// The result of adding one release.
#[derive(Clone, Debug, Serialize)]
pub struct Added {
    /// Whether the release is new to the store.
    pub outcome: Outcome,
    /// As it is in the store afterwards.
    #[serde(flatten)]
    pub record: ReleaseRecord,
}

/// The result of adding one `kiln-node`.
#[derive(Clone, Debug, Serialize)]
pub struct AddedNode {
    /// Whether it is new to the store.
    pub outcome: Outcome,
    /// As it is in the store afterwards.
    #[serde(flatten)]
    pub record: NodeRecord,
}

/// What one call has added.
#[derive(Clone, Debug, Default)]
pub struct Imported {
    /// Releases of etcd.
    pub releases: Vec<Added>,
    /// Kiln's own program for nodes.
    pub nodes: Vec<AddedNode>,
}

/// What adding a release has changed; in kebab-case in `--json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The store had no such release.
    Added,
    /// The same programs from the same files; a damaged blob has been repaired.
    AlreadyThere,
    /// The same programs from other files, which the record now names.
    SourcesUpdated,
    /// Other programs have replaced the old ones.
    Replaced,
}
