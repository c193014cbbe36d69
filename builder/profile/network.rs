//! `[network]`: the network that all nodes' addresses are in, and what it has besides.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use toml::Spanned;

use super::diagnostics::Diagnostics;
use super::mistake::Mistake;
use super::reader::Section;
use super::{Network, Node, Span};
use crate::values::{Invalid, ServerName};

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
    let network = Network {
        dns: servers(diagnostics, table, cidr.get_ref()),
        dns_search: plain(table.values(diagnostics, "dns-search", |text| text.parse())),
        ntp: time_servers(diagnostics, table, cidr.get_ref()),
        mtu: table.number(diagnostics, "mtu"),
        cidr: *cidr.get_ref(),
        gateway: gateway.map(Spanned::into_inner),
    };
    Some(Placed { network, cidr_span: cidr.span(), gateway_span })
}

fn plain<T>(values: Option<Vec<Spanned<T>>>) -> Vec<T> {
    values.unwrap_or_default().into_iter().map(Spanned::into_inner).collect()
}

/// The DNS servers, of which resolvers use the first three (MAXNS in resolv.conf(5)).
fn servers(diagnostics: &mut Diagnostics, table: &Section, cidr: &IpNet) -> Vec<IpAddr> {
    let all = table.values(diagnostics, "dns", |text| address(text).and_then(|server| reach(server, cidr)));
    let all = all.unwrap_or_default();
    if let Some(fourth) = all.get(3) {
        diagnostics.warn(Some(&fourth.span()), "many resolvers use the first three DNS servers only");
    }
    plain(Some(all))
}

fn time_servers(diagnostics: &mut Diagnostics, table: &Section, cidr: &IpNet) -> Vec<ServerName> {
    let named = table.values(diagnostics, "ntp", |text| {
        let server: ServerName = text.parse()?;
        text.parse().map_or(Ok(()), |address| reach(address, cidr).map(drop))?;
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

/// Whether a node of this network can reach a server at this address at all.
fn reach(server: IpAddr, cidr: &IpNet) -> Result<IpAddr, Invalid> {
    if server.is_ipv4() != cidr.addr().is_ipv4() {
        let (own, other) = if server.is_ipv4() { ("IPv6", "IPv4") } else { ("IPv4", "IPv6") };
        return Err(Invalid(format!("it is an {other} address, and the nodes have {own} addresses only")));
    }
    if server.is_unspecified() || server.is_multicast() {
        return Err(Invalid("no server can have this address".into()));
    }
    Ok(server)
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

pub(super) fn address(text: &str) -> Result<IpAddr, Invalid> {
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

/// The prefix lengths of the widest networks that may be a single link: larger ones are a site's, a region's or a
/// company's.
const WIDEST_WIRE: (u8, u8) = (16, 64);

impl Placed {
    /// Checks that a node can have this address.
    pub fn check_node(&self, diagnostics: &mut Diagnostics, address: &Spanned<IpAddr>) {
        let shown = address.get_ref();
        if let Err(why) = fit(*shown, &self.network.cidr) {
            let reason = format!("[[node]] address cannot be \"{shown}\": {}", why.reason);
            let mistake = Mistake::new(address.span(), reason);
            diagnostics.mistake(match why.about_cidr {
                true => mistake.other(self.cidr_span.clone(), "the network"),
                false => mistake,
            });
        } else if self.network.gateway == Some(*shown) {
            let reason = format!("[[node]] address cannot be \"{shown}\": it is the gateway's");
            let mistake = Mistake::new(address.span(), reason);
            diagnostics.mistake(match &self.gateway_span {
                Some(span) => mistake.other(span.clone(), "the gateway"),
                None => mistake,
            });
        }
    }

    /// Warns where the network is so wide, and the nodes so far apart in it, that there must be routers between them.
    pub fn warn_of_sites(&self, diagnostics: &mut Diagnostics, nodes: &[Node]) {
        let cidr = &self.network.cidr;
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
        diagnostics.warn(Some(&self.cidr_span), text);
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
