//! A node's network cards, with their addresses and routes.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Mac;

/// A network card of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// What its files match it by.
    pub mac: Mac,
    /// Each with the prefix of its link: `10.1.0.11/24`. At least one; at most one of each family.
    #[serde(serialize_with = "as_texts", deserialize_with = "links")]
    pub addresses: Vec<IpNet>,
    /// The networks that are reached through a gateway.
    #[serde(skip_serializing_if = "Vec::is_empty", default, deserialize_with = "super::list::<_, _, 8>")]
    pub routes: Vec<Route>,
    /// In bytes; `None` leaves the card's own.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mtu: Option<u32>,
}

/// A way to a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Without host bits; of prefix length 0 for the default route.
    #[serde(serialize_with = "super::as_text", deserialize_with = "network")]
    pub to: IpNet,
    /// A router on the card's link.
    pub via: IpAddr,
}

impl Card {
    /// Whether it has this address.
    pub fn has(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|link| link.addr() == address)
    }

    /// Whether it has an IPv6 address.
    pub fn has_ipv6(&self) -> bool {
        self.addresses.iter().any(|link| link.addr().is_ipv6())
    }

    /// The address of the same family.
    pub fn of_family(&self, other: IpAddr) -> Option<IpAddr> {
        let mut all = self.addresses.iter().map(IpNet::addr);
        all.find(|address| address.is_ipv4() == other.is_ipv4())
    }
}

fn as_texts<S: Serializer>(all: &[IpNet], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(all.iter().map(ToString::to_string))
}

fn links<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let texts: Vec<String> = super::list::<_, _, 4>(deserializer)?;
    let all: Result<Vec<IpNet>, _> = texts.iter().map(|text| text.parse()).collect();
    all.map_err(|_| D::Error::custom("an address has a prefix length, as in 10.1.0.11/24"))
}

fn network<'de, D: Deserializer<'de>>(deserializer: D) -> Result<IpNet, D::Error> {
    let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
    let net: Option<IpNet> = text.parse().ok().filter(|net: &IpNet| net.trunc() == *net);
    net.ok_or_else(|| D::Error::custom("it is a network without host bits, as in 10.240.0.0/16"))
}

/// The source address of a connection from the node with these cards, as Linux chooses it (`ip route get`).
///
/// The route is the one with the longest prefix (ip-route(8)); of equal ones the first. It gives the address of its
/// card whose link has the next hop, else the card's first of that family (`inet_select_addr` in net/ipv4/devinet.c;
/// for IPv6, RFC 6724 section 5, rule 5: a card has one).
///
/// `None` where there is no way there.
pub fn source(cards: &[Card], to: IpAddr) -> Option<IpAddr> {
    if cards.iter().any(|card| card.has(to)) {
        return Some(to);
    }
    let ways = cards.iter().flat_map(|card| {
        let links = card.addresses.iter().map(move |link| (link.trunc(), to, card));
        links.chain(card.routes.iter().map(move |route| (route.to, route.via, card)))
    });
    let longer = |(net, _, _): &(IpNet, IpAddr, &Card)| net.prefix_len();
    let ways = ways.filter(|(net, _, _)| net.contains(&to));
    let (_, next, card) =
        ways.reduce(|best, other| if longer(&other) > longer(&best) { other } else { best })?;
    let on_link = card.addresses.iter().find(|link| link.contains(&next));
    on_link.map(IpNet::addr).or_else(|| card.of_family(to))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(addresses: &[&str], routes: &[(&str, &str)]) -> Card {
        Card {
            mac: Mac::derived("a"),
            addresses: addresses.iter().map(|one| one.parse().unwrap()).collect(),
            routes: routes
                .iter()
                .map(|(to, via)| Route { to: to.parse().unwrap(), via: via.parse().unwrap() })
                .collect(),
            mtu: None,
        }
    }

    #[test]
    fn the_source_is_the_address_of_the_way_there() {
        let two = [
            card(&["10.1.0.11/24", "fd00:1::11/64"], &[("0.0.0.0/0", "10.1.0.1"), ("::/0", "fd00:1::1")]),
            card(&["172.16.1.11/24"], &[("172.16.0.0/16", "172.16.1.1")]),
        ];
        for (to, want) in [
            ("10.1.0.12", Some("10.1.0.11")),
            ("10.1.0.11", Some("10.1.0.11")),
            ("10.2.0.12", Some("10.1.0.11")),
            ("172.16.1.12", Some("172.16.1.11")),
            ("172.16.2.12", Some("172.16.1.11")),
            ("172.17.2.12", Some("10.1.0.11")),
            ("fd00:1::12", Some("fd00:1::11")),
            ("2001:db8::1", Some("fd00:1::11")),
        ] {
            let got = source(&two, to.parse().unwrap());
            assert_eq!(got, want.map(|want| want.parse().unwrap()), "{to}");
        }
        assert_eq!(source(&two[1..], "10.2.0.12".parse().unwrap()), None);
        assert_eq!(source(&two[1..], "fd00:1::12".parse().unwrap()), None);
    }

    #[test]
    fn a_card_is_written_and_read() {
        let one = card(&["10.1.0.11/24"], &[("0.0.0.0/0", "10.1.0.1")]);
        let text = serde_json::to_string(&one).unwrap();
        assert_eq!(serde_json::from_str::<Card>(&text).unwrap(), one);
        for (is, bad) in [("10.1.0.11/24", "10.1.0.11"), ("0.0.0.0/0", "0.0.0.1/0"), ("10.1.0.1\"", "x\"")] {
            assert!(text.contains(is));
            assert!(serde_json::from_str::<Card>(&text.replace(is, bad)).is_err(), "{bad}");
        }
    }
}
