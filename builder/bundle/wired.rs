//! Whether the cards of a manifest's nodes can have their addresses and routes.

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
    if card.addresses.is_empty() {
        problems.push(format!("has no address on the card {}", card.mac));
    }
}
