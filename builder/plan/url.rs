//! etcd's addresses.

use std::net::IpAddr;

use crate::profile::{Cluster, Node, UrlHost};

/// `https://10.0.0.11:2379`; an IPv6 address is in brackets.
pub fn url(address: IpAddr, port: u16) -> String {
    with_scheme("https", address, port)
}

/// `http://10.0.0.11:2381`.
pub fn with_scheme(scheme: &str, address: IpAddr, port: u16) -> String {
    format!("{scheme}://{}", std::net::SocketAddr::new(address, port))
}

/// The URL of a node's port, by this address of the node or by its name.
pub fn of_node(node: &Node, address: IpAddr, cluster: &Cluster, host: UrlHost, port: u16) -> String {
    match host {
        UrlHost::Address => url(address, port),
        UrlHost::Public => url(node.public.unwrap_or(address), port),
        UrlHost::Fqdn => format!("https://{}:{port}", cluster.fqdn(&node.name)),
    }
}

/// The loopback address of the same family.
pub fn loopback(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
    }
}
