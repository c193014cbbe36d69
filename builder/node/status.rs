//! What monitoring reads: a file of JSON, and one in Prometheus' text format for node_exporter.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use kiln_wire::{Policy, Validity};
use serde::{Deserialize, Serialize};

use crate::disk;
use crate::failure::Result;
use crate::generation::Generation;
use crate::policy;
use crate::steps::reached;

/// To write two small files.
const PATIENCE: Duration = Duration::from_secs(5);
const JSON: &str = "renew.json";

/// After a run.
#[derive(Default, Deserialize, Serialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Status {
    /// When it was written, in seconds since 1970, as all times here.
    pub at: u64,
    /// Whether the certificates are as they should be.
    pub good: bool,
    /// Whether those that etcd reads are valid now; the guard asks for that.
    pub valid: bool,
    /// Whether they should have been renewed some time ago.
    pub overdue: bool,
    /// What went wrong, if anything did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Of what etcd reads; absent where etcd cannot use it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<u64>,
    /// The last second of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<u64>,
    /// When it is to be renewed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due: Option<u64>,
    /// The last second of the node's own CAs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuers_not_after: Option<u64>,
    /// Of the leaves, in hex.
    pub serials: Vec<String>,
}

impl Status {
    /// The state of things, and why it could not be made better.
    pub fn new(at: u64, live: Option<&Generation>, issuers: Option<Validity>, error: Option<String>) -> Self {
        let serials =
            live.iter().flat_map(|live| live.leaves.iter().map(|(leaf, _)| leaf.serial())).collect();
        let live = live.map(Generation::validity);
        Self {
            at,
            good: error.is_none() && live.is_some_and(|live| live.has(at) && at < live.failing()),
            valid: live.is_some_and(|live| live.has(at)),
            overdue: live.is_none_or(|live| at >= live.overdue()),
            error,
            not_before: live.map(|live| live.from),
            not_after: live.map(|live| live.until),
            due: live.map(Validity::due),
            issuers_not_after: issuers.map(|issuers| issuers.until),
            serials,
        }
    }

    fn metrics(&self, policy: &Policy) -> String {
        let mut text = String::new();
        let of = format!("{{cluster=\"{}\",node=\"{}\"}}", policy.cluster, policy.node);
        let mut line = |name: &str, help: &str, value: u64| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name}{of} {value}");
        };
        line("kiln_renew_last_run_timestamp_seconds", "When kiln-node renew last ran.", self.at);
        line("kiln_renew_good", "Whether the member's certificates are as they should be.", self.good.into());
        line("kiln_renew_overdue", "Whether their renewal is overdue.", self.overdue.into());
        if let Some(until) = self.not_after {
            line("kiln_leaf_not_after_timestamp_seconds", "When the member's certificates end.", until);
        }
        if let Some(until) = self.issuers_not_after {
            line("kiln_issuer_not_after_timestamp_seconds", "When the node's own CAs end.", until);
        }
        text
    }

    /// Of the last run, if there was one since the machine started.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn read(policy: &Policy) -> Result<Option<Self>> {
        let path = Path::new(policy.status.as_str()).join(JSON);
        disk::is_there(&path).then(|| policy::read(&path, |_| Ok(()))).transpose()
    }

    /// Writes both.
    ///
    /// # Errors
    /// Of the system.
    pub fn write(&self, policy: &Policy) -> Result<()> {
        let directory = Path::new(policy.status.as_str());
        disk::own_directory(directory, 0o755)?;
        // Another run may end at the same time.
        let _one = disk::lock(&directory.join("renew.lock"), PATIENCE)?;
        let json = serde_json::to_string_pretty(self).unwrap_or_default() + "\n";
        disk::replace(&directory.join(JSON), json.as_bytes())?;
        reached("stated");
        disk::replace(&directory.join("renew.prom"), self.metrics(policy).as_bytes())
    }
}
