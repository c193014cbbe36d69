//! Members that clients reach in one network, and peers in another.

use std::net::IpAddr;

use super::draft::{Draft, Place, Reach, Side};

/// When all files are read. A member whose own URLs have different addresses for clients and for peers has two; then
/// the addresses in `initial-cluster` are those for peers.
pub fn settle(draft: &mut Draft) {
    let names: Vec<String> = draft.members.iter().map(|member| member.name.clone()).collect();
    for name in &names {
        let (clients, peers): (Vec<Reach>, Vec<Reach>) = draft
            .reach
            .iter()
            .filter(|reach| reach.member == *name)
            .cloned()
            .partition(|reach| reach.side == Side::Clients);
        let is_one = clients.iter().any(|client| peers.iter().any(|peer| peer.address == client.address));
        match (clients.first(), peers.first()) {
            (Some(client), Some(peer)) if !is_one => two(draft, client, peer),
            // What was not told while it could have been another network.
            _ => clients.iter().chain(&peers).for_each(|reach| {
                draft.member(name, Some(reach.address), &reach.place);
            }),
        }
        let (first, rest) = (clients.first(), clients.iter().skip(1));
        for other in rest.filter(|_| !is_one && !peers.is_empty()) {
            if first.is_some_and(|first| first.address != other.address) {
                let text =
                    format!("{name} has the address {} for clients, too: a node has one", other.address);
                draft.leave(&other.place, text);
            }
        }
        for other in peers.iter().skip(1).filter(|_| !is_one && !clients.is_empty()) {
            if peers.first().is_some_and(|first| first.address != other.address) {
                let text = format!("{name} has the address {} for peers, too: a node has one", other.address);
                draft.leave(&other.place, text);
            }
        }
    }
    if draft.members.iter().any(|member| member.peer.is_some()) {
        names.iter().for_each(|name| of_peers(draft, name));
    }
}

fn two(draft: &mut Draft, client: &Reach, peer: &Reach) {
    let is_said = |address: IpAddr| [client.address, peer.address].contains(&address);
    let Some(member) = draft.members.iter_mut().find(|member| member.name == client.member) else { return };
    member.peer = Some(peer.address);
    if member.address.is_none_or(is_said) {
        (member.address, member.place) = (Some(client.address), client.place.clone());
    }
    forget(draft, &client.member, peer.address);
    draft.member(&client.member, Some(client.address), &client.place);
}

/// A member of which only the address for peers is known, or that has the other one from an inventory.
fn of_peers(draft: &mut Draft, name: &str) {
    let peer = draft.reach.iter().find(|reach| reach.member == name && reach.side == Side::Peers).cloned();
    let Some(peer) = peer else { return };
    let spare = draft.spare.iter().find(|(member, address, _)| member == name && *address != peer.address);
    let spare = spare.map(|(_, address, left)| (*address, left.place.clone()));
    let Some(member) = draft.members.iter_mut().find(|member| member.name == name) else { return };
    if member.peer.is_some() {
        return;
    }
    member.peer = Some(peer.address);
    if member.address != Some(peer.address) {
        return forget(draft, name, peer.address);
    }
    let other: Option<(IpAddr, Place)> = spare;
    member.address = other.as_ref().map(|(address, _)| *address);
    match other {
        Some((address, place)) => {
            member.place = place;
            forget(draft, name, address);
        }
        None => {
            let text = format!(
                "no file says the address of {name} for clients: {} is for peers, which have a network of their own here",
                peer.address
            );
            draft.leave(&peer.place, text);
        }
    }
}

/// It is used after all.
fn forget(draft: &mut Draft, name: &str, address: IpAddr) {
    let is_it = |(member, other, _): &&(String, IpAddr, _)| member == name && *other == address;
    let told: Vec<_> = draft.spare.iter().filter(is_it).map(|(_, _, left)| left.clone()).collect();
    draft.left.retain(|left| !told.contains(left));
}
