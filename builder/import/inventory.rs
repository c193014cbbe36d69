//! A bastion's inventory and manifest, and lists of hosts as in "Kubernetes the hard way".

use std::net::IpAddr;

use super::draft::{Draft, Place};
use super::options;
use super::yaml::Node;

/// Keys with the members.
const NODES: [&str; 9] = [
    "nodes",
    "members",
    "hosts",
    "etcd",
    "control_plane",
    "control-plane",
    "controllers",
    "masters",
    "servers",
];
/// Keys with a node's name and address, the best first.
const NAMES: [&str; 4] = ["name", "hostname", "host", "fqdn"];
const ADDRESSES: [&str; 6] = ["private_ip", "internal_ip", "ip", "address", "ip_address", "addr"];
/// Keys of a node that say nothing about etcd.
const OF_NODES: [&str; 5] = ["role", "roles", "user", "ssh_user", "subnet"];
/// Keys of the file of a manifest.
const SOURCES: [&str; 3] = ["source", "src", "from"];
const DESTINATIONS: [&str; 4] = ["destination", "dest", "dst", "to"];

fn first<'n>(node: &'n Node, keys: &[&str]) -> Option<&'n str> {
    keys.iter().find_map(|key| node.get(key)?.text())
}

/// Whether a YAML document is an inventory.
pub fn is_inventory(document: &Node) -> bool {
    NODES.iter().any(|key| {
        document.get(key).is_some_and(|nodes| !nodes.items().is_empty() || !nodes.entries().is_empty())
    })
}

pub fn inventory(draft: &mut Draft, document: &Node, file: &str) {
    let place = |node: &Node| Place { file: file.to_owned(), line: node.line };
    for (key, node) in document.entries() {
        let at = place(node);
        let text = node.text().unwrap_or_default();
        match key.as_str() {
            key if NODES.contains(&key) => {
                for item in node.items() {
                    one(draft, None, item, &place(item));
                }
                for (name, item) in node.entries() {
                    one(draft, Some(name), item, &place(item));
                }
            }
            "cluster" | "cluster_name" | "cluster-name" | "name" if !text.is_empty() => {
                draft.say(("[cluster]", "name"), text, &at);
            }
            "cluster" | "etcd_config" | "network" => inventory(draft, node, file),
            "domain" | "dns_domain" => draft.say(("[cluster]", "domain"), text, &at),
            "token" | "etcd_token" | "cluster_token" | "initial_cluster_token" => {
                draft.say(("[cluster]", "token"), text, &at);
            }
            "cidr" | "vpc_cidr" => draft.say(("[network]", "cidr"), text, &at),
            "gateway" => draft.say(("[network]", "gateway"), text, &at),
            "etcd_version" | "version" => {
                draft.say(("[etcd]", "version"), text.trim_start_matches('v'), &at);
            }
            "etcd_data_dir" | "data_dir" => options::take(draft, None, "data-dir", text, &at),
            _ => draft.leave(&at, format!("the key {key}")),
        }
    }
}

fn one(draft: &mut Draft, name: Option<&str>, node: &Node, place: &Place) {
    // `cp-a: 10.0.0.1`, or only the name.
    if let Some(text) = node.text() {
        return match name {
            Some(name) => draft.member(name, text.parse().ok(), place),
            None => draft.member(text, None, place),
        };
    }
    let Some(name) = name.or_else(|| first(node, &NAMES)) else {
        return draft.leave(place, "a node without a name");
    };
    let address = first(node, &ADDRESSES);
    let parsed = address.and_then(|address| address.parse::<IpAddr>().ok());
    if let (Some(address), None) = (address, parsed) {
        draft.leave(place, format!("{address:?} of {name} is not an IP address"));
    }
    draft.member(name, parsed, place);
    if let Some((_, domain)) = node.get("fqdn").and_then(Node::text).and_then(|fqdn| fqdn.split_once('.')) {
        draft.say(("[cluster]", "domain"), domain, place);
    }
    for (key, node) in node.entries() {
        let key = key.as_str();
        if !NAMES.contains(&key) && !ADDRESSES.contains(&key) && !OF_NODES.contains(&key) {
            draft.leave(&Place { line: node.line, ..place.clone() }, format!("{key} of the node {name}"));
        }
    }
}

/// Whether a YAML document lists files with their destinations.
pub fn is_manifest(document: &Node) -> bool {
    files_of(document).iter().any(|file| first(file, &DESTINATIONS).is_some())
}

fn files_of(document: &Node) -> &[Node] {
    match document.get("files").or_else(|| document.get("manifest")) {
        Some(files) => files.items(),
        None => document.items(),
    }
}

/// What Kiln makes itself is recognised by its place; everything else has to become an overlay.
pub fn manifest(draft: &mut Draft, document: &Node, file: &str) {
    for item in files_of(document) {
        let place = Place { file: file.to_owned(), line: item.line };
        let Some(destination) = first(item, &DESTINATIONS) else {
            draft.leave(&place, "a file without a destination");
            continue;
        };
        let (directory, name) = destination.rsplit_once('/').unwrap_or(("", destination));
        match name {
            "etcd" | "etcdctl" | "etcdutl" => {
                if directory != "/usr/local/bin" {
                    draft.say(("[etcd]", "bin-dir"), directory, &place);
                }
            }
            "ca.pem" | "peer.pem" | "server.pem" | "peer-key.pem" | "server-key.pem" => {
                if directory != "/etc/etcd/pki" {
                    draft.say(("[pki]", "directory"), directory, &place);
                }
            }
            "etcd.pem" | "etcd-key.pem" => {
                draft.say(("[pki]", "certificates"), "one-per-node", &place);
                if directory != "/etc/etcd/pki" {
                    draft.say(("[pki]", "directory"), directory, &place);
                }
            }
            "etcd.env" if directory == "/etc/etcd" => {
                draft.say(("[etcd]", "config-style"), "env", &place);
            }
            "etcd.service" => {}
            _ => match name.strip_suffix("-key.pem").or_else(|| name.strip_suffix(".pem")) {
                Some(client) => draft.client(client),
                None => {
                    let source = first(item, &SOURCES).unwrap_or(name);
                    draft.leave(
                        &place,
                        format!("{source} to {destination}: Kiln does not make it; an overlay can hold it"),
                    );
                }
            },
        }
    }
}

/// Whether every line is `ADDRESS NAME…`, as in /etc/hosts and in a machines.txt.
pub fn is_hosts(text: &str) -> bool {
    let mut lines = text.lines().filter(|line| !is_blank(line)).peekable();
    lines.peek().is_some()
        && lines.all(|line| {
            let mut words = line.split_whitespace();
            words.next().is_some_and(|word| word.parse::<IpAddr>().is_ok()) && words.next().is_some()
        })
}

fn is_blank(line: &str) -> bool {
    line.trim().is_empty() || line.trim_start().starts_with('#')
}

pub fn hosts(draft: &mut Draft, text: &str, file: &str) {
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !is_blank(line)) {
        let place = Place { file: file.to_owned(), line: index + 1 };
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(address) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else { continue };
        if address.is_loopback() || address.is_multicast() {
            continue;
        }
        // `IP FQDN HOST SUBNET`: the first name is the full one.
        let words: Vec<&str> = words.collect();
        if let Some(name) = words.first() {
            draft.listed.push(((*name).to_owned(), address, place.clone()));
        }
        for word in words {
            if word.contains('/') {
                draft.leave(&place, format!("{word} after the host's names"));
            } else if draft.names.insert(word.to_owned(), address).is_some_and(|there| there != address) {
                draft.leave(&place, format!("duplicate host {word}; the last address is used"));
            }
        }
    }
}
