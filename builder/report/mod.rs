//! The report on a cluster, for people and for programs: a row per member, a row per check, the verdict. As text, as
//! JSON (the serialized form of its types) and as JUnit XML.

mod check;
mod junit;
mod text;
mod verdict;

use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use crate::values::printable;

pub use check::{Check, Outcome};
pub use junit::junit;
pub use verdict::Verdict;

/// The result of `etcdctl endpoint status` for one member, and whether it is healthy.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Member {
    pub node: String,
    pub endpoint: String,
    /// Hex without leading zeros, as are all IDs; `None` here and below when it did not answer.
    pub member_id: Option<String>,
    pub cluster_id: Option<String>,
    pub version: Option<String>,
    /// Bytes.
    pub db_size: Option<u64>,
    pub is_leader: Option<bool>,
    pub is_learner: Option<bool>,
    pub raft_term: Option<u64>,
    pub raft_index: Option<u64>,
    pub raft_applied_index: Option<u64>,
    pub healthy: Option<bool>,
}

/// In JSON also `passed`, a boolean, and `verdict`, both of which follow from the checks.
#[derive(Clone, Debug, Deserialize)]
pub struct Report {
    pub cluster: String,
    pub cluster_id: String,
    pub members: Vec<Member>,
    pub checks: Vec<Check>,
    /// Further information for the reader: `the bundle is for arm64, so …`.
    pub notes: Vec<String>,
}

impl Report {
    /// `notes` may quote a server's text.
    pub fn new(
        (cluster, cluster_id): (String, String),
        members: Vec<Member>,
        checks: Vec<Check>,
        notes: Vec<String>,
    ) -> Self {
        let notes = notes.iter().map(|note| printable(note).into_owned()).collect();
        Self { cluster, cluster_id, members, checks, notes }
    }

    pub fn verdict(&self) -> Verdict {
        Verdict::of(&self.checks)
    }

    pub fn count(&self, outcome: Outcome) -> usize {
        self.checks.iter().filter(|check| check.outcome == outcome).count()
    }

    /// The verdict in one sentence.
    pub fn sentence(&self) -> String {
        self.verdict().sentence(&self.cluster)
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let verdict = self.verdict();
        let mut fields = serializer.serialize_struct("Report", 7)?;
        fields.serialize_field("cluster", &self.cluster)?;
        fields.serialize_field("cluster_id", &self.cluster_id)?;
        fields.serialize_field("passed", &verdict.is_pass())?;
        fields.serialize_field("verdict", &verdict)?;
        fields.serialize_field("members", &self.members)?;
        fields.serialize_field("checks", &self.checks)?;
        fields.serialize_field("notes", &self.notes)?;
        fields.end()
    }
}
