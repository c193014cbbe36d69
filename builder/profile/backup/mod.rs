//! `[backup]`: snapshots that nodes take by themselves.

/// With which the desk signs the snapshots that it takes, in the bundle's `client/`.
pub const DESK_KEY: &str = "kiln-snapshot-desk-key.pem";

/// There, too: the CAs of the bucket's server.
pub const BUCKET_CA: &str = "kiln-snapshot-ca.pem";

pub(super) mod keys;
mod read;
mod types;

pub(super) use read::read;
pub use types::{Backup, Bucket, NamedFile};
