//! One file per verb: the only place that connects the other modules.

mod artifacts;
mod ask;
mod bucket;
mod build;
mod cache;
mod changes;
mod check;
mod completions;
mod delivered;
mod down;
mod ending;
mod etcdctl;
mod fleet;
mod inputs;
mod join;
mod junit;
mod keystore;
mod left;
mod named;
#[cfg(not(feature = "oci"))]
mod no_registry;
mod output;
mod overlays;
mod peers;
mod places;
mod plan;
mod profile;
mod programs;
mod progress;
mod prune;
#[cfg(feature = "oci")]
mod pull;
#[cfg(feature = "oci")]
mod push;
mod rehearse;
mod renewal;
mod restore;
mod restored_from;
mod seal;
mod shell;
mod show;
mod side_by_side;
mod snapshot_files;
mod snapshots;
mod terminal;
mod up;
mod verify;
mod version;

use crate::cli::{Cli, Verb};
use crate::failure::{Exit, Failure, Result};
use crate::{unlock, verbose};
#[cfg(not(feature = "oci"))]
use {no_registry as pull, no_registry as push};

/// Runs a verb; with `json` its result is JSON, also when it ends with an error. Results are on stdout when it returns.
///
/// # Errors
/// The error that `main` prints, and whose code it exits with.
pub fn run(cli: Cli, json: bool) -> Result<()> {
    // The output of etcdctl is passed through unchanged.
    let json = json && !matches!(cli.verb, Verb::Etcdctl(_));
    if cli.verbose {
        verbose::on();
    }
    unlock::with(cli.unlock.ways());
    let out = output::Output::new(cli.quiet, json);
    let left = left::behind(&cli.verb);
    let done = dispatch(cli.verb, &out).map_err(|failure| match left {
        Some(what) => failure.leaving(what),
        None => failure,
    });
    unlock::warnings().iter().for_each(|warning| out.warn(warning));
    out.finish();
    done.inspect_err(|failure| out.failed(failure))
}

/// What `--version` prints after the program's name; `-V` prints the version alone.
pub fn long_version() -> String {
    version::long()
}

/// Reports to a program that clap refused the command line.
pub fn refuse(message: &str) {
    output::Output::new(true, true).failed(&Failure::new(Exit::Usage, message));
}

fn dispatch(verb: Verb, out: &output::Output) -> Result<()> {
    match verb {
        Verb::Build(args) => build::run(&args, out),
        Verb::Check(args) => check::run(&args, out),
        Verb::Plan(args) => plan::run(&args, out),
        Verb::Show(args) => show::run(&args, out),
        Verb::Rehearse(args) => rehearse::run(&args, out),
        Verb::Up(args) => up::run(&args, out),
        Verb::Status(args) => up::status(&args, out),
        Verb::Console(args) => up::console(&args),
        Verb::Down(args) => down::run(&args, out),
        Verb::Seal(args) => seal::run(&args, out),
        Verb::Verify(args) => verify::run(&args, out),
        Verb::Etcdctl(args) => etcdctl::run(&args, out),
        Verb::Push(args) => push::run(&args, out),
        Verb::Pull(args) => pull::run(&args, out),
        Verb::Artifacts(verb) => artifacts::run(&verb, out),
        Verb::Restore(args) => restore::run(&args, out),
        Verb::Snapshots(verb) => snapshots::run(&verb, out),
        Verb::Join(args) => join::run(&args, out),
        Verb::Cache(verb) => cache::run(&verb, out),
        Verb::Keystore(verb) => keystore::run(&verb, out),
        Verb::Profile(verb) => profile::run(&verb, out),
        Verb::Completions(args) => completions::run(&args, out),
        Verb::Man(args) => shell::man(&args, out),
    }
}
