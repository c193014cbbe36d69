//! Verbs for the snapshots that nodes take.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::inputs::Trust;
use crate::values::SnapshotChoice;

/// Where snapshots are.
#[derive(Args, Debug)]
pub struct From {
    /// A directory with snapshots, such as a copy of a node's /var/lib/kiln/snapshots [default: the bundle's bucket]
    #[arg(long, value_name = "DIR", conflicts_with = "secrets", env = "KILN_SNAPSHOTS_FROM")]
    pub from: Option<PathBuf>,
    /// The file with the credentials for the bucket: JSON, as that of the nodes, 0600
    #[arg(long, value_name = "FILE", env = "KILN_BUCKET_SECRETS")]
    pub secrets: Option<PathBuf>,
}

#[derive(Subcommand, Debug)]
#[command(
    after_help = "Examples:\n  kiln snapshots take out/ha3\n  kiln snapshots test out/ha3 --secrets desk.json --identity key.txt"
)]
/// The verbs below `kiln snapshots`.
pub enum Snapshots {
    /// Take a snapshot of the leader now, encrypted to the recipients of the bundle
    #[command(
        after_help = "Examples:\n  kiln snapshots take out/ha3\n  kiln snapshots take out/ha3 -o /srv/backup\n\nNAME.db.age and NAME.json are written; the second says what the first is, and is signed."
    )]
    Take {
        /// The directory of the bundle
        bundle: PathBuf,
        /// The directory that it is written to
        #[arg(long, short, value_name = "DIR", default_value = ".", env = "KILN_SNAPSHOTS_OUT")]
        out: PathBuf,
        /// Write NAME.db, which anyone can read who gets the file, and nothing else
        #[arg(long)]
        plain: bool,
        #[command(flatten)]
        trust: Trust,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// List the snapshots of a cluster, and which of them a node of it has signed
    #[command(
        after_help = "Examples:\n  kiln snapshots list out/ha3 --secrets desk.json\n  kiln snapshots list out/ha3 --from /srv/backup \
--json"
    )]
    List {
        /// The directory of the bundle
        bundle: PathBuf,
        #[command(flatten)]
        from: From,
        /// Print the list as JSON
        #[arg(long)]
        json: bool,
    },
    /// Copy a snapshot and its record to a directory, checked against each other
    #[command(
        after_help = "Examples:\n  kiln snapshots fetch out/ha3 --secrets desk.json\n  kiln snapshots fetch out/ha3 \
ha3-20261128T120000Z-r4711-cp-a --secrets desk.json -o /srv/backup"
    )]
    Fetch {
        /// The directory of the bundle
        bundle: PathBuf,
        /// The name of a snapshot, or newest: the newest sound one
        #[arg(default_value = "newest", value_name = "NAME")]
        snapshot: SnapshotChoice,
        #[command(flatten)]
        from: From,
        /// The directory that it is copied to
        #[arg(long, short, value_name = "DIR", default_value = ".", env = "KILN_SNAPSHOTS_OUT")]
        out: PathBuf,
        /// Decrypt it: write NAME.db, which anyone can read who gets the file. Needs an identity
        #[arg(long)]
        plain: bool,
        #[command(flatten)]
        trust: Trust,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Decrypt a snapshot, restore it into a rehearsal of the cluster on this machine, and verify that
    #[command(
        after_help = "Examples:\n  kiln snapshots test out/ha3 --secrets desk.json --identity key.txt\n  kiln snapshots test out/ha3 \
--from /srv/backup --identity key.txt\n\nNothing of the running cluster is touched. What is decrypted is in a private \
directory below TMPDIR, and is removed at the end. Exit code 1: it cannot be restored, or is not what its record says."
    )]
    Test {
        /// The directory of the bundle
        bundle: PathBuf,
        /// The name of a snapshot, or newest: the newest sound one
        #[arg(default_value = "newest", value_name = "NAME")]
        snapshot: SnapshotChoice,
        #[command(flatten)]
        from: From,
        /// Seconds for the cluster to form
        #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
        deadline: u64,
        #[command(flatten)]
        trust: Trust,
        /// Print the report as JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove snapshots from the bucket that are older than the profile's retention
    #[command(
        after_help = "Examples:\n  kiln snapshots prune out/ha3 --secrets desk.json --dry-run\n  kiln snapshots prune out/ha3 --secrets \
desk.json\n\nThe newest sound snapshot stays, whatever the retention is; so does all that no node of the cluster has signed. \
While the newest is older than two intervals, nothing is removed."
    )]
    Prune {
        /// The directory of the bundle
        bundle: PathBuf,
        /// The file with the credentials for the bucket, which may remove objects: JSON, 0600
        #[arg(long, value_name = "FILE", env = "KILN_BUCKET_SECRETS")]
        secrets: Option<PathBuf>,
        /// Only say what would be removed
        #[arg(long)]
        dry_run: bool,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
}
