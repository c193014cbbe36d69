//! Differences between etcd releases.

use crate::etcd::keys::{self, GoType};
use crate::etcd::{Release, Value};

/// The form in which a release accepts the names that peers' certificates must have: common names (`allowed-cn`), or
/// host names (`allowed-hostname`), which came to the config file together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerNames {
    /// As flags only; the config file silently ignores the keys.
    FlagOnly,
    /// The config file takes one name.
    Text,
    /// The config file takes a list, and etcd does not start with anything else.
    List,
}

impl PeerNames {
    /// The value of the key, which is the same text as a flag; `None` when there are several names and only one is
    /// accepted.
    pub fn value(self, names: &[&str]) -> Option<Value> {
        match (self, names) {
            (PeerNames::List, names) => Some(Value::List(names.iter().map(|name| (*name).into()).collect())),
            (PeerNames::FlagOnly | PeerNames::Text, [name]) => Some(Value::Text((*name).into())),
            _ => None,
        }
    }
}

/// The answers come from the table of keys, so that only that table compares release numbers.
impl Release {
    /// The options, as in `[etcd.config]`, that make a member check its data when it starts and compare itself with
    /// the leader afterwards: off by default in every release.
    pub fn corruption_checks(self) -> Vec<(&'static str, Value)> {
        if keys::lookup(self, "feature-gates").is_some() {
            let gates = "InitialCorruptCheck=true,CompactHashCheck=true";
            return vec![("feature-gates", Value::Text(gates.into()))];
        }
        ["experimental-initial-corrupt-check", "experimental-compact-hash-check-enabled"]
            .into_iter()
            .filter(|key| keys::lookup(self, key).is_some())
            .map(|key| (key, Value::Bool(true)))
            .collect()
    }

    /// How to limit the peer port to certificates of peers.
    pub fn peer_names(self) -> PeerNames {
        match keys::lookup(self, "peer-transport-security.allowed-cn") {
            None => PeerNames::FlagOnly,
            Some(GoType::Strings) => PeerNames::List,
            Some(_) => PeerNames::Text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_between_releases() {
        let cases = [
            (Release::new(3, 4, 23), "experimental-initial-corrupt-check", PeerNames::FlagOnly),
            (Release::new(3, 5, 4), "experimental-initial-corrupt-check", PeerNames::FlagOnly),
            (
                Release::new(3, 5, 13),
                "experimental-initial-corrupt-check experimental-compact-hash-check-enabled",
                PeerNames::FlagOnly,
            ),
            (
                Release::new(3, 5, 14),
                "experimental-initial-corrupt-check experimental-compact-hash-check-enabled",
                PeerNames::Text,
            ),
            (
                Release::new(3, 5, 16),
                "experimental-initial-corrupt-check experimental-compact-hash-check-enabled",
                PeerNames::List,
            ),
            (Release::new(3, 6, 0), "feature-gates", PeerNames::List),
            (Release::new(3, 7, 1), "feature-gates", PeerNames::List),
        ];
        for (release, checks, cn) in cases {
            let keys: Vec<_> = release.corruption_checks().into_iter().map(|(key, _)| key).collect();
            assert_eq!(keys.join(" "), checks, "{release}");
            assert_eq!(release.peer_names(), cn, "{release}");
        }
    }
}
