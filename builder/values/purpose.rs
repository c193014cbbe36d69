//! What a node has client certificates for.

/// A use that root on a node has for a client's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// etcdctl, by hand.
    Etcdctl,
    /// kiln-node, for the snapshots that it takes.
    Snapshot,
}

impl Purpose {
    /// Of the certificate's files and of its key's label; also the common name where all nodes have the same.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Etcdctl => "etcdctl",
            Self::Snapshot => "kiln-snapshot",
        }
    }

    /// The common name where each node has one of its own, as a pattern: a key that was copied is shut out alone. No
    /// host name has an `@`, so that OpenSSL compares it with no name constraint (`dns_like_common_name` in `plan`).
    pub fn of_each_node(self) -> String {
        format!("{}@{{{{node}}}}", self.name())
    }
}
