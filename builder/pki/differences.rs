//! Differences between the CAs that a keystore has recorded and those that a profile describes.

use std::fmt::Display;
use std::net::IpAddr;

use super::recorded::{Recorded, describe};
use crate::plan::{CA, CertificateSpec, Made, PEER_CA, Permits, Plan};

/// Each difference, with what to do.
pub(super) fn of(was: &[Recorded], is: &[Recorded], plan: &Plan) -> Vec<String> {
    let find = |all: &[Recorded], name: &str| {
        all.iter().find(|(other, _)| *other == name).map(|(_, made)| made.clone())
    };
    let mut reasons = Vec::new();
    for name in [CA, PEER_CA] {
        let (was, is) = (find(was, name), find(is, name));
        if was == is {
            continue;
        }
        if let (Some(was), Some(is)) = (&was, &is)
            && let (Some(permitted), Some(wanted)) = (&was.permits, &is.permits)
            && *was == (Made { permits: was.permits.clone(), ..is.clone() })
        {
            reasons.push(of_names(name, permitted, wanted, plan));
            continue;
        }
        let shown = |made: &Option<Made>| match (made, name) {
            (Some(made), _) => describe(made),
            (None, CA) => "a CA with the usual subject".to_owned(),
            (None, _) => "none".to_owned(),
        };
        reasons.push(format!(
            "the CA {name} would be another one than that under which certificates were issued, and nodes would refuse the \
             new certificates: it was {}; it would be {}; write [pki.{name}] as it was, or use another --keystore for a new \
             cluster",
            shown(&was),
            shown(&is)
        ));
    }
    reasons
}

/// A CA with name constraints names all that it issues for, so the nodes and clients of a profile are part of it.
fn of_names(authority: &str, permitted: &Permits, wanted: &Permits, plan: &Plan) -> String {
    fn without<T: PartialEq + Display>(all: &[T], others: &[T]) -> Vec<String> {
        all.iter().filter(|one| !others.contains(one)).map(ToString::to_string).collect()
    }
    let all_without = |one: &Permits, other: &Permits| {
        [without(&one.dns, &other.dns), without(&one.ips, &other.ips)].concat()
    };
    let (added, removed) = (all_without(wanted, permitted), all_without(permitted, wanted));
    let mut parts = Vec::new();
    if !added.is_empty() {
        let with_origin = |name: &String| format!("{name} ({})", origin(name, authority, plan));
        parts.push(format!("added: {}", added.iter().map(with_origin).collect::<Vec<_>>().join(", ")));
    }
    if !removed.is_empty() {
        parts.push(format!("no longer in the profile: {}", removed.join(", ")));
    }
    format!(
        "the CA {authority} may issue only for the names that the profile had when it was made ([pki.{authority}] \
         name-constraints), and these have changed: {}; write them as they were, or use another --keystore for a new \
         cluster, whose CA permits the new ones",
        parts.join("; ")
    )
}

/// Where a name of the profile comes from: `names of node cp-d`, `client backup`.
fn origin(name: &str, authority: &str, plan: &Plan) -> String {
    let has = |spec: &CertificateSpec| {
        let is_name = |dns: &String| dns.strip_prefix("*.").unwrap_or(dns) == name;
        spec.authority == authority
            && (spec.dns.iter().any(is_name)
                || name.parse::<IpAddr>().is_ok_and(|ip| spec.ips.contains(&ip))
                || spec.dns_like_common_name() == Some(name))
    };
    for node in &plan.nodes {
        if let Some(spec) = node.certificates.iter().find(|spec| has(spec)) {
            return format!("node {}, certificate {}", node.name, spec.file);
        }
    }
    match plan.clients.iter().find(|spec| has(spec)) {
        Some(client) => format!("client {}", client.file),
        None => "[cluster] domain".to_owned(),
    }
}
