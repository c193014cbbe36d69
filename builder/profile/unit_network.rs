//! Lines of etcd's unit that limit its network: systemd's filters of addresses and sockets must let a member through.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Node;
use super::diagnostics::Diagnostics;
use super::mistake::Mistake;
use super::span::Span;
use crate::values::Invalid;

/// A line of `[Service]`, and its place.
pub(super) type Line = (String, Span);

/// The networks of a word of `IPAddressAllow=` and `IPAddressDeny=` (systemd.resource-control(5)).
fn networks(word: &str) -> Option<Vec<IpNet>> {
    let all = match word {
        "any" => ["0.0.0.0/0", "::/0"],
        "localhost" => ["127.0.0.0/8", "::1/128"],
        "link-local" => ["169.254.0.0/16", "fe80::/64"],
        "multicast" => ["224.0.0.0/4", "ff00::/8"],
        _ => {
            let network = word.parse().ok().or_else(|| word.parse::<IpAddr>().ok().map(IpNet::from));
            return network.map(|network| vec![network]);
        }
    };
    all.iter().map(|network| network.parse().ok()).collect()
}

/// A rule of `SocketBindAllow=` and `SocketBindDeny=`, of TCP ports: `None` where it is about UDP alone.
fn ports(word: &str) -> Result<Option<(u16, u16)>, ()> {
    let mut parts: Vec<_> = word.split(':').collect();
    if ["ipv4", "ipv6"].contains(&parts[0]) {
        parts.remove(0);
    }
    let is_udp = parts.first() == Some(&"udp");
    if ["tcp", "udp"].iter().any(|transport| parts.first() == Some(transport)) {
        parts.remove(0);
    }
    let all = match parts[..] {
        [] => (1, u16::MAX),
        ["any"] if word == "any" => (1, u16::MAX),
        [range] => {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let port = |text: &str| text.parse::<u16>().map_err(drop);
            let (first, last) = (port(first)?, port(last)?);
            if first == 0 || first > last {
                return Err(());
            }
            (first, last)
        }
        _ => return Err(()),
    };
    Ok((!is_udp).then_some(all))
}

/// A value of a setting that filters; any value of another one.
///
/// # Errors
/// A sentence that says what is allowed.
pub(super) fn check(key: &str, text: &str) -> Result<(), Invalid> {
    for word in text.split_whitespace() {
        if key.starts_with("IPAddress") && networks(word).is_none() {
            return Err(Invalid(format!(
                "{word:?} is not a network; write one as in 10.0.0.0/8, or any, localhost, link-local or multicast"
            )));
        }
        if key.starts_with("SocketBind") && ports(word).is_err() {
            return Err(Invalid(format!("{word:?} is not a rule; write any, or ports as in tcp:2379-2380")));
        }
    }
    Ok(())
}

/// Refuses filters that a member does not work with: it has to reach itself and its peers, and to listen. What matches
/// an allow list passes; of the rest, what matches a deny list does not.
pub(super) fn check_filters(diagnostics: &mut Diagnostics, lines: &[Line], nodes: &[Node], listens: &[u16]) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_as_systemd_reads_them() {
        for good in ["any", "localhost link-local  multicast", "10.0.0.1 10.0.0.0/8 fd00::/8 ::1"] {
            assert!(check("IPAddressDeny", good).is_ok(), "{good}");
        }
        for bad in ["all", "10.0.0.0/33", "10.0.0", "any,localhost", "db-1", "~any"] {
            assert!(check("IPAddressDeny", bad).is_err(), "{bad}");
        }
        for good in ["any", "tcp", "ipv6", "ipv4:udp:1-65535", "2379", "tcp:2379-2380"] {
            assert!(check("SocketBindDeny", good).is_ok(), "{good}");
        }
        for bad in ["all", "0", "2380-2379", "tcp:any", "tcp:ipv4", "1-2-3", "70000", "sctp:1"] {
            assert!(check("SocketBindDeny", bad).is_err(), "{bad}");
        }
        assert_eq!((ports("udp"), ports("ipv4:tcp")), (Ok(None), Ok(Some((1, u16::MAX)))));
    }
}
