//! What Kiln knows of etcd itself: its releases, the options of each, and how it computes identities.

mod features;
pub mod gates;
mod given;
pub mod ids;
pub mod judge;
pub mod keys;
mod release;
mod value;

pub use features::AllowedCn;
pub use given::{Given, value};
pub use release::Release;
pub use value::{Value, parse_duration};

/// Where etcd listens (IANA: etcd-client, etcd-server).
pub const CLIENT_PORT: u16 = 2379;
pub const PEER_PORT: u16 = 2380;
