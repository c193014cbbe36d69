//! The record of a snapshot: what belongs together, so that no part can be exchanged.

use serde::{Deserialize, Serialize};

use super::backup::{generation, recipients};
use super::hex::{Digest, Id};
use super::place::Recipient;
use super::policy::schema;
use super::snapshot_name::SnapshotName;
use super::text::{Name, text};

/// What etcd adds to the pages of its database when it hands out a snapshot: their SHA-256.
pub const TRAILER: u64 = 32;
/// A database has whole blocks of this size.
const BLOCK: u64 = 512;

text!(
    /// `3.5.16`, as etcd says it.
    EtcdVersion,
    is_version,
    "a version of etcd has 1 to 32 of a-z, A-Z, 0-9, ., - and +"
);

fn is_version(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+'))
}

/// The payload of the envelope that lies beside a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Record {
    /// `SCHEMA`.
    #[serde(deserialize_with = "schema")]
    pub schema: u32,
    /// The cluster's name.
    pub cluster: Name,
    /// As etcd said it.
    pub cluster_id: Id,
    /// Of the cluster, from 1.
    #[serde(deserialize_with = "generation")]
    pub generation: u32,
    /// The node that has taken it, and has signed this.
    pub node: Name,
    /// Its member.
    pub member_id: Id,
    /// When, in seconds since 1970.
    pub taken: u64,
    /// The highest revision in it.
    pub revision: u64,
    /// The member's release.
    pub etcd: EtcdVersion,
    /// The snapshot's name, without an ending.
    pub name: SnapshotName,
    /// Bytes of the file as it lies there, encrypted.
    pub size: u64,
    /// Of the same.
    pub sha256: Digest,
    /// Bytes of the database in it, with etcd's trailer.
    pub plain_size: u64,
    /// Of the same.
    pub plain_sha256: Digest,
    /// Of the keys and values in it, as etcd's own `snapshot status` counts them.
    pub hash: u32,
    /// Who can decrypt it.
    #[serde(deserialize_with = "recipients")]
    pub recipients: Vec<Recipient>,
}

impl Record {
    /// What a type of one field alone cannot say.
    ///
    /// # Errors
    /// The reason.
    pub fn check(&self) -> Result<(), &'static str> {
        let Self { name, .. } = self;
        let is_named = *name.cluster() == self.cluster
            && *name.node() == self.node
            && name.taken() == self.taken
            && name.revision() == self.revision;
        match () {
            () if !is_named => Err("the name and the content of the record say different things"),
            () if !is_whole(self.plain_size) => Err("no snapshot of etcd has the size that the record says"),
            () if self.size <= self.plain_size => Err("the encrypted file is not larger than what is in it"),
            () => Ok(()),
        }
    }
}

/// Whether a file of so many bytes can be a snapshot with its trailer.
pub fn is_whole(size: u64) -> bool {
    size > TRAILER && size % BLOCK == TRAILER
}
