//! `[etcd] instance`: a cluster beside others on the same nodes.

use toml::Spanned;

use super::diagnostics::Diagnostics;
use super::mistake::Mistake;
use super::reader::{Section, listed};
use crate::values::{Carrier, InstanceName};

/// The keys of `[etcd]` that two clusters on the same nodes must not have the same.
const KEYS: [&str; 10] = [
    "instance",
    "client-port",
    "peer-port",
    "metrics-port",
    "unit",
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
