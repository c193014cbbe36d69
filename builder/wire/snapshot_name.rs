//! The names of snapshots: they say what one needs to know to choose one.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use x509_cert::der::DateTime;

use super::text::Name;

/// The end of a snapshot's file: it is encrypted.
pub const BODY: &str = ".db.age";
/// The end of its record's file.
pub const RECORD: &str = ".json";

/// `CLUSTER-YYYYMMDDThhmmssZ-rREVISION-NODE`, the time in UTC. No name of a cluster or node has a capital letter, so
/// there is one way to read it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapshotName {
    /// When it was taken, in seconds since 1970; before the year 10000. The newest is last in order.
    taken: u64,
    /// The highest revision in it, at least 1.
    revision: u64,
    /// The node that has taken it.
    node: Name,
    /// The cluster.
    cluster: Name,
}

/// A text is not the name of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAName;

impl fmt::Display for NotAName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a snapshot is CLUSTER-YYYYMMDDThhmmssZ-rREVISION-NODE")
    }
}

impl SnapshotName {
    /// `None`: the time is after the year 9999, or the revision is not one of etcd's.
    pub fn new(cluster: Name, taken: u64, revision: u64, node: Name) -> Option<Self> {
        DateTime::from_unix_duration(Duration::from_secs(taken)).ok()?;
        let is_revision = (1..=i64::MAX.cast_unsigned()).contains(&revision);
        is_revision.then_some(Self { taken, revision, node, cluster })
    }

    /// The cluster.
    pub fn cluster(&self) -> &Name {
        &self.cluster
    }

    /// When it was taken, in seconds since 1970.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// The highest revision in it.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The node that has taken it.
    pub fn node(&self) -> &Name {
        &self.node
    }

    /// Where it lies below the directory and below a bucket's prefix: `CLUSTER/YYYY/MM`.
    pub fn directory(&self) -> String {
        let date = date(self.taken);
        format!("{}/{:04}/{:02}", self.cluster, date.year(), date.month())
    }

    /// With its directory and an ending.
    pub fn path(&self, ending: &str) -> String {
        format!("{}/{self}{ending}", self.directory())
    }

    /// That of a path as `path` makes it, and none else.
    pub fn of_path(path: &str, ending: &str) -> Option<Self> {
        let name: Self = path.rsplit('/').next()?.strip_suffix(ending)?.parse().ok()?;
        (name.path(ending) == path).then_some(name)
    }
}

/// `new` has no other times.
fn date(seconds: u64) -> DateTime {
    DateTime::from_unix_duration(Duration::from_secs(seconds)).unwrap_or(DateTime::INFINITY)
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = date(self.taken);
        write!(f, "{}-{:04}{:02}{:02}T", self.cluster, at.year(), at.month(), at.day())?;
        write!(f, "{:02}{:02}{:02}Z-r{}-{}", at.hour(), at.minutes(), at.seconds(), self.revision, self.node)
    }
}

impl FromStr for SnapshotName {
    type Err = NotAName;
    fn from_str(text: &str) -> Result<Self, NotAName> {
        let parsed = parse(text).ok_or(NotAName)?;
        // Leading zeros and signs make other texts of the same values.
        if parsed.to_string() == text { Ok(parsed) } else { Err(NotAName) }
    }
}

fn parse(text: &str) -> Option<SnapshotName> {
    // Longer than two names, a time and a revision.
    let (before, after) = text.split_once('T').filter(|_| text.len() <= 180)?;
    let (cluster, day) = before.rsplit_once('-')?;
    let (time, rest) = after.split_once("Z-r")?;
    let (revision, node) = rest.split_once('-')?;
    let is_digits =
        |text: &str, length| text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(day, 8) || !is_digits(time, 6) {
        return None;
    }
    let two = |text: &str, at: usize| text.get(at..at + 2)?.parse::<u8>().ok();
    let date = DateTime::new(
        day.get(..4)?.parse().ok()?,
        two(day, 4)?,
        two(day, 6)?,
        two(time, 0)?,
        two(time, 2)?,
        two(time, 4)?,
    );
    let taken = date.ok()?.unix_duration().as_secs();
    let name = |text: &str| Name::try_from(text.to_owned()).ok();
    SnapshotName::new(name(cluster)?, taken, revision.parse().ok()?, name(node)?)
}

impl Serialize for SnapshotName {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SnapshotName {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(|why: NotAName| de::Error::custom(why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_comes_back_as_it_was_written() {
        let text = "ha-3-20251124T160000Z-r42-cp-a";
        let name: SnapshotName = text.parse().unwrap();
        assert_eq!((name.cluster().as_str(), name.node().as_str()), ("ha-3", "cp-a"));
        assert_eq!((name.taken(), name.revision()), (1_764_000_000, 42));
        assert_eq!(name.to_string(), text);
        let path = name.path(BODY);
        assert_eq!(path, format!("ha-3/2025/11/{text}.db.age"));
        assert_eq!(SnapshotName::of_path(&path, BODY), Some(name));
    }

    #[test]
    fn a_snapshot_has_one_name() {
        for bad in [
            "",
            "T",
            "a-20251124T160000Z-r42",
            "a-20251124T160000Z-r42-",
            "-20251124T160000Z-r42-b",
            "a-20251124T160000Z-r042-b",
            "a-20251124T160000Z-r0-b",
            "a-20251124T160000Z-r+1-b",
            "a-20251124T160000Z-r9223372036854775808-b",
            "a-20251324T160000Z-r42-b",
            "a-20250230T160000Z-r42-b",
            "a-20251124T240000Z-r42-b",
            "a-20251124T16000éZ-r42-b",
            "a-+0251124T160000Z-r42-b",
            "a-19691231T235959Z-r42-b",
            "../a-20251124T160000Z-r42-b",
            "a-20251124T160000Z-r42-b/..",
            "a-20251124T160000Z-r42-b\n",
            "a-20251124T160000Z-r42-B",
        ] {
            assert_eq!(bad.parse::<SnapshotName>(), Err(NotAName), "{bad}");
        }
        for bad in [
            "a/2025/11/a-20251124T160000Z-r42-b",
            "a/2025/12/a-20251124T160000Z-r42-b.json",
            "b/2025/11/a-20251124T160000Z-r42-b.json",
            "/a/2025/11/a-20251124T160000Z-r42-b.json",
            "a/2025/11/../11/a-20251124T160000Z-r42-b.json",
            "a-20251124T160000Z-r42-b.json",
        ] {
            assert_eq!(SnapshotName::of_path(bad, RECORD), None, "{bad}");
        }
    }

    #[test]
    fn the_newest_is_last() {
        let of = |text: &str| text.parse::<SnapshotName>().unwrap();
        let [old, new] = ["z-20251124T160000Z-r42-z", "a-20251124T160001Z-r1-a"].map(of);
        assert!(old < new);
    }
}
