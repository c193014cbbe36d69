//! The identities that etcd computes for a new cluster: known before any machine boots.
//!
//! Source: `computeMemberID` and `genID` in server/etcdserver/api/membership of etcd.

use std::fmt;
use std::str::FromStr;

use sha1::{Digest, Sha1};

use crate::values::{Invalid, deserialize_parsed, hex, serialize_displayed};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            /// Lower-case hex without leading zeros, as `etcdctl member list` prints it (Go's `%x`).
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:x}", self.0)
            }
        }
        impl FromStr for $name {
            type Err = Invalid;
            /// In the same form, and not zero, which in etcd means no member.
            fn from_str(text: &str) -> Result<Self, Invalid> {
                let id = u64::from_str_radix(text, 16).ok().filter(|id| *id != 0).map(Self);
                id.filter(|id| id.to_string() == text)
                    .ok_or_else(|| Invalid("an ID is 1 to 16 hex digits without zeros before them".into()))
            }
        }
        deserialize_parsed!($name);
        serialize_displayed!($name);
    };
}

id!(
    /// An initial member's identity. The IDs of members that are added later also depend on the time.
    MemberId
);
id!(
    /// A cluster's identity: the hash of its initial members' identities.
    ClusterId
);

impl ClusterId {
    /// In the form near the beginning of every segment of etcd's log, in hex: field 2 of the protobuf message
    /// `Metadata` in server/etcdserver/etcdserverpb. Field 1, before it, is the member's ID.
    pub fn in_log(self) -> String {
        varint(2, self.0)
    }
}

impl MemberId {
    /// The same for a member of this cluster: both fields of that message.
    pub fn in_log(self, cluster: ClusterId) -> String {
        varint(1, self.0) + &cluster.in_log()
    }
}

/// A protobuf field of that type, in hex (protobuf.dev, "Encoding").
fn varint(field: u8, value: u64) -> String {
    let mut bytes = vec![field << 3];
    let mut rest = value;
    while rest >= 0x80 {
        bytes.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
    hex(&bytes)
}

/// The ID of an initial member from its advertised peer URLs, in any order, and the cluster's token.
pub fn member_id<S: AsRef<str>>(peer_urls: &[S], token: &str) -> MemberId {
    let mut urls: Vec<&str> = peer_urls.iter().map(AsRef::as_ref).collect();
    urls.sort_unstable();
    let mut hash = Sha1::new();
    urls.iter().for_each(|url| hash.update(url));
    hash.update(token);
    MemberId(first_eight(&hash.finalize()))
}

/// The ID of the cluster that these initial members, in any order, form.
pub fn cluster_id(members: &[MemberId]) -> ClusterId {
    let mut members = members.to_vec();
    members.sort_unstable();
    let mut hash = Sha1::new();
    members.iter().for_each(|id| hash.update(id.0.to_be_bytes()));
    ClusterId(first_eight(&hash.finalize()))
}

fn first_eight(digest: &[u8]) -> u64 {
    digest.iter().take(8).fold(0, |id, byte| id << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_has_it_as_a_varint() {
        let cases =
            [(0x180374b6f9774200, "108084ddcbef96dd8118"), (0, "1000"), (0x7f, "107f"), (0x80, "108001")];
        for (id, want) in cases {
            assert_eq!(ClusterId(id).in_log(), want);
        }
        assert_eq!(MemberId(0x80).in_log(ClusterId(1)), "0880011001");
    }

    /// The example of etcd's own documentation (op-guide, "Clustering guide").
    #[test]
    fn the_documented_cluster_has_the_documented_ids() {
        let id = |port: u16| member_id(&[format!("http://127.0.0.1:{port}")], "etcd-cluster-1");
        let members = [id(12380), id(22380), id(32380)];
        let shown = members.map(|id| id.to_string());
        assert_eq!(shown, ["8211f1d0f64f3269", "91bc3c398fb3c146", "fd422379fda50e48"]);
        let [a, b, c] = members;
        assert_eq!(cluster_id(&[c, a, b]).to_string(), "ef37ad9dc622a7c4");
    }

    #[test]
    fn ids_are_read_as_they_are_shown() {
        assert_eq!("8c2a02b3b2d63788".parse(), Ok(ClusterId(0x8c2a_02b3_b2d6_3788)));
        for bad in ["", "0", "08", "8C", "+8", "8 ", "18c2a02b3b2d63788", "x"] {
            assert!(bad.parse::<MemberId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn url_order_does_not_matter_and_zeros_are_not_padded() {
        assert_eq!(member_id(&["http://b", "http://a"], "t"), member_id(&["http://a", "http://b"], "t"));
        assert_ne!(member_id(&["http://a"], "t"), member_id(&["http://a"], "u"));
        assert_eq!(MemberId(0x0a).to_string(), "a");
    }
}
