//! What differs between etcd releases, as questions.

use crate::etcd::keys::{self, GoType};
use crate::etcd::{Release, Value};

/// What a release takes for the common name that a peer's certificate must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllowedCn {
    /// `--peer-cert-allowed-cn` only; the config file ignores the key without a word.
    FlagOnly,
    /// The config file takes one name.
    Text,
    /// The config file takes a list, and etcd does not start with anything else.
    List,
}

impl AllowedCn {
    /// The value of `peer-transport-security.allowed-cn`, which as a flag is the same text; `None` when there are
    /// several names and only one is taken.
    pub fn value(self, names: &[&str]) -> Option<Value> {
        match (self, names) {
            (AllowedCn::List, names) => Some(Value::List(names.iter().map(|name| (*name).into()).collect())),
            (AllowedCn::FlagOnly | AllowedCn::Text, [name]) => Some(Value::Text((*name).into())),
            _ => None,
        }
    }
}

/// The answers come from the table of keys, so that nothing but that table compares release numbers.
impl Release {
    /// The options, as in `[etcd.config]`, that make a member look for damaged data when it starts and compare
    /// itself with the leader afterwards: off by default in every release.
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

    /// Whether it knows `tls-min-version` and `tls-max-version`.
    pub fn supports_tls_versions(self) -> bool {
        keys::lookup(self, "tls-min-version").is_some()
    }

    /// How to keep every certificate but a peer's off the peer port.
    pub fn peer_allowed_cn(self) -> AllowedCn {
        match keys::lookup(self, "peer-transport-security.allowed-cn") {
            None => AllowedCn::FlagOnly,
            Some(GoType::Strings) => AllowedCn::List,
            Some(_) => AllowedCn::Text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_between_releases() {
        let cases = [
            (Release::new(3, 4, 23), "experimental-initial-corrupt-check", false, AllowedCn::FlagOnly),
            (Release::new(3, 5, 4), "experimental-initial-corrupt-check", false, AllowedCn::FlagOnly),
            (
                Release::new(3, 5, 13),
                "experimental-initial-corrupt-check experimental-compact-hash-check-enabled",
                true,
                AllowedCn::FlagOnly,
            ),
            (
                Release::new(3, 5, 14),
                "experimental-initial-corrupt-check experimental-compact-hash-check-enabled",
                true,
                AllowedCn::Text,
            ),
            (
                Release::new(3, 5, 16),
                "experimental-initial-corrupt-check experimental-compact-hash-check-enabled",
                true,
                AllowedCn::List,
            ),
            (Release::new(3, 6, 0), "feature-gates", true, AllowedCn::List),
            (Release::new(3, 7, 1), "feature-gates", true, AllowedCn::List),
        ];
        for (release, checks, tls, cn) in cases {
            let keys: Vec<_> = release.corruption_checks().into_iter().map(|(key, _)| key).collect();
            assert_eq!(keys.join(" "), checks, "{release}");
            assert_eq!(release.supports_tls_versions(), tls, "{release}");
            assert_eq!(release.peer_allowed_cn(), cn, "{release}");
        }
    }
}
