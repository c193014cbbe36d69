//! `[network]` and `[[node]]`: the members of the cluster, and their addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::net::IpAddr;

use ipnet::IpNet;
use toml::Spanned;

use super::diagnostics::Diagnostics;
use super::mistake::Mistake;
use super::reader::Section;
use super::{Network, Node, Span};
use crate::values::{Invalid, Mac, NodeName, counted};

/// The network and its place in the profile.
pub(super) struct Placed {
    pub network: Network,
    cidr_span: Span,
    gateway_span: Option<Span>,
}

pub(super) fn network(diagnostics: &mut Diagnostics, table: &Section) -> Option<Placed> {
    table.require(diagnostics, "cidr");
    let cidr = table.value_with(diagnostics, "cidr", network_range);
    let gateway = table.value_with(diagnostics, "gateway", address);
    let cidr = cidr?;
    if let Some(gateway) = &gateway
        && let Err(why) = fit(*gateway.get_ref(), cidr.get_ref())
    {
        let reason = format!("[network] gateway cannot be \"{}\": {}", gateway.get_ref(), why.reason);
        let mistake = Mistake::new(gateway.span(), reason);
        diagnostics.mistake(if why.about_cidr { mistake.other(cidr.span(), "the network") } else { mistake });
    }
    let gateway_span = gateway.as_ref().map(Spanned::span);
    let network = Network { cidr: *cidr.get_ref(), gateway: gateway.map(Spanned::into_inner) };
    Some(Placed { network, cidr_span: cidr.span(), gateway_span })
}

/// An address range without host bits.
pub fn network_range(text: &str) -> Result<IpNet, Invalid> {
    let cidr: IpNet = text
        .parse()
        .map_err(|_| Invalid("write an address and a prefix length, as in 10.240.0.0/16".into()))?;
    if cidr.trunc() != cidr {
        return Err(Invalid(format!("it has host bits set; the network is {}", cidr.trunc())));
    }
    Ok(cidr)
}

fn address(text: &str) -> Result<IpAddr, Invalid> {
    text.parse().map_err(|_| {
        Invalid(match text.split_once('/').map(|(address, _)| address.parse::<IpAddr>()) {
            Some(Ok(address)) => format!("write it without the prefix length, as {address}"),
            _ => "write an address, as in 10.240.16.10 or fd00::10".into(),
        })
    })
}

/// The reason why an address is not a host of a network, and whether the network is part of it.
struct Unfit {
    reason: String,
    about_cidr: bool,
}

/// Whether a host can have this address in this network.
fn fit(address: IpAddr, cidr: &IpNet) -> Result<(), Unfit> {
    let unfit = |reason: &str| Err(Unfit { reason: reason.into(), about_cidr: false });
    let outside = |reason: String| Err(Unfit { reason, about_cidr: true });
    match address {
        IpAddr::V4(v4) if v4.is_link_local() => {
            return unfit("peers cannot connect to a link-local address");
        }
        IpAddr::V4(v4) if v4.is_broadcast() => return unfit("it is the broadcast address of every network"),
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            return unfit("it is an IPv4-mapped IPv6 address; write the IPv4 address");
        }
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            return unfit("peers cannot connect to a link-local address");
        }
        _ => {}
    }
    if address.is_unspecified() {
        return unfit("it means \"any address\", not one");
    }
    if address.is_loopback() {
        return unfit("it is a loopback address, which only the node itself can reach");
    }
    if address.is_multicast() {
        return unfit("it is a multicast address");
    }
    if !cidr.contains(&address) {
        return outside(format!("it is not in {cidr}"));
    }
    // Networks of one or two addresses have neither (RFC 3021, RFC 6164).
    if cidr.max_prefix_len() - cidr.prefix_len() >= 2 {
        if address == cidr.network() {
            return outside(format!("it is the address of the network {cidr} itself"));
        }
        if address.is_ipv4() && address == cidr.broadcast() {
            return outside(format!("it is the broadcast address of {cidr}"));
        }
    }
    Ok(())
}

/// Whether a member can have this address in this network.
pub fn check_host(address: IpAddr, cidr: &IpNet) -> Result<(), Invalid> {
    fit(address, cidr).map_err(|unfit| Invalid(unfit.reason))
}

/// The nodes that could be read, and the number that the profile names.
pub(super) struct Nodes {
    pub list: Vec<Node>,
    pub count: usize,
}

pub(super) fn nodes(
    diagnostics: &mut Diagnostics,
    tables: Vec<Section>,
    network: Option<&Placed>,
    cluster: Option<&str>,
    two_allowed: Option<Span>,
) -> Nodes {
    let count = tables.len();
    member_count(diagnostics, &tables, two_allowed);
    let (mut names, mut addresses, mut macs) =
        (Unique::new("node name"), Unique::new("address"), Unique::new("MAC"));
    let mut list = Vec::new();
    for table in tables {
        table.require(diagnostics, "name");
        let name = table.value_with(diagnostics, "name", node_name);
        table.require(diagnostics, "address");
        let address = table.value_with(diagnostics, "address", address);
        let mac = table.value::<Mac>(diagnostics, "mac");
        let is_new = name.as_ref().is_some_and(|name| names.see(diagnostics, name));
        if let Some(address) = &address {
            addresses.see(diagnostics, address);
            if let Some(network) = network {
                check_address(diagnostics, address, network);
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
            list.push(Node { name: name.into_inner(), address: address.into_inner(), mac: mac.into_inner() });
        }
        table.finish(diagnostics);
    }
    if let Some(network) = network {
        warn_of_sites(diagnostics, network, &list);
    }
    Nodes { list, count }
}

/// The prefix lengths of the widest networks that may be a single link: larger ones are a site's, a region's or a
/// company's.
const WIDEST_WIRE: (u8, u8) = (16, 64);

/// Warns where the network is so wide, and the nodes so far apart in it, that there must be routers between them.
fn warn_of_sites(diagnostics: &mut Diagnostics, placed: &Placed, nodes: &[Node]) {
    let cidr = &placed.network.cidr;
    let wire = if cidr.addr().is_ipv4() { WIDEST_WIRE.0 } else { WIDEST_WIRE.1 };
    let wires: BTreeSet<IpNet> = nodes
        .iter()
        .filter(|node| cidr.contains(&node.address))
        .filter_map(|node| IpNet::new(node.address, wire).ok())
        .map(|net| net.trunc())
        .collect();
    if cidr.prefix_len() >= wire || wires.len() < 2 {
        return;
    }
    let wires: Vec<_> = wires.iter().map(IpNet::to_string).collect();
    let text = format!(
        "the nodes are in {}, but with {cidr} each node expects the others on its own link and uses no gateway to reach them; \
         Kiln does not support a subnet for each node yet. If there are routers between them, use the carrier tar and configure the network yourself",
        wires.join(", ")
    );
    diagnostics.warn(Some(&placed.cidr_span), text);
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

fn check_address(diagnostics: &mut Diagnostics, address: &Spanned<IpAddr>, placed: &Placed) {
    let shown = address.get_ref();
    if let Err(why) = fit(*shown, &placed.network.cidr) {
        let reason = format!("[[node]] address cannot be \"{shown}\": {}", why.reason);
        let mistake = Mistake::new(address.span(), reason);
        diagnostics.mistake(match why.about_cidr {
            true => mistake.other(placed.cidr_span.clone(), "the network"),
            false => mistake,
        });
    } else if placed.network.gateway == Some(*shown) {
        let reason = format!("[[node]] address cannot be \"{shown}\": it is the gateway's");
        let mistake = Mistake::new(address.span(), reason);
        diagnostics.mistake(match &placed.gateway_span {
            Some(span) => mistake.other(span.clone(), "the gateway"),
            None => mistake,
        });
    }
}

/// The quorum and the number of tolerated failures: the reason for every rule here.
fn member_count(diagnostics: &mut Diagnostics, tables: &[Section], two_allowed: Option<Span>) {
    let count = tables.len();
    let majority = count / 2 + 1;
    let last = tables.last().and_then(|table| table.span.clone());
    if let (Some(span), true) = (&two_allowed, count != 2) {
        diagnostics
            .warn(Some(span), format!("allow-two-members has no effect: the cluster has {count} members"));
    }
    match count {
        0 => diagnostics.mistake(Mistake::missing(None, "the profile has no node").help(
            "write, for example:
[[node]]
name = \"cp-a\"
address = \"10.240.16.10\"",
        )),
        2 if two_allowed.is_some() => {
            diagnostics.warn(two_allowed.as_ref(), "two members have a quorum of 2 and tolerate no failure");
        }
        2 => diagnostics.mistake(
            Mistake::unsafe_unless_allowed(
                last,
                "two members have a quorum of 2 and tolerate no failure; a single member is more reliable",
            )
            .help("use three members or one, or write allow-two-members = true in [cluster]"),
        ),
        10.. => diagnostics.mistake(
            Mistake::new(
                last,
                format!(
                    "a cluster of {count} members is too large: every write waits for {majority} of them"
                ),
            )
            .help(
                "use five or seven members; more members do not add capacity, and Kiln builds at most nine",
            ),
        ),
        _ if count.is_multiple_of(2) => diagnostics.warn(
            last.as_ref(),
            format!(
                "{count} members have a quorum of {majority} and tolerate {}, no more than {} members do",
                counted(count - majority, "failure"),
                count - 1
            ),
        ),
        8.. => diagnostics.warn(
            last.as_ref(),
            format!(
                "{count} members: every write waits for {majority} of them; at most seven are recommended"
            ),
        ),
        _ => {}
    }
}

/// Values that must be unique.
struct Unique<T> {
    what: &'static str,
    first: BTreeMap<T, Span>,
}

impl<T: Ord + Clone + Display> Unique<T> {
    fn new(what: &'static str) -> Self {
        Self { what, first: BTreeMap::new() }
    }

    /// Whether it is new; a duplicate is a mistake.
    fn see(&mut self, diagnostics: &mut Diagnostics, value: &Spanned<T>) -> bool {
        let Some(first) = self.first.get(value.get_ref()) else {
            self.first.insert(value.get_ref().clone(), value.span());
            return true;
        };
        let reason = format!("duplicate {} {}", self.what, value.get_ref());
        diagnostics.mistake(
            Mistake::new(value.span(), reason)
                .other(first.clone(), "first here")
                .help("names and addresses must be unique; change one of the two"),
        );
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_of_hosts_in_the_network() {
        let cases = [
            ("10.240.0.0/16", "10.240.16.10", ""),
            ("10.240.0.0/16", "10.240.0.0", "itself"),
            ("10.240.0.0/16", "10.240.255.255", "broadcast"),
            ("10.240.0.0/16", "10.241.0.1", "not in"),
            ("10.240.0.0/16", "fd00::1", "not in"),
            ("10.240.0.0/16", "127.0.0.1", "loopback"),
            ("10.240.0.0/16", "224.0.0.1", "multicast"),
            ("10.240.0.0/16", "0.0.0.0", "any address"),
            ("10.240.0.0/16", "169.254.1.1", "link-local"),
            ("10.240.0.0/16", "255.255.255.255", "broadcast"),
            ("0.0.0.0/0", "255.255.255.255", "broadcast"),
            ("10.0.0.0/31", "10.0.0.0", ""),
            ("10.0.0.0/31", "10.0.0.1", ""),
            ("10.0.0.7/32", "10.0.0.7", ""),
            ("fd00::/64", "fd00::10", ""),
            ("fd00::/64", "fd00::", "itself"),
            ("fd00::/64", "fd00::ffff:ffff:ffff:ffff", ""),
            ("fd00::/64", "fe80::1", "link-local"),
            ("fd00::/64", "::1", "loopback"),
            ("fd00::/64", "::", "any address"),
            ("fd00::/64", "ff02::1", "multicast"),
            ("::/0", "::ffff:10.0.0.1", "IPv4"),
        ];
        for (cidr, address, want) in cases {
            let got = fit(address.parse().unwrap(), &cidr.parse().unwrap()).err().map(|why| why.reason);
            match want {
                "" => assert_eq!(got, None, "{address} in {cidr}"),
                _ => assert!(
                    got.as_ref().is_some_and(|got| got.contains(want)),
                    "{address} in {cidr}: {got:?}"
                ),
            }
        }
    }
}
