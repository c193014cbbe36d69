//! What Kiln writes for the program on a node (`builder/node`), which reads it: each value is checked when it is read,
//! so that a field has no other values than the ones that its type says.

mod backup;
mod envelope;
mod hex;
mod log;
mod place;
mod policy;
mod prune;
mod restore;
mod secrets;
mod snapshot;
mod snapshot_name;
mod text;
mod validity;
mod wipe;
pub mod x509;

pub use backup::{Backup, Prune, S3, Signer};
pub use envelope::{LONGEST_ENVELOPE, Unproven, open, seal};
pub use hex::{Digest, Id, NotHex, PublicKey};
pub use log::{LOG_BEGIN, LogIds, ids_of_log};
pub use place::{Bucket, HttpUrl, MemberUrl, OriginUrl, Prefix, Recipient, Region};
pub use policy::{
    Algorithm, Attribute, AttributeType, Kind, LONGEST_LIFE, Pair, Policy, SCHEMA, Text, Usage,
};
pub use prune::{AHEAD, Held, NoPrune, Retention, expired};
pub use restore::{
    ATTACHED_ORDERS, ATTACHED_SERIAL, ClusterToken, Earlier, Restore, Restored, RestoredMember, Unit,
};
pub use secrets::{Secret, Secrets};
pub use snapshot::{EtcdVersion, Record, TRAILER, is_whole};
pub use snapshot_name::{BODY, NotAName, RECORD, SnapshotName};
pub use text::{Account, DnsName, FileName, FilePath, Invalid, Name};
pub use validity::Validity;
pub use wipe::{OwnUnit, Wipe};
