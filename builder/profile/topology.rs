//! `[network]` and `[[node]]` as values.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Serialize;

use super::types::OptionSet;
use crate::values::{self, By, Dhcp, Domain, HostName, Mac, NodeName, ServerName};

/// `[network]`.
#[derive(Clone, Debug, Serialize)]
pub struct Network {
    /// The network itself, without host bits: `10.240.16.0/24`.
    #[serde(serialize_with = "values::as_text")]
    pub cidr: IpNet,
    /// The default route; `None` for nodes without one, and where subnets have their own.
    pub gateway: Option<IpAddr>,
    /// Parts of the network, or of the peers' own; none of them overlap.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subnets: Vec<Subnet>,
    /// The network's IPv6 range, where the nodes have IPv6 addresses beside IPv4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<Ipv6Network>,
    /// The network between the members, where it is not the one for clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<PeerNetwork>,
    /// DNS servers, of the network's family.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<IpAddr>,
    /// Domains in which the resolver looks up short names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dns_search: Vec<Domain>,
    /// NTP servers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ntp: Vec<ServerName>,
    /// What the nodes' cards ask for besides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dhcp: Option<Dhcp>,
    /// In bytes, within [`Network::MTU`]; `None` leaves the card's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Of the tagged frames of IEEE 802.1Q, within [`values::Card::VLAN`]; `None` for untagged ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
}

impl Network {
    /// The smallest and the largest MTU: every IPv6 link carries packets of 1280 bytes (RFC 8200 section 5), and no IP
    /// packet has more than 65535.
    pub const MTU: (u32, u32) = (1280, 65535);
}

/// A `[[network.subnet]]`: a link of its own, with a router to the others.
#[derive(Clone, Debug, Serialize)]
pub struct Subnet {
    /// Without host bits.
    #[serde(serialize_with = "values::as_text")]
    pub cidr: IpNet,
    /// In the subnet, or else on its link.
    pub gateway: IpAddr,
}

/// `ipv6-cidr` and `ipv6-gateway` of `[network]`.
#[derive(Clone, Debug, Serialize)]
pub struct Ipv6Network {
    /// Without host bits.
    #[serde(serialize_with = "values::as_text")]
    pub cidr: IpNet,
    /// The default route for IPv6.
    pub gateway: Option<IpAddr>,
}

/// `[network.peer]`.
#[derive(Clone, Debug, Serialize)]
pub struct PeerNetwork {
    /// Without host bits; it does not overlap with the network for clients.
    #[serde(serialize_with = "values::as_text")]
    pub cidr: IpNet,
    /// As that of the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// As that of the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
    /// Whether it is a VLAN on the card, or the bond, of the network.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub same_card: bool,
}

/// A `[[node]]`.
#[derive(Clone, Debug)]
pub struct Node {
    /// Unique in the profile.
    pub name: NodeName,
    /// In the network, and unique in the profile.
    pub address: IpAddr,
    /// From the profile, or derived from the cluster's and the node's name.
    pub mac: Mac,
    /// Its address and its card for peers, where those have a network of their own.
    pub peer: Option<(IpAddr, Mac)>,
    /// What its card is matched by.
    pub card: By,
    /// What its card for peers is matched by.
    pub peer_card: By,
    /// Its IPv6 address beside `address`, where the network has a range for it.
    pub ipv6: Option<IpAddr>,
    /// The address by which others reach it through NAT.
    pub public: Option<IpAddr>,
    /// One of the profile's hosts; `None` where it has none.
    pub host: Option<HostName>,
    /// Its own `[node.config]`, in the order of the file.
    pub options: Vec<OptionSet>,
}

impl Node {
    /// Those of its cards: `address`, then the others that it has.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        std::iter::once(self.address).chain(self.ipv6).chain(self.peer.map(|(address, _)| address))
    }

    /// Whether one of its cards has this address.
    pub fn has(&self, address: IpAddr) -> bool {
        self.addresses().any(|own| own == address)
    }

    /// Where the other members reach it.
    pub fn peer_address(&self) -> IpAddr {
        self.peer.map_or(self.address, |(address, _)| address)
    }
}
