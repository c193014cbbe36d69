//! NetworkManager's files for a node's cards (nm-settings-keyfile(5)).

use crate::plan::{Node, Plan};
use crate::profile::Network;
use crate::values::{Bond, BondCard, By, Card};

/// The name and the text of each.
pub fn connections(plan: &Plan, node: &Node) -> Vec<(String, String)> {
    let cards = || node.cards.iter().enumerate();
    let addressed = cards().map(|(at, card)| {
        let name = if at == 0 { "kiln" } else { "kiln-peer" };
        (name.to_owned(), addressed((at, name), card, (at == 0).then_some(&plan.network)))
    });
    let below = cards().filter(|(_, card)| card.vlan.is_some() && !card.shared).map(|(at, card)| {
        let name = format!("kiln{at}");
        let mtu = Card::carried(&node.cards, at).and_then(|carried| carried.mtu);
        let text = carrying((at, &name), &Card { mtu, ..card.clone() });
        (name, text)
    });
    let bonded = cards().filter(|(_, card)| !card.shared).flat_map(|(at, card)| match &card.by {
        By::Bond(bond) => {
            (0..).zip(&bond.cards).map(|(nth, one)| bonded(&card.interface(at), nth, one)).collect()
        }
        By::Mac | By::Name(_) => Vec::new(),
    });
    addressed.chain(below).chain(bonded).collect()
}

/// The connection with the addresses. `network`: whose servers it has, too.
fn addressed((at, name): (usize, &str), card: &Card, network: Option<&Network>) -> String {
    let [ipv4, ipv6] = [true, false].map(|is_ipv4| method(card, network, is_ipv4));
    let link = match (card.vlan, card.vlan_name(at)) {
        (Some(id), Some(name)) => on_vlan((at, id, &name), card),
        _ => plain(at, card),
    };
    format!("[connection]\nid={name}\n{link}\n[ipv4]\n{ipv4}\n[ipv6]\n{ipv6}")
}

/// The same for a card that carries a VLAN: without it NetworkManager asks for an address by DHCP there, and the card
/// keeps an MTU that its VLAN cannot exceed.
fn carrying((at, name): (usize, &str), card: &Card) -> String {
    let link = plain(at, card);
    format!("[connection]\nid={name}\n{link}\n[ipv4]\nmethod=disabled\n\n[ipv6]\nmethod=disabled\n")
}

/// The type of a card's own connection, and what that type has.
fn plain(at: usize, card: &Card) -> String {
    let ethernet = ethernet(card);
    match &card.by {
        By::Mac => format!("type=ethernet\n\n{ethernet}"),
        By::Name(name) => format!("type=ethernet\ninterface-name={name}\n\n{ethernet}"),
        By::Bond(bond) => {
            format!("type=bond\ninterface-name={}\n\n{}\n{ethernet}", card.interface(at), options(bond))
        }
    }
}

/// A VLAN without a parent is on the card with the MAC address of [ethernet] (nm-settings-nmcli(5)).
fn on_vlan((at, id, name): (usize, u16, &str), card: &Card) -> String {
    let parent = if card.by.is_mac() { String::new() } else { format!("parent={}\n", card.interface(at)) };
    format!("type=vlan\ninterface-name={name}\n\n[vlan]\nid={id}\n{parent}\n{}", ethernet(card))
}

fn ethernet(card: &Card) -> String {
    let mac = if card.by.is_mac() { format!("mac-address={}\n", card.mac) } else { String::new() };
    let mtu = card.mtu.map_or(String::new(), |mtu| format!("mtu={mtu}\n"));
    format!("[ethernet]\n{mac}{mtu}")
}

/// By the names of the kernel (Documentation/networking/bonding.rst).
fn options(bond: &Bond) -> String {
    let mut text = format!("[bond]\nmode={}\nmiimon={}\n", bond.mode.as_str(), Bond::MONITOR_MS);
    if let Some(rate) = bond.lacp_rate {
        text += &format!("lacp_rate={}\n", rate.as_str());
    }
    if let Some(policy) = bond.hash_policy {
        text += &format!("xmit_hash_policy={}\n", policy.as_str());
    }
    text
}

/// A card of a bond: the name of its connection, and its text.
fn bonded(bond: &str, nth: u8, card: &BondCard) -> (String, String) {
    let id = format!("{bond}{}", char::from(b'a' + nth));
    let (name, mac) = match card {
        BondCard::Name(name) => (format!("interface-name={name}\n"), String::new()),
        BondCard::Mac(mac) => (String::new(), format!("mac-address={mac}\n")),
    };
    let text = format!(
        "[connection]\nid={id}\ntype=ethernet\n{name}master={bond}\nslave-type=bond\n\n[ethernet]\n{mac}"
    );
    (id, text)
}

/// The section of one family.
fn method(card: &Card, network: Option<&Network>, is_ipv4: bool) -> String {
    let addresses: Vec<_> = card.addresses.iter().filter(|link| link.addr().is_ipv4() == is_ipv4).collect();
    let mut text = match (card.asks(is_ipv4), addresses.is_empty()) {
        (true, _) => String::from("method=auto\n"),
        (false, true) => return "method=disabled\n".to_owned(),
        (false, false) => String::from("method=manual\n"),
    };
    let mut routes: Vec<_> = card.routes.iter().filter(|route| route.via.is_ipv4() == is_ipv4).collect();
    // The gateway of the first address.
    let default = routes.iter().position(|route| route.to.prefix_len() == 0).map(|at| routes.remove(at));
    for (at, address) in (1..).zip(addresses) {
        let gateway = default.filter(|_| at == 1).map_or(String::new(), |route| format!(",{}", route.via));
        text += &format!("address{at}={address}{gateway}\n");
    }
    for (at, route) in (1..).zip(routes) {
        text += &format!("route{at}={},{}\n", route.to, route.via);
        // That of a gateway NetworkManager finds out itself.
        if route.on_link {
            text += &format!("route{at}_options=onlink=true\n");
        }
    }
    let Some(network) = network else { return text };
    let mut list = |key: &str, values: Vec<String>| {
        if !values.is_empty() {
            text += &format!("{key}={};\n", values.join(";"));
        }
    };
    let dns = network.dns.iter().filter(|server| server.is_ipv4() == is_ipv4);
    list("dns", dns.map(ToString::to_string).collect());
    list("dns-search", network.dns_search.iter().map(ToString::to_string).collect());
    text
}
