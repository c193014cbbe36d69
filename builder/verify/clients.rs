//! The client certificates on nodes that renew the others: they come from the desk, which has to be told in time.

use super::certificates::judge;
use crate::bundle::Manifest;
use crate::bundle::manifest::Certificate;
use crate::report::Check;
use crate::values::Epoch;

const CHECK: &str = "client certificates in date";

/// A row for each node that renews, about the one that ends first.
pub fn check(manifest: &Manifest, now: Epoch) -> Vec<Check> {
    manifest.nodes.iter().filter_map(|node| row(manifest, node.name.as_str(), now)).collect()
}

/// `None` where the desk renews all of them: then they are in the row of the whole bundle.
fn row(manifest: &Manifest, node: &str, now: Epoch) -> Option<Check> {
    let is_here = |one: &&Certificate| one.node.as_ref().is_some_and(|name| name.as_str() == node);
    let here: Vec<_> = manifest.certificates.iter().filter(is_here).collect();
    let issuers: Vec<_> =
        here.iter().filter_map(|one| one.renewed.as_ref()).map(|renewed| &renewed.issuer).collect();
    if issuers.is_empty() {
        return None;
    }
    let is_client =
        |one: &&&Certificate| one.renewed.is_none() && one.ports.is_empty() && !issuers.contains(&&one.file);
    let first = here.iter().filter(is_client).min_by_key(|one| one.not_after)?;
    let what = format!("{} ({})", first.file, first.subject);
    Some(judge(CHECK, Some(node), first.not_before.seconds(), first.not_after.seconds(), now, &what))
}
