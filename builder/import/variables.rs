//! ansible's variables, of groups and of files: those of etcd-ansible and of kubespray.

use std::collections::BTreeMap;

use super::draft::{Draft, MAX_VARIABLES, Place};
use super::inventory::network;
use super::member::key_of_flag;
use super::text::is_number;
use super::yaml::{Kind, Node};
use super::{guard, options};
use crate::profile;

/// Variables of ansible's that differ between nodes, and Kiln's placeholders.
const PLACEHOLDERS: [(&str, &str); 5] = [
    ("inventory_hostname", "{{node}}"),
    ("inventory_hostname_short", "{{node}}"),
    ("etcd_index", "{{index}}"),
    ("etcd_member_index", "{{index}}"),
    ("etcd_cluster_name", "{{cluster}}"),
];
/// kubespray's table of etcd's own environment.
const EXTRA: &str = "etcd_extra_vars";
/// kubespray's lists of more names and addresses in members' certificates.
const NAMES: [&str; 2] = ["etcd_cert_alt_names", "etcd_cert_alt_ips"];
/// Templates in templates are filled in so often, and up to this length.
const MAX_FILLS: usize = 8;
const MAX_VALUE: usize = 4096;
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
    // The first one is used everywhere, as with all that two files say.
    let mut first: BTreeMap<String, (String, Place)> = BTreeMap::new();
    all.retain(|(key, value, place)| {
        let Some((there, at)) = first.get(key) else {
            first.insert(key.clone(), (value.clone(), place.clone()));
            return true;
        };
        if there != value {
            let key = guard::key(key);
            // Of one inventory, ansible decides.
            let why = if at.file == place.file { "is stronger" } else { "was read first" };
            let text = format!("{key} differs from {}:{}, which {why}", at.file, at.line);
            draft.leave(place, text);
        }
        false
    });
    let known: BTreeMap<&str, &str> =
        all.iter().map(|(key, value, _)| (key.as_str(), value.as_str())).collect();
    names(draft, &all, &known);
    for (key, value, place) in all.iter().filter(|(key, _, _)| !NAMES.contains(&key.as_str())) {
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

/// `[pki.server] names`, of both lists. One that a profile cannot say is left out alone.
fn names(draft: &mut Draft, all: &[(String, String, Place)], known: &BTreeMap<&str, &str>) {
    let mut names: Vec<String> = Vec::new();
    let mut at = None;
    for (key, value, place) in all.iter().filter(|(key, _, _)| NAMES.contains(&key.as_str())) {
        for item in value.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            match fill(item, known) {
                Some(name) if name.contains("{{") => {
                    draft.leave(place, format!("an item of {key} has a template of ansible's"))
                }
                None => draft.leave(place, format!("an item of {key} has a template of ansible's")),
                Some(name) if profile::alternative(&name).is_err() => {
                    draft.leave(place, format!("an item of {key} cannot be a name in a certificate"));
                }
                Some(name) if names.contains(&name) => {}
                Some(name) => {
                    names.push(name);
                    at.get_or_insert(place);
                }
            }
        }
    }
    if let Some(place) = at {
        draft.say(("[pki.server]", "names"), &names.join(","), place);
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
                options::mode(draft, (kind, "key-mode"), value, place);
            }
        }
        "etcd_cert_lifetime" | "etcd_certs_lifetime" | "etcd_cert_ttl" => {
            draft.say(("[pki]", "leaf-lifetime"), value, place);
        }
        // kubespray's names where they differ from etcd's.
        "etcd_compaction_retention" => options::take(draft, None, "auto-compaction-retention", value, place),
        "etcd_log_level" => options::take(draft, None, "log-level", value, place),
        "etcd_tls_cipher_suites" => options::take(draft, None, "cipher-suites", value, place),
        // Kiln's members always ask for certificates.
        "etcd_peer_client_auth" | "etcd_secure_client" if value == "true" => {}
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

/// Whether a YAML document is a file of variables.
pub fn is_variables(document: &Node) -> bool {
    document.entries().iter().any(|(key, _)| key.starts_with("etcd_"))
}

pub fn read(draft: &mut Draft, document: &Node, file: &str) {
    for (key, node) in document.entries() {
        let place = Place { file: file.to_owned(), line: node.line };
        if key == EXTRA && matches!(node.kind, Kind::Map(_)) {
            // Names of the environment: ETCD_SNAPSHOT_COUNT is etcd_snapshot_count.
            for (name, node) in node.entries() {
                let place = Place { line: node.line, ..place.clone() };
                match node.text() {
                    Some(value) => draft.variables.push((name.to_ascii_lowercase(), value.to_owned(), place)),
                    None => draft.leave(&place, format!("the variable {}", guard::key(name))),
                }
            }
            continue;
        }
        match node.joined() {
            Some(value) => draft.variables.push((key.clone(), value, place)),
            None => draft.leave(&place, format!("the variable {}", guard::key(key))),
        }
    }
}
