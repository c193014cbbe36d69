//! etcd's own options, from a configuration file, a command line, variables or ansible's.

use std::net::IpAddr;

use super::draft::{Draft, Place, quoted};
use crate::etcd::keys::{self, GoType};
use crate::etcd::{Release, Value};

/// The directories and the file names that Kiln gives members without being told.
const DATA: &str = "/var/lib/etcd";
const CERTIFICATES: &str = "/etc/etcd/pki";

/// Options that follow from others, or that Kiln sets for each member.
const FOLLOW: [&str; 5] = [
    "initial-cluster-state",
    "config-file",
    "client-transport-security.client-cert-auth",
    "peer-transport-security.client-cert-auth",
    "peer-transport-security.allowed-cn",
];

/// Reads one option. `member` is the name of the member that the file is about, if it says one.
pub fn take(draft: &mut Draft, member: Option<&str>, key: &str, value: &str, place: &Place) {
    let value = value.trim();
    match key {
        "name" => {}
        "initial-cluster" => initial_cluster(draft, value, place),
        "initial-cluster-token" => draft.say(("[cluster]", "token"), value, place),
        "data-dir" if value == DATA => {}
        "data-dir" => draft.say(("[etcd]", "data-dir"), value, place),
        "listen-client-urls" | "advertise-client-urls" => urls(draft, member, key, value, 2379, place),
        "listen-peer-urls" | "initial-advertise-peer-urls" => urls(draft, member, key, value, 2380, place),
        _ if key.ends_with("-transport-security.cert-file") => certificate(draft, key, value, place),
        _ if key.ends_with("-transport-security.key-file") => {}
        _ if key.ends_with("-transport-security.trusted-ca-file") => authority(draft, value, place),
        "client-transport-security.client-cert-auth" | "peer-transport-security.client-cert-auth"
            if value != "true" =>
        {
            draft.leave(place, format!("{key} is {value:?}; Kiln's members always ask for a certificate"));
        }
        "listen-metrics-urls" if names_a_node(value) => later(draft, place, key, "metrics-port"),
        _ if FOLLOW.contains(&key) => {}
        _ if key.ends_with(".auto-tls") && value != "true" => {}
        _ if value.is_empty() => {}
        _ => draft.option(key, value, place),
    }
}

/// Whether a listener has an address of one node, so that it cannot be an option of all.
fn names_a_node(urls: &str) -> bool {
    urls.split(',').any(|url| match parts(url.trim()).0 {
        "localhost" => false,
        host => {
            host.parse::<IpAddr>().map_or(true, |address| !address.is_loopback() && !address.is_unspecified())
        }
    })
}

fn initial_cluster(draft: &mut Draft, value: &str, place: &Place) {
    for pair in value.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let Some((name, url)) = pair.split_once('=') else {
            draft.leave(place, format!("initial-cluster has {pair:?}, which is not NAME=URL"));
            continue;
        };
        let (host, port, secure) = parts(url);
        if port != 2380 {
            later(draft, place, &format!("peer port {port}"), "peer-port");
        }
        if !secure {
            draft.leave(place, format!("{url} has no TLS; Kiln's members always use it"));
        }
        let address = host.parse::<IpAddr>().ok();
        if address.is_none() {
            later(draft, place, &format!("initial-cluster by name ({host})"), "initial-cluster");
            draft.hosts.push((name.to_owned(), host.to_owned()));
        }
        draft.member(name, address, place);
    }
}

fn urls(draft: &mut Draft, member: Option<&str>, key: &str, value: &str, usual: u16, place: &Place) {
    for url in value.split(',').map(str::trim).filter(|url| !url.is_empty()) {
        let (host, port, secure) = parts(url);
        let address = host.parse::<IpAddr>().ok();
        let is_loopback = host == "localhost" || address.is_some_and(|address| address.is_loopback());
        if port != usual {
            let which = if usual == 2379 { "client-port" } else { "peer-port" };
            later(draft, place, &format!("port {port} in {key}"), which);
        }
        if !secure && !is_loopback {
            draft.leave(place, format!("{url} in {key} has no TLS; Kiln's members always use it"));
        }
        match (address, member) {
            (Some(address), Some(member)) if !is_loopback && !address.is_unspecified() => {
                draft.member(member, Some(address), place);
            }
            (Some(address), _) if address.is_unspecified() => {
                draft.leave(
                    place,
                    format!("{key} listens on all addresses; Kiln's members listen on their own"),
                );
            }
            (None, _) if !is_loopback => {
                later(draft, place, &format!("{key} by name ({host})"), "client-url")
            }
            _ => {}
        }
    }
}

/// Host, port and whether it is https; the port is 0 where there is none.
pub fn parts(url: &str) -> (&str, u16, bool) {
    let secure = !url.starts_with("http://");
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest).trim_end_matches('/');
    let (host, port) = rest.rsplit_once(':').unwrap_or((rest, ""));
    (host.trim_start_matches('[').trim_end_matches(']'), port.parse().unwrap_or(0), secure)
}

fn certificate(draft: &mut Draft, key: &str, value: &str, place: &Place) {
    let Some((directory, file)) = value.rsplit_once('/') else {
        return draft.leave(place, format!("{key} {value:?} is not an absolute path"));
    };
    if directory != CERTIFICATES {
        draft.say(("[pki]", "directory"), directory, place);
    }
    let usual: &[&str] =
        if key.starts_with("peer") { &["peer.pem", "etcd.pem"] } else { &["server.pem", "etcd.pem"] };
    if file == "etcd.pem" {
        draft.say(("[pki]", "certificates"), "one-per-node", place);
    }
    if !usual.contains(&file) {
        later(draft, place, &format!("file name {file}"), "a certificate's file name in [pki]");
    }
}

fn authority(draft: &mut Draft, value: &str, place: &Place) {
    let (directory, file) = value.rsplit_once('/').unwrap_or(("", value));
    if directory != CERTIFICATES {
        draft.say(("[pki]", "directory"), directory, place);
    }
    if file != "ca.pem" {
        later(draft, place, &format!("file name {file}"), "the CA's file name in [pki]");
    }
}

/// The only place that names what profiles cannot say yet: the values are listed, not written.
pub fn later(draft: &mut Draft, place: &Place, what: &str, key: &str) {
    draft.leave(place, format!("{what} is not carried over: {key} is not set by this import"));
}

/// The options as lines of TOML, by the types of this release. What is not an option of it is reported.
pub fn lines(draft: &mut Draft, release: Release, flags: bool) -> Vec<(String, String, Place)> {
    let mut lines = Vec::new();
    for (key, (value, place)) in draft.options.clone() {
        let kind = keys::lookup(release, &key).or_else(|| keys::flag_only(release, &key).filter(|_| flags));
        let Some(kind) = kind else {
            let hint = match keys::suggest(release, &key) {
                Some(near) => format!("; did you mean {near}?"),
                None => String::new(),
            };
            draft.leave(&place, format!("etcd {release} has no option {key}{hint}"));
            continue;
        };
        match literal(kind, &value) {
            Some(literal) => lines.push((key.clone(), format!("{key} = {literal}"), place)),
            None => draft.leave(&place, format!("{key} cannot be {value:?}")),
        }
    }
    lines
}

fn literal(kind: GoType, value: &str) -> Option<String> {
    match kind {
        GoType::Bool => value.to_ascii_lowercase().parse::<bool>().ok().map(|value| value.to_string()),
        GoType::Int { .. } => value.parse::<i64>().ok().map(|value| value.to_string()),
        GoType::Text => Some(quoted(value)),
        GoType::Strings => {
            let items: Vec<String> = value.split(',').map(|item| quoted(item.trim())).collect();
            Some(format!("[{}]", items.join(", ")))
        }
        // A plain number is nanoseconds, as in etcd's own file.
        GoType::Duration => match value.parse::<i64>() {
            Ok(nanos) => Some(quoted(&Value::Duration { nanos }.to_flag())),
            Err(_) => Some(quoted(value)),
        },
        GoType::Struct => None,
    }
}
