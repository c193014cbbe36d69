//! A bastion's inventory and manifest, and lists of hosts as in "Kubernetes the hard way".

use std::net::IpAddr;

use ipnet::IpNet;

use super::draft::{Draft, MAX_ENTRIES, Place};
use super::text::is_number;
use super::yaml::{Kind, Node};
use super::{guard, options};
use crate::values::PemFile;

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
const ADDRESSES: [&str; 7] =
    ["private_ip", "internal_ip", "ip", "address", "ip_address", "addr", "ansible_host"];
/// Keys of a node with the host that it runs on. `host` is one only beside the node's own name.
pub const HYPERVISORS: [&str; 6] = ["hypervisor", "kvm_host", "vm_host", "libvirt_host", "pve_node", "host"];
/// Keys of a network: Kiln's, and theirs.
const NETWORK: [(&str, &[&str]); 6] = [
    ("cidr", &["cidr", "vpc_cidr"]),
    ("gateway", &["gateway"]),
    ("dns", &["dns", "dns_servers", "nameservers"]),
    ("dns-search", &["dns_search", "search_domains", "searchdomains"]),
    ("ntp", &["ntp", "ntp_servers", "time_servers"]),
    ("mtu", &["mtu"]),
];
/// Keys of a node that say nothing about etcd.
const OF_NODES: [&str; 5] = ["role", "roles", "user", "ssh_user", "subnet"];
/// Keys of one cluster's values.
const NAME: [&str; 4] = ["cluster", "cluster_name", "cluster-name", "name"];
const TOKEN: [&str; 4] = ["token", "etcd_token", "cluster_token", "initial_cluster_token"];
/// Keys with a table of these.
const TABLES: [&str; 3] = ["cluster", "etcd_config", "network"];
/// Keys with the files of a manifest.
const MANIFESTS: [&str; 2] = ["files", "manifest"];
/// Keys of the file of a manifest.
const SOURCES: [&str; 3] = ["source", "src", "from"];
const DESTINATIONS: [&str; 4] = ["destination", "dest", "dst", "to"];
const ON: [&str; 3] = ["node", "host", "nodes"];
/// What Kiln decides for the files that it makes.
const OF_FILES: [&str; 5] = ["mode", "owner", "group", "name", "description"];

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
    let has_files = is_manifest(document);
    for (key, node) in document.entries() {
        if has_files && MANIFESTS.contains(&key.as_str()) {
            continue;
        }
        let at = place(node);
        match (key.as_str(), &node.kind) {
            (key, Kind::List(_) | Kind::Map(_)) if NODES.contains(&key) => {
                for item in node.items() {
                    one(draft, None, item, &place(item));
                }
                for (name, item) in node.entries() {
                    one(draft, Some(name), item, &place(item));
                }
            }
            (key, Kind::Map(_)) if TABLES.contains(&key) => inventory(draft, node, file),
            ("network", Kind::Text(cidr)) => drop(network(draft, "cidr", cidr, &at)),
            (key, Kind::Text(text)) if value(draft, key, text, &at) => {}
            (key, _) => match node.joined() {
                Some(value) if network(draft, key, &value, &at) => {}
                _ => draft.leave(&at, format!("the key {}", guard::key(key))),
            },
        }
    }
}

/// Whether the key is one with a single value.
fn value(draft: &mut Draft, key: &str, text: &str, place: &Place) -> bool {
    match key {
        key if NAME.contains(&key) => draft.say(("[cluster]", "name"), text, place),
        "domain" | "dns_domain" => draft.say(("[cluster]", "domain"), text, place),
        key if TOKEN.contains(&key) => draft.say(("[cluster]", "token"), text, place),
        "etcd_version" | "version" => draft.say(("[etcd]", "version"), text.trim_start_matches('v'), place),
        "etcd_data_dir" | "data_dir" => options::take(draft, None, "data-dir", text, place),
        _ => return false,
    }
    true
}

/// Whether the key is one of `[network]`.
pub fn network(draft: &mut Draft, key: &str, value: &str, place: &Place) -> bool {
    let Some((own, _)) = NETWORK.iter().find(|(_, theirs)| theirs.contains(&key)) else { return false };
    match *own {
        "mtu" if !is_number(value) => draft.leave(place, format!("{key} is not a number")),
        // A profile without it has no network at all, so that nothing else leaves it out.
        "cidr" if value.parse::<IpNet>().is_err() => {
            draft.leave(place, format!("{key} is not a network, as in 10.240.16.0/24"));
        }
        own => draft.say(("[network]", own), value, place),
    }
    true
}

fn one(draft: &mut Draft, name: Option<&str>, node: &Node, place: &Place) {
    match (name, &node.kind) {
        (Some(name), Kind::Text(text)) => {
            let address = text.parse().ok();
            if draft.member(name, address, place).is_some() && address.is_none() {
                draft.leave(place, format!("the address of {name} is not an IP address"));
            }
            return;
        }
        (None, Kind::Text(name)) => return drop(draft.member(name, None, place)),
        (Some(name), Kind::Null) => return drop(draft.member(name, None, place)),
        (_, Kind::List(_) | Kind::Null) => {
            return draft.leave(place, "a node that is neither a name nor a table of its values");
        }
        (_, Kind::Map(_)) => {}
    }
    let Some(name) = name.or_else(|| first(node, &NAMES)) else {
        return draft.leave(place, "a node without a name");
    };
    // Beside a name, the others may be addresses.
    let of_names = || NAMES.iter().filter_map(|key| node.get(key)?.text()?.parse::<IpAddr>().ok()).next();
    let given = ADDRESSES.iter().find_map(|key| Some((*key, node.get(key)?)));
    let parsed = given.and_then(|(_, node)| node.text()?.parse::<IpAddr>().ok());
    let Some(own) = draft.member(name, parsed.or_else(of_names), place) else { return };
    if given.is_some() && parsed.is_none() {
        draft.leave(place, format!("the address of {name} is not an IP address"));
    }
    // How ssh reaches a host is no matter of etcd's.
    for key in ADDRESSES.iter().filter(|key| **key != "ansible_host") {
        if let (Some((first, used)), Some(other)) = (given, node.get(key))
            && used.kind != other.kind
        {
            let text = format!("{key} of the node {name} is another one than {first}, which is used");
            draft.leave(&Place { line: other.line, ..place.clone() }, text);
        }
    }
    if let Some((_, domain)) = node.get("fqdn").and_then(Node::text).and_then(|fqdn| fqdn.split_once('.')) {
        draft.say(("[cluster]", "domain"), domain, place);
    }
    for (key, node) in node.entries() {
        let key = key.as_str();
        if HYPERVISORS.contains(&key)
            && let Some(host) = node.text().filter(|host| *host != name && host.parse::<IpAddr>().is_err())
        {
            draft.on.push((own.clone(), host.to_owned(), Place { line: node.line, ..place.clone() }));
        } else if NAMES.contains(&key) {
            let is_own = |text: &str| guard::short(text).0 == own || text.parse::<IpAddr>().is_ok();
            if node.text().is_none_or(|text| !is_own(text)) {
                draft.leave(&Place { line: node.line, ..place.clone() }, format!("{key} of the node {name}"));
            }
        } else if !ADDRESSES.contains(&key) && !OF_NODES.contains(&key) {
            draft.leave(
                &Place { line: node.line, ..place.clone() },
                format!("{} of the node {name}", guard::key(key)),
            );
        }
    }
}

/// Whether a YAML document lists files with their destinations.
pub fn is_manifest(document: &Node) -> bool {
    files_of(document).iter().any(|file| first(file, &DESTINATIONS).is_some())
}

fn files_of(document: &Node) -> &[Node] {
    match MANIFESTS.iter().find_map(|key| document.get(key)) {
        Some(files) => files.items(),
        None => document.items(),
    }
}

/// What Kiln makes itself is recognised by its place; everything else has to become an overlay.
pub fn manifest(draft: &mut Draft, document: &Node, file: &str) {
    if is_inventory(document) {
        inventory(draft, document, file);
    } else {
        for (key, node) in document.entries().iter().filter(|(key, _)| !MANIFESTS.contains(&key.as_str())) {
            let place = Place { file: file.to_owned(), line: node.line };
            draft.leave(&place, format!("the key {}", guard::key(key)));
        }
    }
    for item in files_of(document) {
        let place = Place { file: file.to_owned(), line: item.line };
        let Some(destination) = first(item, &DESTINATIONS) else {
            draft.leave(&place, "a file without a destination");
            continue;
        };
        let nodes = on(draft, item, file);
        let (directory, name) = destination.rsplit_once('/').unwrap_or(("", destination));
        match name {
            "etcd" | "etcdctl" | "etcdutl" => draft.say(("[etcd]", "bin-dir"), directory, &place),
            "etcd.env" | "etcd.conf"
                if directory.rsplit('/').next().is_some_and(|last| last.starts_with("etcd")) =>
            {
                let style = if name == "etcd.env" { "env" } else { "file" };
                draft.say(("[etcd]", "config-style"), style, &place);
                draft.say(("[etcd]", "config-dir"), directory, &place);
            }
            _ if directory == "/etc/systemd/system"
                && name.starts_with("etcd")
                && name.ends_with(".service") =>
            {
                let stem = name.trim_end_matches(".service").to_owned();
                let node = (nodes.len() == 1).then(|| nodes[0].to_owned());
                draft.units.push((node, stem, place));
            }
            _ if certificate(draft, &nodes, (directory, name), first(item, &["mode"]), &place) => {}
            _ => {
                let source = first(item, &SOURCES).unwrap_or(name);
                draft.leave(
                    &place,
                    format!("{source} to {destination}: Kiln does not make it; an overlay can hold it"),
                );
            }
        }
    }
}

/// The nodes of a file by their names without a domain. Of what else it says, the keys that Kiln does not read are
/// listed.
fn on<'n>(draft: &mut Draft, item: &'n Node, file: &str) -> Vec<&'n str> {
    let mut nodes = Vec::new();
    for (key, node) in item.entries() {
        let place = Place { file: file.to_owned(), line: node.line };
        let is_read = |keys: &[&str]| keys.contains(&key.as_str()) && node.text().is_some();
        if ON.contains(&key.as_str()) {
            for one in node.items().iter().chain(node.text().map(|_| node)) {
                nodes.extend(one.text().map(|name| guard::short(name).0));
            }
        } else if !is_read(&SOURCES) && !is_read(&DESTINATIONS) && !is_read(&OF_FILES) {
            draft.leave(&place, format!("{} of a file", guard::key(key)));
        }
    }
    nodes
}

/// Whether the file is a certificate or a key that Kiln makes: its name says whose.
fn certificate(
    draft: &mut Draft,
    nodes: &[&str],
    (directory, name): (&str, &str),
    mode: Option<&str>,
    place: &Place,
) -> bool {
    let (part, stem) = match PemFile::split(name) {
        Some((PemFile::Key, stem, _)) => ("key", stem),
        Some((PemFile::Certificate, stem, _)) => ("cert", stem),
        None => return false,
    };
    let node = nodes.first().copied().filter(|_| nodes.len() == 1);
    let is_own = options::pattern(name, node) != name;
    let has = |word: &str| stem.split(|c: char| !c.is_ascii_alphanumeric()).any(|there| there == word);
    let table = match () {
        () if has("ca") && part == "key" => return false,
        () if has("ca") && has("peer") => ("[pki.peer-ca]", "file"),
        () if has("ca") => ("[pki.ca]", "file"),
        () if has("peer") => ("[pki.peer]", part),
        () if has("server") => ("[pki.server]", part),
        () if is_own && has("client") => ("[pki.client]", part),
        () if is_own || stem == "etcd" => {
            draft.say(("[pki]", "certificates"), "one-per-node", place);
            ("[pki.node]", part)
        }
        () if !guard::is_name(stem) => {
            draft.leave(place, "the file of a client whose name is not plain is not read");
            return true;
        }
        () => {
            client(draft, nodes, (stem, part), (directory, name), place);
            return true;
        }
    };
    draft.has_ca |= has("ca");
    options::file(draft, node, table, &format!("{directory}/{name}"), place);
    if let Some(mode) = mode.filter(|_| !has("ca")) {
        let key = if part == "key" { "key-mode" } else { "cert-mode" };
        options::mode(draft, (table.0, key), mode, place);
    }
    true
}

fn client(
    draft: &mut Draft,
    nodes: &[&str],
    (stem, part): (&str, &str),
    (directory, name): (&str, &str),
    place: &Place,
) {
    let client = draft.client(stem);
    client.directory.get_or_insert_with(|| (directory.to_owned(), place.clone()));
    client.place.get_or_insert_with(|| place.clone());
    for node in nodes.iter().take(MAX_ENTRIES) {
        if client.nodes.iter().all(|there| there != node) {
            client.nodes.push((*node).to_owned());
        }
    }
    match (part, name.ends_with(".pem")) {
        // As Kiln calls it without being told.
        (_, true) => {}
        ("key", _) => client.key = Some(name.to_owned()),
        _ => client.cert = Some(name.to_owned()),
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
            if !guard::is_name(word) {
                draft.leave(&place, "a word that is not a host name");
            } else if *draft.names.entry(word.to_owned()).or_insert(address) != address {
                // As a look-up in /etc/hosts gives it (hosts(5)).
                draft.leave(&place, format!("duplicate host {word}; the first address is used"));
            }
        }
    }
}
