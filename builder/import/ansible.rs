//! ansible's inventories, INI and YAML, with the variables of etcd-ansible and kubespray.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::draft::{Draft, Place};
use super::guard;
use super::inventory::{HYPERVISORS, network};
use super::member::key_of_flag;
use super::options;
use super::text::is_number;
use super::yaml::Node;

/// Groups whose hosts are members.
const MEMBERS: [&str; 5] = ["etcd", "etcd_members", "etcd-members", "etcd_cluster", "etcds"];
/// Groups whose hosts get a client certificate each.
const CLIENTS: [&str; 2] = ["etcd_clients", "etcd-clients"];
/// Variables of a host with its address, the best first: etcd's own, kubespray's `ip`, ansible's.
const ADDRESSES: [&str; 6] = ["etcd_address", "etcd_ip", "ip", "private_ip", "access_ip", "ansible_host"];
/// Variables that say how to reach or to build a host.
const OF_ANSIBLE: [&str; 3] = ["ansible_", "access_ip", "etcd_index"];

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
    /// Variables of groups.
    variables: Vec<(String, String, Place)>,
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

    pub fn take(self, draft: &mut Draft) {
        let members: BTreeSet<&str> = MEMBERS.iter().flat_map(|group| self.of(group)).collect();
        let clients: BTreeSet<&str> = CLIENTS.iter().flat_map(|group| self.of(group)).collect();
        for (name, place, variables) in &self.hosts {
            if clients.contains(&name.as_str()) && !members.contains(&name.as_str()) {
                draft.client(name.split('.').next().unwrap_or(name));
            }
            if !members.contains(&name.as_str()) {
                continue;
            }
            let address = ADDRESSES.iter().find_map(|key| variables.get(*key)?.0.parse::<IpAddr>().ok());
            draft.member(name, address.or_else(|| name.parse().ok()), place);
            for (key, (value, place)) in variables {
                let is_known = ADDRESSES.contains(&key.as_str())
                    || OF_ANSIBLE.iter().any(|prefix| key.starts_with(prefix));
                if key == "etcd_member_name" {
                    if value != name {
                        let own = if guard::is_name(value) { value.as_str() } else { "in it" };
                        draft.leave(
                            place,
                            format!("the member's name {own} is not the host's, which is used"),
                        );
                    }
                } else if HYPERVISORS.contains(&key.as_str()) {
                    let own = name.split('.').next().unwrap_or(name);
                    draft.on.push((own.to_owned(), value.clone(), place.clone()));
                } else if !is_known {
                    draft.leave(place, format!("{} of the host {name}", guard::key(key)));
                }
            }
        }
        draft.variables.extend(self.variables);
    }
}

/// Variables of ansible's that differ between nodes, and Kiln's placeholders.
const PLACEHOLDERS: [(&str, &str); 5] = [
    ("inventory_hostname", "{{node}}"),
    ("inventory_hostname_short", "{{node}}"),
    ("etcd_index", "{{index}}"),
    ("etcd_member_index", "{{index}}"),
    ("etcd_cluster_name", "{{cluster}}"),
];
/// Templates in templates are filled in so often, and up to this length.
const MAX_FILLS: usize = 8;
const MAX_VALUE: usize = 4096;
/// The most variables of all files; kubespray's own inventory has some hundreds.
const MAX_VARIABLES: usize = 2000;
/// Options and keys that may differ between nodes.
const PER_NODE: [&str; 4] = ["-file", "_file", "_service_name", "_unit"];

/// The variables of all files: they refer to each other.
pub fn settle(draft: &mut Draft) {
    let mut all = std::mem::take(&mut draft.variables);
    if all.len() > MAX_VARIABLES {
        draft.too_many = Some("variables");
        return;
    }
    all.retain(|(key, value, place)| {
        if value.len() > MAX_VALUE {
            draft.leave(place, format!("{} is longer than {MAX_VALUE} bytes", guard::key(key)));
        }
        value.len() <= MAX_VALUE
    });
    let known: BTreeMap<&str, &str> =
        all.iter().map(|(key, value, _)| (key.as_str(), value.as_str())).collect();
    for (key, value, place) in &all {
        let is_per_node = PER_NODE.iter().any(|end| key.ends_with(end));
        // A directory has the cluster's name in it, as it is.
        let of_cluster = known.get("etcd_cluster_name").filter(|name| !is_per_node && !name.contains("{{"));
        let filled = fill(value, &known);
        match filled.map(|value| of_cluster.map_or(value.clone(), |name| value.replace("{{cluster}}", name)))
        {
            Some(value) if is_per_node || !value.contains("{{") => {
                variable(draft, key, &value, &known, place);
            }
            _ => draft.leave(place, format!("{} has a template of ansible's", guard::key(key))),
        }
    }
}

/// The value with the variables in it filled in; `None` where it has anything else.
fn fill(value: &str, known: &BTreeMap<&str, &str>) -> Option<String> {
    let mut value = value.to_owned();
    for _ in 0..MAX_FILLS {
        let (mut made, mut rest, mut is_done) = (String::new(), value.as_str(), true);
        while let Some((before, after)) = rest.split_once("{{") {
            let (name, after) = after.split_once("}}")?;
            let name = name.trim();
            append(&mut made, before)?;
            if let Some((_, own)) =
                PLACEHOLDERS.iter().find(|(theirs, own)| *theirs == name || *own == format!("{{{{{name}}}}}"))
            {
                append(&mut made, own)?;
            } else {
                append(&mut made, known.get(name)?)?;
                is_done = false;
            }
            rest = after;
        }
        append(&mut made, rest)?;
        if is_done {
            return Some(made);
        }
        value = made;
    }
    None
}

/// Appends, unless the whole would be too long: templates in templates can describe gigabytes.
fn append(made: &mut String, part: &str) -> Option<()> {
    (made.len() + part.len() <= MAX_VALUE).then(|| made.push_str(part))
}

/// One variable of a group, of all hosts, or of a file of variables.
fn variable(draft: &mut Draft, key: &str, value: &str, known: &BTreeMap<&str, &str>, place: &Place) {
    let own = match key {
        "etcd_version" => {
            return draft.say(("[etcd]", "version"), value.trim_start_matches('v'), place);
        }
        "etcd_bin_dir" | "bin_dir" => ("[etcd]", "bin-dir"),
        "etcd_config_dir" | "etcd_conf_dir" => ("[etcd]", "config-dir"),
        "etcd_user" => ("[etcd]", "user"),
        "etcd_client_port" | "etcd_port" => ("[etcd]", "client-port"),
        "etcd_peer_port" => ("[etcd]", "peer-port"),
        "etcd_metrics_port" => ("[etcd]", "metrics-port"),
        "etcd_cert_dir" | "etcd_pki_dir" | "etcd_certs_dir" | "etcd_ssl_dir" => ("[pki]", "directory"),
        "etcd_initial_cluster_token" | "etcd_cluster_token" | "etcd_token" => ("[cluster]", "token"),
        "etcd_cluster_name" | "etcd_cluster" => ("[cluster]", "name"),
        "etcd_domain" => ("[cluster]", "domain"),
        _ => return other(draft, key, value, known, place),
    };
    match own.1.ends_with("-port") && !is_number(value) {
        true => draft.leave(place, format!("{key} is not a number")),
        false => draft.say(own, value, place),
    }
}

fn other(draft: &mut Draft, key: &str, value: &str, known: &BTreeMap<&str, &str>, place: &Place) {
    match key {
        "etcd_group" if known.get("etcd_user").copied().unwrap_or("etcd") == value => {}
        "etcd_data_dir" => options::take(draft, None, "data-dir", value, place),
        "etcd_service_name" | "etcd_unit" => {
            let stem = value.trim_end_matches(".service");
            draft.say(("[etcd]", "unit"), stem, place);
        }
        "etcd_client_cert_file" => options::file(draft, None, ("[pki.client]", "cert"), value, place),
        "etcd_client_key_file" => options::file(draft, None, ("[pki.client]", "key"), value, place),
        "etcd_key_mode" | "etcd_cert_key_mode" => {
            for kind in ["[pki.server]", "[pki.peer]", "[pki.client]"] {
                draft.say((kind, "key-mode"), value, place);
            }
        }
        "etcd_cert_lifetime" | "etcd_certs_lifetime" | "etcd_cert_ttl" => {
            draft.say(("[pki]", "leaf-lifetime"), value, place);
        }
        // kubespray's names where they differ from etcd's.
        "etcd_compaction_retention" => options::take(draft, None, "auto-compaction-retention", value, place),
        "etcd_log_level" => options::take(draft, None, "log-level", value, place),
        _ if key.starts_with("ansible_") || network(draft, key, value, place) => {}
        _ => {
            let flag = key.strip_prefix("etcd_").map(|rest| rest.replace('_', "-"));
            match flag.and_then(|flag| key_of_flag(&flag)) {
                Some(option) => options::take(draft, None, &option, value, place),
                None => draft.leave(place, format!("the variable {}", guard::key(key))),
            }
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
                    inventory.variables.push((key.trim().to_owned(), value.to_owned(), place));
                }
                None => draft.leave(&place, "not NAME=VALUE"),
            },
            "" => {
                let mut words = line.split_whitespace();
                let Some(name) = words.next() else { continue };
                if !is_host(draft, name, &place) {
                    continue;
                }
                let known = inventory.add(&group, name, &place);
                let mut twice = Vec::new();
                for word in words {
                    let Some((key, value)) = word.split_once('=') else {
                        draft.leave(&place, format!("a word of the host {name} that is not NAME=VALUE"));
                        continue;
                    };
                    let value = value.trim_matches(['"', '\'']).to_owned();
                    let before = known.insert(key.to_owned(), (value.clone(), place.clone()));
                    twice.extend(before.filter(|(there, _)| *there != value).map(|_| key));
                }
                for key in twice {
                    draft.leave(
                        &place,
                        format!("duplicate host {name}: the last {} is used", guard::key(key)),
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
            Some(value) => inventory.variables.push((key.clone(), value, place(node))),
            None => draft.leave(&place(node), format!("the variable {}", guard::key(key))),
        }
    }
    for (child, node) in group.get("children").map(Node::entries).unwrap_or_default() {
        inventory.children.entry(name.to_owned()).or_default().push(child.clone());
        // The depth of the document is limited.
        read_group(draft, inventory, child, node, file);
    }
}

/// Whether a YAML document is a file of variables.
pub fn is_variables(document: &Node) -> bool {
    document.entries().iter().any(|(key, _)| key.starts_with("etcd_"))
}

pub fn variables(draft: &mut Draft, document: &Node, file: &str) {
    for (key, node) in document.entries() {
        let place = Place { file: file.to_owned(), line: node.line };
        match node.joined() {
            Some(value) => draft.variables.push((key.clone(), value, place)),
            None => draft.leave(&place, format!("the variable {}", guard::key(key))),
        }
    }
}
