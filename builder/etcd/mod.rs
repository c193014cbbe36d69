//! Facts about etcd itself: its releases, the options of each, and how it computes identities.

mod features;
pub(crate) mod gates;
mod given;
pub mod ids;
pub(crate) mod judge;
pub mod keys;
mod release;
mod value;

pub use features::PeerNames;
pub(crate) use given::{Given, value};
pub use release::Release;
pub use value::{Value, parse_duration};

/// etcd's ports (IANA: etcd-client, etcd-server).
pub(crate) const CLIENT_PORT: u16 = 2379;
pub(crate) const PEER_PORT: u16 = 2380;
