//! `[[node]]`: the members of the cluster.

use std::net::IpAddr;

use toml::Spanned;

use super::addresses::address;
use super::diagnostics::Diagnostics;
use super::hosts::Hosts;
use super::mistake::Mistake;
use super::network::Placed;
use super::reader::Section;
use super::unique::Unique;
use super::{Node, Span, members};
use crate::values::{Invalid, Mac, NodeName};

/// The nodes that could be read, and the number that the profile names.
pub(super) struct Nodes {
    pub list: Vec<Node>,
    pub count: usize,
}

type Peer = (Option<Spanned<IpAddr>>, Option<Spanned<Mac>>);

pub(super) fn nodes(
    diagnostics: &mut Diagnostics,
    tables: Vec<Section>,
    network: Option<&Placed>,
    cluster: Option<&str>,
    two_allowed: Option<Span>,
    hosts: &mut Hosts,
) -> Nodes {
    let count = tables.len();
    members::check_count(diagnostics, &tables, two_allowed);
    let (mut names, mut addresses, mut macs) =
        (Unique::new("node name"), Unique::new("address"), Unique::new("MAC"));
    let mut list = Vec::new();
    for table in tables {
        table.require(diagnostics, "name");
        let name = table.value_with(diagnostics, "name", node_name);
        table.require(diagnostics, "address");
        let address = table.value_with(diagnostics, "address", address);
        let mac = table.value::<Mac>(diagnostics, "mac");
        let peer = peer(diagnostics, &table, network);
        let host = hosts.of_node(diagnostics, &table);
        let is_new = name.as_ref().is_some_and(|name| names.see(diagnostics, name));
        if let Some(address) = &address {
            addresses.see(diagnostics, address);
            if let Some(network) = network {
                network.main.check_node(diagnostics, address);
            }
        }
        let peer_address = peer.as_ref().and_then(|(address, _)| address.as_ref());
        let peer_mac = peer.as_ref().and_then(|(_, mac)| mac.as_ref());
        peer_address.into_iter().for_each(|address| _ = addresses.see(diagnostics, address));
        for mac in mac.iter().chain(peer_mac) {
            macs.see(diagnostics, mac);
        }
        if let (Some(name), Some(address)) = (name, address) {
            let label = format!("{}/{}", cluster.unwrap_or_default(), name.get_ref());
            let mut derived = |label: &str| {
                let derived = Spanned::new(name.span(), Mac::derived(label));
                // Two derived MAC addresses of 2^24 can be the same.
                if is_new {
                    macs.see(diagnostics, &derived);
                }
                derived
            };
            let mac = mac.unwrap_or_else(|| derived(&label)).into_inner();
            let peer = peer.and_then(|(address, mac)| {
                let mac = mac.unwrap_or_else(|| derived(&format!("{label}/peer")));
                Some((address?.into_inner(), mac.into_inner()))
            });
            list.push(Node { name: name.into_inner(), address: address.into_inner(), mac, peer, host });
        }
        table.finish(diagnostics);
    }
    if let Some(network) = network {
        network.warn_of_sites(diagnostics, &list);
    }
    Nodes { list, count }
}

/// A node's address and card in the network of the peers; `None` where there is no such network.
fn peer(diagnostics: &mut Diagnostics, table: &Section, network: Option<&Placed>) -> Option<Peer> {
    let address = table.value_with(diagnostics, "peer-address", address);
    let mac = table.value::<Mac>(diagnostics, "peer-mac");
    let network = network?;
    let Some(range) = &network.peer else {
        // One that could not be read is reported by itself.
        let given = ["peer-address", "peer-mac"].into_iter().filter(|_| !network.has_peer_table);
        for (key, place) in given.filter_map(|key| Some((key, table.place(key)?))) {
            let reason = format!("[[node]] {key} needs a network for the peers, and the profile has none");
            let help = "write, for example:\n[network.peer]\ncidr = \"10.241.0.0/24\"";
            diagnostics.mistake(Mistake::new(place, reason).help(help));
        }
        return None;
    };
    match &address {
        Some(address) => range.check_node(diagnostics, address),
        None if !table.has("peer-address") => {
            let reason = "[[node]] peer-address is missing: the peers have a network of their own";
            let help = format!("write an address of {}", range.cidr);
            diagnostics.mistake(
                Mistake::missing(table.span.clone(), reason)
                    .other(range.span.clone(), "the network")
                    .help(help),
            );
        }
        None => {}
    }
    Some((address, mac))
}

/// A node's name is a host name; `localhost` is that of every host.
fn node_name(text: &str) -> Result<NodeName, Invalid> {
    let name = text.parse()?;
    check_member_name(&name).map(|()| name)
}

/// Checks that a member may have this name.
pub fn check_member_name(name: &NodeName) -> Result<(), Invalid> {
    match name.as_str() {
        "localhost" => Err(Invalid("every node uses this name for itself".into())),
        _ => Ok(()),
    }
}
