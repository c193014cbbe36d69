//! What only all files together say: how members are reached, names of units and of certificates' files, hosts. What is
//! Kiln's default anyway is not written.

use super::draft::{Draft, Path, Place, Url};
use super::{founders, guard, options};
use crate::etcd::{PeerNames, Release};
use crate::profile;
use crate::values::{HostName, PemFile};

/// What a profile need not say, where the table of keys only says from what it follows.
const FOLLOWS: [(Path, &str); 1] = [(("[pki.peer]", "common-name"), "etcd-peer")];
const DIRECTORY: &str = "/etc/etcd/pki";

pub fn settle(draft: &mut Draft) {
    draft.has_ca |= draft.runs && draft.names_ca;
    urls(draft);
    founders::settle(draft);
    of_one(draft);
    units(draft);
    files(draft);
    authorities(draft);
    operator(draft);
    clients(draft);
    hosts(draft);
    let cluster = ("[etcd]", "initial-cluster");
    if draft.value(cluster) == Some(draft.value(("[etcd]", "peer-url")).unwrap_or("address")) {
        draft.keys.remove(&cluster);
    }
    draft.keys.retain(|(table, key), (value, _)| {
        profile::usual(table, key) != Some(value) && !FOLLOWS.contains(&((table, key), value))
    });
}

/// `fqdn` is NODE.DOMAIN, and no other name.
fn urls(draft: &mut Draft) {
    for Url { key, member, name, place } in std::mem::take(&mut draft.urls) {
        let Some(name) = name else {
            draft.say(("[etcd]", key), "address", &place);
            continue;
        };
        let domain = name.strip_prefix(member.as_str()).and_then(|rest| rest.strip_prefix('.'));
        if let Some(domain) = domain {
            draft.say(("[cluster]", "domain"), domain, &place);
        }
        if domain.is_some() && domain == draft.value(("[cluster]", "domain")) {
            draft.say(("[etcd]", key), "fqdn", &place);
        } else {
            let why = format!(
                "{name} is not NODE.DOMAIN of the member {member}; all members have that, or their address"
            );
            draft.leave(&place, format!("[etcd] {key}: {why}"));
            if key != "client-url" {
                let why = "its peer URLs have other names, and the IDs of the cluster and of its members follow from them";
                draft.unlike.push((place, why.to_owned()));
            }
        }
    }
}

/// What is one member's, and in the profile becomes that of all.
fn of_one(draft: &mut Draft) {
    for (key, member, place) in std::mem::take(&mut draft.own) {
        if draft.members.len() > 1 {
            let text = format!(
                "{key} has the name of the member {member} in it, and is that of all nodes in the profile"
            );
            draft.leave(&place, text);
        }
    }
    for (name, address, place) in std::mem::take(&mut draft.metrics) {
        let is_this = |member: &super::draft::Member| name.as_ref().is_none_or(|name| *name == member.name);
        if !draft.members.iter().any(|member| is_this(member) && member.address == Some(address)) {
            let text = format!(
                "listen-metrics-urls has the address {address}, which is not the node's; with [etcd] metrics-port, members \
                 have metrics on the node's address and on loopback"
            );
            draft.leave(&place, text);
        }
    }
}

/// Kiln's members look at the common names of peers, and those that run do not: their certificates have other names.
pub fn peers(draft: &mut Draft, release: Release) {
    let is_file = draft.value(("[etcd]", "config-style")).is_none_or(|style| style == "file");
    let is_ignored = is_file && release.peer_names() == PeerNames::FlagOnly;
    let is_one = draft.members.len() < 2;
    let Some(place) = draft.runs_at.clone().filter(|_| draft.has_ca && !draft.is_unlike && !is_one) else {
        return;
    };
    if !is_ignored {
        let text = "no peer-cert-allowed-cn: Kiln's members take only peers with the common name that it writes in \
                    their certificates, and refuse members that still have an older one";
        draft.leave(&place, text);
    }
}

fn units(draft: &mut Draft) {
    for (member, stem, place) in std::mem::take(&mut draft.units) {
        let names: Vec<&str> = draft.members.iter().map(|member| member.name.as_str()).collect();
        let own = member.as_deref().into_iter().chain(names.iter().copied());
        let mut made = own.map(|name| options::pattern(&stem, Some(name)));
        let unit = made.find(|made| *made != stem).unwrap_or_else(|| stem.clone());
        // The file was named after the member when it was copied here.
        if unit == "{{node}}" {
            continue;
        }
        let at = member.and_then(|member| names.iter().position(|name| *name == member));
        let of_index = (1..=names.len())
            .filter(|index| names.len() > 1 && at.is_none_or(|at| at + 1 == *index))
            .find_map(|index| unit.strip_suffix(&format!("-{index}")));
        let unit = of_index.map_or(unit.clone(), |rest| format!("{rest}-{{{{index}}}}"));
        draft.say(("[etcd]", "unit"), &unit, &place);
    }
}

/// One certificate for all uses is `[pki.node]`; the tables of single uses have no effect then, or the other way round.
fn files(draft: &mut Draft) {
    let cert = |draft: &Draft, table| draft.value((table, "cert")).map(str::to_owned);
    let (server, peer) = (cert(draft, "[pki.server]"), cert(draft, "[pki.peer]"));
    if server.is_some() && server == peer {
        one_per_node(draft);
    } else if server.is_some() && peer.is_some() {
        // Members' own files say more than the name of a file that is copied.
        draft.keys.remove(&("[pki]", "certificates"));
        no_effect(draft, "[pki.node]", "with one certificate for each use");
    } else if draft.value(("[pki]", "certificates")) == Some("one-per-node") {
        one_per_node(draft);
    }
}

/// Each key of the uses becomes one of the node's.
fn one_per_node(draft: &mut Draft) {
    for table in ["[pki.server]", "[pki.peer]", "[pki.client]"] {
        for key in ["cert", "key", "key-mode", "cert-mode", "names"] {
            // etcdctl has the node's certificate, and no files of its own.
            let is_own = table != "[pki.client]"
                || key.ends_with("mode")
                || draft.value((table, key)) == draft.value(("[pki.node]", key));
            if !is_own {
                continue;
            }
            let Some((value, place)) = draft.keys.remove(&(table, key)) else { continue };
            draft.say(("[pki]", "certificates"), "one-per-node", &place);
            draft.say(("[pki.node]", key), &value, &place);
        }
        no_effect(draft, table, "with one certificate for all uses");
    }
}

/// Takes a table of `[pki]` out, and says so of each of its keys.
fn no_effect(draft: &mut Draft, table: &str, why: &str) {
    let keys: Vec<Path> = draft.keys.keys().filter(|(of, _)| *of == table).copied().collect();
    for path in keys {
        if let Some((_, place)) = draft.keys.remove(&path) {
            draft.leave(&place, format!("{} {} has no effect {why}", path.0, path.1));
        }
    }
}

/// etcd's two trust files are two CAs, or one under two names: only their contents say which.
fn authorities(draft: &mut Draft) {
    let Some((peers, place)) = draft.keys.remove(&("[pki.peer-ca]", "file")) else { return };
    let ca = ("[pki.ca]", "file");
    match draft.value(ca).map(str::to_owned) {
        None => draft.say(ca, &peers, &place),
        Some(clients) if clients == peers => {}
        Some(clients) => {
            draft.say(("[pki.peer-ca]", "file"), &peers, &place);
            if draft.has_ca {
                let text = format!(
                    "whether {peers} is another CA than {clients}: it is taken to be one, which is imported, too; if they are one, \
                     write [pki.links] {peers:?} = \"ca\" instead of [pki.peer-ca]"
                );
                draft.leave(&place, text);
            }
        }
    }
}

fn directory(draft: &Draft) -> String {
    draft.value(("[pki]", "directory")).unwrap_or(DIRECTORY).to_owned()
}

/// The files of etcdctl on a node, if they are beside the members' own. An operator's host has its own places.
fn operator(draft: &mut Draft) {
    let (beside, has_one) =
        (directory(draft), draft.value(("[pki]", "certificates")) == Some("one-per-node"));
    for (key, path, place) in std::mem::take(&mut draft.operator) {
        match path.rsplit_once('/') {
            Some((directory, name)) if directory == beside && !has_one => {
                let of_node = draft.members.iter().map(|member| options::pattern(name, Some(&member.name)));
                let name = of_node.into_iter().find(|made| made != name).unwrap_or_else(|| name.to_owned());
                draft.say(("[pki.client]", key), &name, &place);
            }
            Some((directory, name)) if directory == beside => {
                let own = draft.value(("[pki.node]", key)).unwrap_or_default();
                let is_own = own.contains("{{node}}") || own == name;
                if !is_own {
                    draft.leave(
                        &place,
                        format!("etcdctl's {key} file: a node has one certificate for all uses"),
                    );
                }
            }
            _ => draft.leave(&place, format!("etcdctl's {key} file is not in [pki] directory")),
        }
    }
}

/// Nodes have clients' files in the directory of the members' own.
fn clients(draft: &mut Draft) {
    let beside = directory(draft);
    let mut left: Vec<(Place, String)> = Vec::new();
    for client in &mut draft.clients {
        if let Some((directory, place)) =
            client.directory.take().filter(|(directory, _)| *directory != beside)
        {
            client.nodes.clear();
            let why = "nodes have clients' files in [pki] directory";
            left.push((place, format!("the files of the client {} in {directory}: {why}", client.name)));
        }
    }
    for (place, text) in left {
        draft.leave(&place, text);
    }
    operators_client(draft);
}

/// The one client whose files are on all nodes, where nothing else says what etcdctl has there: it is etcdctl's.
fn operators_client(draft: &mut Draft) {
    let has_one = draft.value(("[pki]", "certificates")) == Some("one-per-node");
    if has_one || ["cert", "key"].iter().any(|key| draft.value(("[pki.client]", key)).is_some()) {
        return;
    }
    let members: Vec<String> = draft.members.iter().map(|member| member.name.clone()).collect();
    let mut on_all = draft
        .clients
        .iter_mut()
        .filter(|client| members.iter().all(|member| client.nodes.iter().any(|node| node == member)));
    let (Some(client), None) = (on_all.next(), on_all.next()) else { return };
    let Some(place) = client.place.clone() else { return };
    client.nodes.clear();
    let name = client.name.clone();
    let cert = client.cert.clone().unwrap_or_else(|| PemFile::Certificate.usual(&name));
    let key = client.key.clone().unwrap_or_else(|| PemFile::Key.usual(&name));
    for (of, value) in [("cert", &cert), ("key", &key), ("common-name", &name)] {
        draft.say(("[pki.client]", of), value, &place);
    }
}

fn hosts(draft: &mut Draft) {
    let mut all = std::mem::take(&mut draft.on);
    all.retain(|(node, host, place)| {
        let is_name = host.parse::<HostName>().is_ok();
        if !is_name {
            draft.leave(place, format!("the host of {} has no name of a host", guard::key(node)));
        }
        is_name
    });
    let has = |name: &str| all.iter().any(|(node, _, _)| node == name);
    let is_whole = draft.members.iter().all(|member| has(&member.name));
    let mut on: Vec<(String, String, Place)> = Vec::new();
    for (node, host, place) in all {
        if draft.members.iter().all(|member| member.name != node) {
            continue;
        }
        if !is_whole {
            draft.leave(
                &place,
                format!("the host {host} of {node}: a profile names the hosts of all nodes, or of none"),
            );
        } else if let Some((_, there, first)) = on.iter().find(|(other, _, _)| *other == node) {
            if *there != host {
                let text = format!(
                    "{node} is on {host} here, and on {there} in {}:{}, which is used",
                    first.file, first.line
                );
                draft.leave(&place, text);
            }
        } else {
            on.push((node, host, place));
        }
    }
    draft.on = on;
}
