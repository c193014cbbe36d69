//! `[etcd] instance`: a cluster beside others on the same nodes.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Span;
use super::diagnostics::Diagnostics;
use super::mistake::Mistake;
use super::reader::{Section, listed};
use crate::values::{Carrier, InstanceName};

/// The keys of `[etcd]` that two clusters on the same nodes must not have the same.
const KEYS: [&str; 11] = [
    "instance",
    "client-port",
    "peer-port",
    "metrics-port",
    "unit",
    "service",
    "user",
    "config-dir",
    "data-dir",
    "wal-dir",
    "version",
];

/// The instance that a profile names, or the usual one.
pub(super) fn read(diagnostics: &mut Diagnostics, table: &Section) -> InstanceName {
    mark(diagnostics, table, &KEYS);
    table.value(diagnostics, "instance").map(Spanned::into_inner).unwrap_or_default()
}

/// Notes where keys of a table are, for clashes with other profiles.
pub(super) fn mark(diagnostics: &mut Diagnostics, table: &Section, keys: &[&'static str]) {
    diagnostics.marks.keys.extend(keys.iter().filter_map(|key| Some((*key, table.place(key)?))));
}

/// Tables that describe the machine, with the keys in them that concern a member, too.
const OF_HOST: [(&str, &str, &[&str]); 4] = [
    ("network", "[network]", &["cidr", "ipv6-cidr", "subnet", "peer"]),
    ("peer", "[network.peer]", &["cidr"]),
    ("machine", "[machine]", &["login-user", "ssh-keys"]),
    (
        "node",
        "[[node]]",
        &["name", "address", "ipv6-address", "peer-address", "public-address", "host", "config"],
    ),
];

/// Warns of keys of the profile itself that say how machines are set up, which another cluster does. A base that both
/// share has them for that one.
pub(super) fn warn_of_host_keys(diagnostics: &mut Diagnostics, document: &DeTable, instance: &InstanceName) {
    if instance.owns_host() {
        return;
    }
    let mut found: Vec<(Span, String)> = Vec::new();
    let mut look = |table: &DeTable, title: &str, used: &[&str]| {
        let idle = table.iter().filter(|(key, _)| !used.contains(&key.get_ref().as_ref()));
        let own = idle.filter(|(key, _)| diagnostics.is_own(&key.span()));
        found.extend(own.map(|(key, _)| (key.span(), format!("{title} {}", key.get_ref()))));
    };
    for (key, title, used) in OF_HOST {
        let within = match key {
            "peer" => document.get("network").and_then(|network| network.get_ref().get("peer")),
            _ => document.get(key),
        };
        match within.map(Spanned::get_ref) {
            Some(DeValue::Table(table)) => look(table, title, used),
            Some(DeValue::Array(tables)) => {
                tables
                    .iter()
                    .filter_map(|one| one.get_ref().as_table())
                    .for_each(|one| look(one, title, used));
            }
            _ => {}
        }
    }
    found.sort_by_key(|(span, _)| span.start);
    let Some((first, _)) = found.first() else { return };
    let first = first.clone();
    let mut keys: Vec<String> = Vec::new();
    for (_, key) in found {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let verb = if keys.len() == 1 { "has" } else { "have" };
    let text = format!(
        "{} {verb} no effect for the instance {instance}: the machines and their network are set up by the cluster of the \
         instance {}; write them in its profile",
        listed(&keys),
        InstanceName::default()
    );
    diagnostics.warn(Some(&first), text);
}

/// Whether an instance can come to a node by a carrier: the machine itself is set up by the one that owns it.
pub(super) fn takes(instance: &InstanceName, carrier: Carrier) -> bool {
    instance.owns_host() || !carrier.sets_up_host
}

/// Refuses carriers that a profile names and that would set up the nodes a second time.
pub(super) fn check_carriers(
    diagnostics: &mut Diagnostics,
    instance: &InstanceName,
    chosen: &[Spanned<Carrier>],
    all: &[Carrier],
) {
    for carrier in chosen.iter().filter(|carrier| !takes(instance, *carrier.get_ref())) {
        let reason = format!(
            "the carrier {} sets up a machine, with its network and its names, which belong to the cluster of the instance \
             {}; this one is {instance}",
            carrier.get_ref(),
            InstanceName::default()
        );
        let others: Vec<_> = all.iter().filter(|one| takes(instance, **one)).map(|one| one.name).collect();
        let help = format!("for this cluster, use {}, or omit carriers", listed(&others));
        diagnostics.mistake(Mistake::new(carrier.span(), reason).help(help));
    }
}
