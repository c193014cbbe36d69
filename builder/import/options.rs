//! etcd's own options, from a configuration file, a command line, variables or ansible's.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::draft::{self, Draft, Founders, Place, Side, Url};
use super::{founders, guard};
use crate::etcd::keys::{self, GoType};
use crate::etcd::{Release, Value};
use crate::profile;
use crate::values::{CA_FILES, NODE_FILES, PEER_CA_FILES, PEER_FILES, SERVER_FILES, toml_string as quoted};

/// File names that Kiln gives without being told: a node that is called so does not make them patterns.
const USUAL: [&str; 8] = [
    CA_FILES.cert,
    NODE_FILES.cert,
    NODE_FILES.key,
    PEER_FILES.cert,
    PEER_FILES.key,
    SERVER_FILES.cert,
    SERVER_FILES.key,
    PEER_CA_FILES.cert,
];

/// What Go's `strconv.ParseBool` takes.
const TRUE: [&str; 6] = ["1", "t", "T", "true", "TRUE", "True"];
const FALSE: [&str; 6] = ["0", "f", "F", "false", "FALSE", "False"];

pub fn boolean(value: &str) -> Option<bool> {
    let is_in = |words: &[&str]| words.contains(&value);
    is_in(&TRUE).then_some(true).or_else(|| is_in(&FALSE).then_some(false))
}

/// Options that follow from others, or that Kiln sets for each member.
const FOLLOW: [&str; 3] =
    ["config-file", "client-transport-security.client-cert-auth", "peer-transport-security.client-cert-auth"];

/// Reads one option. `member` is the name of the member that the file is about, if it says one.
pub fn take(draft: &mut Draft, member: Option<&str>, key: &str, value: &str, place: &Place) {
    let value = value.trim();
    if let Some(what) = guard::secret(value) {
        return draft.leave(place, format!("{} is {what}, which is not read", guard::key(key)));
    }
    let has_name =
        |member: &&str| !["etcd", "default"].contains(member) && pattern(value, Some(member)) != value;
    if value.contains('/') && !value.contains("://") && !key.ends_with("-file") {
        let own = member.filter(has_name).map(|member| (key.to_owned(), member.to_owned(), place.clone()));
        draft.own.extend(own);
    }
    match key {
        "name" => {}
        "initial-cluster" => initial_cluster(draft, member, value, place),
        "initial-cluster-token" => draft.say(("[cluster]", "token"), value, place),
        "initial-cluster-state" if value == "existing" => {
            draft.joined.push((member.map(str::to_owned), place.clone()));
        }
        "initial-cluster-state" => {}
        "data-dir" => draft.say(("[etcd]", "data-dir"), value, place),
        "wal-dir" => draft.say(("[etcd]", "wal-dir"), value, place),
        "listen-client-urls" | "advertise-client-urls" => urls(draft, member, key, value, 2379, place),
        "listen-peer-urls" | "initial-advertise-peer-urls" => urls(draft, member, key, value, 2380, place),
        _ if value.is_empty() => {}
        "client-transport-security.cert-file" => file(draft, member, ("[pki.server]", "cert"), value, place),
        "client-transport-security.key-file" => file(draft, member, ("[pki.server]", "key"), value, place),
        "client-transport-security.trusted-ca-file" => file(draft, None, ("[pki.ca]", "file"), value, place),
        "peer-transport-security.cert-file" => file(draft, member, ("[pki.peer]", "cert"), value, place),
        "peer-transport-security.key-file" => file(draft, member, ("[pki.peer]", "key"), value, place),
        "peer-transport-security.trusted-ca-file" => {
            file(draft, None, ("[pki.peer-ca]", "file"), value, place);
        }
        "peer-transport-security.allowed-cn" => draft.say(("[pki.peer]", "common-name"), value, place),
        "client-transport-security.client-cert-auth" | "peer-transport-security.client-cert-auth"
            if boolean(value) != Some(true) =>
        {
            draft.leave(place, format!("{key} is not true; Kiln's members always ask for a certificate"));
        }
        "listen-metrics-urls" if names_a_node(value) => metrics(draft, member, value, place),
        _ if FOLLOW.contains(&key) => {}
        _ if key.ends_with(".auto-tls") && boolean(value) == Some(false) => {}
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

/// `[etcd] metrics-port`: HTTP on the node's address and on loopback.
fn metrics(draft: &mut Draft, member: Option<&str>, urls: &str, place: &Place) {
    let all: Vec<_> = urls.split(',').map(|url| parts(url.trim())).collect();
    let port = all.first().map_or(0, |(_, port, _)| *port);
    let is_like = |(host, at, secure): &(&str, u16, bool)| {
        *at == port && !secure && (*host == "localhost" || host.parse::<IpAddr>().is_ok())
    };
    let addresses = all.iter().filter_map(|(host, _, _)| host.parse::<IpAddr>().ok());
    let others = addresses.filter(|address| !address.is_loopback() && !address.is_unspecified());
    draft.metrics.extend(others.map(|address| (member.map(str::to_owned), address, place.clone())));
    match all.iter().all(is_like) {
        true => draft.say(("[etcd]", "metrics-port"), &port.to_string(), place),
        false => {
            let why = "[etcd] metrics-port is one port for HTTP, on the member's address and on loopback";
            draft.leave(place, format!("listen-metrics-urls: {why}"));
        }
    }
}

fn initial_cluster(draft: &mut Draft, member: Option<&str>, value: &str, place: &Place) {
    let (mut cluster, mut ports) = (BTreeMap::new(), BTreeSet::new());
    for pair in value.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let Some((name, url)) = pair.split_once('=') else {
            draft.leave(place, "initial-cluster has an item that is not NAME=URL");
            continue;
        };
        let (host, port, secure) = parts(url);
        say_port(draft, "peer-port", port, place);
        ports.insert(port);
        draft.names_ca |= secure;
        if !secure {
            draft.leave(place, "a URL in initial-cluster has no TLS; Kiln's members always use it");
            plain(draft, place);
        }
        if !guard::is_name(host) {
            draft.leave(place, "a URL in initial-cluster has no name or address of a host");
            continue;
        }
        if let Some(other) = cluster.insert(name.to_owned(), host.to_owned())
            && other != host
        {
            let why = "a member has several peer URLs, and its ID follows from all of them";
            draft.unlike.push((place.clone(), why.to_owned()));
        }
        let address = host.parse::<IpAddr>().ok();
        draft.short(name, place);
        let Some(name) = draft.member_at(name, Side::Peers, address, place) else { continue };
        if address.is_none() {
            draft.hosts.push((name.clone(), host.to_owned()));
        }
        reached(draft, "initial-cluster", name, host, place);
    }
    if ports.len() > 1 {
        let why = "its members have several peer ports, and the IDs follow from their URLs";
        draft.unlike.push((place.clone(), why.to_owned()));
    }
    if !cluster.is_empty() {
        let by = member.map(str::to_owned);
        draft.founders.push(Founders {
            hosts: cluster,
            urls: founders::urls(value),
            by,
            place: place.clone(),
        });
    }
}

/// Peer URLs without TLS: etcd's IDs follow from the URLs (server/etcdserver/api/membership/member.go,
/// `computeMemberID`).
fn plain(draft: &mut Draft, place: &Place) {
    let why =
        "its peer URLs have no TLS, and the IDs of the cluster and of its members follow from these URLs";
    draft.unlike.push((place.clone(), why.to_owned()));
}

fn reached(draft: &mut Draft, key: &'static str, member: String, host: &str, place: &Place) {
    let name = host.parse::<IpAddr>().is_err().then(|| host.to_owned());
    draft.urls.push(Url { key, member, name, place: place.clone() });
}

pub fn say_port(draft: &mut Draft, key: &'static str, port: u16, place: &Place) {
    match port {
        0 => draft.leave(place, format!("a URL has no port; [etcd] {key} is that of all members")),
        port => draft.say(("[etcd]", key), &port.to_string(), place),
    }
}

fn urls(draft: &mut Draft, member: Option<&str>, key: &str, value: &str, usual: u16, place: &Place) {
    let side = if usual == 2379 { Side::Clients } else { Side::Peers };
    let (port_key, url_key) =
        if usual == 2379 { ("client-port", "client-url") } else { ("peer-port", "peer-url") };
    for url in value.split(',').map(str::trim).filter(|url| !url.is_empty()) {
        let (host, port, secure) = parts(url);
        if !guard::is_name(host) {
            draft.leave(place, format!("a URL in {key} has no name or address of a host"));
            continue;
        }
        let address = host.parse::<IpAddr>().ok();
        let is_loopback = host == "localhost" || address.is_some_and(|address| address.is_loopback());
        say_port(draft, port_key, port, place);
        draft.names_ca |= secure;
        if !secure {
            let of = if is_loopback { "a loopback URL" } else { "a URL" };
            draft.leave(place, format!("{of} in {key} has no TLS; Kiln's members always use it"));
            if key == "initial-advertise-peer-urls" {
                plain(draft, place);
            }
        }
        let is_own = !is_loopback && !address.is_some_and(|address| address.is_unspecified());
        match (address, member) {
            (Some(_), _) if !is_own && !is_loopback => {
                draft.leave(
                    place,
                    format!("{key} listens on all addresses; Kiln's members listen on their own"),
                );
            }
            (address, Some(member)) if is_own => {
                match address {
                    Some(_) => drop(draft.member_at(member, side, address, place)),
                    None => draft.hosts.push((member.to_owned(), host.to_owned())),
                }
                if key.contains("advertise") {
                    reached(draft, url_key, member.to_owned(), host, place);
                } else if address.is_none() {
                    draft.leave(place, format!("{key} has the name {host}; a listener has an address"));
                }
            }
            // It has to be that of a member that another file names.
            (Some(address), None) if is_own => draft.endpoints.push((address, place.clone())),
            (None, None) if is_own => {
                draft.leave(place, format!("{key} has the name {host}, and no file says whose it is"));
            }
            _ => {}
        }
    }
}

/// Host, port and whether it is https; the port is 0 where there is none.
pub fn parts(url: &str) -> (&str, u16, bool) {
    let secure = !url.starts_with("http://");
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, port) = rest.rsplit_once(':').unwrap_or((rest, ""));
    (host.trim_start_matches('[').trim_end_matches(']'), port.parse().unwrap_or(0), secure)
}

/// A file in `[pki] directory`: the name of the node in its name becomes a placeholder.
pub fn file(draft: &mut Draft, member: Option<&str>, path: draft::Path, value: &str, place: &Place) {
    match value.rsplit_once('/') {
        Some((directory, name)) => {
            draft.say(("[pki]", "directory"), directory, place);
            draft.say(path, &pattern(name, member), place);
        }
        None => draft.leave(place, format!("{} {} is not an absolute path", path.0, path.1)),
    }
}

/// The mode of a file; `640` is what a profile has as `0640`.
pub fn mode(draft: &mut Draft, path: draft::Path, value: &str, place: &Place) {
    let is_short = value.len() == 3 && value.bytes().all(|byte| byte.is_ascii_digit());
    draft.say(path, &format!("{}{value}", if is_short { "0" } else { "" }), place);
}

/// A text with `{{node}}` for the name of the node, where it is a word of its own.
pub fn pattern(text: &str, node: Option<&str>) -> String {
    let Some(node) = node.filter(|node| !node.is_empty() && !USUAL.contains(&text)) else {
        return text.to_owned();
    };
    let is_edge = |c: Option<char>| !c.is_some_and(|c| c.is_ascii_alphanumeric());
    let (mut made, mut from) = (String::new(), 0);
    for (at, _) in text.match_indices(node) {
        let end = at + node.len();
        if is_edge(text[..at].chars().next_back()) && is_edge(text[end..].chars().next()) {
            made.push_str(&text[from..at]);
            made.push_str("{{node}}");
            from = end;
        }
    }
    made + &text[from..]
}

/// The options as lines of TOML, by the types of this release. What is not an option of it is reported.
pub fn lines(draft: &mut Draft, release: Release, flags: bool) -> Vec<(String, String, Place)> {
    let mut lines = Vec::new();
    for (key, (value, place)) in draft.options.clone() {
        let kind = keys::lookup(release, &key).or_else(|| keys::flag_only(release, &key).filter(|_| flags));
        let Some(kind) = kind else {
            if let Some(why) = not_written(&key) {
                draft.leave(&place, why);
                continue;
            }
            let hint = match keys::suggest(release, &key) {
                Some(near) => format!("; did you mean {near}?"),
                None => String::new(),
            };
            draft.leave(&place, format!("etcd {release} has no option {}{hint}", guard::key(&key)));
            continue;
        };
        match literal(kind, &value) {
            Some(literal) => lines.push((key.clone(), format!("{key} = {literal}"), place)),
            None => draft.leave(&place, format!("{key} cannot be this value")),
        }
    }
    lines
}

/// Of an option that etcd has, or had, and that no profile may have: the reason.
pub fn not_written(key: &str) -> Option<String> {
    profile::refused(key).map(|why| format!("Kiln does not write {}: {why}", guard::key(key)))
}

fn literal(kind: GoType, value: &str) -> Option<String> {
    match kind {
        GoType::Bool => boolean(value).map(|value| value.to_string()),
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
