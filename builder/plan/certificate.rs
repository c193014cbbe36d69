//! What a certificate is to say; which ones there are is decided here, how they are made in `pki`.
//!
//! The two tables are the whole policy: a row per file.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Serialize;

use crate::profile::{Certificates, Node, OPERATOR, PEER_COMMON_NAME, Pki};
use crate::values::ClientName;

/// An extended key usage (RFC 5280 4.2.1.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Usage {
    ServerAuth,
    ClientAuth,
}

/// One leaf certificate to be issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CertificateSpec {
    /// File name without its ending: `server` gives `server.pem` and `server-key.pem`.
    pub file: String,
    /// Names this certificate's use within the cluster, for key derivation: `node/cp-a/server`.
    pub label: String,
    pub common_name: String,
    /// Subject alternative names, in the order in which they are written; both may be empty for a client.
    pub dns: Vec<String>,
    pub ips: Vec<IpAddr>,
    pub usages: Vec<Usage>,
    /// Whether etcd itself reads the key; otherwise it is for root's etcdctl.
    pub read_by_etcd: bool,
}

/// Whose names a node's certificate carries.
#[derive(Clone, Copy)]
enum Names {
    /// Host name, FQDN, localhost and the loopback addresses: what clients on and off the node dial.
    Server,
    /// Host name, FQDN and address: peers dial, and are checked against, exactly these.
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
    read_by_etcd: bool,
}

const BOTH: &[Usage] = &[Usage::ServerAuth, Usage::ClientAuth];

/// etcd's gRPC gateway dials its own listener with the server certificate, so that needs clientAuth, too
/// (etcd issue 9785); a peer is both sides of every connection.
const PER_USE: &[Row] = &[
    Row {
        file: "server",
        common_name: CommonName::Node,
        names: Names::Server,
        usages: BOTH,
        read_by_etcd: true,
    },
    Row {
        file: "peer",
        common_name: CommonName::Fixed(PEER_COMMON_NAME),
        names: Names::Peer,
        usages: BOTH,
        read_by_etcd: true,
    },
    Row {
        file: OPERATOR,
        common_name: CommonName::Fixed(OPERATOR),
        names: Names::None,
        usages: &[Usage::ClientAuth],
        read_by_etcd: false,
    },
];

const ONE_PER_NODE: &[Row] = &[Row {
    file: "etcd",
    common_name: CommonName::Node,
    names: Names::Server,
    usages: BOTH,
    read_by_etcd: true,
}];

/// Which of a node's certificates serves which use, by file name.
pub struct Uses {
    pub server: &'static str,
    pub peer: &'static str,
    pub client: &'static str,
}

pub fn uses(certificates: Certificates) -> Uses {
    match certificates {
        Certificates::PerUse => Uses { server: "server", peer: "peer", client: OPERATOR },
        Certificates::OnePerNode => Uses { server: "etcd", peer: "etcd", client: "etcd" },
    }
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
                read_by_etcd: row.read_by_etcd,
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
        read_by_etcd: false,
    }
}
