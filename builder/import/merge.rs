//! Files that name the same machines differently, and lists of other machines.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::draft::{Draft, Member, Place};
use super::{guard, options};

/// A host of an inventory is a member under another name in etcd's own files, by that name or by its address:
/// etcd's name is used.
pub fn merge(draft: &mut Draft) {
    let names = draft.founders.iter().flat_map(|founders| founders.hosts.keys());
    let names: BTreeSet<String> = names.map(|name| guard::short(name).0.to_owned()).collect();
    let (own, others): (Vec<Member>, Vec<Member>) =
        std::mem::take(&mut draft.members).into_iter().partition(|member| names.contains(&member.name));
    draft.members = own;
    let mut kept = Vec::new();
    let said = std::mem::take(&mut draft.named);
    // Without a member's own file, the inventory alone says the names.
    let others = if draft.founders.is_empty() { named(draft, others, &said) } else { others };
    let said = if draft.founders.is_empty() { Vec::new() } else { said };
    for host in others {
        let said = said.iter().find(|(of, _, _)| *of == host.name).map(|(_, name, _)| name);
        let is_same = |member: &&Member| {
            let is_named = said.is_some_and(|said| *said == member.name);
            is_named || host.address.is_some() && [member.address, member.peer].contains(&host.address)
        };
        match draft.members.iter().find(is_same).map(|member| member.name.clone()) {
            Some(name) => renamed(draft, &host, &name),
            None => kept.push(host),
        }
    }
    for (_, name, place) in said.iter().filter(|(host, _, _)| kept.iter().any(|kept| kept.name == *host)) {
        let name = if guard::is_name(name) { name.as_str() } else { "in it" };
        draft.leave(place, format!("the member's name {name} is not the host's, which is used"));
    }
    draft.members.append(&mut kept);
}

/// Hosts by the names that their inventory gives them as members, where these are names, and no other's.
fn named(draft: &mut Draft, hosts: Vec<Member>, said: &[(String, String, Place)]) -> Vec<Member> {
    let name_of = |host: &str| said.iter().find(|(of, _, _)| of == host);
    let wanted = |host: &str| name_of(host).map_or(host.to_owned(), |(_, name, _)| name.clone());
    let all: Vec<String> = hosts.iter().map(|host| wanted(&host.name)).collect();
    let mut made = Vec::new();
    for mut host in hosts {
        if let Some((_, name, place)) = name_of(&host.name) {
            let is_plain = guard::is_name(name) && guard::short(name).0 == name;
            let is_once = all.iter().filter(|other| *other == name).count() == 1;
            if is_plain && is_once {
                renamed(draft, &host, name);
                name.clone_into(&mut host.name);
            } else {
                let name = if guard::is_name(name) { name.as_str() } else { "in it" };
                let why = if is_plain { "another host is that, too" } else { "a node's name has no domain" };
                draft.leave(place, format!("the member's name {name} is not used: {why}"));
            }
        }
        made.push(host);
    }
    made
}

fn renamed(draft: &mut Draft, host: &Member, name: &str) {
    let there = &host.name;
    let text = format!("the host {there} is the member {name}; the node has the member's name");
    draft.leave(&host.place, text);
    for (node, _, _) in draft.on.iter_mut().filter(|(node, _, _)| node == there) {
        name.clone_into(node);
    }
    for node in draft.clients.iter_mut().flat_map(|client| &mut client.nodes).filter(|node| *node == there) {
        name.clone_into(node);
    }
    let has_name = |value: &str| options::pattern(value, Some(there)) != value;
    let of_host = draft.keys.iter().filter(|(_, (value, _))| has_name(value));
    let texts: Vec<_> = of_host
        .map(|((table, key), (_, place))| {
            let text =
                format!("{table} {key} has the name of the host {there} in it, and is that of all nodes");
            (place.clone(), text)
        })
        .collect();
    for (place, text) in texts {
        draft.leave(&place, text);
    }
}

/// Hosts of a list that are no members, where none of that list is: the list is of other machines.
pub fn unused(draft: &mut Draft) {
    let is_of = |file: &str, (_, address, place): &(String, IpAddr, Place)| {
        place.file == file && draft.members.iter().any(|member| member.address == Some(*address))
    };
    let listed = std::mem::take(&mut draft.listed);
    let unused = listed.iter().filter(|(_, _, place)| !listed.iter().any(|host| is_of(&place.file, host)));
    let texts: Vec<_> = unused
        .map(|(name, address, place)| {
            let name = if guard::is_name(name) { name.as_str() } else { "(no plain name)" };
            (place.clone(), format!("the host {name} at {address} is no member that the other files name"))
        })
        .collect();
    for (place, text) in texts {
        draft.leave(&place, text);
    }
}
