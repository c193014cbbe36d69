//! `[[node]]`: the members of the cluster.

use std::net::IpAddr;

use toml::Spanned;

use super::addresses::{address, check_host};
use super::diagnostics::Diagnostics;
use super::hosts::Hosts;
use super::mistake::Mistake;
use super::network::Placed;
use super::ranges::Range;
use super::reader::{Section, quoted};
use super::unique::Unique;
use super::{Node, OptionSet, Span, cards, members};
use crate::values::{Invalid, Mac, NodeName, everything};

/// The header of the table of a node's own options.
pub(super) const NODE_CONFIG: &str = "[node.config]";

/// The nodes that could be read, and the number that the profile names.
pub(super) struct Nodes<'t> {
    pub list: Vec<Node>,
    pub count: usize,
    /// The `[node.config]` of each in the list.
    pub configs: Vec<Section<'t>>,
}

impl Nodes<'_> {
    /// Checks that nodes which another table names exist. One whose own table has a mistake may be any of them. `what`
    /// begins the sentence: `[[file]] nodes names`.
    pub fn check_named(
        &self,
        diagnostics: &mut Diagnostics,
        names: &[NodeName],
        what: &str,
        place: Option<Span>,
    ) {
        if self.list.len() < self.count {
            return;
        }
        let known: Vec<&str> = self.list.iter().map(|node| node.name.as_str()).collect();
        for name in names.iter().filter(|name| !known.contains(&name.as_str())) {
            let reason = format!("{what} {}, which does not exist", quoted(name));
            let help = format!("the nodes are {}", known.join(", "));
            diagnostics.mistake(Mistake::new(place.clone(), reason).help(help));
        }
    }

    /// Each with the options that it alone has.
    pub fn with(self, options: Vec<Vec<OptionSet>>) -> Vec<Node> {
        let mut list = self.list;
        list.iter_mut().zip(options).for_each(|(node, options)| node.options = options);
        list
    }
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
    let of_network = network.map(|placed| &placed.cards);
    for table in tables {
        table.require(diagnostics, "name");
        let name = table.value_with(diagnostics, "name", node_name);
        table.require(diagnostics, "address");
        let address = table.value_with(diagnostics, "address", address);
        let mac = table.value::<Mac>(diagnostics, "mac");
        let more = More::read(diagnostics, &table, network);
        let [card, peer_card] = cards::of_node(diagnostics, &table, of_network, &mut macs);
        let host = hosts.of_node(diagnostics, &table);
        let config = table.table(diagnostics, "config", NODE_CONFIG);
        let is_new = name.as_ref().is_some_and(|name| names.see(diagnostics, name));
        address.iter().for_each(|address| {
            addresses.see(diagnostics, address);
            network.inspect(|network| network.main.check_node(diagnostics, address));
        });
        more.addresses().for_each(|address| _ = addresses.see(diagnostics, address));
        for mac in mac.iter().chain(&more.peer_mac) {
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
            let peer = more.peer_address.map(|address| {
                let same = of_network.filter(|cards| cards.is_same).map(|_| mac);
                let own = more.peer_mac.map(Spanned::into_inner).or(same);
                let own = own.unwrap_or_else(|| derived(&format!("{label}/peer")).into_inner());
                (address.into_inner(), own)
            });
            let [ipv6, public] = [more.ipv6, more.public].map(|one| one.map(Spanned::into_inner));
            let (name, address, options) = (name.into_inner(), address.into_inner(), Vec::new());
            list.push(Node { name, address, mac, peer, card, peer_card, ipv6, public, host, options });
            configs.push(config);
        }
        table.finish(diagnostics);
    }
    network.inspect(|network| network.check(diagnostics, &list));
    Nodes { list, count, configs }
}

/// A node's address in a range besides the first; `None` where there is no such range. `needs`: what it is for, and an
/// example of that.
fn further(
    diagnostics: &mut Diagnostics,
    table: &Section,
    key: &'static str,
    (range, is_there): (Option<&Range>, bool),
    [needs, example]: [&str; 2],
) -> Option<Spanned<IpAddr>> {
    let address = table.value_with(diagnostics, key, address);
    let Some(range) = range else {
        // One that could not be read is reported by itself.
        if let (Some(place), false) = (table.place(key), is_there) {
            let reason = format!("[[node]] {key} needs {needs}, and the profile has none");
            diagnostics.mistake(Mistake::new(place, reason).help(format!("write, for example:\n{example}")));
        }
        return None;
    };
    if let Some(address) = &address {
        range.check_node(diagnostics, address);
    } else if !table.has(key) {
        let reason = format!("[[node]] {key} is missing: the profile has {needs}");
        let mistake = Mistake::missing(table.span.clone(), reason).other(range.span.clone(), "the network");
        diagnostics.mistake(mistake.help(format!("write an address of {}", range.cidr)));
    }
    address
}

/// A node's addresses besides the first, and its second card.
struct More {
    peer_address: Option<Spanned<IpAddr>>,
    peer_mac: Option<Spanned<Mac>>,
    ipv6: Option<Spanned<IpAddr>>,
    public: Option<Spanned<IpAddr>>,
}

impl More {
    fn read(diagnostics: &mut Diagnostics, table: &Section, network: Option<&Placed>) -> Self {
        let peer = network.map_or((None, true), |network| (network.peer.as_ref(), network.has_peer));
        let ipv6 = network.map_or((None, true), |network| (network.ipv6.as_ref(), network.has_ipv6));
        let for_peers = ["a network for the peers", "[network.peer]\ncidr = \"10.241.0.0/24\""];
        let for_ipv6 = ["an IPv6 network", "[network]\nipv6-cidr = \"fd00:10::/64\""];
        let peer_address = further(diagnostics, table, "peer-address", peer, for_peers);
        let peer_mac = table.value::<Mac>(diagnostics, "peer-mac");
        let named =
            peer_mac.as_ref().map(|mac| ("peer-mac", mac.span())).or_else(|| cards::PEER.place(table));
        if let (Some((key, place)), (None, false)) = (named, peer) {
            let reason = format!("[[node]] {key} needs a network for the peers, and the profile has none");
            let help = format!("write, for example:\n{}", for_peers[1]);
            diagnostics.mistake(Mistake::new(place, reason).help(help));
        }
        let ipv6 = further(diagnostics, table, "ipv6-address", ipv6, for_ipv6);
        let public = table.value_with(diagnostics, "public-address", |text| {
            let public = address(text)?;
            check_host(public, &everything(public)).map(|()| public)
        });
        Self { peer_address, peer_mac, ipv6, public }
    }

    fn addresses(&self) -> impl Iterator<Item = &Spanned<IpAddr>> {
        self.peer_address.iter().chain(&self.ipv6).chain(&self.public)
    }
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
