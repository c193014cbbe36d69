//! The shapes of etcdctl's JSON.

use serde::Deserialize;

/// An ID as etcdctl prints it in its tables.
pub fn hex_id(id: u64) -> String {
    format!("{id:x}")
}

/// IDs and counters are 64-bit numbers; etcd's JSON leaves out what is zero.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Header {
    pub cluster_id: u64,
    pub member_id: u64,
    pub revision: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub struct StatusRow {
    #[serde(rename = "Status")]
    pub status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Status {
    pub header: Header,
    pub version: String,
    pub db_size: u64,
    pub leader: u64,
    pub raft_index: u64,
    pub raft_term: u64,
    pub raft_applied_index: u64,
    pub errors: Vec<String>,
    pub is_learner: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub struct MemberList {
    pub header: Header,
    #[serde(default)]
    pub members: Vec<ListedMember>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(default)]
pub struct ListedMember {
    #[serde(rename = "ID")]
    pub id: u64,
    pub name: String,
    #[serde(rename = "peerURLs")]
    pub peer_urls: Vec<String>,
    #[serde(rename = "clientURLs")]
    pub client_urls: Vec<String>,
    #[serde(rename = "isLearner")]
    pub is_learner: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub struct HealthRow {
    #[serde(default)]
    pub health: bool,
    #[serde(default)]
    pub error: String,
}

#[derive(Clone, Debug, Deserialize)]
pub struct HashRow {
    #[serde(rename = "HashKV")]
    pub hash: Hash,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Hash {
    pub hash: u32,
    /// Hashes cover the range between this revision and the requested one.
    pub compact_revision: i64,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Alarms {
    #[serde(default)]
    pub alarms: Vec<Alarm>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Alarm {
    #[serde(rename = "memberID")]
    pub member_id: u64,
    /// etcd's AlarmType: 1 NOSPACE, 2 CORRUPT.
    pub alarm: i64,
}

/// `lease grant` has no header of its own, and its names begin with capitals.
#[derive(Clone, Debug, Deserialize)]
pub struct Lease {
    #[serde(rename = "ID")]
    pub id: u64,
}

/// Only the header of `put` and `lease revoke` is used.
#[derive(Clone, Debug, Deserialize)]
pub struct Written {
    pub header: Header,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Range {
    #[serde(default)]
    pub header: Header,
    #[serde(default)]
    pub kvs: Vec<KeyValue>,
    /// Of all that match.
    #[serde(default)]
    pub count: u64,
}

/// Both in base64, as JSON has no bytes.
#[derive(Clone, Debug, Deserialize)]
pub struct KeyValue {
    pub key: String,
    #[serde(default)]
    pub value: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A regression test: one ID in sixteen begins with a zero, and verify took it for another cluster's.
    #[test]
    fn an_id_with_a_leading_zero_is_written_as_etcdctl_writes_it() {
        assert_eq!(hex_id(0x060a_2f48_8ab1_9660), "60a2f488ab19660");
        assert_eq!(hex_id(0xe33f_550d_f7f5_d6bb), "e33f550df7f5d6bb");
    }

    #[test]
    fn a_started_member_has_names_and_urls() {
        // Written by etcdctl 3.5.16; the second member was added and not started.
        let json = r#"{"header":{"cluster_id":17237436991929493444,"member_id":9372538179322589801,"raft_term":2},
            "members":[{"ID":9372538179322589801,"name":"cp-a","peerURLs":["https://10.240.16.10:2380"],
            "clientURLs":["https://10.240.16.10:2379"]},{"ID":5,"peerURLs":["https://x:2380"],"isLearner":true}]}"#;
        let list: MemberList = serde_json::from_str(json).unwrap();
        assert_eq!(list.header.cluster_id, 17_237_436_991_929_493_444);
        assert_eq!(list.members[0].name, "cp-a");
        assert!(list.members[1].name.is_empty() && list.members[1].is_learner);
    }
}
