//! `kiln artifacts add` and `list`.

use std::fmt::Write;

use super::{inputs, output::Output};
use crate::artifact::{Accept, Outcome, Record, Store};
use crate::cli::Artifacts;
use crate::failure::Result;

pub fn run(verb: &Artifacts, out: &Output) -> Result<()> {
    match verb {
        Artifacts::Add { files, store, trust, sha256, profile, replace, json } => {
            let store = Store::at(&store.artifacts);
            let mut pinned = sha256.clone();
            if let Some(name) = profile {
                pinned.extend(inputs::profile(name, &store, out)?.etcd.sha256);
            }
            let accept = Accept { pinned: &pinned, trust: *trust, replace: *replace };
            let added = store.add(files, &accept)?;
            if *json {
                return out.json(&added);
            }
            added.iter().try_for_each(|added| {
                out.print(format_args!("{}: {}", outcome(added.outcome), describe(&added.record)))
            })
        }
        Artifacts::List { store, json } => {
            let store = Store::at(&store.artifacts);
            let records = store.list()?;
            if *json {
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

fn describe(record: &Record) -> String {
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
