//! The ranges that nodes' addresses are in: `[network]` itself, `[network.peer]`, and the subnets of each.

use std::net::IpAddr;

use ipnet::IpNet;
use toml::Spanned;

use super::addresses::{address, fit, is_router, network_range};
use super::diagnostics::Diagnostics;
use super::mistake::Mistake;
use super::reader::Section;
use super::{Ipv6Network, PeerNetwork, Span, Subnet};
use crate::values::Invalid;

/// A range in which each node has an address, with its places in the profile.
pub(super) struct Range {
    /// The key of a node's address in it.
    pub key: &'static str,
    /// Its own key: `[network] cidr`.
    pub name: &'static str,
    pub cidr: IpNet,
    pub span: Span,
    pub gateway: Option<(IpAddr, Span)>,
    pub subnets: Vec<PlacedSubnet>,
    /// Those of all ranges and subnets: none is an address of a node, wherever that is.
    gateways: Vec<(IpAddr, Span)>,
    /// Whether there is a subnet that could not be read, so that an address may be in that.
    pub is_partial: bool,
}

/// A subnet with its places in the profile.
pub(super) struct PlacedSubnet {
    cidr: Spanned<IpNet>,
    gateway: Spanned<IpAddr>,
    on_link: Option<Spanned<bool>>,
}

impl Range {
    /// Reports a gateway that no node could use.
    pub fn new(
        diagnostics: &mut Diagnostics,
        [key, name, gateway_name]: [&'static str; 3],
        cidr: &Spanned<IpNet>,
        gateway: Option<Spanned<IpAddr>>,
        on_link: bool,
    ) -> Self {
        if let Some(gateway) = &gateway {
            check_gateway(diagnostics, gateway_name, gateway, cidr, ("the network", on_link));
        }
        let gateway = gateway.map(|gateway| (*gateway.get_ref(), gateway.span()));
        let (cidr, span) = (*cidr.get_ref(), cidr.span());
        let gateways = gateway.iter().cloned().collect();
        Self { key, name, cidr, span, gateway, subnets: Vec::new(), gateways, is_partial: false }
    }

    fn own_gateways(&self) -> Vec<(IpAddr, Span)> {
        let of_subnets = self.subnets.iter().map(|subnet| (*subnet.gateway.get_ref(), subnet.gateway.span()));
        self.gateway.iter().cloned().chain(of_subnets).collect()
    }

    /// Whether it has room for one address only.
    pub fn is_alone(&self) -> bool {
        self.cidr.prefix_len() == self.cidr.max_prefix_len()
    }

    /// For a range of one address without a router on its link.
    pub fn refuse_alone(&self, diagnostics: &mut Diagnostics) {
        let reason = format!(
            "{} {} is one address, so nothing but the node itself reaches etcd",
            self.name, self.cidr
        );
        let help = "write the network that the node's link has, as in 10.240.16.0/24; or, for a router on the link, its \
                    address in gateway and on-link = true";
        diagnostics.mistake(Mistake::new(self.span.clone(), reason).help(help));
    }

    /// Checks that a node can have this address.
    pub fn check_node(&self, diagnostics: &mut Diagnostics, address: &Spanned<IpAddr>) {
        let shown = *address.get_ref();
        let refused = |why: &str| {
            Mistake::new(address.span(), format!("[[node]] {} cannot be \"{shown}\": {why}", self.key))
        };
        if let Err(why) = fit(shown, &self.cidr) {
            let mistake = refused(&why.reason);
            diagnostics.mistake(match why.about_cidr {
                true => mistake.other(self.span.clone(), "the network"),
                false => mistake,
            });
            return;
        }
        if let Some(first) = self.subnets.first() {
            let Some(subnet) = self.subnets.iter().find(|subnet| subnet.cidr.get_ref().contains(&shown))
            else {
                if self.is_partial {
                    return;
                }
                let mistake = refused("it is in none of the subnets")
                    .other(first.cidr.span(), "the first of them")
                    .help("write a [[network.subnet]] that contains it, with the gateway there");
                return diagnostics.mistake(mistake);
            };
            if let Err(why) = fit(shown, subnet.cidr.get_ref()) {
                return diagnostics.mistake(refused(&why.reason).other(subnet.cidr.span(), "the subnet"));
            }
        }
        if let Some((_, span)) = self.gateways.iter().find(|(gateway, _)| *gateway == shown) {
            diagnostics.mistake(refused("it is the gateway's").other(span.clone(), "the gateway"));
        }
    }
}

/// `what`: the range, in words, and whether its gateway may be outside of it.
fn check_gateway(
    diagnostics: &mut Diagnostics,
    name: &str,
    gateway: &Spanned<IpAddr>,
    cidr: &Spanned<IpNet>,
    (what, on_link): (&str, bool),
) {
    let (shown, range) = (*gateway.get_ref(), *cidr.get_ref());
    let Err(why) = fit(shown, &range) else { return };
    let may_be_outside = !range.contains(&shown) && is_router(shown, &range);
    if on_link && may_be_outside {
        return;
    }
    let mistake = Mistake::new(gateway.span(), format!("{name} cannot be \"{shown}\": {}", why.reason));
    let mistake = if why.about_cidr { mistake.other(cidr.span(), what) } else { mistake };
    diagnostics.mistake(match may_be_outside {
        true => mistake.help("if the nodes reach it on their link all the same, write on-link = true"),
        false => mistake,
    });
}

/// Reports `on-link = true` of `[network]` where it is without effect.
pub(super) fn check_on_link_of_network(
    diagnostics: &mut Diagnostics,
    table: &Section,
    on_link: Option<&Spanned<bool>>,
    ranges: &[&Range],
) {
    let gateways = ranges.iter().filter_map(|range| Some((range.gateway.as_ref()?.0, range.cidr)));
    let gateways: Vec<_> = gateways.collect();
    let written = ["gateway", "ipv6-gateway"].iter().filter(|key| table.has(key)).count();
    // It may be about one that could not be read.
    if written == gateways.len() {
        let help = match table.has("subnet") {
            true => "write on-link in the [[network.subnet]] whose gateway it is about",
            false => "write the gateway, or omit on-link",
        };
        check_on_link(diagnostics, ("[network]", help), on_link, &gateways);
    }
}

/// `without`: the help where there is no gateway. `all`: the gateways that it is for, each with its range.
fn check_on_link(
    diagnostics: &mut Diagnostics,
    (title, without): (&str, &str),
    on_link: Option<&Spanned<bool>>,
    all: &[(IpAddr, IpNet)],
) {
    let Some(on_link) = on_link.filter(|on_link| *on_link.get_ref()) else { return };
    let reason = match all {
        [] => format!("{title} on-link is about a gateway, and there is none"),
        all if all.iter().any(|(gateway, range)| !range.contains(gateway)) => return,
        [(gateway, range), ..] => {
            format!("{title} on-link is for a gateway outside of {range}, and {gateway} is in it")
        }
    };
    let help = if all.is_empty() { without } else { "omit on-link" };
    diagnostics.mistake(Mistake::new(on_link.span(), reason).help(help));
}

/// `ipv6-cidr` and `ipv6-gateway` of `[network]`. `None` where there are none, or none that can be read.
pub(super) fn ipv6(
    diagnostics: &mut Diagnostics,
    table: &Section,
    main: Option<&Range>,
    on_link: bool,
) -> Option<(Range, Ipv6Network)> {
    let cidr = table.value_with(diagnostics, "ipv6-cidr", |text| match network_range(text)? {
        IpNet::V4(_) => Err(Invalid("it is an IPv4 network; that is cidr".into())),
        cidr => Ok(cidr),
    });
    let gateway = table.value_with(diagnostics, "ipv6-gateway", address);
    if let (Some(gateway), false) = (&gateway, table.has("ipv6-cidr")) {
        let reason = "[network] ipv6-gateway needs the network that it is in";
        diagnostics
            .mistake(Mistake::new(gateway.span(), reason).help("write ipv6-cidr, as in \"fd00:10::/64\""));
    }
    let cidr = cidr?;
    if let Some(main) = main.filter(|main| main.cidr.addr().is_ipv6()) {
        let reason = "[network] ipv6-cidr is for IPv6 beside IPv4, and cidr is IPv6 already";
        let mistake = Mistake::new(cidr.span(), reason).other(main.span.clone(), "the network");
        diagnostics.mistake(mistake.help("omit it, or write the IPv4 network in cidr"));
    }
    let names = ["ipv6-address", "[network] ipv6-cidr", "[network] ipv6-gateway"];
    let range = Range::new(diagnostics, names, &cidr, gateway, on_link);
    let gateway = range.gateway.as_ref().map(|(gateway, _)| *gateway);
    Some((range, Ipv6Network { cidr: *cidr.get_ref(), gateway }))
}

/// `[network.peer]`. `None` where there is none, or none that can be read.
pub(super) fn peer(
    diagnostics: &mut Diagnostics,
    table: &Section,
    others: &[&Range],
    same_card: bool,
) -> Option<(Range, PeerNetwork)> {
    table.span.as_ref()?;
    table.require(diagnostics, "cidr");
    let cidr = table.value_with(diagnostics, "cidr", network_range);
    let mtu = table.number(diagnostics, "mtu");
    let vlan = table.number(diagnostics, "vlan").and_then(|id| id.try_into().ok());
    let cidr = cidr?;
    let names = ["peer-address", "[network.peer] cidr", ""];
    let range = Range::new(diagnostics, names, &cidr, None, false);
    for other in others.iter().filter(|other| overlap(&other.cidr, &range.cidr)) {
        let reason = format!("[network.peer] cidr {} and {} {} overlap", range.cidr, other.name, other.cidr);
        let help = "a node chooses its card by the destination, so each of the two needs a range of its own";
        diagnostics
            .mistake(Mistake::new(cidr.span(), reason).other(other.span.clone(), "the other one").help(help));
    }
    Some((range, PeerNetwork { cidr: *cidr.get_ref(), mtu, vlan, same_card }))
}

/// `[[network.subnet]]`: each is part of one of the ranges. `is_whole`: whether all that the profile has could be read.
pub(super) fn subnets(
    diagnostics: &mut Diagnostics,
    tables: Vec<Section>,
    ranges: &mut [&mut Range],
    is_whole: bool,
) {
    for table in tables {
        table.require(diagnostics, "cidr");
        table.require(diagnostics, "gateway");
        let cidr = table.value_with(diagnostics, "cidr", network_range);
        let gateway = table.value_with(diagnostics, "gateway", address);
        let on_link = table.bool(diagnostics, "on-link");
        table.finish(diagnostics);
        match (cidr, gateway) {
            (Some(cidr), Some(gateway)) => {
                subnet(diagnostics, PlacedSubnet { cidr, gateway, on_link }, ranges, is_whole);
            }
            _ => ranges.iter_mut().for_each(|range| range.is_partial = true),
        }
    }
    let gateways: Vec<_> = ranges.iter().flat_map(|range| range.own_gateways()).collect();
    for range in ranges.iter_mut() {
        range.gateways.clone_from(&gateways);
        if let (Some((gateway, span)), Some(first)) = (&range.gateway, range.subnets.first()) {
            let reason = format!("the gateway {gateway} is one for all of {}, which has subnets", range.name);
            let help = "omit it: the nodes of a subnet use the gateway of that";
            diagnostics.mistake(
                Mistake::new(span.clone(), reason).other(first.cidr.span(), "the first subnet").help(help),
            );
        }
    }
}

fn subnet(diagnostics: &mut Diagnostics, subnet: PlacedSubnet, ranges: &mut [&mut Range], is_whole: bool) {
    let cidr = *subnet.cidr.get_ref();
    let on_link = subnet.on_link.as_ref().is_some_and(|on_link| *on_link.get_ref());
    let name = "[[network.subnet]] gateway";
    check_gateway(diagnostics, name, &subnet.gateway, &subnet.cidr, ("the subnet", on_link));
    let all = [(*subnet.gateway.get_ref(), cidr)];
    check_on_link(diagnostics, ("[[network.subnet]]", ""), subnet.on_link.as_ref(), &all);
    let names: Vec<_> = ranges.iter().map(|range| format!("{} {}", range.name, range.cidr)).collect();
    let first = ranges.first().map(|range| range.span.clone());
    match ranges.iter_mut().find(|range| range.cidr.contains(&cidr)) {
        // It may be part of a network that could not be read.
        None if !is_whole => {}
        None => {
            let reason = format!("[[network.subnet]] cidr {cidr} is not part of {}", names.join(" or "));
            let mistake = Mistake::new(subnet.cidr.span(), reason);
            let mistake = match first {
                Some(first) => mistake.other(first, "the network"),
                None => mistake,
            };
            diagnostics
                .mistake(mistake.help("cidr of a network is the whole range that contains its subnets"));
        }
        Some(range) => {
            let other = range.subnets.iter().find(|other| overlap(other.cidr.get_ref(), &cidr));
            if let Some(other) = other {
                let reason = format!("the subnets {cidr} and {} overlap", other.cidr.get_ref());
                diagnostics.mistake(
                    Mistake::new(subnet.cidr.span(), reason)
                        .other(other.cidr.span(), "the other one")
                        .help("an address belongs to one subnet; change one of the two"),
                );
                range.is_partial = true;
                return;
            }
            range.subnets.push(subnet);
        }
    }
}

/// One of two networks that overlap contains the other.
fn overlap(one: &IpNet, other: &IpNet) -> bool {
    one.contains(other) || other.contains(one)
}

impl PlacedSubnet {
    pub fn place(&self) -> Span {
        self.cidr.span()
    }

    pub fn value(&self) -> Subnet {
        Subnet { cidr: *self.cidr.get_ref(), gateway: *self.gateway.get_ref() }
    }
}
