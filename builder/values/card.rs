//! A node's network cards, with their addresses and routes.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{BondCard, By, Dhcp, Mac};

/// The longest name of an interface has one byte less (linux/if.h).
const IFNAMSIZ: usize = 16;

/// A network card of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// That of a VM's card; on other machines only where files match it by that.
    pub mac: Mac,
    /// What its files match it by.
    #[serde(skip_serializing_if = "By::is_mac", default)]
    pub by: By,
    /// Each with the prefix of its link: `10.1.0.11/24`. At least one; at most one of each family.
    #[serde(serialize_with = "as_texts", deserialize_with = "links")]
    pub addresses: Vec<IpNet>,
    /// The networks that are reached through a gateway.
    #[serde(skip_serializing_if = "Vec::is_empty", default, deserialize_with = "super::list::<_, _, 8>")]
    pub routes: Vec<Route>,
    /// What it asks for besides. An address that it gets is the source of no connection to a peer: networkd's files
    /// have a route with a source for each.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub dhcp: Option<Dhcp>,
    /// In bytes; `None` leaves the card's own.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mtu: Option<u32>,
    /// The VLAN in which its addresses are; `None` for frames without a tag.
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "vlan")]
    pub vlan: Option<u16>,
    /// Whether this VLAN is on the node's first card, whose MAC address and match it then has.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub shared: bool,
}

/// The VLANs on a card.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Carried {
    /// Of their interfaces; at least one.
    pub names: Vec<String>,
    /// Of the card itself: none of them can have a larger one. `None` leaves the card's own.
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
    /// Whether it is outside of the networks that the card has addresses in.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub on_link: bool,
}

impl Card {
    /// The smallest and the largest VLAN ID: 0 is for frames of no VLAN, and 4095 is reserved (IEEE 802.1Q, table 9-2).
    pub const VLAN: (u32, u32) = (1, 4094);

    /// The VLANs that the card at this place carries: its own, and those on the first card. `None` where its frames are
    /// untagged.
    pub fn carried(cards: &[Self], at: usize) -> Option<Carried> {
        let is_on = |(nth, card): &(usize, &Self)| if card.shared { at == 0 } else { *nth == at };
        let on: Vec<_> = cards.iter().enumerate().filter(is_on).collect();
        let names: Vec<_> = on.iter().filter_map(|(nth, card)| card.vlan_name(*nth)).collect();
        let mtu = on.iter().filter_map(|(_, card)| card.mtu).max();
        (!names.is_empty()).then_some(Carried { names, mtu })
    }

    /// The name of its interface, for the card at this place in the list of the node's cards: `kiln0`, or its own. One
    /// that is matched by MAC address may have another name on the node: only some programs rename it.
    pub fn interface(&self, at: usize) -> String {
        match &self.by {
            By::Name(name) => name.to_string(),
            By::Mac | By::Bond(_) => format!("kiln{}", if self.shared { 0 } else { at }),
        }
    }

    /// The name of its VLAN's interface, in the same way: `kiln0.20`, `eno1.20`.
    ///
    /// All files of a node use the same name, so that two programs which read them do not both make the VLAN. The
    /// network scripts of RHEL take the card from it, so it has that of the card, unless it were too long.
    pub fn vlan_name(&self, at: usize) -> Option<String> {
        let id = self.vlan?;
        let name = format!("{}.{id}", self.interface(at));
        Some(if name.len() < IFNAMSIZ { name } else { format!("kiln{at}.{id}") })
    }

    /// The MAC addresses of the cards of a VM: those of a bond, where it is of such, else its own; none where it is on
    /// the first card.
    pub fn macs(&self) -> Vec<Mac> {
        if self.shared {
            return Vec::new();
        }
        let of_bond = match &self.by {
            By::Bond(bond) => bond.cards.iter().filter_map(BondCard::mac).collect(),
            By::Mac | By::Name(_) => Vec::new(),
        };
        if of_bond.is_empty() { vec![self.mac] } else { of_bond }
    }

    /// Whether it asks for an address of this family by DHCP.
    pub fn asks(&self, for_ipv4: bool) -> bool {
        self.dhcp.is_some_and(|dhcp| dhcp.asks(for_ipv4))
    }

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

/// The destination of a default route of this address' family.
pub fn everything(family: IpAddr) -> IpNet {
    match family {
        IpAddr::V4(_) => ipnet::Ipv4Net::default().into(),
        IpAddr::V6(_) => ipnet::Ipv6Net::default().into(),
    }
}

/// The address of whatever is the router of a network between these cards: the one that they use, else a free one.
/// `None` where none is free.
pub fn router(network: IpNet, cards: &[&Card]) -> Option<IpAddr> {
    let mut vias = cards.iter().flat_map(|card| &card.routes).map(|route| route.via);
    let is_taken = |address: &IpAddr| cards.iter().any(|card| card.has(*address));
    super::host_address(network, vias.find(|via| network.contains(via)), is_taken)
}

fn as_texts<S: Serializer>(all: &[IpNet], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(all.iter().map(ToString::to_string))
}

fn links<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let texts: Vec<String> = super::list::<_, _, 4>(deserializer)?;
    let all: Result<Vec<IpNet>, _> = texts.iter().map(|text| text.parse()).collect();
    all.map_err(|_| D::Error::custom("an address has a prefix length, as in 10.1.0.11/24"))
}

fn vlan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    let id = u16::deserialize(deserializer)?;
    let (least, most) = Card::VLAN;
    match (least..=most).contains(&id.into()) {
        true => Ok(Some(id)),
        false => Err(D::Error::custom("a VLAN ID is a number from 1 to 4094")),
    }
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
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    fn card(addresses: &[&str], routes: &[(&str, &str)]) -> Card {
        Card {
            mac: Mac::derived("a"),
            by: By::Mac,
            addresses: addresses.iter().map(|one| one.parse().unwrap()).collect(),
            routes: routes
                .iter()
                .map(|(to, via)| Route { to: to.parse().unwrap(), via: via.parse().unwrap(), on_link: false })
                .collect(),
            dhcp: None,
            mtu: None,
            vlan: None,
            shared: false,
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
        let text = serde_json::to_string(&Card { vlan: Some(20), ..one }).unwrap();
        assert_eq!(serde_json::from_str::<Card>(&text).unwrap().vlan_name(1).as_deref(), Some("kiln1.20"));
        for bad in ["0", "4095", "-1", "null"] {
            let text = text.replace("\"vlan\":20", &format!("\"vlan\":{bad}"));
            assert!(serde_json::from_str::<Card>(&text).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_card_carries_its_own_vlan_and_those_on_it() {
        let one = card(&["10.1.0.11/24"], &[]);
        let peer = Card { vlan: Some(30), mtu: Some(9000), shared: true, ..card(&["172.16.0.11/24"], &[]) };
        let names = |cards: &[Card], at| Card::carried(cards, at).map(|carried| (carried.names, carried.mtu));
        let both = [Card { vlan: Some(20), mtu: Some(1500), ..one.clone() }, peer.clone()];
        let want = (vec!["kiln0.20".to_owned(), "kiln0.30".to_owned()], Some(9000));
        assert_eq!((names(&both, 0), names(&both, 1)), (Some(want), None));
        let untagged = [one.clone(), peer.clone()];
        assert_eq!(names(&untagged, 0), Some((vec!["kiln0.30".to_owned()], Some(9000))));
        let apart = [one, Card { shared: false, ..peer }];
        assert_eq!(names(&apart, 0), None);
        assert_eq!(names(&apart, 1), Some((vec!["kiln1.30".to_owned()], Some(9000))));
    }

    /// An address of a space so small that links, routes and destinations often meet.
    fn address() -> impl Strategy<Value = Ipv4Addr> {
        (0..3u8, 0..3u8, 1..4u8).prop_map(|(b, c, d)| Ipv4Addr::new(10, b, c, d))
    }

    fn net(lengths: &'static [u8]) -> impl Strategy<Value = IpNet> {
        (address(), proptest::sample::select(lengths))
            .prop_map(|(address, length)| IpNet::new(address.into(), length).unwrap())
    }

    fn cards() -> impl Strategy<Value = Vec<Card>> {
        let route = (net(&[0, 8, 16, 24]), address()).prop_map(|(to, via)| Route {
            to: to.trunc(),
            via: via.into(),
            on_link: false,
        });
        let parts = (net(&[8, 16, 24, 32]), proptest::collection::vec(route, 0..3));
        proptest::collection::vec(parts, 1..4).prop_map(|cards| {
            let with = |(link, routes)| Card { addresses: vec![link], routes, ..card(&[], &[]) };
            cards.into_iter().map(with).collect()
        })
    }

    /// The length of the longest prefix by which a card reaches the destination.
    fn reach(card: &Card, to: IpAddr) -> Option<u8> {
        let nets = card.addresses.iter().map(IpNet::trunc).chain(card.routes.iter().map(|route| route.to));
        nets.filter(|net| net.contains(&to)).map(|net| net.prefix_len()).max()
    }

    proptest! {
        #[test]
        fn the_source_is_an_address_of_a_card_with_the_longest_route(cards in cards(), to in address()) {
            let to = IpAddr::from(to);
            let longest = cards.iter().filter_map(|card| reach(card, to)).max();
            match source(&cards, to) {
                None => prop_assert_eq!(longest, None),
                // The node itself, over its loopback card.
                Some(own) if cards.iter().any(|card| card.has(to)) => prop_assert_eq!(own, to),
                Some(own) => prop_assert!(
                    cards.iter().any(|card| card.has(own) && reach(card, to) == longest && longest.is_some()),
                    "{}", own
                ),
            }
        }
    }
}
