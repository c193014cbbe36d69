//! Lines of etcd's unit that limit its network: systemd's filters of addresses and sockets must let a member through.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Node;
use super::diagnostics::Diagnostics;
use super::mistake::Mistake;
use super::span::Span;
use super::unit_network::{networks, ports};

/// A line of `[Service]`, and its place.
type Line = (String, Span);

/// Refuses filters that a member does not work with: it has to reach itself and its peers, and to listen. What matches
/// an allow list passes; of the rest, what matches a deny list does not.
pub(super) fn check(diagnostics: &mut Diagnostics, lines: &[Line], nodes: &[Node], listens: &[u16]) {
    let addresses = nodes.iter().flat_map(|node| node.addresses().map(move |address| (&node.name, address)));
    let of_networks = |word: &str| networks(word).unwrap_or_default();
    let is_in =
        |networks: &[IpNet], address: IpAddr| networks.iter().any(|network| network.contains(&address));
    let allowed: Vec<_> = words(lines, "IPAddressAllow").flat_map(|(word, _)| of_networks(word)).collect();
    let mut shut =
        addresses.filter(|(_, address)| !is_in(&allowed, *address)).filter_map(|(name, address)| {
            let denies = |(word, _): &(&str, &Span)| is_in(&of_networks(word), address);
            let (_, place) = words(lines, "IPAddressDeny").find(denies)?;
            Some((name, address, place.clone()))
        });
    if let Some((name, address, place)) = shut.next() {
        let reason = format!(
            "[etcd.service.service] IPAddressDeny cuts the members off: it denies {address}, the address of {name}"
        );
        let help = "allow the networks of members and clients, as in IPAddressAllow = [\"localhost\", \"10.0.0.0/8\"]";
        diagnostics.mistake(Mistake::new(place, reason).help(help));
    }
    let of_ports = |word: &str| ports(word).ok().flatten();
    let has = |range: (u16, u16), port: u16| (range.0..=range.1).contains(&port);
    let allowed: Vec<_> = words(lines, "SocketBindAllow").filter_map(|(word, _)| of_ports(word)).collect();
    let mut shut = listens.iter().filter(|port| !allowed.iter().any(|range| has(*range, **port)));
    let denied = shut.find_map(|port| {
        let denies = |(word, _): &(&str, &Span)| of_ports(word).is_some_and(|range| has(range, *port));
        words(lines, "SocketBindDeny").find(denies).map(|(_, place)| (port, place.clone()))
    });
    if let Some((port, place)) = denied {
        let reason = format!("[etcd.service.service] SocketBindDeny denies etcd its own port {port}");
        let help = format!("allow it, as in SocketBindAllow = \"tcp:{port}\"");
        diagnostics.mistake(Mistake::new(place, reason).help(help));
    }
}

/// The words of all lines of a setting, each with the place of its line.
fn words<'l>(lines: &'l [Line], key: &str) -> impl Iterator<Item = (&'l str, &'l Span)> {
    let of = move |line: &'l Line| {
        line.0.split_once('=').filter(|(name, _)| *name == key).map(|(_, v)| (v, &line.1))
    };
    lines
        .iter()
        .filter_map(of)
        .flat_map(|(value, place)| value.split_whitespace().map(move |word| (word, place)))
}
