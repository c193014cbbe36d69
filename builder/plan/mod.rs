//! `Profile` -> `Plan`: every default filled in, every decision made, per node. A plan can be printed before anything
//! is built; rendering makes no further decisions.

mod authority;
mod backup;
mod card;
mod certificate;
mod cluster;
mod failure;
mod instance;
mod issuer;
mod peers;
mod permits;
mod places;
mod renewal;
mod restored;
mod settings;
mod sources;
mod subject;
mod url;
mod usage;
mod view;

use std::net::IpAddr;

use serde::Serialize;

use crate::etcd::Release;
use crate::etcd::ids::{MemberId, cluster_id, member_id};
use crate::profile::{self, Backup, Bundle, ConfigStyle, Machine, Network, Pki, Profile};
use crate::values::{Arch, Card, ClusterName, GuestPath, Mac, NodeName, PeerTag, Token, Url, disk_serial};

pub(crate) use authority::{
    AuthoritySpec, Made, OF_CLIENTS, client_file as authority_file, common_name, of_peers,
};
pub(crate) use backup::BackupPlaces;
pub use certificate::{CA, CertificateSpec, Owner, PEER_CA, Role};
pub(crate) use certificate::{of_purpose, of_role, operator};
pub(crate) use cluster::Cluster;
pub(crate) use failure::Host;
pub(crate) use instance::Instance;
pub(crate) use issuer::{IssuerSpec, label as issuer_label};
pub(crate) use permits::Permits;
pub(crate) use places::RenewalPlaces;
pub use restored::{Earlier, Restored};
pub(crate) use settings::Setting;
pub use sources::refused;
pub use usage::Usage;
pub(crate) use view::{ImportedCa, View};

/// A resolved cluster. A renderer has nothing left to decide.
///
/// Its JSON is an input of the digests that identify parts of a bundle (`build/parts.rs`): fields without effect on
/// their bytes are skipped there.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// The profile's name, which is also the bundle's.
    pub name: ClusterName,
    /// Name, domain, token and ID.
    pub cluster: Cluster,
    /// The etcd release of all members.
    pub release: Release,
    /// The architecture of all nodes.
    pub arch: Arch,
    /// Whether etcd gets its options by file, flags or variables.
    pub config_style: ConfigStyle,
    /// Account, ports and directories of the member on each node, and the settings of its unit.
    pub instance: Instance,
    /// Whether the peer port accepts only peers' certificates, or any certificate of this CA.
    pub peers_by_name: bool,
    /// Whether peers dial each other by their host names; their URLs in `nodes` follow from it.
    #[serde(skip)]
    pub dials_by_name: bool,
    /// etcd's data directory in the guest: `var/lib/etcd`.
    pub data_dir: GuestPath,
    /// The directory of etcd, etcdctl and etcdutl on a node.
    pub bin_dir: GuestPath,
    /// The network that all nodes' addresses are in.
    pub network: Network,
    /// At least one, in the order of the profile.
    pub nodes: Vec<Node>,
    /// The hosts of the nodes, with the consequence of the loss of each; none where the profile does not say.
    #[serde(skip)]
    pub hosts: Vec<Host>,
    /// Certificates in the bundle's `client/`, the one for etcdctl first.
    pub clients: Vec<CertificateSpec>,
    /// The one that clients trust first.
    pub authorities: Vec<AuthoritySpec>,
    /// Algorithms, lifetimes and layout of the certificates.
    pub pki: Pki,
    /// How nodes take snapshots; absent where they take none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<Backup>,
    /// Memory, CPUs and disk of a VM that runs a node.
    pub machine: Machine,
    /// Which carriers the bundle has, and how the files are laid out.
    pub bundle: Bundle,
}

/// A node with the etcd member on it.
#[derive(Clone, Debug, Serialize)]
pub struct Node {
    /// Host name, and name of the member.
    pub name: NodeName,
    /// `cp-a.kloud.lan` where the cluster has a domain, else the name alone.
    pub fqdn: String,
    /// Static, in the network.
    pub address: IpAddr,
    /// Its address in the network of the peers: the same where those have none of their own.
    pub peer_address: IpAddr,
    /// By which others reach it through NAT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_address: Option<IpAddr>,
    /// From the profile, else derived from the names of the cluster and the node.
    pub mac: Mac,
    /// Its cards, with all their addresses and routes. The first one has `mac` and `address`.
    pub cards: Vec<Card>,
    /// The serial by which the node finds its data disk.
    pub disk_serial: String,
    /// As etcd computes it from the peer URL and the token.
    pub member_id: MemberId,
    /// Its systemd unit: `etcd.service`.
    pub unit: String,
    /// Its URL in `initial-cluster`, from which its ID follows, and which it has in the member list.
    pub peer_url: Url,
    /// The one that clients get: `https://10.240.16.10:2379`.
    pub client_url: Url,
    /// The one that etcdctl on the node dials: by address, also where the others have names.
    pub endpoint: Url,
    /// etcd's options in the order in which they are written.
    pub settings: Vec<Setting>,
    /// The certificates in its own files: its own, and then those of clients.
    pub certificates: Vec<CertificateSpec>,
    /// Symbolic links among these files: the name of each, and the file that it leads to.
    pub links: Vec<(String, String)>,
}

/// The names that a cluster has from its keystore.
#[derive(Clone, Debug)]
pub struct Named {
    /// etcd's `initial-cluster-token`, where the profile has none.
    pub token: Token,
    /// By which peers know each other, where nodes renew their certificates.
    pub tag: PeerTag,
    /// The clusters that were restored from a snapshot, by the token of their first generation.
    pub restored: Vec<(Token, Restored)>,
}

impl Named {
    /// For a plan of which nothing is shown or kept that depends on the tag.
    pub fn by(token: &Token) -> Self {
        Self { token: token.clone(), tag: PeerTag::placeholder(), restored: Vec::new() }
    }

    /// The present generation of the cluster whose first one had this token, or the keystore's.
    fn generation(&self, own: Option<&Token>) -> (Token, Option<Restored>) {
        let first = own.unwrap_or(&self.token);
        let restored = self.restored.iter().find(|(token, _)| token == first).map(|(_, restored)| restored);
        (restored.map_or(first, |restored| &restored.token).clone(), restored.cloned())
    }
}

/// Resolves a profile. The token is the profile's own, else the keystore's; a restored cluster's follows from it.
pub fn resolve(profile: &Profile, named: &Named) -> Plan {
    let (token, restored) = named.generation(profile.cluster.token.as_ref());
    let instance = Instance::of(profile);
    let service = &profile.etcd.service;
    let peer_url = |node: &profile::Node| {
        let address = node.peer_address();
        url::of_node(node, address, &profile.cluster, service.initial_cluster, instance.peer_port)
    };
    let peer_urls: Vec<Url> = profile.nodes.iter().map(peer_url).collect();
    let member_ids: Vec<MemberId> =
        peer_urls.iter().map(|url| member_id(&[url.to_string()], token.as_str())).collect();
    let cluster = Cluster {
        name: profile.cluster.name.clone(),
        domain: profile.cluster.domain.clone(),
        id: cluster_id(&member_ids),
        formed: profile.cluster.formed,
        token,
        restored,
    };
    let members = profile.nodes.iter().zip(&peer_urls);
    let initial_cluster: Vec<_> = members.map(|(node, url)| format!("{}={url}", node.name)).collect();
    let issued: Vec<_> = (0..profile.nodes.len()).map(|at| certificates(profile, at, &named.tag)).collect();
    let around = settings::Around {
        profile,
        instance: &instance,
        cluster: &cluster,
        initial_cluster: &initial_cluster.join(","),
        peer_names: peers::names(profile, &issued, &named.tag),
    };
    let node = |at: usize| node(at, (member_ids[at], &peer_urls[at]), &issued[at], &around);
    let nodes: Vec<Node> = (0..profile.nodes.len()).map(node).collect();
    let peers_by_name = around.peer_names.is_some();
    let clients = certificate::of_clients(&profile.pki, &profile.clients);
    let all: Vec<&CertificateSpec> =
        nodes.iter().flat_map(|node| &node.certificates).chain(&clients).collect();
    let authorities = authority::of(&profile.pki, &cluster.name, cluster.domain.as_ref(), &all);
    Plan {
        name: profile.name.clone(),
        cluster,
        release: profile.etcd.release,
        arch: profile.etcd.arch,
        config_style: profile.etcd.config_style,
        instance,
        peers_by_name,
        dials_by_name: peers::are_dialed_by_name(profile),
        data_dir: profile.etcd.data_dir.clone(),
        bin_dir: profile.etcd.bin_dir.clone(),
        network: profile.network.clone(),
        nodes,
        hosts: failure::hosts(profile),
        clients,
        authorities,
        pki: profile.pki.clone(),
        backup: profile.backup.clone(),
        machine: profile.machine.clone(),
        bundle: profile.bundle.clone(),
    }
}

/// The certificates of a node, by its place in the profile: its own, and those of clients whose files it has.
fn certificates(profile: &Profile, at: usize, tag: &PeerTag) -> Vec<CertificateSpec> {
    let node = &profile.nodes[at];
    let fqdn = profile.cluster.fqdn(&node.name);
    let filling = filling(profile, at, &fqdn);
    let cluster = &profile.cluster.name;
    let are_dialed_by_name = peers::are_dialed_by_name(profile);
    let of = certificate::Of { cluster, filling, node, tag, are_dialed_by_name };
    let clients = profile.clients.iter().filter(|client| client.nodes.has(&node.name));
    let clients = clients.map(|client| certificate::of_client(&profile.pki, client));
    let snapshot = profile.backup.iter().map(|_| certificate::of_snapshots(&profile.pki, &node.name));
    certificate::of_node(&profile.pki, &of).into_iter().chain(snapshot).chain(clients).collect()
}

fn filling<'a>(profile: &'a Profile, at: usize, fqdn: &'a str) -> profile::Filling<'a> {
    profile::Filling::of(&profile.cluster, at, &profile.nodes[at].name, fqdn)
}

/// A node by its place in the profile; its member's ID and the URL that this follows from.
fn node(
    at: usize,
    (member_id, peer_url): (MemberId, &Url),
    certificates: &[CertificateSpec],
    around: &settings::Around<'_>,
) -> Node {
    let node = &around.profile.nodes[at];
    let service = &around.profile.etcd.service;
    let fqdn = around.profile.cluster.fqdn(&node.name);
    let filling = filling(around.profile, at, &fqdn);
    let client_port = around.instance.client_port;
    let links = around.profile.pki.links.iter();
    let links = links.map(|link| (link.name.fill(&filling), link.target.fill(&filling))).collect();
    Node {
        settings: settings::of_node(node, certificates, around),
        certificates: certificates.to_vec(),
        links,
        disk_serial: disk_serial(&around.instance.name, node.name.as_str()),
        name: node.name.clone(),
        fqdn,
        address: node.address,
        peer_address: node.peer_address(),
        public_address: node.public,
        mac: node.mac,
        cards: card::of_node(&around.profile.network, node),
        member_id,
        unit: service.units[at].file(),
        peer_url: peer_url.clone(),
        client_url: url::of_node(
            node,
            node.address,
            &around.profile.cluster,
            service.client_url,
            client_port,
        ),
        endpoint: Url::of_address(node.address, client_port),
    }
}

impl Plan {
    /// An authority by its name.
    pub fn authority(&self, name: &str) -> Option<&AuthoritySpec> {
        self.authorities.iter().find(|authority| authority.name == name)
    }
}
