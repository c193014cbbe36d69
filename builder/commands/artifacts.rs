//! `kiln artifacts add`, `list`, `verify` and `known`.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde::Serialize;
use serde_json::{Value, json};

use super::changes::{self, Change};
use super::{inputs, named, output::Output};
use crate::artifact::{self, Accept, Audit, Damage, Imported, NodeRecord, Outcome, ReleaseRecord, Store};
use crate::cli::Artifacts;
use crate::disk;
use crate::etcd::Release;
use crate::failure::{Doing, Exit, Failure, Result};
use crate::values::{Arch, NODE_PROGRAM, counted};

pub fn run(verb: &Artifacts, out: &Output) -> Result<()> {
    match verb {
        Artifacts::Add { files, store, allow_unverified, sha256, profile, settings, replace, json } => {
            let store = Store::at(&store.artifacts);
            store.refuse_foreign()?;
            let mut pinned = sha256.clone();
            if let Some(name) = profile {
                pinned.extend(inputs::pins(name, settings, &store)?);
            }
            let accept = Accept { pinned: &pinned, trust: *allow_unverified, replace: *replace };
            for path in files {
                named::refuse_missing(path)?;
            }
            let before = store.available()?;
            let added = store.add(files, &accept)?;
            let after = store.available()?;
            tell_of_newest(&before, &after, out);
            // The import is done: a profile that cannot be read does not make it fail.
            let mut sources = changes::here().unwrap_or_default();
            if let Some(name) = profile
                && let Ok(named) = inputs::as_written(name)
                && sources.iter().all(|source| source.path != named.path)
            {
                sources.push(named);
            }
            let changes = changes::by_import(&sources, &before, &after);
            changes::lines(&changes).into_iter().for_each(|line| out.say(line));
            print_added(&added, &changes, *json, out)
        }
        Artifacts::List { store, profile, json } => list(&Store::at(&store.artifacts), profile, *json, out),
        Artifacts::Verify { store, json } => verify(&Store::at(&store.artifacts), *json, out),
        Artifacts::Known { json } => known(*json, out),
    }
}

fn print_added(added: &Imported, changes: &[Change], json: bool, out: &Output) -> Result<()> {
    if json {
        let releases = added.releases.iter().map(|added| with_profiles(added, &added.record, changes));
        let nodes = added.nodes.iter().map(with_program);
        return out.json(&releases.chain(nodes).collect::<Result<Vec<_>>>()?);
    }
    for added in &added.releases {
        out.print(format_args!("{}: {}", outcome(added.outcome), describe(&added.record)))?;
    }
    let mut nodes = added.nodes.iter();
    nodes.try_for_each(|added| {
        out.print(format_args!("{}: {}", outcome(added.outcome), describe_node(&added.record)))
    })
}

fn list(store: &Store, named: &[String], json: bool, out: &Output) -> Result<()> {
    refuse_missing(store)?;
    let (records, nodes) = (store.list()?, store.list_nodes()?);
    let sources = match named {
        [] => changes::here()?,
        named => named.iter().map(|name| inputs::as_written(name)).collect::<Result<_>>()?,
    };
    let changes = changes::of_bundles(&sources, &store.available()?);
    if json {
        let items = records.iter().map(|record| with_profiles(record, record, &changes));
        return out.json(&items.chain(nodes.iter().map(with_program)).collect::<Result<Vec<_>>>()?);
    }
    if records.is_empty() && nodes.is_empty() {
        out.say(format_args!(
            "{} is empty; kiln artifacts add FILE… imports etcd's release tarball, or Debian's etcd-server and etcd-client",
            store.directory().display()
        ));
    }
    let shown = records.iter().map(describe).chain(nodes.iter().map(describe_node));
    shown.into_iter().try_for_each(|one| out.print(one))?;
    changes::lines(&changes).into_iter().try_for_each(|line| out.print(line))
}

/// A release as JSON, with the profiles that the next build makes with it.
fn with_profiles(value: &impl Serialize, record: &ReleaseRecord, changes: &[Change]) -> Result<Value> {
    let failed = |error| Failure::io(format!("writing the result as JSON: {error}"));
    let mut value = serde_json::to_value(value).map_err(failed)?;
    let own: Vec<_> =
        changes.iter().filter(|change| (change.to, change.arch) == (record.version, record.arch)).collect();
    if let Value::Object(fields) = &mut value {
        fields.insert("profiles".to_owned(), serde_json::to_value(own).map_err(failed)?);
    }
    Ok(value)
}

/// A kiln-node as JSON, with its name, which tells it from a release.
fn with_program(value: &impl Serialize) -> Result<Value> {
    let failed = |error| Failure::io(format!("writing the result as JSON: {error}"));
    let mut value = serde_json::to_value(value).map_err(failed)?;
    value["program"] = NODE_PROGRAM.into();
    Ok(value)
}

/// # Errors
/// `Exit::Usage` when the store does not exist.
fn refuse_missing(store: &Store) -> Result<()> {
    let directory = std::path::absolute(store.directory()).doing(|| "finding the store".into())?;
    if disk::look(&directory)?.is_none() {
        let reason = format!(
            "there is no artifact store {}; create one with kiln artifacts add FILE…",
            directory.display()
        );
        return Err(Failure::new(Exit::Usage, reason));
    }
    Ok(())
}

fn verify(store: &Store, json: bool, out: &Output) -> Result<()> {
    refuse_missing(store)?;
    let audit = store.audit()?;
    if json {
        out.json(&audit)?;
    }
    let Audit { releases, nodes, programs, packed, damage } = &audit;
    if damage.is_empty() {
        let whole = format!(
            "{}: {}{} with {}, {} compressed: all match their checksums",
            store.directory().display(),
            counted(*releases, "release"),
            if *nodes == 0 { String::new() } else { format!(" and {}", counted(*nodes, NODE_PROGRAM)) },
            counted(*programs, "program"),
            packed
        );
        return if json { Ok(()) } else { out.print(whole) };
    }
    let mut text =
        format!("{}: {} damaged or missing", store.directory().display(), counted(damage.len(), "file"));
    damage.iter().for_each(|one| {
        let _ = write!(text, "\n  {}", why(one));
    });
    let _ = write!(text, "\nnothing was removed; {}", way_out(store, damage));
    Err(Failure::io(text))
}

/// The reason without the advice for a single file.
fn why(damage: &Damage) -> &str {
    let advice = ["; add the release", "; add the program"];
    let cut = advice.iter().find_map(|advice| damage.why.split_once(advice));
    cut.map_or(damage.why.as_str(), |(why, _)| why)
}

fn way_out(store: &Store, damage: &[Damage]) -> String {
    let directory = store.directory().display();
    let ways: BTreeSet<String> = damage
        .iter()
        .map(|one| {
            let replace = if one.replace { " --replace" } else { "" };
            // etcd publishes no checksums of distributions' packages.
            let by_hand = one.node.is_some() || one.sources.iter().any(|file| file.ends_with(".deb"));
            let trust = if by_hand { " --allow-unverified" } else { "" };
            let from = match &one.sources[..] {
                [] => "FILE…".to_owned(),
                files => files.join(" "),
            };
            let etcd = one.release.as_ref().map(|release| format!("etcd {release}"));
            match etcd.or_else(|| one.node.as_ref().map(|node| format!("{NODE_PROGRAM} {node}"))) {
                Some(what) => format!(
                    "import {what} again: kiln artifacts add --artifacts {directory}{replace}{trust} {from}"
                ),
                None => "no release in the store names some of them, so no build reads those".to_owned(),
            }
        })
        .collect();
    ways.into_iter().collect::<Vec<_>>().join("\n")
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

fn describe_node(record: &NodeRecord) -> String {
    let NodeRecord { version, arch, source, .. } = record;
    format!(
        "{NODE_PROGRAM} {version} {arch}\n  from {}, {}, sha256 {}\n  {} bytes, static",
        source.file, source.trust, source.sha256, source.size
    )
}
