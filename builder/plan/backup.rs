//! Where a node that takes snapshots has what it needs.

use super::Plan;
use crate::profile::Backup;
use crate::values::InstanceName;

/// Of one cluster on a node, below the directories of Kiln.
pub(crate) struct BackupPlaces {
    /// `etc/kiln`.
    etc: String,
    /// `/run/kiln`.
    run: String,
    /// Absolute.
    directory: String,
}

impl BackupPlaces {
    pub fn of(instance: &InstanceName, backup: &Backup) -> Self {
        let kiln = instance.directory();
        Self {
            etc: format!("etc/{kiln}"),
            run: format!("/run/{kiln}"),
            directory: backup.directory.absolute(),
        }
    }

    /// What the node's program is told: `etc/kiln/backup.json`.
    pub fn policy(&self) -> String {
        format!("{}/backup.json", self.etc)
    }

    /// The key with which the node signs: `etc/kiln/snapshot-key.pem`.
    pub fn signer(&self) -> String {
        format!("{}/snapshot-key.pem", self.etc)
    }

    /// Credentials and addresses that are secret: `etc/kiln/backup-secrets.json`.
    pub fn secrets(&self) -> String {
        format!("{}/backup-secrets.json", self.etc)
    }

    /// The CAs of the bucket's server: `etc/kiln/backup-ca.pem`.
    pub fn ca(&self) -> String {
        format!("{}/backup-ca.pem", self.etc)
    }

    /// Where the snapshots are, absolute.
    pub fn directory(&self) -> &str {
        &self.directory
    }

    /// Where the program says what it has done, absolute.
    pub fn status(&self) -> &str {
        &self.run
    }
}

impl Plan {
    /// `None` where nodes take no snapshots.
    pub(crate) fn backup(&self) -> Option<(&Backup, BackupPlaces)> {
        self.backup.as_ref().map(|backup| (backup, BackupPlaces::of(&self.instance.name, backup)))
    }
}

/// `every 30m, the newest 48 in /var/lib/kiln/snapshots, and in etcd/site-a at https://s3.example; for age1…`.
pub fn line(backup: &Backup, directory: &str) -> String {
    let Backup { interval, keep, bucket, recipients, .. } = backup;
    let mut text = format!("every {interval}, the newest {keep} in {directory}");
    if let Some(bucket) = bucket {
        let prefix = Some(bucket.prefix.as_str()).filter(|prefix| !prefix.is_empty());
        let prefix = prefix.map(|prefix| format!("/{prefix}")).unwrap_or_default();
        text += &format!(", and in {}{prefix} at {}", bucket.name, bucket.endpoint);
    }
    let all: Vec<_> = recipients.iter().map(|one| one.as_str()).collect();
    format!("{text}; for {}", all.join(", "))
}
