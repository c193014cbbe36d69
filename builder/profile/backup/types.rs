//! `[backup]` as values.

use std::path::PathBuf;

use kiln_wire as wire;
use serde::Serialize;

use crate::profile::{PrunedBy, Span};
use crate::values::{GuestPath, Interval, Lifetime};

/// `[backup]`: each node takes snapshots of its member.
#[derive(Clone, Debug, Serialize)]
pub struct Backup {
    /// Of the table.
    #[serde(skip)]
    pub place: Option<Span>,
    /// Between two snapshots of a member.
    pub interval: Interval,
    /// At least one, as age(1) has them: X25519 (`age1…`) or `ssh-ed25519`.
    pub recipients: Vec<wire::Recipient>,
    /// On a node: `var/lib/kiln/snapshots`.
    pub directory: GuestPath,
    /// How many of its snapshots a node keeps.
    pub keep: u32,
    /// The file on this machine with what the bucket and the pings need.
    #[serde(skip)]
    pub secrets: Option<NamedFile>,
    /// For how long snapshots stay in the bucket, where someone prunes it.
    pub retention: Option<Lifetime>,
    /// Who does that.
    pub prune: PrunedBy,
    /// `[backup.s3]`.
    pub bucket: Option<Bucket>,
}

/// `[backup.s3]`: where snapshots go besides a node's own disk.
#[derive(Clone, Debug, Serialize)]
pub struct Bucket {
    /// Scheme, host and port: `https://s3.site.example`.
    pub endpoint: wire::OriginUrl,
    /// Its name.
    pub name: wire::Bucket,
    /// What its keys begin with; may be empty.
    pub prefix: wire::Prefix,
    /// As the signatures of requests have it.
    pub region: wire::Region,
    /// The file on this machine with the CAs of the endpoint.
    #[serde(skip)]
    pub ca_file: Option<NamedFile>,
    /// For how long the bucket is told to lock a snapshot.
    pub lock: Option<Lifetime>,
}

/// A file on this machine that the profile names.
#[derive(Clone, Debug)]
pub struct NamedFile {
    pub path: PathBuf,
    /// `FILE:LINE` of its name, or the setting.
    pub at: String,
}
