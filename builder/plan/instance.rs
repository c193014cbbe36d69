//! How etcd runs on a node: the settings that would have to differ between two members on one machine.

use serde::Serialize;

use crate::etcd::{CLIENT_PORT, PEER_PORT};

/// A member's own account, unit, directory and ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Instance {
    /// The systemd unit: `etcd.service`.
    pub unit: &'static str,
    /// The account that etcd runs as.
    pub user: &'static str,
    /// The directory of its configuration in the guest: `etc/etcd`.
    pub config_directory: &'static str,
    pub client_port: u16,
    pub peer_port: u16,
}

impl Instance {
    /// The only one so far.
    pub const ETCD: Self = Self {
        unit: "etcd.service",
        user: "etcd",
        config_directory: "etc/etcd",
        client_port: CLIENT_PORT,
        peer_port: PEER_PORT,
    };
}
