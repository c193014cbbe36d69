//! Files of certificates and keys, by their names.

/// What is in a file with a name of this ending. The ending alone tells the two apart, in a bundle as on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PemFile {
    Certificate,
    Key,
}

/// Each ending with what it is of; `-key.pem` before `.pem`, which is the end of it.
const ENDINGS: [(&str, PemFile); 4] = [
    ("-key.pem", PemFile::Key),
    (".key", PemFile::Key),
    (".pem", PemFile::Certificate),
    (".crt", PemFile::Certificate),
];

impl PemFile {
    /// A name in two, and what it is of. `None` without an ending, for one that is nothing else, and for `x-key.crt`: a
    /// certificate whose name in `.pem` would be that of a key.
    pub fn split(name: &str) -> Option<(Self, &str, &'static str)> {
        let of = |(ending, of): (&'static str, Self)| Some((of, name.strip_suffix(ending)?, ending));
        let (of, stem, ending) = ENDINGS.into_iter().find_map(of)?;
        let is_either = of == Self::Certificate && stem.ends_with("-key");
        (!stem.is_empty() && !is_either).then_some((of, stem, ending))
    }

    pub fn of(name: &str) -> Option<Self> {
        Self::split(name).map(|(of, ..)| of)
    }

    /// Whether a name ends as one of either.
    pub fn has_ending(name: &str) -> bool {
        ENDINGS.iter().any(|(ending, _)| name.ends_with(ending))
    }

    /// The name that Kiln gives without being told: `peer.pem`, `peer-key.pem`.
    pub fn usual(self, stem: &str) -> String {
        match self {
            Self::Certificate => format!("{stem}.pem"),
            Self::Key => format!("{stem}-key.pem"),
        }
    }
}

/// The names of a certificate's file and its key's.
#[derive(Clone, Copy)]
pub struct PemPair {
    pub cert: &'static str,
    pub key: &'static str,
}

/// A CA: its files in a keystore, and the certificate in a bundle's `client/` and usually on nodes.
pub const CA_FILES: PemPair = PemPair { cert: "ca.pem", key: "ca-key.pem" };
/// The CA of the peer port alone.
pub const PEER_CA_FILES: PemPair = PemPair { cert: "peer-ca.pem", key: "peer-ca-key.pem" };
/// Usually on nodes.
pub const SERVER_FILES: PemPair = PemPair { cert: "server.pem", key: "server-key.pem" };
/// Usually on nodes.
pub const PEER_FILES: PemPair = PemPair { cert: "peer.pem", key: "peer-key.pem" };
/// Usually on nodes with one certificate for all uses.
pub const NODE_FILES: PemPair = PemPair { cert: "etcd.pem", key: "etcd-key.pem" };
/// The client certificate of every bundle: in `client/`, and usually on nodes.
pub const OPERATOR_FILES: PemPair = PemPair { cert: "etcdctl.pem", key: "etcdctl-key.pem" };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_tells_what_is_in_a_file() {
        for (name, want) in [
            ("a.crt", Some((PemFile::Certificate, "a", ".crt"))),
            ("a.pem", Some((PemFile::Certificate, "a", ".pem"))),
            ("a-key.pem", Some((PemFile::Key, "a", "-key.pem"))),
            ("a.key", Some((PemFile::Key, "a", ".key"))),
            ("a-key.key", Some((PemFile::Key, "a-key", ".key"))),
            ("a-key.crt", None),
            ("-key.pem", None),
            (".pem", None),
            (".key", None),
            ("a.txt", None),
            ("", None),
        ] {
            assert_eq!(PemFile::split(name), want, "{name}");
        }
        for of in [PemFile::Certificate, PemFile::Key] {
            assert_eq!(PemFile::of(&of.usual("a")), Some(of));
        }
    }
}
