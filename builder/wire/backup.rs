//! `backup.json`: how a node takes snapshots of its member.

use serde::{Deserialize, Deserializer, Serialize, de};

use super::hex::{Id, PublicKey};
use super::place::{Bucket, MemberUrl, OriginUrl, Prefix, Recipient, Region};
use super::policy::{bounded, schema};
use super::prune::Retention;
use super::text::{FilePath, Name};

const DAY: u64 = 86_400;
/// Between two runs, in seconds.
const INTERVALS: std::ops::RangeInclusive<u64> = 60..=30 * DAY;
/// Snapshots on the node's own disk.
const KEPT: std::ops::RangeInclusive<u32> = 1..=10_000;
/// A hundred years of locks or of retention, in days.
const DAYS: std::ops::RangeInclusive<u32> = 1..=36_500;
/// More than anybody can look after.
pub(crate) const MAX_RECIPIENTS: usize = 32;
/// More nodes than a cluster has members.
const MAX_SIGNERS: usize = 256;

/// The whole file. Unknown keys are refused: a program that is older than its policy would not do what it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Backup {
    /// `SCHEMA`.
    #[serde(deserialize_with = "schema")]
    pub schema: u32,
    /// The cluster's name.
    pub cluster: Name,
    /// The node's name.
    pub node: Name,
    /// Which etcd must answer.
    pub cluster_id: Id,
    /// Of the cluster: 1 from its birth, one more with each restore.
    #[serde(deserialize_with = "generation")]
    pub generation: u32,
    /// The epoch of the build, in seconds since 1970: a clock that shows less is wrong.
    pub built: u64,
    /// Between two runs, in seconds.
    #[serde(deserialize_with = "interval")]
    pub interval: u64,
    /// Where snapshots are kept: `/var/lib/kiln/snapshots`.
    pub directory: FilePath,
    /// How many of the node's own are kept there.
    #[serde(deserialize_with = "keep")]
    pub keep: u32,
    /// Where the status is written: `/run/kiln`.
    pub status: FilePath,
    /// The program.
    pub etcdctl: FilePath,
    /// The program that reads snapshots; without it etcdctl does, as in 3.4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etcdutl: Option<FilePath>,
    /// The node's own member, as its certificate names it.
    pub endpoint: MemberUrl,
    /// The CAs that it is held against: a PEM file.
    pub ca: FilePath,
    /// The client certificate of root on this node: a PEM file.
    pub cert: FilePath,
    /// Its key.
    pub key: FilePath,
    /// What records are signed with: an Ed25519 key in PKCS#8, PEM, root's alone.
    pub signer: FilePath,
    /// The public halves of these keys, of all nodes of the cluster.
    #[serde(deserialize_with = "signers")]
    pub signers: Vec<Signer>,
    /// Whom a snapshot is encrypted for.
    #[serde(deserialize_with = "recipients")]
    pub recipients: Vec<Recipient>,
    /// The file of `Secrets`; it may be missing where there is no bucket.
    pub secrets: FilePath,
    /// Where snapshots go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3>,
    /// Only with it the node removes anything from the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prune: Option<Prune>,
}

/// The key that a node signs its records with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Signer {
    /// The node's name.
    pub node: Name,
    /// The public half.
    pub key: PublicKey,
}

/// A bucket, addressed by its path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct S3 {
    /// The service.
    pub endpoint: OriginUrl,
    /// The bucket.
    pub bucket: Bucket,
    /// What keys begin with; may be empty.
    pub prefix: Prefix,
    /// Part of what is signed.
    pub region: Region,
    /// The CAs that the service is held against: a PEM file; without it the machine's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<FilePath>,
    /// Nobody can remove an object for so many days (object lock, mode compliance).
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_days")]
    pub lock_days: Option<u32>,
}

/// What is removed from the bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Prune {
    /// What is older.
    #[serde(deserialize_with = "days")]
    pub days: u32,
}

impl Backup {
    /// What a type of one field alone cannot say.
    ///
    /// # Errors
    /// The reason, without any value.
    pub fn check(&self) -> Result<(), &'static str> {
        match self {
            Self { prune: Some(_), s3: None, .. } => Err("prune needs s3"),
            _ if !self.signers.iter().any(|signer| signer.node == self.node) => {
                Err("the node itself is not among the signers")
            }
            _ => Ok(()),
        }
    }

    /// The rule for what is removed from the bucket, if anything is.
    pub fn retention(&self) -> Option<Retention> {
        let Prune { days } = self.prune.as_ref()?;
        Some(Retention { days: *days, interval: self.interval })
    }
}

pub(crate) fn within<'de, D: Deserializer<'de>, T: PartialOrd + Deserialize<'de>>(
    from: D,
    range: &std::ops::RangeInclusive<T>,
    why: &'static str,
) -> Result<T, D::Error> {
    let value = T::deserialize(from)?;
    if range.contains(&value) { Ok(value) } else { Err(de::Error::custom(why)) }
}

fn interval<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    within(from, &INTERVALS, "an interval is 60 seconds to 30 days")
}

pub(crate) fn generation<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    within(from, &(1..=u32::MAX), "generations are counted from 1")
}

fn keep<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    within(from, &KEPT, "1 to 10000 snapshots are kept")
}

fn days<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    within(from, &DAYS, "days are 1 to 36500")
}

fn some_days<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    days(from).map(Some)
}

pub(crate) fn recipients<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Recipient>, D::Error> {
    bounded(from, 1, MAX_RECIPIENTS)
}

fn signers<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Signer>, D::Error> {
    bounded(from, 1, MAX_SIGNERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> String {
        r#"{
        "schema": 1, "cluster": "ha3", "node": "cp-a", "cluster-id": "00aa000000000001", "generation": 1,
        "built": 1764000000, "interval": 1800, "directory": "/var/lib/kiln/snapshots", "keep": 48,
        "status": "/run/kiln", "etcdctl": "/usr/local/bin/etcdctl", "etcdutl": "/usr/local/bin/etcdutl",
        "endpoint": "https://10.0.0.1:2379", "ca": "/etc/kiln/ca.pem", "cert": "/etc/kiln/root.pem",
        "key": "/etc/kiln/root-key.pem", "signer": "/etc/kiln/snapshot-key.pem",
        "signers": [{"node": "cp-a", "key": "KEY"}], "recipients": ["age1x"],
        "secrets": "/etc/kiln/backup-secrets.json",
        "s3": {"endpoint": "https://s3.lan", "bucket": "abc", "prefix": "", "region": "r", "lock-days": 30},
        "prune": {"days": 365}
    }"#
        .replace("KEY", &"0a".repeat(32))
    }

    #[test]
    fn a_policy_comes_back_as_it_was_written() {
        let backup: Backup = serde_json::from_str(&good()).unwrap();
        assert_eq!(backup.check(), Ok(()));
        let again = serde_json::to_string(&backup).unwrap();
        assert_eq!(serde_json::from_str::<Backup>(&again).unwrap(), backup);
    }

    #[test]
    fn each_value_has_its_rule() {
        for (from, to, why) in [
            ("\"schema\": 1", "\"schema\": 2", "schema 2"),
            ("\"interval\": 1800", "\"interval\": 59", "60 seconds"),
            ("\"interval\": 1800", "\"interval\": 2592001", "30 days"),
            ("\"keep\": 48", "\"keep\": 0", "1 to 10000"),
            ("\"keep\": 48", "\"keep\": -1", "invalid value"),
            ("\"generation\": 1", "\"generation\": 0", "from 1"),
            ("00aa000000000001", "aa000000000001", "16 of"),
            ("https://10.0.0.1:2379", "http://10.0.0.1:2379", "https://HOST:PORT"),
            ("[\"age1x\"]", "[]", "1 to 32"),
            ("[\"age1x\"]", "[\"ssh-rsa x\"]", "a recipient is"),
            ("\"lock-days\": 30", "\"lock-days\": 0", "1 to 36500"),
            ("\"lock-days\": 30", "\"lock-days\": null", "invalid type"),
            ("\"days\": 365", "\"days\": 36501", "1 to 36500"),
            ("\"keep\": 48", "\"keep\": 48, \"keep\": 49", "duplicate field"),
            ("\"keep\"", "\"kept\"", "unknown field"),
        ] {
            assert!(good().contains(from), "{from}");
            let said = serde_json::from_str::<Backup>(&good().replacen(from, to, 1)).unwrap_err().to_string();
            assert!(said.contains(why), "{to}: {said}");
        }
    }

    #[test]
    fn fields_that_belong_together_are_there_together() {
        let mut backup: Backup = serde_json::from_str(&good()).unwrap();
        backup.s3 = None;
        assert!(backup.check().is_err());
        backup.prune = None;
        assert_eq!(backup.check(), Ok(()));
        backup.node = "cp-b".to_owned().try_into().unwrap();
        assert!(backup.check().is_err());
    }
}
