//! `restore.json`: how a node becomes a member of the next generation of its cluster, from a snapshot.

use serde::{Deserialize, Deserializer, Serialize};

use super::backup::within;
use super::hex::{Digest, Id};
use super::place::MemberUrl;
use super::policy::{bounded, schema};
use super::text::{Account, FilePath, Name, text};

/// More members than a cluster has.
const MAX_MEMBERS: usize = 64;
/// More restores than anyone lives through.
const MAX_GENERATIONS: usize = 256;

/// On a disk that is attached to a machine, the orders have so many bytes, with zeros behind them; then comes the
/// snapshot.
pub const ATTACHED_ORDERS: usize = 1 << 20;
/// Of that disk. No node's name has a dot, so that no data disk has it.
pub const ATTACHED_SERIAL: &str = "kiln.restore";

text!(
    /// `initial-cluster-token`.
    ClusterToken,
    is_token,
    "a token has 1 to 255 printable ASCII characters without spaces, quotes and commas"
);
text!(
    /// A unit of systemd: `etcd.service`.
    Unit,
    is_unit,
    "a unit's name ends in .service, and has letters, digits, :, -, _, ., @ and \\ only"
);

fn is_token(text: &str) -> bool {
    (1..=255).contains(&text.len())
        && text.bytes().all(|byte| (b'!'..=b'~').contains(&byte) && !b"\"',\\".contains(&byte))
}

fn is_unit(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.@\\".contains(&byte);
    text.len() <= 255
        && text.bytes().all(inner)
        && text.strip_suffix(".service").is_some_and(|name| !name.is_empty() && !name.starts_with('-'))
}

/// The whole file. Unknown keys are refused: a program that is older than its orders would not do what they say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Restore {
    /// `SCHEMA`.
    #[serde(deserialize_with = "schema")]
    pub schema: u32,
    /// The cluster's name.
    pub cluster: Name,
    /// The node's name.
    pub node: Name,
    /// The one that this makes; the first restore of a cluster makes its second.
    #[serde(deserialize_with = "generation")]
    pub generation: u32,
    /// Identifies this restore: two of one keystore and an old copy of it have the same generation, and are not the
    /// same.
    pub restore: Id,
    /// Of the next generation.
    pub cluster_id: Id,
    /// Of this node in it.
    pub member_id: Id,
    /// What it may replace: the cluster's generations before, the first one first.
    #[serde(deserialize_with = "earlier")]
    pub earlier: Vec<Earlier>,
    /// What is restored.
    pub snapshot: Restored,
    /// `initial-cluster-token` of the next generation.
    pub token: ClusterToken,
    /// All members of it, this node among them.
    #[serde(deserialize_with = "members")]
    pub members: Vec<RestoredMember>,
    /// What is added to the revision, so that no watcher takes a new event for one that it has seen. Absent where etcd
    /// cannot: 3.4, and 3.5 before 3.5.10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bump: Option<u64>,
    /// etcdutl, or etcdctl where there is none.
    pub program: FilePath,
    /// Of the same.
    pub program_sha256: Digest,
    /// etcd's `data-dir`.
    pub data: FilePath,
    /// Its `wal-dir`, where it is not in the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wal: Option<FilePath>,
    /// That etcd runs as.
    pub account: Account,
    /// That etcd runs in.
    pub unit: Unit,
}

/// A generation that was before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Earlier {
    /// From 1.
    #[serde(deserialize_with = "super::backup::generation")]
    pub generation: u32,
    /// Of the cluster then.
    pub cluster_id: Id,
    /// Of this node in it: the data of another node is not replaced.
    pub member_id: Id,
}

/// The snapshot, in plain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Restored {
    /// Bytes of the database, with etcd's trailer.
    pub size: u64,
    /// Of the same.
    pub sha256: Digest,
    /// The highest revision in it.
    pub revision: u64,
}

/// A member of the next generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RestoredMember {
    /// Of its node.
    pub name: Name,
    /// Where its peers find it.
    pub peer_url: MemberUrl,
}

impl Restore {
    /// What a type of one field alone cannot say.
    ///
    /// # Errors
    /// The reason.
    pub fn check(&self) -> Result<(), &'static str> {
        let counted = (1..).zip(&self.earlier).all(|(number, one)| one.generation == number);
        let has_itself = self.members.iter().any(|member| member.name == self.node);
        match () {
            () if !counted || self.earlier.len() + 1 != self.generation as usize => {
                Err("the generations before are not all there, each once")
            }
            () if self.earlier.iter().any(|one| one.cluster_id == self.cluster_id) => {
                Err("a generation before has the ID of the new one")
            }
            () if !has_itself => Err("the node itself is not among the members"),
            () if self.is_nested() => Err("the wal-dir's directory and the data are one in the other"),
            () if !super::snapshot::is_whole(self.snapshot.size) => {
                Err("no snapshot of etcd has the size that is written here")
            }
            () => Ok(()),
        }
    }

    /// Whether the directory that the `wal-dir` is in is not apart from the data.
    fn is_nested(&self) -> bool {
        let within = |inner: &str, outer: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let data = self.data.as_str();
        let parent =
            self.wal.as_ref().map(|wal| wal.as_str().rsplit_once('/').map_or("", |(parent, _)| parent));
        parent.is_some_and(|parent| within(parent, data) || within(data, parent))
    }

    /// Where its peers find this node.
    pub fn peer_url(&self) -> Option<&MemberUrl> {
        self.members.iter().find(|member| member.name == self.node).map(|member| &member.peer_url)
    }
}

fn generation<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    within(from, &(2..=u32::MAX), "a restore makes the second generation or a later one")
}

fn earlier<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Earlier>, D::Error> {
    bounded(from, 1, MAX_GENERATIONS)
}

fn members<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<RestoredMember>, D::Error> {
    bounded(from, 1, MAX_MEMBERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> String {
        r#"{
        "schema": 1, "cluster": "ha3", "node": "cp-a", "generation": 2, "restore": "0123456789abcdef",
        "cluster-id": "00aa000000000002", "member-id": "00bb000000000002",
        "earlier": [{"generation": 1, "cluster-id": "00aa000000000001", "member-id": "00bb000000000001"}],
        "snapshot": {"size": 20512, "sha256": "SHA", "revision": 7},
        "token": "ha3-0123abcd-g2", "members": [{"name": "cp-a", "peer-url": "https://10.0.0.1:2380"}],
        "bump": 1000000000, "program": "/usr/local/bin/etcdutl", "program-sha256": "SHA",
        "data": "/var/lib/etcd", "account": "etcd", "unit": "etcd.service"
    }"#
        .replace("SHA", &"0a".repeat(32))
    }

    #[test]
    fn orders_come_back_as_they_were_written() {
        let restore: Restore = serde_json::from_str(&good()).unwrap();
        assert_eq!(restore.check(), Ok(()));
        let again = serde_json::to_string(&restore).unwrap();
        assert_eq!(serde_json::from_str::<Restore>(&again).unwrap(), restore);
    }

    #[test]
    fn each_value_has_its_rule() {
        for (from, to, why) in [
            ("\"generation\": 2", "\"generation\": 1", "second generation"),
            ("etcd.service", "etcd.socket", ".service"),
            ("etcd.service", "../etcd.service", ".service"),
            ("ha3-0123abcd-g2", "a b", "token"),
            ("\"unit\"", "\"units\"", "unknown field"),
        ] {
            assert!(good().contains(from), "{from}");
            let said =
                serde_json::from_str::<Restore>(&good().replacen(from, to, 1)).unwrap_err().to_string();
            assert!(said.contains(why), "{to}: {said}");
        }
    }

    #[test]
    fn fields_agree_with_each_other() {
        for (from, to) in [
            ("\"node\": \"cp-a\"", "\"node\": \"cp-b\""),
            ("00aa000000000001", "00aa000000000002"),
            ("\"generation\": 2", "\"generation\": 3"),
            ("\"generation\": 1,", "\"generation\": 2,"),
            ("20512", "20513"),
            ("\"unit\"", "\"wal\": \"/var/lib/etcd/wal\", \"unit\""),
            ("\"unit\"", "\"wal\": \"/var/lib/wal\", \"unit\""),
            ("\"unit\"", "\"wal\": \"/wal\", \"unit\""),
        ] {
            let restore: Restore = serde_json::from_str(&good().replacen(from, to, 1)).unwrap();
            assert!(restore.check().is_err(), "{to}");
        }
    }
}
