//! What monitoring reads: a file of JSON, and one in Prometheus' text format for node_exporter.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use kiln_wire::{Backup, Record};
use serde::{Deserialize, Serialize};

use crate::disk;
use crate::failure::Result;
use crate::policy;
use crate::steps::reached;

/// To write two small files.
const PATIENCE: Duration = Duration::from_secs(5);
const JSON: &str = "backup-status.json";
const METRICS: &str = "kiln-snapshot.prom";

/// After a run. It is not secret.
#[derive(Default, Deserialize, Serialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Status {
    /// When it was written, in seconds since 1970, as all times here.
    pub at: u64,
    /// Whether all of the run went well.
    pub good: bool,
    /// What went wrong, if anything did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Runs since the last one that was good, this one included.
    pub failures: u64,
    /// Whether the member is the leader, as far as this run knows.
    pub leader: bool,
    /// The newest snapshot on the node's disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When it was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_success: Option<u64>,
    /// Its revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// Its bytes, encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// How long the run took.
    pub seconds: u64,
    /// Snapshots that are still to be uploaded.
    pub pending: u64,
    /// Those that this run has uploaded.
    pub uploaded: u64,
    /// Those that this run has removed from the bucket.
    pub pruned: u64,
}

impl Status {
    /// Of the newest snapshot.
    pub fn of_newest(&mut self, newest: Option<&Record>) {
        self.name = newest.map(|record| record.name.to_string());
        self.last_success = newest.map(|record| record.taken);
        self.revision = newest.map(|record| record.revision);
        self.bytes = newest.map(|record| record.size);
    }

    fn metrics(&self, policy: &Backup) -> String {
        let mut text = String::new();
        let of = format!("{{cluster=\"{}\",node=\"{}\"}}", policy.cluster, policy.node);
        let mut line = |name: &str, help: &str, value: Option<u64>| {
            let Some(value) = value else { return };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name}{of} {value}");
        };
        let age = self.last_success.map(|taken| self.at.saturating_sub(taken));
        line("kiln_snapshot_last_run_timestamp_seconds", "When kiln-node snapshot last ran.", Some(self.at));
        line("kiln_snapshot_good", "Whether all of that run went well.", Some(self.good.into()));
        line("kiln_snapshot_failures", "Runs since the last good one.", Some(self.failures));
        line("kiln_snapshot_run_seconds", "How long the run took.", Some(self.seconds));
        line(
            "kiln_snapshot_last_success_timestamp_seconds",
            "When the newest snapshot on the node was taken.",
            self.last_success,
        );
        line("kiln_snapshot_age_seconds", "Its age when the run ended.", age);
        line("kiln_snapshot_revision", "Its revision.", self.revision);
        line("kiln_snapshot_bytes", "Its size, encrypted.", self.bytes);
        line("kiln_snapshot_pending_uploads", "Snapshots that are still to be uploaded.", Some(self.pending));
        text
    }

    /// Of the last run, if there was one since the machine started.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn read(policy: &Backup) -> Result<Option<Self>> {
        let path = Path::new(policy.status.as_str()).join(JSON);
        disk::is_there(&path).then(|| policy::read(&path, |_| Ok(()))).transpose()
    }

    /// The number of failures before this run.
    pub fn failures_before(policy: &Backup) -> u64 {
        Self::read(policy).ok().flatten().map_or(0, |last| last.failures)
    }

    /// Writes both.
    ///
    /// # Errors
    /// Of the system.
    pub fn write(&self, policy: &Backup) -> Result<()> {
        let directory = Path::new(policy.status.as_str());
        disk::own_directory(directory, 0o755)?;
        // A run that cannot begin, because of another one, writes it, too.
        let _one = disk::lock(&directory.join("backup-status.lock"), PATIENCE)?;
        let json = serde_json::to_string_pretty(self).unwrap_or_default() + "\n";
        disk::replace(&directory.join(JSON), json.as_bytes())?;
        reached("stated");
        disk::replace(&directory.join(METRICS), self.metrics(policy).as_bytes())
    }
}
