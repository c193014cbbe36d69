//! etcd's addresses.

use std::net::IpAddr;

use crate::profile::{Cluster, Node, UrlHost};
use crate::values::Url;

/// `http://10.0.0.11:2381`, for the metrics alone.
pub fn plain(address: IpAddr, port: u16) -> String {
    format!("http://{}", std::net::SocketAddr::new(address, port))
}

/// The URL of a node's port, by this address of the node or by its name.
pub fn of_node(node: &Node, address: IpAddr, cluster: &Cluster, host: UrlHost, port: u16) -> Url {
    match host {
        UrlHost::Address => Url::of_address(address, port),
        UrlHost::Public => Url::of_address(node.public.unwrap_or(address), port),
        UrlHost::Fqdn => Url::of_name(cluster.fqdn(&node.name), port),
    }
}

/// The loopback address of the same family.
pub fn loopback(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
    }
}
