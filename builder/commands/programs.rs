//! Compares the programs of a bundle with those in the artifact store, before one of them runs here.

use std::path::{Path, PathBuf};

use super::output::Output;
use crate::artifact::{EtcdProgram, ReleaseRecord, Store};
use crate::bundle::Bundle;
use crate::cli;
use crate::disk;
use crate::etcd::Release;
use crate::failure::{Exit, Failure, Result};
use crate::values::Arch;

/// The default store of a build.
const STORE: &str = "artifacts";

/// As [`check`], for verbs without a report: a missing comparison is reported as a message.
///
/// # Errors
/// As [`check`].
pub fn check_aloud(
    bundle: &Bundle,
    programs: &[EtcdProgram],
    trust: &cli::Trust,
    out: &Output,
) -> Result<()> {
    let unknown = check(bundle, programs, trust)?;
    unknown.into_iter().for_each(|unknown| out.say(format_args!("note: {unknown}")));
    Ok(())
}

/// Compares the programs of a bundle with those of the same release in the store. Returns a sentence that says so when
/// there is nothing to compare with.
///
/// `Exit::Untrusted` when the store has others and `--allow-unverified` is not given; `Exit::Usage` when `--artifacts`
/// names a missing directory.
pub fn check(bundle: &Bundle, programs: &[EtcdProgram], trust: &cli::Trust) -> Result<Option<String>> {
    let etcd = &bundle.manifest.etcd;
    if Arch::host() != Some(etcd.arch) {
        // Programs of another architecture cannot run here, and are not tried.
        return Ok(None);
    }
    let who = if rustix::process::geteuid().is_root() { "root" } else { "you" };
    let names: Vec<_> = programs.iter().map(ToString::to_string).collect();
    let (names, verb) = (names.join(" and "), if programs.len() == 1 { "runs" } else { "run" });
    let unknown =
        |why: String| Ok(Some(format!("{names} from the bundle {verb} here as {who}, unverified: {why}")));
    let Some(directory) = directory(trust)? else {
        return unknown(format!("there is no artifact store at {STORE}; name one with --artifacts"));
    };
    let Some(record) = record(&directory, etcd.version, etcd.arch)? else {
        return unknown(format!("{} has no etcd {} for {}", directory.display(), etcd.version, etcd.arch));
    };
    for program in programs {
        let held = etcd.binaries.get(program).map(|binary| binary.sha256);
        let known = record.binaries.get(program).map(|binary| binary.sha256);
        let (Some(held), Some(known)) = (held, known) else { continue };
        if held == known {
            continue;
        }
        let differs = format!(
            "{program} in the bundle is not the one that {} has for etcd {} {} (SHA-256 {held}, expected {known})",
            directory.display(),
            etcd.version,
            etcd.arch
        );
        if trust.allow_unverified {
            return Ok(Some(format!(
                "{differs}; it {verb} here as {who}, because --allow-unverified is given"
            )));
        }
        return Err(Failure::untrusted(format!(
            "{differs}: the bundle was changed, or was built from another release file. Nothing of it was run; if you \
             trust its builder, pass --allow-unverified"
        )));
    }
    Ok(None)
}

fn directory(trust: &cli::Trust) -> Result<Option<PathBuf>> {
    let path = trust.artifacts.clone().unwrap_or_else(|| STORE.into());
    // A path below it, so that a link to the store is followed, as a build does.
    let is_there = disk::look(&path.join("releases"))?.is_some();
    match (is_there, &trust.artifacts) {
        (true, _) => Ok(Some(path)),
        (false, None) => Ok(None),
        (false, Some(given)) => {
            Err(Failure::new(Exit::Usage, format!("there is no artifact store at {}", given.display())))
        }
    }
}

fn record(directory: &Path, release: Release, arch: Arch) -> Result<Option<ReleaseRecord>> {
    let store = Store::at(directory);
    match store.available()?.contains(&(release, arch)) {
        true => store.find(release, arch, &[]).map(Some),
        false => Ok(None),
    }
}
