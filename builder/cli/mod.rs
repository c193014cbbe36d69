//! The command line: clap's types and the help texts, one file per group of verbs.

#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "the doc comments of arguments are help texts, with brackets of their own"
)]

mod build;
mod cluster;
mod inputs;
mod keystore;
mod machines;
mod registry;
mod restore;
mod shell;
mod snapshots;
mod stores;
mod variables;

use std::ffi::OsString;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::failure::Exit;

pub(crate) use build::{Build, Check, Join, Plan, Show};
pub(crate) use cluster::{Etcdctl, Seal, Verify};
pub(crate) use inputs::{BuildInputs, Cache, Keys, ProfileNames, Settings, Trust};
pub use keystore::Unlock;
pub(crate) use keystore::{Decrypt, Encrypt, Export, Recipients, Restore};
pub(crate) use machines::{Console, Down, Rehearse, Status, Up};
#[cfg(feature = "oci")]
pub(crate) use registry::Registry;
pub(crate) use registry::{Pull, Push};
pub(crate) use restore::RestoreCluster;
pub(crate) use shell::{Completions, Man};
pub(crate) use snapshots::{From as SnapshotsFrom, Snapshots};
pub use stores::{Artifacts, Imports, Keystore};
pub(crate) use stores::{CacheVerb, Profile};

/// Builds bootable etcd nodes offline: one TOML profile in, ready-to-boot payloads for a TLS-secured cluster out.
#[derive(Parser, Debug)]
#[command(
    name = "kiln",
    version,
    max_term_width = 100,
    subcommand_value_name = "VERB",
    subcommand_help_heading = "Verbs"
)]
#[command(
    after_help = after_help()
)]
pub struct Cli {
    /// What to do; there is no default.
    #[command(subcommand)]
    pub verb: Verb,

    /// Print only results, warnings and errors
    #[arg(long, short, global = true)]
    pub quiet: bool,

    /// Print the programs that are run and the files that are read; tables in full width
    #[arg(long, short, global = true, conflicts_with = "quiet")]
    pub verbose: bool,

    /// How keystores are decrypted.
    #[command(flatten)]
    pub unlock: Unlock,
}

/// The command as clap knows it, for parsing, completions and manual pages.
pub fn command() -> clap::Command {
    // Help and manual pages are the same whatever is set where they are made.
    variables::everywhere(Cli::command(), &|argument| argument.hide_env_values(true))
}

/// What a command line asks for; `value` is an environment variable's, `None` for one that is empty.
///
/// # Errors
/// clap's: also where help or a version is asked for, which is the result then.
pub fn parse(
    arguments: &[OsString],
    value: &dyn Fn(&str) -> Option<OsString>,
    long_version: impl FnOnce() -> String,
) -> Result<Cli, clap::Error> {
    let command = command();
    let parsed = variables::settled(command.clone(), arguments, value).try_get_matches_from(arguments);
    match parsed {
        // Help names all variables.
        Err(error) if !error.use_stderr() => {
            let command = command.long_version(long_version());
            Err(command.try_get_matches_from(arguments).err().unwrap_or(error))
        }
        parsed => Cli::from_arg_matches(&parsed?),
    }
}

/// The verbs and their arguments.
#[derive(Subcommand, Debug)]
pub enum Verb {
    /// Build the bundle that a profile describes
    Build(Build),
    /// Run every check of a build without writing anything, or check a finished bundle
    Check(Check),
    /// Print the resolved cluster: nodes, URLs, IDs, certificates, configuration
    Plan(Plan),
    /// List the files of a bundle, or with a node, the contents of its archives with modes and owners
    Show(Show),
    /// Run the cluster from the bundle in network namespaces on this machine, and verify it
    Rehearse(Rehearse),
    /// Start the cluster as VMs, here or on its hosts, and wait until it has formed. Run it again to resume
    Up(Up),
    /// Show the state of each VM started by `kiln up`
    Status(Status),
    /// Follow the console of a VM until Ctrl-C
    Console(Console),
    /// Stop the VMs started by `kiln up`; keep their disks
    Down(Down),
    /// Mark the cluster as bootstrapped, so that later builds never bootstrap it again
    Seal(Seal),
    /// Check that the running cluster matches the bundle
    Verify(Verify),
    /// Run the bundle's etcdctl with the endpoints and certificates of the cluster
    Etcdctl(Etcdctl),
    /// Take, list, copy, test and prune snapshots of a cluster
    #[command(subcommand)]
    Snapshots(Snapshots),
    /// Make the next generation of a cluster from a snapshot: a bundle, and what its nodes run
    Restore(RestoreCluster),
    /// Merge the shards of a fleet build
    Join(Join),
    /// Push a bundle to an OCI registry; blobs that are already there are skipped
    Push(Push),
    /// Pull a bundle from an OCI registry, completely or not at all
    Pull(Pull),
    /// Import etcd releases for offline use
    #[command(subcommand)]
    Artifacts(Artifacts),
    /// Inspect or shrink the build cache
    #[command(subcommand)]
    Cache(CacheVerb),
    /// Create, renew and inspect the keys of a cluster
    #[command(subcommand)]
    Keystore(Keystore),
    /// Create, import, list and print profiles
    #[command(subcommand)]
    Profile(Profile),
    /// Print a completion script for a shell
    Completions(Completions),
    /// Print the manual page, or write a page for every verb
    Man(Man),
}

fn after_help() -> String {
    let codes = Exit::ALL.map(|(exit, about)| format!("; {} {about}", exit as u8));
    format!(
        "Exit codes: 0 done{}.\nResults go to stdout, messages to stderr. An empty variable of an option counts as unset.",
        codes.concat()
    )
}
