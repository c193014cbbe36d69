//! The cards of a node: addresses with the prefixes of their links, and the routes between these.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::profile::{Network, Node};
use crate::values::{Card, Route, everything};

/// The card for clients first; then that of the peers' network.
pub fn of_node(network: &Network, node: &Node) -> Vec<Card> {
    let (address, gateway) = link(network, network.cidr, network.gateway, node.address);
    let (mut addresses, mut gateways) = (vec![address], Vec::from_iter(gateway));
    if let (Some(ipv6), Some(address)) = (&network.ipv6, node.ipv6) {
        let (address, gateway) = link(network, ipv6.cidr, ipv6.gateway, address);
        addresses.push(address);
        gateways.extend(gateway);
    }
    let routes = gateways.into_iter().map(|via| route(everything(via), via, &addresses)).collect();
    let main = Card {
        mac: node.mac,
        by: node.card.clone(),
        addresses,
        routes,
        dhcp: network.dhcp,
        mtu: network.mtu,
        vlan: network.vlan,
        shared: false,
    };
    let peer = network.peer.as_ref().zip(node.peer).map(|(peer, (address, mac))| {
        let (address, gateway) = link(network, peer.cidr, None, address);
        let addresses = vec![address];
        let routes = gateway.map(|via| route(peer.cidr, via, &addresses));
        let by = node.peer_card.clone();
        let routes = routes.into_iter().collect();
        Card {
            mac,
            by,
            addresses,
            routes,
            dhcp: None,
            mtu: peer.mtu,
            vlan: peer.vlan,
            shared: peer.same_card,
        }
    });
    std::iter::once(main).chain(peer).collect()
}

/// A route of the card with these addresses.
fn route(to: IpNet, via: IpAddr, addresses: &[IpNet]) -> Route {
    Route { to, via, on_link: !addresses.iter().any(|link| link.contains(&via)) }
}

/// An address with the prefix of its link, and the gateway there.
fn link(
    network: &Network,
    whole: IpNet,
    gateway: Option<IpAddr>,
    address: IpAddr,
) -> (IpNet, Option<IpAddr>) {
    let subnet = network.subnets.iter().find(|subnet| subnet.cidr.contains(&address));
    let (link, gateway) = match subnet {
        Some(subnet) => (subnet.cidr, Some(subnet.gateway)),
        None => (whole, gateway),
    };
    // The length is one of the same family.
    (IpNet::new(address, link.prefix_len()).unwrap_or_else(|_| address.into()), gateway)
}
