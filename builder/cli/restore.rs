//! The verb that makes the next generation of a cluster from a snapshot.

use std::path::PathBuf;

use clap::Args;

use super::inputs::{BuildInputs, Settings};
use super::snapshots::From;
use crate::values::{ClusterName, RestoreFrom};

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  kiln restore out/ha3 --snapshot newest --secrets desk.json --identity key.txt\n  kiln restore \
out/ha3 --from-data /mnt/disk/etcd\n\nNothing runs on a node: a directory with a \
script is made for each. On every node, as root: sh restore.sh prepare\nWhen all are prepared, on every node: sh restore.sh \
switch"
)]
pub struct RestoreCluster {
    /// The bundle that the nodes run
    pub bundle: PathBuf,
    /// What to restore: the name of a snapshot, newest, or a file NAME.db that is not encrypted
    #[arg(long, value_name = "SNAPSHOT", required_unless_present_any = ["abandon", "from_data"])]
    pub snapshot: Option<RestoreFrom>,
    /// Restore from what a member has left, when quorum is lost: etcd's data directory, or a copy; of several, the one
    /// with the highest revision is used
    #[arg(long, value_name = "DIR", conflicts_with_all = ["snapshot", "abandon", "accept_unsigned"])]
    pub from_data: Vec<PathBuf>,
    /// The member's wal-dir, if it had one: once for each --from-data, in the same order
    #[arg(long, value_name = "DIR", requires = "from_data")]
    pub wal_dir: Vec<PathBuf>,
    #[command(flatten)]
    pub from: From,
    /// Take a file NAME.db that no node has signed
    #[arg(long, conflicts_with = "abandon")]
    pub accept_unsigned: bool,
    /// The profile of the bundle [default: that with the name of its directory]
    #[arg(long, short, value_name = "NAME|FILE")]
    pub profile: Option<String>,
    #[command(flatten)]
    pub settings: Settings,
    /// The directory that is made, with the bundle and a directory for each node [default: BUNDLE-gN]
    #[arg(long, short, value_name = "DIR", conflicts_with = "abandon", env = "KILN_RESTORE_OUT")]
    pub out: Option<PathBuf>,
    /// The name of the cluster, instead of the question for it
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<ClusterName>,
    /// Run the bundle's programs here even if the artifact store has different ones for this release
    #[arg(long)]
    pub allow_unverified: bool,
    /// Take the last restore back, which no node has carried out: builds are of this bundle's generation again
    #[arg(long, conflicts_with = "snapshot")]
    pub abandon: bool,
    #[command(flatten)]
    pub inputs: BuildInputs,
}
