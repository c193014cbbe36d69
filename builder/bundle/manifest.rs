//! `bundle.json`: the expected properties of the cluster, and every file of the bundle.
//!
//! A bundle may come from anywhere, and values of its manifest are passed to ip, QEMU, libvirt and terminals. So every
//! field has the same type as in the profile, and any other value is refused when the manifest is parsed.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize};

pub use super::cluster::{Cluster, Restored};
use super::json;
pub use super::kiln_node::KilnNode;
use super::layout::MAX_NODES;
pub use super::own_roots::OwnRoots;
pub use super::snapshots::Snapshots;
use crate::carrier;
use crate::etcd::Release;
use crate::etcd::ids::MemberId;
use crate::failure::{Failure, Result};
use crate::profile;
use crate::values::{
    self, AltName, Arch, BaseSystem, By, Card, Carrier, Connect, Digest, Epoch, FileName, GuestPath,
    HostName, Lifetime, Line, Link, Mac, Mode, NodeName, Route, Serial, Url, host_address,
};

pub(crate) use crate::artifact::{EtcdProgram, Trust};
pub(crate) use crate::profile::Binaries;

/// All of `bundle.json`. Unknown keys are refused.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// 1 so far; a manifest of any other schema is refused.
    pub schema: u32,
    /// `kiln 0.1.0`.
    pub builder: Line,
    /// The timestamp of every entry in the archives.
    pub epoch: Epoch,
    /// The name and the identity of the cluster.
    pub cluster: Cluster,
    /// The release that the members run, and where it came from.
    pub etcd: Etcd,
    /// Kiln's own program on the nodes; absent where they do not renew their certificates.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kiln_node: Option<KilnNode>,
    /// How nodes take snapshots; absent where they take none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub snapshots: Option<Snapshots>,
    /// The members' network.
    pub network: Network,
    /// Absent in bundles of early versions of Kiln 0.1, which did not start machines.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub machine: Option<Machine>,
    /// Absent where the bundle has no boot files.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub base: Option<Base>,
    /// At least one, in the order of the profile.
    #[serde(deserialize_with = "values::list::<_, _, MAX_NODES>")]
    pub nodes: Vec<Node>,
    /// What the nodes run on, in the order of the profile; absent where it does not say.
    #[serde(
        deserialize_with = "values::list::<_, _, MAX_NODES>",
        skip_serializing_if = "Vec::is_empty",
        default
    )]
    pub hosts: Vec<Host>,
    /// Forms in which the bundle contains its nodes.
    #[serde(deserialize_with = "carrier::set")]
    pub carriers: Vec<Carrier>,
    /// Whether each node has the programs, or one layer for all.
    pub binaries: Binaries,
    /// Every certificate of the bundle, CAs included; no keys.
    pub certificates: Vec<Certificate>,
    /// Every file of the bundle but this one and SHA256SUMS, by its path in the bundle.
    #[serde(deserialize_with = "values::map")]
    pub files: BTreeMap<GuestPath, File>,
}

/// The release of etcd that the members run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Etcd {
    /// Without a leading `v`.
    pub version: Release,
    /// The architecture that the programs are for.
    pub arch: Arch,
    /// Without etcdutl before 3.5.
    #[serde(deserialize_with = "values::map")]
    pub binaries: BTreeMap<EtcdProgram, Binary>,
    /// Whether the peer port accepts only the members' certificates, or any certificate of this CA.
    pub peers_by_name: bool,
    /// The authorities of which members trust a root that Kiln made, where one has an issuing CA below it.
    #[serde(skip_serializing_if = "OwnRoots::is_none", default)]
    pub trusts_own_roots: OwnRoots,
    /// The release files that the binaries were taken from.
    #[serde(deserialize_with = "values::list::<_, _, 16>")]
    pub sources: Vec<Source>,
}

/// A program of the release, as it is on nodes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binary {
    /// Its path in the guest: `usr/local/bin/etcdctl`.
    pub path: GuestPath,
    /// In bytes.
    pub size: u64,
    /// Of its content.
    pub sha256: Digest,
}

/// A release file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Its name, without a directory.
    pub file: Line,
    /// Of the file as it was imported.
    pub sha256: Digest,
    /// Why the import accepted it.
    pub trust: Trust,
}

/// The members' network.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// The network itself, without host bits: `10.240.16.0/24`.
    #[serde(serialize_with = "values::as_text", deserialize_with = "range")]
    pub cidr: IpNet,
    /// Absent where nodes have no default route.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub gateway: Option<IpAddr>,
}

/// The virtual hardware of a node.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// In MiB.
    #[serde(deserialize_with = "memory")]
    pub memory_mib: u32,
    /// At least 1.
    #[serde(deserialize_with = "vcpus")]
    pub vcpus: u16,
    /// Of the disk that holds etcd's data, in MiB.
    #[serde(deserialize_with = "data_disk")]
    pub data_disk_mib: u32,
    /// What `kiln up` boots by default; absent where the profile names none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub base: Option<BaseSystem>,
    /// Absent where `kiln up` makes a network for the cluster.
    #[serde(skip_serializing_if = "Link::is_own", default)]
    pub link: Link,
}

/// The base system that `boot/` and the nodes' `initrd.img` were made with.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// `vmlinuz`.
    pub kernel: Input,
    /// The original file: in a node's `initrd.img`, zeros up to a multiple of four and the node's own files follow it.
    pub initrd: Input,
    /// The kernel command line that the base system needs.
    pub cmdline: Line,
}

/// A file that the bundle was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// In bytes.
    pub size: u64,
    /// Of its content.
    pub sha256: Digest,
}

/// A node with the member on it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Host name, and name of the member.
    pub name: NodeName,
    /// In the network.
    pub address: IpAddr,
    /// By which others reach it through NAT.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub public_address: Option<IpAddr>,
    /// Of its first network card.
    pub mac: Mac,
    /// Its network cards; none where it has one, with this address in the network and the gateway there.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        default,
        deserialize_with = "values::list::<_, _, MAX_CARDS>"
    )]
    pub cards: Vec<Card>,
    /// As etcd computes it from the peer URLs and the token; 16 hex digits in JSON.
    pub member_id: MemberId,
    /// What the member advertises to other members.
    #[serde(deserialize_with = "values::list::<_, _, 8>")]
    pub peer_urls: Vec<Url>,
    /// What the member advertises to clients.
    #[serde(deserialize_with = "values::list::<_, _, 8>")]
    pub client_urls: Vec<Url>,
    /// Files in `nodes/NAME/`, by name.
    #[serde(deserialize_with = "values::list::<_, _, 64>")]
    pub files: Vec<FileName>,
}

/// The most cards that a node has: for clients and for peers.
const MAX_CARDS: usize = 2;

impl Node {
    /// The node's cards, also where the manifest does not list them.
    pub fn cards(&self, network: &Network) -> Vec<Card> {
        if !self.cards.is_empty() {
            return self.cards.clone();
        }
        let cidr = network.cidr;
        let link = IpNet::new(self.address, cidr.prefix_len()).unwrap_or_else(|_| self.address.into());
        let routes = network.gateway.map(|via| Route { to: values::everything(via), via, on_link: false });
        vec![Card {
            mac: self.mac,
            by: By::Mac,
            addresses: vec![link],
            routes: routes.into_iter().collect(),
            dhcp: None,
            mtu: None,
            vlan: None,
            shared: false,
        }]
    }

    /// Whether this is an address of the node.
    pub fn has(&self, address: IpAddr) -> bool {
        self.address == address || self.cards.iter().any(|card| card.has(address))
    }

    /// Where the other members reach it.
    pub fn peer_address(&self) -> IpAddr {
        let in_url = self.peer_urls.first().and_then(Url::address);
        in_url.filter(|address| self.has(*address)).unwrap_or(self.address)
    }
}

/// What nodes run on, and fail with.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// `[[host]] name` of the profile.
    pub name: HostName,
    /// The libvirt at which `kiln up` starts them; absent where it is told.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub connect: Option<Connect>,
    /// In the order of the profile.
    #[serde(deserialize_with = "values::list::<_, _, MAX_NODES>")]
    pub nodes: Vec<NodeName>,
}

/// A port of etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Port {
    Client,
    Peer,
}

/// A certificate in the bundle. The key beside it is only in `files`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// The path in the guest (`etc/etcd/pki/server.pem`), or in the bundle for `client/…`.
    pub file: GuestPath,
    /// The node that has it; absent for the CA and for the client certificates of the bundle.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node: Option<NodeName>,
    /// As in RFC 4514; it may be empty (RFC 5280 4.1.2.6).
    pub subject: Line,
    /// In the order of the certificate; none for a CA.
    #[serde(deserialize_with = "values::list::<_, _, 64>")]
    pub sans: Vec<AltName>,
    /// As hex digits, two for each byte.
    pub serial: Serial,
    /// The first second in which it is valid.
    pub not_before: Epoch,
    /// The last second in which it is valid.
    pub not_after: Epoch,
    /// The ports of etcd that send it, where its file or the CA's has another name than usual.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub ports: Vec<Port>,
    /// The file on the node with the CA whose certificates these ports accept.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trusts: Option<GuestPath>,
    /// How its node renews it; absent where the desk does. Later ones have other serial numbers and dates.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub renewed: Option<Renewed>,
}

/// What stays the same of certificates that a node makes, besides their subject, names and usages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Renewed {
    /// The file on the node with its CA, which is listed, too.
    pub issuer: GuestPath,
    /// The longest life that one has.
    pub lifetime: Lifetime,
}

/// A file of the bundle, as it was published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// In bytes.
    pub size: u64,
    /// 0600 for a file with a key.
    pub mode: Mode,
    /// Of its content.
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

    /// The address of the host of the nodes in their network: the gateway's, so that their default route leads
    /// somewhere, or else a free one.
    ///
    /// # Errors
    /// `Exit::Wrong` when none is free.
    pub fn host_address(&self) -> Result<IpAddr> {
        let network = self.network.cidr;
        let is_taken = |address: &IpAddr| self.nodes.iter().any(|node| node.has(*address));
        host_address(network, self.network.gateway, is_taken)
            .ok_or_else(|| Failure::wrong(format!("{network} has no free address to ask the members from")))
    }

    /// The virtual hardware of a node, with defaults for bundles of early versions of Kiln.
    pub fn machine(&self) -> Machine {
        let usual = Machine { memory_mib: 1024, vcpus: 2, data_disk_mib: 8192, base: None, link: Link::Own };
        self.machine.clone().unwrap_or(usual)
    }

    /// Whether the programs are in a layer that all hosts share, instead of in each host's own files.
    pub fn shares_binaries(&self) -> bool {
        self.binaries == Binaries::Shared
    }
}

/// The builder that a manifest names.
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
