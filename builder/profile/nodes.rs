//! `[[node]]`: the members of the cluster.

use toml::Spanned;

use super::diagnostics::Diagnostics;
use super::hosts::Hosts;
use super::network::{self, Placed};
use super::reader::Section;
use super::unique::Unique;
use super::{Node, Span, members};
use crate::values::{Invalid, Mac, NodeName};

/// The header of the table of a node's own options.
pub(super) const NODE_CONFIG: &str = "[node.config]";

/// The nodes that could be read, and the number that the profile names.
pub(super) struct Nodes<'t> {
    pub list: Vec<Node>,
    pub count: usize,
    /// The `[node.config]` of each in the list.
    pub configs: Vec<Section<'t>>,
}

pub(super) fn nodes<'t>(
    diagnostics: &mut Diagnostics,
    tables: Vec<Section<'t>>,
    network: Option<&Placed>,
    cluster: Option<&str>,
    two_allowed: Option<Span>,
    hosts: &mut Hosts,
) -> Nodes<'t> {
    let count = tables.len();
    members::check_count(diagnostics, &tables, two_allowed);
    let (mut names, mut addresses, mut macs) =
        (Unique::new("node name"), Unique::new("address"), Unique::new("MAC"));
    let (mut list, mut configs) = (Vec::new(), Vec::new());
    for table in tables {
        table.require(diagnostics, "name");
        let name = table.value_with(diagnostics, "name", node_name);
        table.require(diagnostics, "address");
        let address = table.value_with(diagnostics, "address", network::address);
        let mac = table.value::<Mac>(diagnostics, "mac");
        let host = hosts.of_node(diagnostics, &table);
        let config = table.table(diagnostics, "config", NODE_CONFIG);
        let is_new = name.as_ref().is_some_and(|name| names.see(diagnostics, name));
        if let Some(address) = &address {
            addresses.see(diagnostics, address);
            if let Some(network) = network {
                network.check_node(diagnostics, address);
            }
        }
        if let Some(mac) = &mac {
            macs.see(diagnostics, mac);
        }
        if let (Some(name), Some(address)) = (name, address) {
            let label = format!("{}/{}", cluster.unwrap_or_default(), name.get_ref());
            let place = name.span();
            let mac = mac.unwrap_or_else(|| {
                let derived = Spanned::new(place, Mac::derived(&label));
                // Two derived MAC addresses of 2^24 can be the same.
                if is_new {
                    macs.see(diagnostics, &derived);
                }
                derived
            });
            let (name, address, mac) = (name.into_inner(), address.into_inner(), mac.into_inner());
            list.push(Node { name, address, mac, host, options: Vec::new() });
            configs.push(config);
        }
        table.finish(diagnostics);
    }
    if let Some(network) = network {
        network.warn_of_sites(diagnostics, &list);
    }
    Nodes { list, count, configs }
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
