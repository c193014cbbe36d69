//! `kiln restore`.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::build::{Built, One, default_out};
use super::output::{Output, and_said};
use super::snapshot_files::{PURPOSE, age, copied, decrypted, place};
use super::{ask, inputs, named, programs};
use crate::backup::{self, Chosen, Plain, Reader, Survivor};
use crate::build::{NodeProgram, Session};
use crate::bundle::manifest::EtcdProgram;
use crate::bundle::{Bundle, LAYER_ARCHIVE, NODE_ARCHIVE, copy, take};
use crate::cli;
use crate::clock;
use crate::disk::{self, Kind, Scratch, Staging};
use crate::failure::{Exit, Failure, Result};
use crate::pki::{Keystore, RestoredFrom};
use crate::render::{self, RestoredWith};
use crate::values::{ClusterName, Epoch, Mode, NODE_PROGRAM, RestoreFrom, Setting};

/// The bundle, and a directory for each node, in the one that is made.
const BUNDLE: &str = "bundle";
const NODES: &str = "nodes";

/// The files of a node: its orders, what has them carried out, and the programs where the bundle has them apart.
const ORDERS: &str = "restore.json";
const SCRIPT: &str = "restore.sh";
const SNAPSHOT: &str = "snapshot.db";
const PROGRAMS: &str = "programs.tar.gz";

/// What is restored.
struct Source {
    plain: Plain,
    revision: u64,
    /// As messages have it.
    called: String,
}

pub fn run(args: &cli::RestoreCluster, out: &Output) -> Result<()> {
    let old = Bundle::open(&args.bundle)?;
    if args.abandon {
        return abandon(&old, args, out);
    }
    let trust = cli::Trust {
        artifacts: Some(args.inputs.store.artifacts.clone()),
        allow_unverified: args.allow_unverified,
    };
    let mut run_here = vec![Reader::program(&old)];
    if !args.from_data.is_empty() {
        run_here.push(EtcdProgram::Etcd);
    }
    programs::check_aloud(&old, &run_here, &trust, out)?;
    let scratch = Scratch::swept(PURPOSE)?;
    let source = source(&old, args, scratch.path(), out)?;
    let (cluster, next) = (&old.manifest.cluster, old.manifest.cluster.generation() + 1);
    let meant = format!(
        "this makes generation {next} of {} from {}, revision {}: what was written since is not in it, and every member \
         has to be restored",
        cluster.name, source.called, source.revision
    );
    ask::name(&cluster.name, args.cluster.as_ref(), &meant)?;
    if render::bump(old.manifest.etcd.version).is_none() {
        out.warn(format_args!(
            "etcd {} cannot raise the revision of what it restores: restart whatever watches this cluster (API servers, Patroni, \
             Cilium) once it serves again, or it takes new changes for those that it has seen",
            old.manifest.etcd.version
        ));
    }
    let root = args.out.clone().unwrap_or_else(|| beside(&args.bundle, next));
    // Looked at before the keystore counts.
    refuse_foreign(&root.join(NODES))?;
    let tell = |note| out.tell(note);
    let program =
        Session::new(inputs::options(&args.inputs)?, &tell)?.node_program(old.manifest.etcd.arch)?;
    let built = build(&old, &source, args, &root, out)?;
    hand_out(&built, &source, &program, &root)?;
    say(&built, &source, &root, args.inputs.json, out)
}

/// What is not of an earlier run is not replaced.
///
/// # Errors
/// `Exit::Unsafe` where there is anything else.
fn refuse_foreign(nodes: &Path) -> Result<()> {
    let foreign = |what: &Path| {
        Err(Failure::unsafe_to(format!(
            "{} is not of a restore, and would be lost; move it elsewhere, or choose another --out",
            what.display()
        )))
    };
    match disk::look(nodes)? {
        None => return Ok(()),
        Some(found) if found.kind == Kind::Directory => {}
        Some(_) => return foreign(nodes),
    }
    for found in disk::walk(nodes)? {
        let name = found.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_own = match found.path.components().count() {
            1 => found.kind == Kind::Directory,
            2 => {
                found.kind == Kind::File
                    && [ORDERS, SCRIPT, SNAPSHOT, PROGRAMS, NODE_PROGRAM, NODE_ARCHIVE].contains(&name)
            }
            _ => false,
        };
        if !is_own {
            return foreign(&nodes.join(found.path));
        }
    }
    Ok(())
}

/// `out/ha3-g2`.
fn beside(bundle: &Path, generation: u32) -> PathBuf {
    let named = if bundle.file_name().is_some() { bundle.to_owned() } else { disk::resolved(bundle) };
    let name =
        named.file_name().map_or_else(|| "restored".into(), |name| name.to_string_lossy().into_owned());
    named.with_file_name(format!("{name}-g{generation}"))
}

fn source(old: &Bundle, args: &cli::RestoreCluster, scratch: &Path, out: &Output) -> Result<Source> {
    match &args.snapshot {
        None => survived(old, args, scratch, out),
        Some(RestoreFrom::Plain(path)) if !args.accept_unsigned => Err(Failure::unsafe_to(format!(
            "{} has no record that a node of {} has signed, so that it may be anything; name a snapshot of its nodes, or, if \
             you know where the file is from, add --accept-unsigned",
            path.display(),
            old.manifest.cluster.name
        ))),
        Some(RestoreFrom::Plain(path)) => {
            named::refuse_missing(path)?;
            let own = scratch.join(SNAPSHOT);
            disk::copy_new(path, &own, Mode::SECRET)?;
            let plain = Plain::of(&own)?;
            let revision = Reader::new(old, scratch)?.revision(&plain)?;
            Ok(Source { plain, revision, called: format!("{}, which no node has signed", path.display()) })
        }
        Some(RestoreFrom::Taken(choice)) => {
            let place = place(old, &args.from)?;
            let Chosen { record, passed, .. } = backup::chosen(&place, &old.manifest, choice, clock::now())?;
            passed.iter().for_each(|why| out.warn(format_args!("passed over {why}")));
            let body = copied(&place, &record, scratch)?;
            let plain = decrypted(old, &body, &record, scratch)?;
            let taken = Epoch::from_seconds(record.taken).unwrap_or(Epoch::START);
            let called = format!("{}, {}", record.name, age(taken, clock::now()));
            Ok(Source { plain, revision: record.revision, called })
        }
    }
}

/// Of what members have left, that with the highest revision: they have the same history, as far as each goes.
fn survived(old: &Bundle, args: &cli::RestoreCluster, scratch: &Path, out: &Output) -> Result<Source> {
    if !args.wal_dir.is_empty() && args.wal_dir.len() != args.from_data.len() {
        let text = "--wal-dir is given for some of --from-data; give one for each, in the same order";
        return Err(Failure::new(Exit::Usage, text));
    }
    let reader = Reader::new(old, scratch)?;
    let mut best: Option<Source> = None;
    for (at, data) in args.from_data.iter().enumerate() {
        let shown = data.display();
        out.say(format_args!("reading a copy of {shown} with etcd {}", old.manifest.etcd.version));
        let survivor = Survivor { data, log: args.wal_dir.get(at).map(PathBuf::as_path) };
        let own = scratch.join(format!("survivor-{at}"));
        disk::make_directories(&own, Mode::SECRET_DIRECTORY)?;
        let plain = survivor.snapshot(old, &own)?;
        let revision = reader.revision(&plain)?;
        out.say(format_args!("{shown} has revision {revision}"));
        if best.as_ref().is_none_or(|best| best.revision < revision) {
            let called = format!("what is left in {shown}");
            best = Some(Source { plain, revision, called });
        }
    }
    out.warn("members that still run have to be stopped: what they write from now on is lost");
    best.ok_or_else(|| Failure::new(Exit::Usage, "name what to restore with --snapshot or --from-data"))
}

/// The bundle of the next generation; the keystore counts it when every byte of the bundle is written.
fn build(
    old: &Bundle,
    source: &Source,
    args: &cli::RestoreCluster,
    root: &Path,
    out: &Output,
) -> Result<Built> {
    let cluster = &old.manifest.cluster;
    let from = RestoredFrom {
        sha256: source.plain.sha256,
        revision: source.revision,
        date: clock::now(),
        release: old.manifest.etcd.version,
    };
    let begin = |dir: &Path, name: &ClusterName| match *name == cluster.name {
        true => Keystore::begin_generation(dir, name, &cluster.token, &from).map(Some),
        false => Err(Failure::new(
            Exit::Usage,
            format!("the profile is of the cluster {name}, and the bundle is of {}", cluster.name),
        )),
    };
    let name = match &args.profile {
        Some(name) => name.clone(),
        None => disk::resolved(&args.bundle)
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
    };
    let settings = settings(old, &args.settings);
    let wanted = One {
        name: &name,
        settings: &settings,
        inputs: &args.inputs,
        target: &|_| root.join(BUNDLE),
        find: &begin,
    };
    wanted.build(out)
}

/// Those of the command line; the release is that of the bundle, whatever is newest in the store: its programs are on
/// the nodes.
fn settings(old: &Bundle, given: &cli::Settings) -> cli::Settings {
    const VERSION: &str = "etcd.version";
    let mut settings = given.clone();
    if settings.set.iter().all(|setting| setting.key() != VERSION) {
        settings.set.push(Setting::new(VERSION, &old.manifest.etcd.version.to_string()));
    }
    settings
}

/// A directory for each node, all at once.
fn hand_out(built: &Built, source: &Source, program: &NodeProgram, root: &Path) -> Result<()> {
    let plan = &built.prepared.plan;
    let new = Bundle::open(&built.target)?;
    let reader = Reader::program(&new);
    let sha256 = new.manifest.etcd.binaries.get(&reader).map(|binary| binary.sha256);
    let with = RestoredWith {
        size: source.plain.size,
        sha256: source.plain.sha256,
        revision: source.revision,
        program: &reader.to_string(),
        program_sha256: sha256
            .ok_or_else(|| Failure::wrong("the bundle has no program that restores a snapshot"))?,
    };
    let nodes = root.join(NODES);
    let staging = Staging::begin(&nodes)?;
    let mut first: Option<String> = None;
    for node in &plan.nodes {
        let file = |name: &str| format!("{}/{name}", node.name);
        let write = |name: &str, bytes: &[u8], mode: Mode| staging.create(&file(name), mode)?.write(bytes);
        staging.directory(node.name.as_str(), Mode::SECRET_DIRECTORY)?;
        write(ORDERS, &render::restore_orders(plan, node, &with)?, Mode::SECRET)?;
        write(SCRIPT, render::restore_script(plan, node)?.as_bytes(), Mode::PROGRAM)?;
        write(NODE_PROGRAM, program.blob.bytes()?, Mode::PROGRAM)?;
        take(
            &staging,
            &built.target.join(format!("nodes/{}/{NODE_ARCHIVE}", node.name)),
            &file(NODE_ARCHIVE),
            Mode::SECRET,
        )?;
        let layer = built.target.join(LAYER_ARCHIVE);
        if disk::look(&layer)?.is_some() {
            take(&staging, &layer, &file(PROGRAMS), Mode::SECRET)?;
        }
        let own = file(SNAPSHOT);
        let is_linked = match first.as_deref() {
            Some(there) => staging.link_within(there, &own)?,
            None => false,
        };
        if !is_linked {
            copy(&staging, &source.plain.path, &own, Mode::SECRET)?;
            first = Some(own);
        }
    }
    // Looked at again: another process may have added a file meanwhile.
    staging.publish(|_| refuse_foreign(&nodes))
}

fn say(built: &Built, source: &Source, root: &Path, json: bool, out: &Output) -> Result<()> {
    let plan = &built.prepared.plan;
    let (cluster, generation) = (&plan.cluster, plan.cluster.generation());
    let revision = source.revision + render::bump(plan.release).unwrap_or(0);
    let done = format!("{} has generation {generation} of {}", root.display(), cluster.name);
    let said = match json {
        true => out.json(&json!({
            "directory": root,
            "bundle": built.target,
            "cluster": {
                "name": cluster.name, "token": cluster.token, "id": cluster.id, "generation": generation,
            },
            "revision": revision,
            "nodes": plan.nodes.iter().map(|node| &node.name).collect::<Vec<_>>(),
            "keystore": built.prepared.keystore_path,
        })),
        false => out.print(format_args!(
            "{done}: cluster ID {}, token {}, revision {revision} and above",
            cluster.id, cluster.token
        )),
    };
    if !json {
        let nodes = root.join(NODES);
        out.say(format_args!(
            "next: copy {}/NODE to each node, as root's alone; there: sh restore.sh prepare; when all are prepared: sh \
             restore.sh switch; then: kiln verify {}",
            nodes.display(),
            built.target.display()
        ));
        out.say(format_args!(
            "{}/*/{SNAPSHOT} is the cluster's data, decrypted: keep it from others. To go back before any node has switched: kiln \
             restore --abandon BUNDLE with the bundle that the nodes run",
            nodes.display()
        ));
    }
    and_said(&done, said)
}

fn abandon(old: &Bundle, args: &cli::RestoreCluster, out: &Output) -> Result<()> {
    let cluster = &old.manifest.cluster;
    let path = named::keystore_path(args.inputs.keys.keystore.as_ref(), &cluster.name);
    let (mut keystore, gone) = Keystore::end_generation(&path, &cluster.name, &cluster.token)?;
    let meant = format!(
        "this takes generation {} of {} back, which was made on {}: a node that has switched to it would be refused by later \
         builds",
        gone.generation, cluster.name, gone.date
    );
    ask::name(&cluster.name, args.cluster.as_ref(), &meant)?;
    keystore.save(&path)?;
    let done = format!("{} is generation {} again in {}", cluster.name, gone.generation - 1, path.display());
    let said = match args.inputs.json {
        true => out.json(&json!({ "keystore": path, "generation": gone.generation - 1 })),
        false => out.print(format_args!(
            "{done}; on nodes that were prepared: sh restore.sh abandon. Build {} again",
            default_out(&cluster.name).display()
        )),
    };
    and_said(&done, said)
}
