//! `kiln artifacts add`, `list` and `known`.

use std::fmt::Write;

use serde_json::json;

use super::{inputs, output::Output};
use crate::artifact::{self, Accept, Outcome, ReleaseRecord, Store};
use crate::cli::Artifacts;
use crate::disk;
use crate::etcd::Release;
use crate::failure::{Doing, Exit, Failure, Result};
use crate::values::Arch;

pub fn run(verb: &Artifacts, out: &Output) -> Result<()> {
    match verb {
        Artifacts::Add { files, store, allow_unverified, sha256, profile, replace, json } => {
            let store = Store::at(&store.artifacts);
            store.refuse_foreign()?;
            let mut pinned = sha256.clone();
            if let Some(name) = profile {
                pinned.extend(inputs::profile(name, &store, out)?.etcd.sha256);
            }
            let accept = Accept { pinned: &pinned, trust: *allow_unverified, replace: *replace };
            for path in files {
                inputs::refuse_missing(path)?;
            }
            let before = store.available()?;
            let added = store.add(files, &accept)?;
            tell_of_newest(&before, &store.available()?, out);
            if *json {
                return out.json(&added);
            }
            added.iter().try_for_each(|added| {
                out.print(format_args!("{}: {}", outcome(added.outcome), describe(&added.record)))
            })
        }
        Artifacts::List { store, json } => list(&Store::at(&store.artifacts), *json, out),
        Artifacts::Known { json } => known(*json, out),
    }
}

fn list(store: &Store, json: bool, out: &Output) -> Result<()> {
    let directory = std::path::absolute(store.directory()).doing(|| "finding the store".into())?;
    if disk::look(&directory)?.is_none() {
        let reason = format!(
            "there is no artifact store {}; create one with kiln artifacts add FILE…",
            directory.display()
        );
        return Err(Failure::new(Exit::Usage, reason));
    }
    let records = store.list()?;
    if json {
        return out.json(&records);
    }
    if records.is_empty() {
        out.say(format_args!(
            "{} is empty; kiln artifacts add FILE… imports etcd's release tarball, or Debian's etcd-server and etcd-client",
            store.directory().display()
        ));
    }
    records.iter().try_for_each(|record| out.print(describe(record)))
}

fn known(json: bool, out: &Output) -> Result<()> {
    if json {
        let known = artifact::known().map(|known| {
            json!({
                "version": known.release, "arch": known.arch, "file": known.file, "sha256": known.sha256,
            })
        });
        return out.json(&known.collect::<Vec<_>>());
    }
    let line = |known: artifact::KnownRelease| {
        let (release, arch) = (known.release.to_string(), known.arch.to_string());
        format!("{release:<8} {arch:<8} {}", known.file)
    };
    out.print(artifact::known().map(line).collect::<Vec<_>>().join("\n"))
}

/// A profile without a version uses the newest release: an import may change the release of all those profiles.
fn tell_of_newest(before: &[(Release, Arch)], after: &[(Release, Arch)], out: &Output) {
    for arch in Arch::ALL {
        let newest =
            |list: &[(Release, Arch)]| list.iter().filter(|(_, of)| *of == arch).map(|(r, _)| *r).max();
        if let (Some(old), Some(new)) = (newest(before), newest(after))
            && old != new
        {
            out.announce(format_args!(
                "profiles for {arch} without [etcd] version are now built with etcd {new} instead of {old}"
            ));
        }
    }
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Added => "added",
        Outcome::AlreadyThere => "already there",
        Outcome::SourcesUpdated => "already there, now from these files",
        Outcome::Replaced => "replaced",
    }
}

fn describe(record: &ReleaseRecord) -> String {
    let mut text = format!("etcd {} {}", record.version, record.arch);
    for source in &record.sources {
        let _ = write!(text, "\n  from {}, {}, sha256 {}", source.file, source.trust, source.sha256);
    }
    for (program, binary) in &record.binaries {
        let needs = match &binary.interpreter {
            Some(interpreter) => format!("needs {interpreter}"),
            None => "static".to_owned(),
        };
        let _ = write!(text, "\n  {program:<8} {:>9} bytes, {needs}", binary.size);
    }
    text
}
