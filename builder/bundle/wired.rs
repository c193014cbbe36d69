//! Whether the cards of a manifest's nodes can have their addresses and routes.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::manifest::{Manifest, Node};
use super::problem::Problem;
use crate::profile;
use crate::values::{Bond, By, Card};

/// Every inconsistency, which no build writes.
pub fn miswired(manifest: &Manifest) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut problem = |path: &str, problem: String| problems.push(Problem { path: path.to_owned(), problem });
    let routes = || manifest.nodes.iter().flat_map(|node| &node.cards).flat_map(|card| &card.routes);
    if let Some(gateway) = manifest.network.gateway
        && let Err(why) = profile::check_host(gateway, &manifest.network.cidr)
        && !routes().any(|route| route.on_link && route.via == gateway)
    {
        problem("gateway", format!("cannot be {gateway}: {why}"));
    }
    let gateways: BTreeSet<IpAddr> =
        routes().map(|route| route.via).chain(manifest.network.gateway).collect();
    for node in &manifest.nodes {
        for gateway in gateways.iter().filter(|gateway| node.has(**gateway)) {
            let found = format!("cannot have the address {gateway}: it is the gateway's");
            problem(&format!("node {}", node.name), found);
        }
    }
    for node in &manifest.nodes {
        for found in of_node(node) {
            problem(&format!("node {}", node.name), found);
        }
    }
    problems
}

/// The first card is the one that the node itself names; a route leads over the link of its card.
fn of_node(node: &Node) -> Vec<String> {
    let mut problems = Vec::new();
    let Some(first) = node.cards.first() else { return problems };
    let main = first.addresses.first().map(|link| (first.mac, link.addr()));
    if main != Some((node.mac, node.address)) {
        problems.push("has a first card with another MAC or address".to_owned());
    }
    node.cards.iter().for_each(|card| of_card(card, &mut problems));
    let is_on_first = |card: &Card| card.mac == first.mac && card.by == first.by && card.vlan.is_some();
    let mut further = node.cards.iter().skip(1).filter(|card| card.shared);
    if first.shared || further.any(|card| !is_on_first(card) || card.vlan == first.vlan) {
        problems.push("has a card that cannot be a VLAN on the first one".to_owned());
    }
    problems
}

fn of_card(card: &Card, problems: &mut Vec<String>) {
    for link in &card.addresses {
        if let Err(why) = profile::check_host(link.addr(), &link.trunc()) {
            problems.push(format!("cannot have the address {link}: {why}"));
        }
    }
    for route in &card.routes {
        let via = route.via;
        let is_near = card.addresses.iter().any(|link| link.contains(&via));
        if is_near == route.on_link || !profile::is_router(via, &route.to) {
            problems.push(format!("cannot reach {} through {via}", route.to));
        }
    }
    if let By::Bond(bond) = &card.by
        && let Err(why) = Bond::check_cards(&bond.cards)
    {
        problems.push(format!("has a bond that cannot be: {why}"));
    }
    let of_ipv4 = card.addresses.iter().filter(|link| link.addr().is_ipv4()).count();
    if of_ipv4.max(card.addresses.len() - of_ipv4) > 1 {
        problems.push(format!("has two addresses of one family on the card {}", card.mac));
    }
    if card.addresses.is_empty() {
        problems.push(format!("has no address on the card {}", card.mac));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::example;
    use super::*;

    /// On a link that its own network does not contain, a gateway was not compared with the nodes.
    #[test]
    fn no_node_is_a_gateway() {
        let mut manifest = example::json();
        let node = manifest["nodes"][0].clone();
        let link = format!("{}/32", node["address"].as_str().unwrap());
        let route = json!({ "to": "0.0.0.0/0", "via": manifest["nodes"][1]["address"], "on_link": true });
        manifest["nodes"][0]["cards"] =
            json!([{ "mac": node["mac"], "addresses": [link], "routes": [route] }]);
        let said = Manifest::from_json(manifest.to_string().as_bytes()).unwrap_err().to_string();
        let want = format!("{}: it is the gateway's", manifest["nodes"][1]["address"].as_str().unwrap());
        assert!(said.contains(&want), "{said}");
    }

    #[test]
    fn cards_that_cannot_be_are_refused() {
        let route = |via: &str, on_link: bool| json!([{ "to": "0.0.0.0/0", "via": via, "on_link": on_link }]);
        let bond = |cards: Value| json!({ "bond": { "cards": cards, "mode": "802.3ad" } });
        let cases: Vec<(&str, Value, &str)> = vec![
            ("routes", route("10.9.0.1", true), ""),
            ("routes", route("10.9.0.1", false), "cannot reach 0.0.0.0/0 through 10.9.0.1"),
            ("routes", route("10.0.0.1", true), "cannot reach 0.0.0.0/0 through 10.0.0.1"),
            ("routes", route("127.0.0.1", true), "cannot reach"),
            ("routes", route("fe80::1", true), "cannot reach"),
            ("by", json!({ "name": "eno1" }), ""),
            ("by", json!({ "name": "en*" }), "a card has"),
            ("by", bond(json!(["eno1", "eno2"])), ""),
            ("by", bond(json!(["eno1"])), "has a bond that cannot be"),
            ("by", bond(json!(["eno1", "52:54:00:00:00:02"])), "has a bond that cannot be"),
            ("by", bond(json!(["eno1", "/x"])), "a card has"),
            ("shared", json!(true), "has a card that cannot be a VLAN on the first one"),
            ("addresses", json!(["10.0.0.4/24", "10.0.1.4/24"]), "has two addresses of one family"),
            (
                "addresses",
                json!(["10.0.0.4/24", "fd00::4/64", "fd00:1::4/64"]),
                "two addresses of one family",
            ),
            ("dhcp", json!("both"), ""),
            ("dhcp", json!("yes"), "unknown variant"),
        ];
        for (key, value, want) in cases {
            let mut manifest = example::json();
            let node = manifest["nodes"][0].clone();
            let link = format!("{}/24", node["address"].as_str().unwrap());
            let mut card = json!({ "mac": node["mac"], "addresses": [link] });
            card[key] = value.clone();
            manifest["nodes"][0]["cards"] = json!([card]);
            let said =
                Manifest::from_json(manifest.to_string().as_bytes()).err().map(|error| error.to_string());
            match want {
                "" => assert_eq!(said, None, "{value}"),
                _ => assert!(said.as_ref().is_some_and(|said| said.contains(want)), "{value}: {said:?}"),
            }
        }
    }
}
