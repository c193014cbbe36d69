//! Verbs for a cluster that runs.

use std::path::PathBuf;

use clap::Args;

use super::inputs::{Keys, Trust};

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  kiln seal out/ha3\n  kiln seal out/ha3 --keystore /safe/ha3\n\nA seal cannot be undone. A node whose disk comes back \
empty asks its peers whether the cluster has formed, and `kiln up` tells it what the host remembers. For machines that \
`kiln up` does not start, seal the cluster once it has formed and build again: nodes of a sealed build never bootstrap a \
new cluster from an empty disk; they wait for a peer. To bootstrap a replacement cluster, create a new keystore.\nThe \
seal records the members, the cluster ID, the CA and the etcd release of the bundle; builds that do not fit them are \
refused. After an upgrade, seal a later bundle when all members run its minor release of etcd."
)]
pub struct Seal {
    /// The bundle that the nodes of the cluster run
    pub bundle: PathBuf,
    /// Take the missing record from this bundle, for a keystore sealed by a Kiln that did not record the cluster
    #[arg(long)]
    pub adopt: bool,
    #[command(flatten)]
    pub keys: Keys,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  kiln verify out/ha3 --read-only --junit verify.xml\n  kiln verify out/ha3 --keystore keystore\n\nA test key below \
kiln/verify/ is written through each member, read from the others and deleted; etcd deletes it after a minute if Kiln \
cannot. Exit code 1: something differs or was not checked."
)]
pub struct Verify {
    /// The directory of the bundle
    pub bundle: PathBuf,
    /// Write nothing: skip the checks that need test keys
    #[arg(long)]
    pub read_only: bool,
    /// The keystore of the cluster, or the directory that holds those of several: where nodes renew their certificates,
    /// also try what a copy of one node's CA could make. Its certificates exist in memory only, for ten minutes
    #[arg(long, value_name = "DIR", env = "KILN_KEYSTORE")]
    pub keystore: Option<PathBuf>,
    /// The file with credentials for the bundle's bucket: also look at the newest snapshot there (JSON, 0600)
    #[arg(long, value_name = "FILE", env = "KILN_BUCKET_SECRETS")]
    pub secrets: Option<PathBuf>,
    #[command(flatten)]
    pub trust: Trust,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
    /// Also write the report as JUnit XML
    #[arg(long, value_name = "FILE", env = "KILN_JUNIT")]
    pub junit: Option<PathBuf>,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  kiln etcdctl out/ha3 member list -w table\n  kiln etcdctl out/ha3 snapshot save ha3.db\n\n\
ETCDCTL_* and proxy variables of the environment are not passed on: etcdctl gets the endpoints and certificates of the \
bundle unless an argument gives others. A snapshot is taken from the leader. The exit code is that of etcdctl, or 128 plus \
the number of the signal that ended it; errors of Kiln itself have Kiln's exit codes."
)]
pub struct Etcdctl {
    /// The directory of the bundle
    pub bundle: PathBuf,
    #[command(flatten)]
    pub trust: Trust,
    /// Arguments for etcdctl, as in: member list -w table
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
    pub arguments: Vec<String>,
}
