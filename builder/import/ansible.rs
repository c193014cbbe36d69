//! ansible's inventories, INI and YAML.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::draft::{Draft, MAX_ENTRIES, Place};
use super::guard;
use super::inventory::HYPERVISORS;
use super::words::split;
use super::yaml::{Kind, Node};

/// Groups whose hosts are members.
const MEMBERS: [&str; 5] = ["etcd", "etcd_members", "etcd-members", "etcd_cluster", "etcds"];
/// Groups whose hosts get a client certificate each.
const CLIENTS: [&str; 2] = ["etcd_clients", "etcd-clients"];
/// Variables of a host with its address, the best first: etcd's own, kubespray's `ip`, ansible's.
const ADDRESSES: [&str; 6] = ["etcd_address", "etcd_ip", "ip", "private_ip", "access_ip", "ansible_host"];
/// Variables that say how to reach or to build a host.
const OF_ANSIBLE: [&str; 3] = ["ansible_", "access_ip", "etcd_index"];

/// The group of all hosts.
const ALL: &str = "all";
/// How strong a group is among those of its depth; 1 where it says nothing.
const PRIORITY: &str = "ansible_group_priority";

type Variable = (String, Place);

/// An inventory, whatever its syntax.
#[derive(Default)]
pub struct Inventory {
    /// Where each host is in the list.
    at: BTreeMap<String, usize>,
    /// Variables of each host.
    hosts: Vec<(String, Place, BTreeMap<String, Variable>)>,
    /// Hosts of each group.
    groups: BTreeMap<String, Vec<String>>,
    children: BTreeMap<String, Vec<String>>,
    /// Variables of groups, each with its group.
    variables: Vec<(String, (String, String, Place))>,
}

impl Inventory {
    fn host(&mut self, name: &str, place: &Place) -> &mut BTreeMap<String, Variable> {
        let at = *self.at.entry(name.to_owned()).or_insert(self.hosts.len());
        if at == self.hosts.len() {
            self.hosts.push((name.to_owned(), place.clone(), BTreeMap::new()));
        }
        &mut self.hosts[at].2
    }

    fn add(&mut self, group: &str, host: &str, place: &Place) -> &mut BTreeMap<String, Variable> {
        self.groups.entry(group.to_owned()).or_default().push(host.to_owned());
        self.host(host, place)
    }

    /// The hosts of a group and of the groups in it.
    fn of(&self, group: &str) -> Vec<&str> {
        let (mut seen, mut open, mut hosts) = (BTreeSet::new(), vec![group], Vec::new());
        while let Some(group) = open.pop() {
            if seen.insert(group) {
                hosts.extend(self.groups.get(group).into_iter().flatten().map(String::as_str));
                open.extend(self.children.get(group).into_iter().flatten().map(String::as_str));
            }
        }
        hosts
    }

    /// How deep each group is: the longest way from `all` to it, as ansible takes it (`depth` in
    /// lib/ansible/inventory/group.py). One that is in itself, which ansible refuses, has none.
    fn depths(&self) -> BTreeMap<&str, usize> {
        let mut open: BTreeMap<&str, usize> = BTreeMap::new();
        let children = |group: &str| self.children.get(group).into_iter().flatten().map(String::as_str);
        for group in self.children.keys().chain(self.groups.keys()) {
            open.entry(group).or_default();
        }
        self.children
            .keys()
            .for_each(|group| children(group).for_each(|child| *open.entry(child).or_default() += 1));
        let mut ready: Vec<&str> =
            open.iter().filter(|(_, outer)| **outer == 0).map(|(group, _)| *group).collect();
        let mut depths: BTreeMap<&str, usize> = BTreeMap::new();
        while let Some(group) = ready.pop() {
            let own = depths.entry(group).or_insert(usize::from(group != ALL)).to_owned();
            for child in children(group) {
                let depth = depths.entry(child).or_default();
                *depth = (*depth).max(own + 1);
                if let Some(outer) = open.get_mut(child) {
                    *outer -= 1;
                    if *outer == 0 {
                        ready.push(child);
                    }
                }
            }
        }
        depths
    }

    /// How many members are in each group, in itself or in groups of it.
    fn members_of(&self, members: &BTreeSet<&str>) -> BTreeMap<&str, usize> {
        let mut outer: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (group, children) in &self.children {
            children.iter().for_each(|child| outer.entry(child).or_default().push(group));
        }
        let mut own: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (group, hosts) in &self.groups {
            hosts.iter().for_each(|host| own.entry(host).or_default().push(group));
        }
        let mut counts = BTreeMap::from([(ALL, members.len())]);
        // More are refused.
        for member in members.iter().take(MAX_ENTRIES) {
            let (mut open, mut seen) = (own.get(member).cloned().unwrap_or_default(), BTreeSet::from([ALL]));
            while let Some(group) = open.pop() {
                if seen.insert(group) {
                    *counts.entry(group).or_default() += 1;
                    open.extend(outer.get(group).into_iter().flatten());
                }
            }
        }
        counts
    }

    /// Variables of groups, the strongest first: of the deepest group, then of that with the higher
    /// `ansible_group_priority`, then of the last by name; in one group, the last (`sort_groups` and
    /// `get_group_vars` in lib/ansible/inventory/helpers.py). Those of groups in which a member is not are
    /// not its own.
    fn of_members(&self, draft: &mut Draft, members: &BTreeSet<&str>) {
        let (depths, counts) = (self.depths(), self.members_of(members));
        let mut priorities: BTreeMap<&str, i64> = BTreeMap::new();
        for (group, (key, value, _)) in &self.variables {
            if key == PRIORITY {
                priorities.insert(group, value.parse().unwrap_or(1));
            }
        }
        let mut kept = Vec::new();
        for (group, variable) in self.variables.iter().filter(|(_, (key, _, _))| key != PRIORITY) {
            let (key, _, place) = variable;
            let why = match counts.get(group.as_str()).copied().unwrap_or_default() {
                0 if MEMBERS.contains(&group.as_str()) && members.is_empty() => "",
                0 => "no member is in it",
                count if count < members.len() => "not all members are in it",
                _ => "",
            };
            if why.is_empty() {
                kept.push((group.as_str(), variable));
            } else if !OF_ANSIBLE.iter().any(|prefix| key.starts_with(prefix)) {
                let (key, group) = (guard::key(key), guard::key(group));
                draft.leave(place, format!("the variable {key} of the group {group}: {why}"));
            }
        }
        let strength = |group: &str| {
            let depth = depths.get(group).copied().unwrap_or(usize::from(group != ALL));
            (depth, priorities.get(group).copied().unwrap_or(1))
        };
        kept.sort_by_key(|(group, _)| (strength(group), *group));
        draft.variables.extend(kept.into_iter().rev().map(|(_, variable)| variable.clone()));
    }

    pub fn take(self, draft: &mut Draft) {
        let members: BTreeSet<&str> = MEMBERS.iter().flat_map(|group| self.of(group)).collect();
        // Those of clients by their short names.
        let mut of_clients: BTreeMap<&str, &str> = BTreeMap::new();
        let clients: BTreeSet<&str> = CLIENTS.iter().flat_map(|group| self.of(group)).collect();
        for (name, place, variables) in &self.hosts {
            let is_member = members.contains(&name.as_str());
            if clients.contains(&name.as_str()) && !is_member {
                let other = of_clients.insert(guard::short(name).0, name);
                if let Some(other) = other {
                    let text = format!("the client {name}: {other} has the same name without its domain");
                    draft.leave(place, text);
                }
                draft.client(guard::short(name).0);
            }
            if !is_member {
                continue;
            }
            address(draft, name, variables, place);
            for (key, (value, place)) in variables {
                let is_known = ADDRESSES.contains(&key.as_str())
                    || OF_ANSIBLE.iter().any(|prefix| key.starts_with(prefix));
                if key == "etcd_member_name" {
                    if value != name {
                        draft.named.push((guard::short(name).0.to_owned(), value.clone(), place.clone()));
                    }
                } else if HYPERVISORS.contains(&key.as_str()) {
                    draft.on.push((guard::short(name).0.to_owned(), value.clone(), place.clone()));
                } else if !is_known {
                    draft.leave(place, format!("{} of the host {name}", guard::key(key)));
                }
            }
        }
        self.of_members(draft, &members);
    }
}

/// The member, with its address: the first variable that says one, which another may not replace.
fn address(draft: &mut Draft, name: &str, variables: &BTreeMap<String, Variable>, place: &Place) {
    let mut given = ADDRESSES.iter().filter_map(|key| Some((*key, variables.get(*key)?)));
    let Some((first, (text, at))) = given.next() else {
        draft.member(name, name.parse().ok(), place);
        return;
    };
    let address = text.parse::<IpAddr>().ok();
    let own =
        draft.member(name, address.or_else(|| name.parse().ok()), if address.is_some() { at } else { place });
    if address.is_none() {
        draft.leave(at, format!("{first} of the host {name} is not an IP address"));
        // A list of hosts may say it.
        draft.hosts.extend(own.filter(|_| guard::is_name(text)).map(|own| (own, text.clone())));
    }
    // How ssh reaches a host is no matter of etcd's.
    for (key, (other, at)) in given.filter(|(key, (other, _))| *key != "ansible_host" && other != text) {
        if other.parse().ok() != address || address.is_none() {
            draft.leave(at, format!("{key} of the host {name} is another one than {first}, which is used"));
        }
    }
}

/// Whether a text is an INI inventory.
pub fn is_ini(text: &str) -> bool {
    text.lines().any(|line| {
        let line = line.trim();
        line.starts_with('[') && line.ends_with(']') && !line.contains([' ', '"', ','])
    })
}

pub fn ini(draft: &mut Draft, text: &str, file: &str) {
    let mut inventory = Inventory::default();
    let mut section = ("ungrouped".to_owned(), String::new());
    for (index, line) in text.lines().enumerate() {
        let place = Place { file: file.to_owned(), line: index + 1 };
        let line = line.split(" #").next().unwrap_or_default().trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(header) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            let (group, kind) = header.split_once(':').unwrap_or((header, ""));
            section = (group.to_owned(), kind.to_owned());
            continue;
        }
        let (group, kind) = (section.0.clone(), section.1.as_str());
        match kind {
            "children" => inventory.children.entry(group).or_default().push(line.to_owned()),
            "vars" => match line.split_once('=') {
                Some((key, value)) => {
                    let value = value.trim().trim_matches(['"', '\'']);
                    let variable = (key.trim().to_owned(), value.to_owned(), place);
                    inventory.variables.push((group, variable));
                }
                None => draft.leave(&place, "not NAME=VALUE"),
            },
            "" => {
                let mut words = split(line).into_iter();
                let Some(name) = words.next() else { continue };
                if !is_host(draft, &name, &place) {
                    continue;
                }
                let known = inventory.add(&group, &name, &place);
                let mut twice = Vec::new();
                for word in words {
                    let Some((key, value)) = word.split_once('=') else {
                        draft.leave(&place, format!("a word of the host {name} that is not NAME=VALUE"));
                        continue;
                    };
                    let before = known.insert(key.to_owned(), (value.to_owned(), place.clone()));
                    twice.extend(before.filter(|(there, _)| there != value).map(|_| key.to_owned()));
                }
                for key in twice {
                    draft.leave(
                        &place,
                        format!("duplicate host {name}: the last {} is used", guard::key(&key)),
                    );
                }
            }
            other => draft.leave(&place, format!("a section of the kind {}", guard::key(other))),
        }
    }
    inventory.take(draft);
}

/// Whether it is one host. A range stands for several, which are not made up here.
fn is_host(draft: &mut Draft, name: &str, place: &Place) -> bool {
    let why = match guard::is_name(name) {
        true => return true,
        false if name.contains('[') => "a range of hosts: they are not in the profile; write each of them",
        false => "a host whose name is not that of a host is not read",
    };
    draft.leave(place, why);
    false
}

/// Whether a YAML document is an inventory of ansible's: groups with `hosts`, `children` or `vars`.
pub fn is_yaml(document: &Node) -> bool {
    let is_group = |node: &Node| node.get("hosts").is_some() || node.get("children").is_some();
    document.entries().iter().any(|(_, node)| is_group(node))
}

pub fn yaml(draft: &mut Draft, document: &Node, file: &str) {
    let mut inventory = Inventory::default();
    for (name, group) in document.entries() {
        read_group(draft, &mut inventory, name, group, file);
    }
    inventory.take(draft);
}

fn read_group(draft: &mut Draft, inventory: &mut Inventory, name: &str, group: &Node, file: &str) {
    let place = |node: &Node| Place { file: file.to_owned(), line: node.line };
    for (key, node) in group.entries() {
        let is_table = matches!(node.kind, Kind::Map(_) | Kind::Null);
        if !is_table || !["hosts", "vars", "children"].contains(&key.as_str()) {
            draft.leave(&place(node), format!("{} of the group {}", guard::key(key), guard::key(name)));
        }
    }
    if !matches!(group.kind, Kind::Map(_) | Kind::Null) {
        draft.leave(&place(group), format!("the group {}", guard::key(name)));
    }
    for (host, node) in group.get("hosts").map(Node::entries).unwrap_or_default() {
        let at = place(node);
        if !is_host(draft, host, &at) {
            continue;
        }
        let variables: Vec<_> =
            node.entries().iter().map(|(key, node)| (key, node.joined(), place(node))).collect();
        let known = inventory.add(name, host, &at);
        for (key, value, at) in variables {
            match value {
                Some(value) => {
                    known.insert(key.clone(), (value, at));
                }
                None => draft.leave(&at, format!("{} of the host {host}", guard::key(key))),
            }
        }
    }
    for (key, node) in group.get("vars").map(Node::entries).unwrap_or_default() {
        match node.joined() {
            Some(value) => {
                inventory.variables.push((name.to_owned(), (key.clone(), value, place(node))));
            }
            None => draft.leave(&place(node), format!("the variable {}", guard::key(key))),
        }
    }
    for (child, node) in group.get("children").map(Node::entries).unwrap_or_default() {
        inventory.children.entry(name.to_owned()).or_default().push(child.clone());
        // The depth of the document is limited.
        read_group(draft, inventory, child, node, file);
    }
}
