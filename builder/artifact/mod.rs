//! etcd's release files -> verified binaries, in a store that later builds read without a network.
//!
//! A file passes three checks. Its SHA-256 must be trusted before a byte of it is interpreted. It is then unpacked in
//! memory, with a limit on everything that it can claim, and only the programs of an etcd release are picked from it,
//! by exact name. Each of them must be an ELF program for the architecture and the release that the file claims.
//! Nothing is written before all files of a call have passed.
//!
//! `kiln-node`, which Kiln puts onto nodes that renew their certificates, is imported in the same way: as the program
//! itself, which a mark in it tells from others.

mod archive;
mod audit;
mod catalogue;
mod control;
mod deb;
mod examine;
mod group;
mod json;
mod limits;
mod node;
mod node_record;
mod node_store;
mod opened;
mod outcome;
mod packed;
mod record;
mod release_file;
mod source;
mod store;
mod tarball;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::etcd::Release;
use crate::values::Digest;

pub use audit::{Audit, Damage};
pub(crate) use catalogue::{KnownRelease, known};
pub(crate) use examine::check as check_program;
pub(crate) use node::{
    MAX_NODE_BYTES, check as check_node, examine as examine_node, refuse_other_version, script as node_script,
};
pub use node_record::NodeRecord;
pub use outcome::{Added, AddedNode, Imported, Outcome};
pub use packed::Kept;
pub(crate) use record::ReleaseRecord;
pub use record::Trust;
pub use store::Store;

/// The programs that an etcd release is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EtcdProgram {
    /// The server.
    Etcd,
    /// The client.
    Etcdctl,
    /// The tool for data files of a member that is stopped.
    Etcdutl,
}

impl EtcdProgram {
    /// In the order in which they are listed.
    pub const ALL: [EtcdProgram; 3] = [EtcdProgram::Etcd, EtcdProgram::Etcdctl, EtcdProgram::Etcdutl];

    /// File name in a release and on a node, and key in records and manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            EtcdProgram::Etcd => "etcd",
            EtcdProgram::Etcdctl => "etcdctl",
            EtcdProgram::Etcdutl => "etcdutl",
        }
    }

    /// Whether a release has it: etcdutl was split from etcdctl in 3.5.0 (etcd's CHANGELOG-3.5).
    pub fn is_part_of(self, release: Release) -> bool {
        self != EtcdProgram::Etcdutl || release >= Release::new(3, 5, 0)
    }

    fn named(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|program| program.as_str().as_bytes() == name)
    }
}

impl fmt::Display for EtcdProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Files that `Store::add` accepts besides those in the built-in catalogue.
#[derive(Clone, Copy, Debug, Default)]
pub struct Accept<'a> {
    /// Digests that a profile pins in `[etcd] sha256`.
    pub pinned: &'a [Digest],
    /// Any digest; the record then says that the user trusted it.
    pub trust: bool,
    /// Other binaries than those that the store has for the same release.
    pub replace: bool,
}
