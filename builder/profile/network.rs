//! `[network]`: the network that all nodes' addresses are in, and what it has besides.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use toml::Spanned;

use super::addresses::{address, check_host, domain, network_range};
use super::cards;
use super::diagnostics::Diagnostics;
use super::instance;
use super::mistake::Mistake;
use super::ranges::{self, Range};
use super::reader::Section;
use super::same_card;
use super::{Network, Node, Span};
use crate::values::{Carrier, Dhcp, Invalid, ServerName};

/// The network, and its ranges with their places in the profile.
pub(super) struct Placed {
    pub network: Network,
    /// Of the nodes' `address`.
    pub main: Range,
    /// Of their `ipv6-address`.
    pub ipv6: Option<Range>,
    /// Of their `peer-address`.
    pub peer: Option<Range>,
    /// The place of the DNS servers.
    servers: Option<Span>,
    /// Whether the profile has these, even if they cannot be read.
    pub has_ipv6: bool,
    pub has_peer: bool,
    pub cards: cards::Both,
    /// The place of `dhcp`.
    dhcp: Option<Span>,
}

/// `[network]`; `None` when a mistake leaves no usable network.
pub(super) fn read(diagnostics: &mut Diagnostics, top: &Section<'_>) -> Option<Placed> {
    let table = top.table(diagnostics, "network", "[network]");
    let network = network(diagnostics, &table);
    instance::mark(diagnostics, &table, &["cidr", "ipv6-cidr", "peer"]);
    table.finish(diagnostics);
    network
}

fn network(diagnostics: &mut Diagnostics, table: &Section) -> Option<Placed> {
    table.require(diagnostics, "cidr");
    let cidr = table.value_with(diagnostics, "cidr", network_range);
    let gateway = table.value_with(diagnostics, "gateway", address);
    let on_link = table.bool(diagnostics, "on-link");
    let may_be_outside = on_link.as_ref().is_some_and(|on_link| *on_link.get_ref());
    let subnets = table.tables(diagnostics, "subnet", "[[network.subnet]]");
    let below = table.table(diagnostics, "peer", "[network.peer]");
    let same_card = same_card::read(diagnostics, &below);
    let cards = cards::of_networks(diagnostics, table, &below, same_card);
    let names = ["address", "[network] cidr", "[network] gateway"];
    // Where it cannot be read, the other keys are read for their own mistakes.
    let new = |cidr: &Spanned<IpNet>| Range::new(diagnostics, names, cidr, gateway, may_be_outside);
    let mut main = cidr.as_ref().map(new);
    let (mut ipv6, ipv6_network) = ranges::ipv6(diagnostics, table, main.as_ref(), may_be_outside).unzip();
    let others: Vec<&Range> = main.iter().chain(&ipv6).collect();
    if main.is_some() {
        ranges::check_on_link_of_network(diagnostics, table, on_link.as_ref(), &others);
    }
    let (mut peer, peer_network) = ranges::peer(diagnostics, &below, &others, same_card).unzip();
    let read = [(main.is_some(), "cidr"), (ipv6.is_some(), "ipv6-cidr"), (peer.is_some(), "peer")];
    let is_whole = read.iter().all(|(is_read, key)| *is_read == table.has(key));
    let mut all: Vec<&mut Range> = main.iter_mut().chain(&mut ipv6).chain(&mut peer).collect();
    ranges::subnets(diagnostics, subnets, &mut all, is_whole);
    let subnets = all.iter().flat_map(|range| range.subnets.iter().map(|subnet| subnet.value())).collect();
    let dhcp = table.choice(diagnostics, "dhcp", Dhcp::CHOICES);
    let near = Near::new(table, main.iter().flat_map(|main| std::iter::once(main).chain(&ipv6)), dhcp);
    let services = (
        servers(diagnostics, table, &near),
        plain(table.values(diagnostics, "dns-search", domain)),
        time_servers(diagnostics, table, &near),
    );
    let mtu = table.number(diagnostics, "mtu");
    let vlan = table.number(diagnostics, "vlan").and_then(|id| id.try_into().ok());
    let ((dns, dns_search, ntp), main) = (services, main?);
    let reaches = ["ipv6-cidr", "gateway", "dhcp", "subnet"];
    if main.is_alone() && !reaches.iter().any(|key| table.has(key)) {
        main.refuse_alone(diagnostics);
    }
    let (cidr, gateway) = (main.cidr, main.gateway.as_ref().map(|(gateway, _)| *gateway));
    let network = Network {
        dns,
        dns_search,
        ntp,
        dhcp,
        mtu,
        vlan,
        cidr,
        gateway,
        subnets,
        ipv6: ipv6_network,
        peer: peer_network,
    };
    same_card::check(diagnostics, [table, &below], &network);
    below.finish(diagnostics);
    let (has_ipv6, has_peer) = (table.has("ipv6-cidr"), table.has("peer"));
    let (servers, dhcp) = (table.place("dns"), table.place("dhcp"));
    Some(Placed { network, main, ipv6, peer, servers, has_ipv6, has_peer, cards, dhcp })
}

fn plain<T>(values: Option<Vec<Spanned<T>>>) -> Vec<T> {
    values.unwrap_or_default().into_iter().map(Spanned::into_inner).collect()
}

/// The DNS servers, of which resolvers use the first three (MAXNS in resolv.conf(5)).
fn servers(diagnostics: &mut Diagnostics, table: &Section, near: &Near) -> Vec<IpAddr> {
    let all = table.values(diagnostics, "dns", |text| address(text).and_then(|server| near.reach(server)));
    let all = all.unwrap_or_default();
    if let Some(fourth) = all.get(3) {
        diagnostics.warn(Some(&fourth.span()), "many resolvers use the first three DNS servers only");
    }
    plain(Some(all))
}

/// A node that asks itself gets no answer: Kiln's nodes serve only etcd.
fn check_servers(diagnostics: &mut Diagnostics, placed: &Placed, nodes: &[Node]) {
    let its = |server: &IpAddr| nodes.iter().find(|node| node.has(*server)).map(|node| (*server, &node.name));
    if let Some((server, node)) = placed.network.dns.iter().find_map(its) {
        let reason = format!("the DNS server {server} is the node {node} itself, which serves only etcd");
        diagnostics
            .mistake(Mistake::new(placed.servers.clone(), reason).help("name the server that the nodes ask"));
    }
}

fn time_servers(diagnostics: &mut Diagnostics, table: &Section, near: &Near) -> Vec<ServerName> {
    let named = table.values(diagnostics, "ntp", |text| {
        let server: ServerName = text.parse()?;
        text.parse().map_or(Ok(()), |address| near.reach(address).map(drop))?;
        Ok((server, text.parse::<IpAddr>().is_err()))
    });
    let named = named.unwrap_or_default();
    // Without DNS a name of the hosts file may still be meant.
    if let Some(name) = named.iter().find(|server| server.get_ref().1).filter(|_| !table.has("dns")) {
        let text = format!(
            "the time server {} is a name, and [network] dns names no server to look it up",
            name.get_ref().0
        );
        diagnostics.warn(Some(&name.span()), text);
    }
    plain(Some(named)).into_iter().map(|(server, _)| server).collect()
}

/// What a node's first card has addresses of.
struct Near {
    /// Those of its static addresses; none where the network could not be read.
    nets: Vec<IpNet>,
    dhcp: Option<Dhcp>,
}

impl Near {
    fn new<'r>(table: &Section, ranges: impl Iterator<Item = &'r Range>, dhcp: Option<Dhcp>) -> Self {
        // One that cannot be read may mean any.
        let dhcp = dhcp.or_else(|| table.has("dhcp").then_some(Dhcp::Both));
        Self { nets: ranges.map(|range| range.cidr).collect(), dhcp }
    }

    fn has_family(&self, is_ipv4: bool) -> bool {
        self.nets.is_empty()
            || self.nets.iter().any(|net| net.addr().is_ipv4() == is_ipv4)
            || self.dhcp.is_some_and(|dhcp| dhcp.asks(is_ipv4))
    }

    /// Whether a node can reach a server at this address at all.
    fn reach(&self, server: IpAddr) -> Result<IpAddr, Invalid> {
        if !self.has_family(server.is_ipv4()) {
            let (own, other) = if server.is_ipv4() { ("IPv6", "IPv4") } else { ("IPv4", "IPv6") };
            return Err(Invalid(format!(
                "it is an {other} address, and the nodes have {own} addresses only"
            )));
        }
        if server.is_unspecified() || server.is_multicast() {
            return Err(Invalid("no server can have this address".into()));
        }
        // One of another network, or of the node itself, such as 127.0.0.53, is not judged.
        self.nets.iter().filter(|net| net.contains(&server)).try_for_each(|net| check_host(server, net))?;
        if server == IpAddr::from(Ipv4Addr::BROADCAST) {
            return Err(Invalid("it is the broadcast address of every network".into()));
        }
        Ok(server)
    }
}

/// The prefix lengths of the widest networks that may be a single link: larger ones are a site's, a region's or a
/// company's.
const WIDEST_WIRE: (u8, u8) = (16, 64);

/// Refuses `dhcp` where a member's connections to its peers may come from an address that it gives: one of their
/// family. `all`: the carriers that there are.
///
/// networkd's files have a route with a source for each peer. cloud-init has none for all of its renderers, and with
/// ifupdown the address of DHCP is there first, so that the kernel prefers it (inet_select_addr in
/// net/ipv4/devinet.c).
pub(super) fn check_dhcp(
    diagnostics: &mut Diagnostics,
    network: Option<&Placed>,
    members: usize,
    [chosen, all]: [&[Carrier]; 2],
) {
    // Without a network of their own, peers have the addresses of `cidr`.
    let asks = |network: &Network| network.dhcp.is_some_and(|dhcp| dhcp.asks(network.cidr.addr().is_ipv4()));
    let Some(placed) = network.filter(|placed| asks(&placed.network)) else { return };
    let named: Vec<_> = chosen.iter().filter(|one| one.sets_up_host).map(|one| one.name).collect();
    if named.is_empty() || placed.has_peer || members < 2 {
        return;
    }
    let reason = format!(
        "with {}, a member may connect to its peers from the address that [network] dhcp gives it, which no certificate \
         names",
        named.join(" and ")
    );
    let others: Vec<_> = all.iter().filter(|one| !one.sets_up_host).map(|one| one.name).collect();
    let help = format!(
        "give the peers a network of their own ([network.peer]), or choose carriers with Kiln's own files for \
         systemd-networkd: [bundle] carriers = {others:?}"
    );
    diagnostics.mistake(Mistake::new(placed.dhcp.clone(), reason).help(help));
}

impl Placed {
    /// In which the nodes have addresses.
    pub fn ranges(&self) -> impl Iterator<Item = IpNet> {
        std::iter::once(&self.main).chain(&self.ipv6).chain(&self.peer).map(|range| range.cidr)
    }

    /// Checks what the network says of hosts against the nodes.
    pub fn check(&self, diagnostics: &mut Diagnostics, nodes: &[Node]) {
        check_servers(diagnostics, self, nodes);
        self.warn_of_sites(diagnostics, nodes);
        self.check_ipv6_links(diagnostics, nodes);
    }

    /// Refuses an IPv6 network without subnets whose nodes are apart in it, where those of IPv4 have routers between
    /// them: each node would expect the others' IPv6 addresses on its own link. One link has one /64 (RFC 4291 2.5.4).
    fn check_ipv6_links(&self, diagnostics: &mut Diagnostics, nodes: &[Node]) {
        let Some(ipv6) = self.ipv6.as_ref().filter(|ipv6| ipv6.subnets.is_empty() && !ipv6.is_partial) else {
            return;
        };
        let Some(first) = self.main.subnets.first() else { return };
        let links: BTreeSet<IpNet> = nodes
            .iter()
            .filter_map(|node| IpNet::new(node.ipv6?, WIDEST_WIRE.1).ok())
            .map(|net| net.trunc())
            .collect();
        let [one, other, ..] = links.iter().collect::<Vec<_>>()[..] else { return };
        let reason = format!(
            "the nodes' IPv6 addresses are in {one} and {other}, and with ipv6-cidr {} each node expects all of them on its \
             own link",
            ipv6.cidr
        );
        diagnostics.mistake(
            Mistake::new(ipv6.span.clone(), reason)
                .other(first.place(), "IPv4 has subnets")
                .help("write a [[network.subnet]] for each of these, too, with its gateway"),
        );
    }

    /// Warns where the network is so wide, and the nodes so far apart in it, that there must be routers between them.
    fn warn_of_sites(&self, diagnostics: &mut Diagnostics, nodes: &[Node]) {
        let cidr = &self.network.cidr;
        let wire = if cidr.addr().is_ipv4() { WIDEST_WIRE.0 } else { WIDEST_WIRE.1 };
        let wires: BTreeSet<IpNet> = nodes
            .iter()
            .filter(|node| cidr.contains(&node.address))
            .filter_map(|node| IpNet::new(node.address, wire).ok())
            .map(|net| net.trunc())
            .collect();
        let has_subnets = self.main.is_partial || !self.main.subnets.is_empty();
        if cidr.prefix_len() >= wire || wires.len() < 2 || has_subnets {
            return;
        }
        let wires: Vec<_> = wires.iter().map(IpNet::to_string).collect();
        let text = format!(
            "the nodes are in {}, but with {cidr} each node expects the others on its own link and uses no gateway to reach them. \
         If there are routers between them, write each subnet with its gateway as a [[network.subnet]]",
            wires.join(", ")
        );
        diagnostics.warn(Some(&self.main.span), text);
    }
}
