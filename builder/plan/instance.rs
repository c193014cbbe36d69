//! How etcd runs on a node: the settings that would have to differ between two members on one machine.

use serde::Serialize;

use crate::profile::{Profile, Restart, UnitLine, UnitSettings};
use crate::values::{GuestPath, InstallLine, InstanceName, ServiceUser};

/// A member's own account, directories and ports. Its unit is that of its node.
#[derive(Clone, Debug, Serialize)]
pub struct Instance {
    /// Names Kiln's own files on the node.
    #[serde(skip_serializing_if = "InstanceName::owns_host")]
    pub name: InstanceName,
    /// The account that etcd runs as.
    pub user: ServiceUser,
    /// The directory of its configuration in the guest: `etc/etcd`.
    pub config_directory: GuestPath,
    /// The directory of its log in the guest, where that is not in the data directory. The one that it is in is etcd's
    /// own.
    pub wal_directory: Option<GuestPath>,
    pub client_port: u16,
    pub peer_port: u16,
    /// Of the HTTP listener for metrics and health.
    pub metrics_port: Option<u16>,
    /// `Restart=`.
    pub restart: Restart,
    /// `RestartSec=`, as systemd reads it.
    pub restart_sec: String,
    /// `LimitNOFILE=`.
    pub limit_nofile: u32,
    /// `Description=`, where it is not Kiln's own.
    pub description: Option<String>,
    /// Further lines of the unit's sections.
    pub unit_lines: Vec<UnitLine>,
    pub service_lines: Vec<String>,
    pub install_lines: Vec<InstallLine>,
}

impl Instance {
    /// The directory that the log's is in.
    pub fn wal_parent(&self) -> Option<GuestPath> {
        self.wal_directory.as_ref()?.parents().last()
    }

    pub fn of(profile: &Profile) -> Self {
        let service = &profile.etcd.service;
        let UnitSettings { restart, restart_sec, limit_nofile, description, unit, service: lines, install } =
            service.unit.clone();
        Self {
            name: service.instance.clone(),
            user: service.user.clone(),
            config_directory: service.config_dir.clone(),
            wal_directory: service.wal_dir.clone(),
            client_port: service.client_port,
            peer_port: service.peer_port,
            metrics_port: service.metrics_port,
            restart,
            restart_sec,
            limit_nofile,
            description,
            unit_lines: unit,
            service_lines: lines,
            install_lines: install,
        }
    }
}
