//! Differences between the CAs that a keystore has recorded and those that a profile describes.

use std::fmt::Display;
use std::net::IpAddr;

use super::record::{Fixed, Signer};
use super::recorded::describe;
use crate::plan::{CA, CertificateSpec, Made, Permits, Plan};

/// Each difference of an authority, with what to do, except for the algorithm and the lifetime of `ca`, which `Signer`
/// has.
pub(super) fn of(name: &'static str, was: &Fixed, is: &Fixed, plan: &Plan) -> Option<String> {
    let (old, new) = (made(name, was, plan), made(name, is, plan));
    let (old, new) = match (name, old, new) {
        (CA, Some(old), Some(new)) => {
            let new = Made { algorithm: old.algorithm, lifetime: old.lifetime, ..new };
            (Some(old), Some(new))
        }
        (_, old, new) => (old, new),
    };
    if old == new {
        return None;
    }
    let another = "or use another --keystore for a new cluster";
    Some(match (old, new) {
        (Some(old), Some(new)) => match (&old.permits, &new.permits) {
            (permitted, wanted)
                if old != (Made { permits: old.permits.clone(), ..new.clone() }) || permitted == wanted =>
            {
                format!(
                    "the CA {name} would be another one than that under which certificates were issued, and nodes would refuse \
                     the new certificates: it was {}; it would be {}; write [pki.{name}] as it was, {another}",
                    describe(&old),
                    describe(&new)
                )
            }
            (Some(permitted), Some(wanted)) => of_names(name, permitted, wanted, plan),
            (permitted, _) => {
                let (was, is, way_out) = match permitted {
                    Some(_) => ("with", "without", "write"),
                    None => ("without", "with", "omit"),
                };
                format!(
                    "the CA {name} was made {was} name constraints, and would be made again {is} them, as another certificate \
                     that nodes do not have; {way_out} name-constraints = true in [pki.{name}], {another}"
                )
            }
        },
        (None, Some(new)) => format!(
            "certificates of peers were issued under the CA {CA}, and would be issued under another one, {}, which nodes do \
             not trust; omit [pki.{name}], {another}",
            describe(&new)
        ),
        (Some(old), None) => format!(
            "certificates of peers were issued under a CA of their own, {}, and would be issued under the CA {CA}, which \
             nodes do not trust for peers; write [pki.{name}] as it was, {another}",
            describe(&old)
        ),
        (None, None) => return None,
    })
}

/// What a record says of a CA that Kiln makes. One that an algorithm and a lifetime determine is recorded by these.
/// `None` where there is none, or an imported one.
fn made(name: &str, of: &Fixed, plan: &Plan) -> Option<Made> {
    let recorded = of.authorities.iter().find(|(other, _)| *other == name).map(|(_, made)| made.clone());
    recorded.or(match of.signer {
        Signer::Derived { algorithm, lifetime } if name == CA => {
            Some(Made::plain(&plan.cluster.name, algorithm, lifetime))
        }
        _ => None,
    })
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
        "the CA {authority} may issue only for what the profile had when it was made, and for names below that \
         ([pki.{authority}] name-constraints), and this has changed: {}; write it as it was, or use another --keystore for \
         a new cluster, whose CA permits the new names",
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
