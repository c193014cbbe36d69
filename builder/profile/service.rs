//! `[etcd]`: how etcd runs on a node: unit, account, ports, URLs and directories.

use toml::Spanned;

use super::diagnostics::Diagnostics;
use super::directories;
use super::mistake::Mistake;
use super::reader::{Section, quoted};
use super::types::Service;
use super::unit_lines;
use super::{Cluster, Node, Pki, UrlHost};
use crate::etcd::{CLIENT_PORT, PEER_PORT};
use crate::values::{GuestPath, InstanceName, Invalid, ServiceUser, UnitName};

/// The parts of the profile that these settings refer to. `None` for a part that could not be read.
pub(super) struct Beside<'a> {
    pub instance: &'a InstanceName,
    pub cluster: Option<&'a Cluster>,
    pub nodes: &'a [Node],
    pub pki: Option<&'a Pki>,
    pub data_dir: Option<&'a GuestPath>,
}

pub(super) fn service(diagnostics: &mut Diagnostics, table: &Section, beside: &Beside) -> Option<Service> {
    let units = units(diagnostics, table, beside);
    let user = table.value::<ServiceUser>(diagnostics, "user").map(Spanned::into_inner);
    let [client_port, peer_port, metrics_port] = ports(diagnostics, table);
    let host = |diagnostics: &mut Diagnostics, key| host(diagnostics, table, key, beside);
    let client_url = host(diagnostics, "client-url").unwrap_or(UrlHost::Address);
    let peer_url = host(diagnostics, "peer-url").unwrap_or(UrlHost::Address);
    let initial_cluster = host(diagnostics, "initial-cluster").unwrap_or(peer_url);
    let config_dir = config_dir(diagnostics, table, beside);
    let wal_dir = wal_dir(diagnostics, table, beside);
    let below = table.table(diagnostics, "service", "[etcd.service]");
    let (client_port, peer_port) = (client_port.unwrap_or(CLIENT_PORT), peer_port.unwrap_or(PEER_PORT));
    let ports: Vec<_> = [client_port, peer_port].into_iter().chain(metrics_port).collect();
    let member = unit_lines::Member { units: &units, nodes: beside.nodes, ports: &ports };
    let unit = unit_lines::read(diagnostics, &below, &member);
    below.finish(diagnostics);
    let instance = beside.instance;
    Some(Service {
        instance: instance.clone(),
        units,
        user: user.or_else(|| format!("etcd{}", instance.suffix()).parse().ok())?,
        client_port,
        peer_port,
        metrics_port,
        client_url,
        peer_url,
        initial_cluster,
        config_dir: config_dir?,
        wal_dir,
        unit,
    })
}

/// The unit of each node: the pattern is filled in here, so that all of them are checked.
fn units(diagnostics: &mut Diagnostics, table: &Section, beside: &Beside) -> Vec<UnitName> {
    let pattern = table.text(diagnostics, "unit");
    let usual = format!("etcd{}", beside.instance.suffix());
    let text = pattern.as_ref().map_or(usual.as_str(), |pattern| pattern.get_ref());
    let cluster = beside.cluster.map_or("x", |cluster| cluster.name.as_str());
    let mut units = Vec::new();
    for (at, node) in beside.nodes.iter().enumerate() {
        match (UnitName::fill(text, node.name.as_str(), at + 1, cluster), &pattern) {
            (Ok(unit), _) => units.push(unit),
            (Err(Invalid(why)), Some(pattern)) => {
                let reason = format!("[etcd] unit cannot be {} on {}: {why}", quoted(text), node.name);
                diagnostics.mistake(Mistake::new(pattern.span(), reason));
                break;
            }
            (Err(_), None) => {}
        }
    }
    units
}

fn ports(diagnostics: &mut Diagnostics, table: &Section) -> [Option<u16>; 3] {
    const KEYS: [&str; 3] = ["client-port", "peer-port", "metrics-port"];
    const USUAL: [Option<u16>; 3] = [Some(CLIENT_PORT), Some(PEER_PORT), None];
    let given = KEYS.map(|key| table.number(diagnostics, key).and_then(|port| u16::try_from(port).ok()));
    for (one, other) in [(0, 1), (0, 2), (1, 2)] {
        let [first, second] = [one, other].map(|at| given[at].or(USUAL[at]));
        if first != second || first.is_none() {
            continue;
        }
        let port = first.unwrap_or_default();
        let (place, earlier) = match given[other] {
            Some(_) => (table.place(KEYS[other]), table.place(KEYS[one])),
            None => (table.place(KEYS[one]), None),
        };
        let reason = format!("[etcd] {} and {} are both {port}", KEYS[one], KEYS[other]);
        let mistake = Mistake::new(place, reason).help("a port has one listener; change one of the two");
        diagnostics.mistake(match earlier {
            Some(earlier) => mistake.other(earlier, "the other one"),
            None => mistake,
        });
    }
    given
}

/// A name needs a domain: only then do the nodes have each other's names in their hosts files.
fn host(
    diagnostics: &mut Diagnostics,
    table: &Section,
    key: &'static str,
    beside: &Beside,
) -> Option<UrlHost> {
    let is_peers = key != "client-url";
    let choices = if is_peers { UrlHost::OF_PEERS } else { UrlHost::CHOICES };
    let host = table.choice(diagnostics, key, choices)?;
    let without = beside.nodes.iter().find(|node| node.public.is_none());
    if let (UrlHost::Public, Some(node)) = (host, without) {
        let reason = format!("[etcd] {key} is \"public-address\", but {} has none", node.name);
        let help = "write public-address in each [[node]]";
        diagnostics.mistake(Mistake::new(table.place(key), reason).help(help));
    }
    if host == UrlHost::Fqdn && is_peers && beside.nodes.iter().any(|node| node.peer.is_some()) {
        let reason = format!(
            "[etcd] {key} is \"fqdn\", but the nodes' names are those of their addresses for clients, where no peer listens"
        );
        let help = format!("write {key} = \"address\", which is the peer-address with [network.peer]");
        diagnostics.mistake(Mistake::new(table.place(key), reason).help(help));
    }
    if host == UrlHost::Fqdn && beside.cluster.is_some_and(|cluster| cluster.domain.is_none()) {
        let reason = format!("[etcd] {key} is \"fqdn\", but the cluster has no domain");
        let help = "write domain in [cluster], as in domain = \"kloud.lan\"";
        diagnostics.mistake(Mistake::new(table.place(key), reason).help(help));
    }
    Some(host)
}

fn config_dir(diagnostics: &mut Diagnostics, table: &Section, beside: &Beside) -> Option<GuestPath> {
    let given = table.value_with(diagnostics, "config-dir", directories::config);
    let (path, place) = match given {
        Some(given) => (given.get_ref().clone(), Some(given.span())),
        None if table.has("config-dir") => return None,
        None => (format!("etc/etcd{}", beside.instance.suffix()).parse().ok()?, table.place("instance")),
    };
    let within =
        |file: &&&str| beside.pki.is_some_and(|pki| pki.directory.is_within(&format!("{path}/{file}")));
    if let Some(file) = directories::CONFIG_FILES.iter().find(within) {
        let reason = format!("{file} in [etcd] config-dir is a file, and [pki] directory is at its path");
        diagnostics.mistake(Mistake::new(place, reason).help("move one of the two"));
    }
    Some(path)
}

fn wal_dir(diagnostics: &mut Diagnostics, table: &Section, beside: &Beside) -> Option<GuestPath> {
    let given = table.value_with(diagnostics, "wal-dir", directories::wal)?;
    let wal = given.get_ref();
    // The directory that it is in becomes etcd's own, and that of the keys is root's.
    let parent = wal.parents().last();
    let keys = beside.pki.map(|pki| &pki.directory);
    let with_keys = keys.filter(|keys| parent.as_ref().is_some_and(|parent| keys.overlaps(parent)));
    let with_data = beside.data_dir.filter(|data| data.overlaps(wal));
    for (what, other) in [("the data directory", with_data), ("the certificates' directory", with_keys)] {
        let Some(other) = other else { continue };
        let reason = format!(
            "the log's directory {}, or the one that it is in, and {what} {} must not contain each other",
            wal.absolute(),
            other.absolute()
        );
        let help = "etcd wants each of them for itself, as in wal-dir = \"/srv/etcd-wal/wal\"";
        diagnostics.mistake(Mistake::new(given.span(), reason).help(help));
    }
    Some(given.into_inner())
}
