//! `kiln snapshots`.

use std::path::Path;
use std::time::Duration;

use kiln_wire::{BODY, RECORD};
use serde_json::json;

use super::output::{Output, and_said};
use super::programs;
use super::snapshot_files::{PURPOSE, age, copied, decrypted, place};
use super::verify::{conclude, options};
use crate::artifact::EtcdProgram;
use crate::backup::{self, Chosen, Reader, Snapshot};
use crate::bundle::Bundle;
use crate::cli::{Snapshots, SnapshotsFrom, Trust};
use crate::clock;
use crate::cluster::Etcdctl;
use crate::disk::{self, Scratch};
use crate::failure::Result;
use crate::rehearse::{self, Rehearsal};
use crate::values::{Epoch, Mode, SnapshotChoice};

pub fn run(verb: &Snapshots, out: &Output) -> Result<()> {
    match verb {
        Snapshots::Take { bundle, out: into, plain, trust, json } => {
            take(&Bundle::open(bundle)?, into, *plain, trust, *json, out)
        }
        Snapshots::List { bundle, from, json } => list(&Bundle::open(bundle)?, from, *json, out),
        Snapshots::Fetch { bundle, snapshot, from, out: into, plain, trust, json } => {
            let plain = plain.then_some(trust);
            fetch(&Bundle::open(bundle)?, (snapshot, from), into, plain, *json, out)
        }
        Snapshots::Test { bundle, snapshot, from, deadline, trust, json } => {
            let deadline = Duration::from_secs(*deadline);
            test(&Bundle::open(bundle)?, (snapshot, from), deadline, trust, *json, out)
        }
        Snapshots::Prune { bundle, secrets, dry_run, json } => {
            super::prune::run(&Bundle::open(bundle)?, secrets.as_deref(), *dry_run, *json, out)
        }
    }
}

fn list(bundle: &Bundle, from: &SnapshotsFrom, json: bool, out: &Output) -> Result<()> {
    let place = place(bundle, from)?;
    let all = backup::all(&place, &bundle.manifest)?;
    if json {
        return out.json(&all.iter().map(Snapshot::row).collect::<Vec<_>>());
    }
    if all.is_empty() {
        return out.print(format_args!(
            "{} has no snapshot of {}",
            place.shown(),
            bundle.manifest.cluster.name
        ));
    }
    let now = clock::now();
    let mut lines = Vec::new();
    for one in &all {
        let size = one.record().map_or(String::new(), |record| format!(", {}", bytes(record.size)));
        lines.push(format!("{}  {}{size}, {}", one.name, age(one.taken(), now), one.state));
    }
    out.print(lines.join("\n"))
}

fn bytes(count: u64) -> String {
    match count >> 20 {
        0 => format!("{} KiB", count.div_ceil(1 << 10)),
        mebibytes => format!("{mebibytes} MiB"),
    }
}

fn take(bundle: &Bundle, output: &Path, plain: bool, trust: &Trust, json: bool, out: &Output) -> Result<()> {
    let needed = [EtcdProgram::Etcdctl, Reader::program(bundle)];
    programs::check_aloud(bundle, &needed, trust, out)?;
    disk::make_directories(output, Mode::DIRECTORY)?;
    let scratch = Scratch::swept(PURPOSE)?;
    let etcdctl = Etcdctl::new(&bundle.path, &bundle.manifest, scratch.path())?;
    let taken = backup::take(bundle, &etcdctl, scratch.path())?;
    let path = match plain {
        true => taken.keep_plain(output)?,
        false => taken.keep(bundle, output)?,
    };
    let done = format!("took {}", path.display());
    let said = match json {
        true => out.json(&json!({ "file": path, "revision": taken.revision() })),
        false => out.print(format_args!("{done}, revision {}", taken.revision())),
    };
    and_said(&done, said)
}

fn fetch(
    bundle: &Bundle,
    (choice, from): (&SnapshotChoice, &SnapshotsFrom),
    output: &Path,
    plain: Option<&Trust>,
    json: bool,
    out: &Output,
) -> Result<()> {
    if let Some(trust) = plain {
        programs::check_aloud(bundle, &[Reader::program(bundle)], trust, out)?;
    }
    let place = place(bundle, from)?;
    let Chosen { record, envelope, passed } = backup::chosen(&place, &bundle.manifest, choice, clock::now())?;
    passed.iter().for_each(|why| out.warn(format_args!("passed over {why}")));
    disk::make_directories(output, Mode::DIRECTORY)?;
    let scratch = Scratch::swept(PURPOSE)?;
    let body = copied(&place, &record, scratch.path())?;
    let path = if plain.is_some() {
        let plain = decrypted(bundle, &body, &record, scratch.path())?;
        let path = output.join(format!("{}.db", record.name));
        disk::copy_new(&plain.path, &path, Mode::SECRET)?;
        path
    } else {
        let path = output.join(format!("{}{BODY}", record.name));
        disk::copy_new(&body, &path, Mode::SECRET)?;
        disk::write_new(&output.join(format!("{}{RECORD}", record.name)), &envelope, Mode::FILE)?;
        path
    };
    let done = format!("copied {}", path.display());
    let said = match json {
        true => out.json(&json!({ "file": path, "revision": record.revision })),
        false => out.print(format_args!("{done}, revision {}", record.revision)),
    };
    and_said(&done, said)
}

fn test(
    bundle: &Bundle,
    (choice, from): (&SnapshotChoice, &SnapshotsFrom),
    deadline: Duration,
    trust: &Trust,
    json: bool,
    out: &Output,
) -> Result<()> {
    bundle.check_bytes()?;
    let needed = [EtcdProgram::Etcd, EtcdProgram::Etcdctl, Reader::program(bundle)];
    let unknown = programs::check(bundle, &needed, trust)?;
    let place = place(bundle, from)?;
    let Chosen { record, passed, .. } = backup::chosen(&place, &bundle.manifest, choice, clock::now())?;
    passed.iter().for_each(|why| out.warn(format_args!("passed over {why}")));
    let scratch = Scratch::swept(PURPOSE)?;
    let body = copied(&place, &record, scratch.path())?;
    let plain = decrypted(bundle, &body, &record, scratch.path())?;
    let taken = Epoch::from_seconds(record.taken).unwrap_or(Epoch::START);
    out.say(format_args!(
        "{}, {}, revision {}: decrypted, and it is what its record says",
        record.name,
        age(taken, clock::now()),
        record.revision
    ));
    let rehearsal = Rehearsal {
        deadline,
        quiet: out.is_quiet(),
        now: clock::now(),
        strangers: vec![options(bundle)?.stranger],
        snapshot: Some(rehearse::Snapshot { path: plain.path.clone(), revision: record.revision }),
        leaf_life: None,
    };
    let rehearsed = rehearse::rehearse(std::slice::from_ref(bundle), &rehearsal);
    bundle.check_same()?;
    let mut reports = rehearsed?.stop()?;
    for report in &mut reports {
        report.notes.extend(unknown.clone());
        report.notes.push(format!("restored from {}, taken {taken} by {}", record.name, record.node));
    }
    conclude(&reports, json, None, out)
}
