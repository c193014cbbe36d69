//! Values that etcd accepts but that are risky.

use super::features::CHECK_OFF;
use super::set::Set;
use crate::etcd::{PeerNames, Release, Value};
use crate::profile::diagnostics::Diagnostics;

/// The checks that `Release::corruption_checks` turns on.
pub const CORRUPTION_CHECKS: [&str; 2] =
    ["experimental-initial-corrupt-check", "experimental-compact-hash-check-enabled"];

pub(super) fn warn(diagnostics: &mut Diagnostics, set: &Set, release: Release) {
    for (option, span) in set {
        let text = match (option.key.as_str(), &option.value) {
            ("quota-backend-bytes", Value::Int(bytes)) if *bytes > 8 << 30 => {
                "quota-backend-bytes is more than 8 GiB, the most that etcd recommends: starts and snapshots become slow"
            }
            ("quota-backend-bytes", Value::Int(..0)) => {
                "quota-backend-bytes is negative: there is no limit, and a full disk stops the member"
            }
            ("pre-vote", Value::Bool(false)) => {
                "pre-vote is off: a member that returns from a network partition forces an election"
            }
            (key, Value::Bool(false)) if CORRUPTION_CHECKS.contains(&key) => CHECK_OFF,
            ("client-transport-security.allowed-hostname" | "client-cert-allowed-hostname", _) => {
                "only clients whose certificate has this name are served: client certificates issued by Kiln have none, \
                 so kiln verify and etcdctl are refused"
            }
            ("experimental-memory-mlock" | "memory-mlock", Value::Bool(true)) => {
                "etcd locks its database in memory, for which its unit needs LimitMEMLOCK=infinity in a drop-in"
            }
            (key, Value::Bool(true)) if key.ends_with("skip-client-san-verification") => {
                "members no longer check that a peer's certificate belongs to its address"
            }
            ("client-transport-security.allowed-cn", _) if release.peer_names() != PeerNames::FlagOnly => {
                "only clients with this common name are served: kiln verify and etcdctl use the name etcdctl"
            }
            _ => continue,
        };
        diagnostics.warn(Some(span), text);
    }
}
