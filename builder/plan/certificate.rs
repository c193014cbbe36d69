//! The contents of certificates: which ones there are is decided here; `pki` issues them.
//!
//! The two tables are the whole policy: a row per file.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use kiln_wire::Kind;
use serde::Serialize;

use super::issuer::{Inside, IssuerSpec};
use super::usage::Usage;
use crate::profile::{
    AltName, Certificates, Client, Filling, Leaf, Node, OPERATOR, Pki, Renewal, Subject, alternative,
};
use crate::values::{ClusterName, Lifetime, Mode, NodeName, PeerTag, PemFile, Purpose};

/// The CA that every cluster has: it issues to members and to their clients.
pub const CA: &str = "ca";

/// The CA of the peers' own, where there is one.
pub const PEER_CA: &str = "peer-ca";

/// The use of a certificate in a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sent by a member to clients.
    Server,
    /// Sent by a member to other members, when it accepts connections and when it makes them.
    Peer,
    /// Sent by a client to members.
    Client,
}

/// The account that reads a certificate's key on its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// The account that etcd runs as.
    Etcd,
    /// root, for etcdctl.
    Root,
}

/// One leaf certificate to be issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CertificateSpec {
    /// The kind of a node's certificate, or the client's name.
    pub file: String,
    /// The certificate's use within the cluster, for key derivation: `node/cp-a/server`.
    pub label: String,
    /// The last attribute of its subject. etcd uses that of a client as the user name.
    pub common_name: String,
    /// The attributes before it.
    pub subject: Subject,
    /// Subject alternative names, in the order in which they are written; both may be empty for a client.
    pub dns: Vec<String>,
    /// IP addresses among these names.
    pub ips: Vec<IpAddr>,
    /// At least one.
    pub usages: Vec<Usage>,
    /// At least one; several where a node has one certificate for all uses.
    pub roles: Vec<Role>,
    /// The name of the authority that issues it.
    pub authority: &'static str,
    /// The owner of the key's file on the node.
    pub owner: Owner,
    /// From the date of issue.
    pub lifetime: Lifetime,
    /// The name of the file with the certificate: `server.pem`.
    pub cert_path: String,
    /// `server-key.pem`.
    pub key_path: String,
    /// Of the certificate's file, which is root's.
    pub cert_mode: Mode,
    /// Of the key's file.
    pub key_mode: Mode,
    /// Further names for the two files.
    pub copies: Vec<(String, String)>,
    /// What root on the node uses it for; `None` for those of members and of other clients.
    #[serde(skip)]
    pub purpose: Option<Purpose>,
    /// The node's own CA below the authority that issues it, where the node renews it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<IssuerSpec>,
}

impl CertificateSpec {
    /// The pairs of files that have it, its own first: of the certificate, and of the key.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let copies = self.copies.iter().map(|(cert, key)| (cert.as_str(), key.as_str()));
        std::iter::once((self.cert_path.as_str(), self.key_path.as_str())).chain(copies)
    }

    /// The common name, if OpenSSL compares it with name constraints: it does where there is no host name among the
    /// alternative names, and the common name looks like one of two or more labels (`cn2dnsid` in
    /// crypto/x509/v3_ncons.c). Go looks at alternative names only.
    pub fn dns_like_common_name(&self) -> Option<&str> {
        let name = self.common_name.as_str();
        let is_label = |label: &str| {
            let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            !label.is_empty()
                && label.bytes().all(is_inner)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        (self.dns.is_empty() && name.contains('.') && name.split('.').all(is_label)).then_some(name)
    }
}

/// The names in a node's certificate.
#[derive(Clone, Copy)]
enum Names {
    /// Host name, FQDN, localhost and the loopback addresses: the names that clients on and off the node dial.
    Server,
    /// Host name, FQDN and the address for peers: these dial them, and are checked against exactly these.
    Peer,
    None,
}

struct Row {
    file: &'static str,
    /// What a profile says of it.
    leaf: fn(&Pki) -> &Leaf,
    names: Names,
    usages: &'static [Usage],
    roles: &'static [Role],
    owner: Owner,
    /// A row for each [`Purpose`]: a node's programs find their certificate by it.
    purpose: Option<Purpose>,
}

const BOTH: &[Usage] = &[Usage::ServerAuth, Usage::ClientAuth];

/// etcd's gRPC gateway dials its own listener with the server certificate, so that needs clientAuth, too (etcd issue
/// 9785); a peer is both the client and the server of its connections.
const PER_USE: &[Row] = &[
    Row {
        file: "server",
        leaf: |pki| &pki.server,
        names: Names::Server,
        usages: BOTH,
        roles: &[Role::Server],
        owner: Owner::Etcd,
        purpose: None,
    },
    Row {
        file: "peer",
        leaf: |pki| &pki.peer,
        names: Names::Peer,
        usages: BOTH,
        roles: &[Role::Peer],
        owner: Owner::Etcd,
        purpose: None,
    },
    Row {
        file: Purpose::Etcdctl.name(),
        leaf: |pki| &pki.client,
        names: Names::None,
        usages: &[Usage::ClientAuth],
        roles: &[Role::Client],
        owner: Owner::Root,
        purpose: Some(Purpose::Etcdctl),
    },
];

const ONE_PER_NODE: &[Row] = &[Row {
    file: "etcd",
    leaf: |pki| &pki.node,
    names: Names::Server,
    usages: BOTH,
    roles: &[Role::Server, Role::Peer, Role::Client],
    owner: Owner::Etcd,
    purpose: Some(Purpose::Etcdctl),
}];

/// The certificate of a node for a role. Every node has one for each.
pub fn of_role(certificates: &[CertificateSpec], role: Role) -> Option<&CertificateSpec> {
    certificates.iter().find(|spec| spec.roles.contains(&role))
}

/// The certificate of a node that root uses for this.
pub fn of_purpose(certificates: &[CertificateSpec], purpose: Purpose) -> Option<&CertificateSpec> {
    certificates.iter().find(|spec| spec.purpose == Some(purpose))
}

/// A node, as far as its certificates depend on it.
pub struct Of<'a> {
    pub cluster: &'a ClusterName,
    /// What placeholders stand for.
    pub filling: Filling<'a>,
    pub node: &'a Node,
    /// The name that peers know each other by, where nodes renew their certificates.
    pub tag: &'a PeerTag,
    /// Whether peers dial each other by their host names.
    pub are_dialed_by_name: bool,
}

impl Of<'_> {
    /// The name that peers know each other by, and the one that they dial. etcd asks DNS for all names where an address
    /// is not among them (checkCertSAN in client/pkg/transport), so that one that is not dialed is one too many.
    fn peer_names(&self) -> Vec<String> {
        let dialed = self.are_dialed_by_name.then(|| self.filling.fqdn.to_owned());
        std::iter::once(self.tag.to_string()).chain(dialed).collect()
    }
}

pub fn of_node(pki: &Pki, of: &Of<'_>) -> Vec<CertificateSpec> {
    let rows = match pki.certificates {
        Certificates::PerUse => PER_USE,
        Certificates::OnePerNode => ONE_PER_NODE,
    };
    rows.iter().map(|row| of_row(pki, row, of)).collect()
}

fn of_row(pki: &Pki, row: &Row, of: &Of<'_>) -> CertificateSpec {
    let leaf = (row.leaf)(pki);
    let (mut dns, mut ips) = names(row.names, row.roles.contains(&Role::Peer), of);
    if pki.renewal.is_some() && row.roles == [Role::Peer] {
        dns = of.peer_names();
    }
    // What cannot be a name was refused when the profile was read.
    let more = leaf.names.iter().filter_map(|name| alternative(&name.fill(&of.filling)).ok());
    let (more_dns, more_ips) = AltName::sorted(more);
    dns.extend(more_dns.into_iter().filter(|name| !dns.contains(name)).collect::<Vec<_>>());
    ips.extend(more_ips.into_iter().filter(|ip| !ips.contains(ip)).collect::<Vec<_>>());
    let is_peers = row.roles == [Role::Peer];
    let leaf = CertificateSpec {
        file: row.file.to_owned(),
        label: format!("node/{}/{}", of.filling.node, row.file),
        common_name: leaf.common_name.fill(&of.filling),
        subject: leaf.subject.clone(),
        dns,
        ips,
        usages: row.usages.to_vec(),
        roles: row.roles.to_vec(),
        authority: if is_peers && pki.peer_ca.is_some() { PEER_CA } else { CA },
        owner: row.owner,
        lifetime: leaf.lifetime,
        cert_path: leaf.cert.fill(&of.filling),
        key_path: leaf.key.fill(&of.filling),
        cert_mode: leaf.cert_mode,
        key_mode: leaf.key_mode,
        copies: Vec::new(),
        purpose: row.purpose,
        issuer: None,
    };
    match &pki.renewal {
        Some(renewal) => renewed(leaf, renewal, of),
        None => leaf,
    }
}

/// As a node can make it. One for the client port is only that of a server: the CA that makes it makes no client.
fn renewed(mut leaf: CertificateSpec, renewal: &Renewal, of: &Of<'_>) -> CertificateSpec {
    let kind = match leaf.roles.as_slice() {
        [Role::Server] => {
            leaf.usages = vec![Usage::ServerAuth];
            Kind::Server
        }
        [Role::Peer] => Kind::Peer,
        _ => return leaf,
    };
    leaf.key_mode = Mode::READ_ONLY_SECRET;
    let inside = Inside { dns: &leaf.dns, ips: &leaf.ips, usages: &leaf.usages };
    leaf.issuer = Some(IssuerSpec::of(kind, &inside, (of.cluster, of.filling.node), renewal));
    leaf
}

/// The addresses from which a node connects to its peers: without a network of theirs also the others of its card; and
/// the one that NAT makes of them.
fn peers(node: &Node) -> Vec<IpAddr> {
    let ipv6 = node.ipv6.filter(|_| node.peer.is_none());
    std::iter::once(node.peer_address()).chain(ipv6).chain(node.public).collect()
}

/// `is_peers`: whether a certificate with a server's names is also that of the peer.
fn names(names: Names, is_peers: bool, of: &Of<'_>) -> (Vec<String>, Vec<IpAddr>) {
    let Filling { node, fqdn, .. } = of.filling;
    let mut dns = vec![node.to_owned()];
    if fqdn != node {
        dns.push(fqdn.to_owned());
    }
    match names {
        Names::None => (Vec::new(), Vec::new()),
        // Peers come from these addresses, too, which etcd holds against these names.
        Names::Peer => (dns, peers(of.node)),
        Names::Server => {
            let mut ips: Vec<_> =
                std::iter::once(of.node.address).chain(of.node.ipv6).chain(of.node.public).collect();
            for address in peers(of.node).into_iter().filter(|_| is_peers) {
                if !ips.contains(&address) {
                    ips.push(address);
                }
            }
            dns.push("localhost".to_owned());
            ips.extend([IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)]);
            (dns, ips)
        }
    }
}

/// The bundle's own client certificates.
pub fn of_clients(pki: &Pki, clients: &[Client]) -> Vec<CertificateSpec> {
    let of_operator = CertificateSpec { subject: pki.subject.clone(), ..operator(pki.leaf_lifetime) };
    std::iter::once(of_operator).chain(clients.iter().map(|client| of_client(pki, client))).collect()
}

pub fn of_client(pki: &Pki, client: &Client) -> CertificateSpec {
    let (dns, ips) = AltName::sorted(client.names.iter().cloned());
    CertificateSpec {
        common_name: client.common_name.clone(),
        subject: client.subject.clone().or(&pki.subject),
        dns,
        ips,
        cert_path: client.cert.clone(),
        key_path: client.key.clone(),
        copies: client.copies.clone(),
        ..plain_client(&client.name, client.lifetime.unwrap_or(pki.leaf_lifetime))
    }
}

/// The one with which a node takes snapshots of its own member.
pub fn of_snapshots(pki: &Pki, node: &NodeName) -> CertificateSpec {
    let purpose = Purpose::Snapshot;
    CertificateSpec {
        label: format!("node/{node}/{}", purpose.name()),
        common_name: format!("{}@{node}", purpose.name()),
        subject: pki.subject.clone(),
        purpose: Some(purpose),
        ..plain_client(purpose.name(), pki.leaf_lifetime)
    }
}

/// The client certificate that is in every bundle, for etcdctl.
pub fn operator(lifetime: Lifetime) -> CertificateSpec {
    plain_client(OPERATOR, lifetime)
}

/// A client certificate that has its name as the common name, and no other names.
fn plain_client(name: &str, lifetime: Lifetime) -> CertificateSpec {
    CertificateSpec {
        file: name.to_owned(),
        label: format!("client/{name}"),
        common_name: name.to_owned(),
        subject: Subject::default(),
        dns: Vec::new(),
        ips: Vec::new(),
        usages: vec![Usage::ClientAuth],
        roles: vec![Role::Client],
        authority: CA,
        owner: Owner::Root,
        lifetime,
        cert_path: PemFile::Certificate.usual(name),
        key_path: PemFile::Key.usual(name),
        cert_mode: Mode::FILE,
        key_mode: Mode::SECRET,
        copies: Vec::new(),
        purpose: None,
        issuer: None,
    }
}
