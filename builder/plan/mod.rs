//! `Profile` -> `Plan`: every default filled in, every decision made, per node. A plan can be printed before
//! anything is built, and rendering adds nothing to it but bytes.

mod authority;
mod certificate;
mod cluster;
mod instance;
mod peers;
mod settings;
mod url;
mod view;

use std::net::IpAddr;

use serde::Serialize;

use crate::etcd::Release;
use crate::etcd::ids::{MemberId, cluster_id, member_id};
use crate::profile::{self, Bundle, ConfigStyle, Machine, Network, Pki, Profile};
use crate::values::{Arch, ClusterName, GuestPath, Mac, NodeName, Token, disk_serial, host_address};

pub use authority::{AuthoritySpec, CA, file as authority_file};
pub use certificate::{CertificateSpec, Owner, Role, Usage, of_role, operator};
pub use cluster::Cluster;
pub use instance::Instance;
pub use settings::{Origin, Setting};
use url::url;
pub use view::{ImportedCa, View};

/// A resolved cluster. Nothing in it is optional that a renderer would have to decide.
///
/// As JSON it is what parts of a bundle are known by (`build/parts.rs`): what has no effect on their bytes is skipped there.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// The profile's name, which is also the bundle's.
    pub name: ClusterName,
    pub cluster: Cluster,
    pub release: Release,
    pub arch: Arch,
    pub config_style: ConfigStyle,
    pub instance: Instance,
    /// Whether the peer port lets in peers' certificates only, or any of this CA's.
    pub peers_by_name: bool,
    pub data_dir: GuestPath,
    /// Where etcd, etcdctl and etcdutl lie on a node.
    pub bin_dir: GuestPath,
    pub network: Network,
    pub nodes: Vec<Node>,
    /// Certificates in the bundle's `client/`, the one for etcdctl first.
    pub clients: Vec<CertificateSpec>,
    /// The one that clients trust first.
    pub authorities: Vec<AuthoritySpec>,
    pub pki: Pki,
    pub machine: Machine,
    pub bundle: Bundle,
}

#[derive(Clone, Debug, Serialize)]
pub struct Node {
    pub name: NodeName,
    /// `cp-a.kloud.lan` where the cluster has a domain, else the name alone.
    pub fqdn: String,
    pub address: IpAddr,
    pub mac: Mac,
    /// By which the node finds its data disk.
    pub disk_serial: String,
    pub member_id: MemberId,
    /// The one on its own address; peers and clients are told of these.
    pub peer_url: String,
    pub client_url: String,
    /// etcd's options in the order in which they are written.
    pub settings: Vec<Setting>,
    /// The certificates in its own files.
    pub certificates: Vec<CertificateSpec>,
}

/// Resolves a profile. The token is the profile's own, else the keystore's.
pub fn resolve(profile: &Profile, derived_token: &Token) -> Plan {
    let token = profile.cluster.token.as_ref().unwrap_or(derived_token).clone();
    let instance = Instance::ETCD;
    let peer_url = |node: &profile::Node| url(node.address, instance.peer_port);
    let peer_urls: Vec<String> = profile.nodes.iter().map(peer_url).collect();
    let member_ids: Vec<MemberId> =
        peer_urls.iter().map(|url| member_id(std::slice::from_ref(url), token.as_str())).collect();
    let cluster = Cluster {
        name: profile.cluster.name.clone(),
        domain: profile.cluster.domain.clone(),
        id: cluster_id(&member_ids),
        formed: profile.cluster.formed,
        token,
    };
    let initial_cluster = profile
        .nodes
        .iter()
        .zip(&peer_urls)
        .map(|(node, url)| format!("{}={url}", node.name))
        .collect::<Vec<_>>()
        .join(",");
    let around = settings::Around {
        profile,
        instance: &instance,
        cluster: &cluster,
        initial_cluster: &initial_cluster,
    };
    let nodes =
        profile.nodes.iter().zip(member_ids).map(|(node, id)| self::node(node, id, &around)).collect();
    Plan {
        name: profile.name.clone(),
        cluster,
        release: profile.etcd.release,
        arch: profile.etcd.arch,
        config_style: profile.etcd.config_style,
        instance,
        peers_by_name: peers::names(profile).is_some(),
        data_dir: profile.etcd.data_dir.clone(),
        bin_dir: profile.etcd.bin_dir.clone(),
        network: profile.network.clone(),
        nodes,
        clients: certificate::of_clients(&profile.clients),
        authorities: authority::of(&profile.pki),
        pki: profile.pki.clone(),
        machine: profile.machine.clone(),
        bundle: profile.bundle.clone(),
    }
}

fn node(node: &profile::Node, member_id: MemberId, around: &settings::Around<'_>) -> Node {
    let fqdn = match &around.cluster.domain {
        Some(domain) => format!("{}.{domain}", node.name),
        None => node.name.to_string(),
    };
    let certificates = certificate::of_node(&around.profile.pki, node, &fqdn);
    Node {
        settings: settings::of_node(node, &certificates, around),
        certificates,
        disk_serial: disk_serial(node.name.as_str()),
        name: node.name.clone(),
        fqdn,
        address: node.address,
        mac: node.mac,
        member_id,
        peer_url: url(node.address, around.instance.peer_port),
        client_url: url(node.address, around.instance.client_port),
    }
}

impl Plan {
    /// An address of the network for whoever hosts it: the gateway, else the first that no node has.
    pub fn host_address(&self) -> IpAddr {
        let is_taken = |address: &IpAddr| self.nodes.iter().any(|node| node.address == *address);
        let free = host_address(self.network.cidr, self.network.gateway, is_taken);
        // A network with room for the nodes only has none left; its own address then says so to libvirt.
        free.unwrap_or(self.network.cidr.network())
    }
}
