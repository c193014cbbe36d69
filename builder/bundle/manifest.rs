//! `bundle.json`: what the bundle promises about the cluster, and what every file in it is.
//!
//! A bundle may come from anywhere, and its manifest's words go to ip, QEMU, libvirt and terminals. So every field has
//! the type that the profile has for it, and what is no such value is not read at all.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize};

use super::json;
use super::layout::MAX_NODES;
use crate::carrier;
use crate::etcd::Release;
use crate::etcd::ids::{ClusterId, MemberId};
use crate::failure::{Failure, Result};
use crate::profile;
use crate::values::{
    self, AltName, Arch, BaseSystem, Carrier, ClusterName, Digest, Epoch, FileName, GuestPath, Line, Mac,
    Mode, NodeName, Serial, Token, Url, host_address,
};

pub use crate::artifact::{Program, Trust};
pub use crate::profile::Binaries;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub schema: u32,
    /// `kiln 0.1.0`.
    pub builder: Line,
    /// That every timestamp in the archives has.
    pub epoch: Epoch,
    pub cluster: Cluster,
    pub etcd: Etcd,
    pub network: Network,
    /// Absent in bundles of Kiln 0.1 from before it started machines.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub machine: Option<Machine>,
    /// Absent where the bundle has no boot files.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub base: Option<Base>,
    /// At least one, in the order of the profile.
    #[serde(deserialize_with = "values::list::<_, _, MAX_NODES>")]
    pub nodes: Vec<Node>,
    #[serde(deserialize_with = "carrier::set")]
    pub carriers: Vec<Carrier>,
    pub binaries: Binaries,
    pub certificates: Vec<Certificate>,
    /// Every file of the bundle but this one and SHA256SUMS, by its path in the bundle.
    #[serde(deserialize_with = "values::map")]
    pub files: BTreeMap<GuestPath, File>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    pub name: ClusterName,
    pub token: Token,
    pub id: ClusterId,
    /// Whether its nodes were told that the cluster has served before, so that an empty disk founds nothing. Absent in
    /// bundles of Kiln 0.1 from before it told them.
    #[serde(default)]
    pub formed: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Etcd {
    pub version: Release,
    pub arch: Arch,
    #[serde(deserialize_with = "values::map")]
    pub binaries: BTreeMap<Program, Binary>,
    /// Whether the peer port lets in the members' certificates only, or any of this CA's.
    pub peers_by_name: bool,
    /// The release files that the binaries were taken from.
    #[serde(deserialize_with = "values::list::<_, _, 16>")]
    pub sources: Vec<Source>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binary {
    /// Where it lies in the guest: `usr/local/bin/etcdctl`.
    pub path: GuestPath,
    pub size: u64,
    pub sha256: Digest,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    pub file: Line,
    pub sha256: Digest,
    pub trust: Trust,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    #[serde(serialize_with = "values::as_text", deserialize_with = "range")]
    pub cidr: IpNet,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub gateway: Option<IpAddr>,
}

/// What a node's machine is made of.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    #[serde(deserialize_with = "memory")]
    pub memory_mib: u32,
    #[serde(deserialize_with = "vcpus")]
    pub vcpus: u16,
    #[serde(deserialize_with = "data_disk")]
    pub data_disk_mib: u32,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub base: Option<BaseSystem>,
}

/// The base system that `boot/` and the nodes' `initrd.img` were made with.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    pub kernel: Input,
    /// As it was: in a node's `initrd.img`, zeros up to a multiple of four and the node's own files follow it.
    pub initrd: Input,
    pub cmdline: Line,
}

/// A file that the bundle was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    pub size: u64,
    pub sha256: Digest,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    pub name: NodeName,
    pub address: IpAddr,
    pub mac: Mac,
    pub member_id: MemberId,
    #[serde(deserialize_with = "values::list::<_, _, 8>")]
    pub peer_urls: Vec<Url>,
    #[serde(deserialize_with = "values::list::<_, _, 8>")]
    pub client_urls: Vec<Url>,
    /// Files in `nodes/NAME/`, by name.
    #[serde(deserialize_with = "values::list::<_, _, 64>")]
    pub files: Vec<FileName>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// The path in the guest (`etc/etcd/pki/server.pem`), or in the bundle for `client/…`.
    pub file: GuestPath,
    /// The node whose files hold it; absent for the CA and for the client certificates of the bundle.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node: Option<NodeName>,
    /// As in RFC 4514; it may be empty (RFC 5280 4.1.2.6).
    pub subject: Line,
    #[serde(deserialize_with = "values::list::<_, _, 64>")]
    pub sans: Vec<AltName>,
    pub serial: Serial,
    pub not_before: Epoch,
    pub not_after: Epoch,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub size: u64,
    pub mode: Mode,
    pub sha256: Digest,
}

impl Manifest {
    /// Pretty JSON with a newline at its end.
    ///
    /// # Errors
    /// `Exit::Io`, when it cannot be written as JSON.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        json::written(self)
    }

    /// The address that the host of the nodes takes in their network: the gateway's, so that their default route leads somewhere, or
    /// else a free one.
    ///
    /// # Errors
    /// `Exit::Wrong` when none is free.
    pub fn host_address(&self) -> Result<IpAddr> {
        let network = self.network.cidr;
        let is_taken = |address: &IpAddr| self.nodes.iter().any(|node| node.address == *address);
        host_address(network, self.network.gateway, is_taken)
            .ok_or_else(|| Failure::wrong(format!("{network} has no free address to ask the members from")))
    }

    /// What a node's machine is made of, also where an early Kiln has not said it.
    pub fn machine(&self) -> Machine {
        let usual = Machine { memory_mib: 1024, vcpus: 2, data_disk_mib: 8192, base: None };
        self.machine.clone().unwrap_or(usual)
    }

    /// Whether the programs are in a layer that all hosts share, instead of in each host's own files.
    pub fn shares_binaries(&self) -> bool {
        self.binaries == Binaries::Shared
    }
}

/// Who makes a bundle.
pub fn builder() -> Line {
    Line::of(concat!("kiln ", env!("CARGO_PKG_VERSION")))
}

fn range<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<IpNet, D::Error> {
    let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
    profile::network_range(&text).map_err(serde::de::Error::custom)
}

fn memory<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<u32, D::Error> {
    values::number(deserializer, profile::Machine::MEMORY_MIB)
}

fn vcpus<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<u16, D::Error> {
    values::number(deserializer, profile::Machine::VCPUS)
}

fn data_disk<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<u32, D::Error> {
    values::number(deserializer, profile::Machine::DATA_DISK_MIB)
}
