//! The contents of certificates: which ones there are is decided here; `pki` issues them.
//!
//! The two tables are the whole policy: a row per file.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Serialize;

use super::authority::CA;
use crate::profile::{Certificates, Node, OPERATOR, PEER_COMMON_NAME, Pki};
use crate::values::ClientName;

/// An extended key usage (RFC 5280 4.2.1.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Usage {
    /// `id-kp-serverAuth`.
    ServerAuth,
    /// `id-kp-clientAuth`.
    ClientAuth,
}

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
    /// File name without its extension: `server` gives `server.pem` and `server-key.pem`.
    pub file: String,
    /// The certificate's use within the cluster, for key derivation: `node/cp-a/server`.
    pub label: String,
    /// Its subject is this common name alone. etcd uses that of a client as the user name.
    pub common_name: String,
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
}

/// The names in a node's certificate.
#[derive(Clone, Copy)]
enum Names {
    /// Host name, FQDN, localhost and the loopback addresses: the names that clients on and off the node dial.
    Server,
    /// Host name, FQDN and address: peers dial these, and are checked against exactly these.
    Peer,
    None,
}

#[derive(Clone, Copy)]
enum CommonName {
    Node,
    Fixed(&'static str),
}

struct Row {
    file: &'static str,
    common_name: CommonName,
    names: Names,
    usages: &'static [Usage],
    roles: &'static [Role],
    authority: &'static str,
    owner: Owner,
}

const BOTH: &[Usage] = &[Usage::ServerAuth, Usage::ClientAuth];

/// etcd's gRPC gateway dials its own listener with the server certificate, so that needs clientAuth, too (etcd issue
/// 9785); a peer is both the client and the server of its connections.
const PER_USE: &[Row] = &[
    Row {
        file: "server",
        common_name: CommonName::Node,
        names: Names::Server,
        usages: BOTH,
        roles: &[Role::Server],
        authority: CA,
        owner: Owner::Etcd,
    },
    Row {
        file: "peer",
        common_name: CommonName::Fixed(PEER_COMMON_NAME),
        names: Names::Peer,
        usages: BOTH,
        roles: &[Role::Peer],
        authority: CA,
        owner: Owner::Etcd,
    },
    Row {
        file: OPERATOR,
        common_name: CommonName::Fixed(OPERATOR),
        names: Names::None,
        usages: &[Usage::ClientAuth],
        roles: &[Role::Client],
        authority: CA,
        owner: Owner::Root,
    },
];

const ONE_PER_NODE: &[Row] = &[Row {
    file: "etcd",
    common_name: CommonName::Node,
    names: Names::Server,
    usages: BOTH,
    roles: &[Role::Server, Role::Peer, Role::Client],
    authority: CA,
    owner: Owner::Etcd,
}];

/// The certificate of a node for a role. Every node has one for each.
pub fn of_role(certificates: &[CertificateSpec], role: Role) -> Option<&CertificateSpec> {
    certificates.iter().find(|spec| spec.roles.contains(&role))
}

pub fn of_node(pki: &Pki, node: &Node, fqdn: &str) -> Vec<CertificateSpec> {
    let rows = match pki.certificates {
        Certificates::PerUse => PER_USE,
        Certificates::OnePerNode => ONE_PER_NODE,
    };
    rows.iter()
        .map(|row| {
            let (dns, ips) = names(row.names, node, fqdn);
            CertificateSpec {
                file: row.file.to_owned(),
                label: format!("node/{}/{}", node.name, row.file),
                common_name: match row.common_name {
                    CommonName::Node => node.name.to_string(),
                    CommonName::Fixed(name) => name.to_owned(),
                },
                dns,
                ips,
                usages: row.usages.to_vec(),
                roles: row.roles.to_vec(),
                authority: row.authority,
                owner: row.owner,
            }
        })
        .collect()
}

fn names(names: Names, node: &Node, fqdn: &str) -> (Vec<String>, Vec<IpAddr>) {
    let mut dns = vec![node.name.to_string()];
    if fqdn != node.name.as_str() {
        dns.push(fqdn.to_owned());
    }
    let mut ips = vec![node.address];
    match names {
        Names::None => return (Vec::new(), Vec::new()),
        Names::Peer => {}
        Names::Server => {
            dns.push("localhost".to_owned());
            ips.extend([IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)]);
        }
    }
    (dns, ips)
}

/// The bundle's own client certificates.
pub fn of_clients(clients: &[ClientName]) -> Vec<CertificateSpec> {
    std::iter::once(operator()).chain(clients.iter().map(|name| client(name.as_str()))).collect()
}

/// The client certificate that is in every bundle, for etcdctl.
pub fn operator() -> CertificateSpec {
    client(OPERATOR)
}

fn client(name: &str) -> CertificateSpec {
    CertificateSpec {
        file: name.to_owned(),
        label: format!("client/{name}"),
        common_name: name.to_owned(),
        dns: Vec::new(),
        ips: Vec::new(),
        usages: vec![Usage::ClientAuth],
        roles: vec![Role::Client],
        authority: CA,
        owner: Owner::Root,
    }
}
