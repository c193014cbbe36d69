//! The keystore, and the certificates that are issued from it.
//!
//! Everything here is derived: the same keystore, profile and program give the same keys, serial numbers, dates and
//! signatures. The caller provides today's date, and only when a keystore is made or renewed.

mod authorities;
mod authority;
mod below;
mod certificate;
mod chain;
mod chance;
mod copies;
mod damage;
mod decided;
mod derive;
mod differences;
mod generations;
mod import;
mod imported;
mod issuing;
mod judge;
mod key;
mod keyfile;
mod keystore;
mod list;
mod made;
mod names;
mod node_ca;
mod oid;
mod pem;
mod place;
mod presented;
mod probe;
mod public;
mod record;
mod recorded;
mod restores;
mod seal;
mod secret;
mod show;
mod signature;
mod snapshot_key;
mod successor;

pub(crate) use authorities::Authorities;
pub use authority::{Authority, Issued};
pub(crate) use decided::renewed_on_nodes;
pub use generations::RestoredFrom;
pub use judge::Remark;
pub(crate) use key::warm_up;
pub(crate) use keystore::Import;
pub(crate) use keystore::{Exports, Restored};
pub use keystore::{Keystore, resealed};
pub(crate) use place::looks_like_keystore;
pub(crate) use presented::Presented;
pub(crate) use probe::{Forged, NodeMint};
pub use restores::Restore;
pub use seal::{Sealed, Witness};
pub use snapshot_key::SnapshotKey;
pub(crate) use snapshot_key::signing as snapshot_signing;
