//! `kiln restore`.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::build::{Built, One, default_out};
use super::output::{Output, and_said};
use super::restored_from::{KEPT, Source, source};
use super::snapshot_files::PURPOSE;
use super::{ask, inputs, named, programs};
use crate::backup::Reader;
use crate::build::{NodeProgram, Session};
use crate::bundle::manifest::EtcdProgram;
use crate::bundle::{
    Bundle, KIT_BUNDLE, KIT_NODES, KIT_ORDERS, KIT_SNAPSHOT, LAYER_ARCHIVE, NODE_ARCHIVE, copy, take,
};
use crate::cli;
use crate::disk::{self, Kind, Scratch, Staging};
use crate::failure::{Exit, Failure, Result};
use crate::host::{MachinesRecord, State};
use crate::pki::Keystore;
use crate::render::{self, RestoredWith};
use crate::values::{ClusterName, Mode, NODE_PROGRAM, Setting};

/// The files of a node besides its orders and the snapshot: what has the orders carried out, and the programs where the
/// bundle has them apart.
const SCRIPT: &str = "restore.sh";
const PROGRAMS: &str = "programs.tar.gz";

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
    let (cluster, next) = (&old.manifest.cluster, old.manifest.cluster.generation() + 1);
    let root = args.out.clone().unwrap_or_else(|| beside(&args.bundle, next));
    refuse_within(&root, args)?;
    let source = source(&old, args, &root, scratch.path(), out)?;
    let meant = format!(
        "this makes generation {next} of {} from {}, revision {}: what was written since is not in it, and every member \
         has to be restored",
        cluster.name, source.called, source.revision
    );
    if !args.from_data.is_empty() {
        out.warn("stop every member that still runs: what is written from now on is lost");
    }
    ask::name(&cluster.name, args.cluster.as_ref(), &meant)?;
    if render::bump(old.manifest.etcd.version).is_none() {
        out.warn(format_args!(
            "etcd {} cannot raise the revision of what it restores: restart whatever watches this cluster (API servers, Patroni, \
             Cilium) once it serves again, or it takes new changes for those that it has seen",
            old.manifest.etcd.version
        ));
    }
    // Looked at before the keystore counts.
    refuse_foreign(&root.join(KIT_NODES))?;
    let tell = |note| out.tell(note);
    let program =
        Session::new(inputs::options(&args.inputs)?, &tell)?.node_program(old.manifest.etcd.arch)?;
    let built = build(&old, &source, args, &root, out)?;
    hand_out(&built, &source, &program, &root)?;
    // Where there are some: that it cannot be known is no reason to fail now.
    let machines = State::open(&old).ok().flatten().filter(|state| !state.record.nodes.is_empty());
    let made = machines.as_ref().map(|state| (args.bundle.as_path(), &state.record));
    say(&built, &source, &root, (made, args.inputs.json), out)
}

/// Nothing is written to what is restored from.
///
/// # Errors
/// `Exit::Unsafe` where it would be.
fn refuse_within(root: &Path, args: &cli::RestoreCluster) -> Result<()> {
    let (own, given) = (disk::resolved(root), args.from_data.iter().chain(&args.wal_dir));
    match given.map(|data| disk::resolved(data)).find(|data| own.starts_with(data)) {
        None => Ok(()),
        Some(data) => Err(Failure::unsafe_to(format!(
            "{} is in {}, which may be the only copy and is not written to; choose another --out",
            root.display(),
            data.display()
        ))),
    }
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
                    && [KIT_ORDERS, SCRIPT, KIT_SNAPSHOT, PROGRAMS, NODE_PROGRAM, NODE_ARCHIVE]
                        .contains(&name)
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

/// The bundle of the next generation; the keystore counts it when every byte of the bundle is written.
fn build(
    old: &Bundle,
    source: &Source,
    args: &cli::RestoreCluster,
    root: &Path,
    out: &Output,
) -> Result<Built> {
    let cluster = &old.manifest.cluster;
    let from = source.counted(old);
    let begin = |dir: &Path, name: &ClusterName| match *name == cluster.name {
        true => {
            let keystore = Keystore::begin_generation(dir, name, &cluster.token, &from)?;
            if !args.from_data.is_empty() {
                source.keep(root)?;
            }
            Ok(Some(keystore))
        }
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
        target: &|_| root.join(KIT_BUNDLE),
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
    let nodes = root.join(KIT_NODES);
    let staging = Staging::begin(&nodes)?;
    let mut first: Option<String> = None;
    for node in &plan.nodes {
        let file = |name: &str| format!("{}/{name}", node.name);
        let write = |name: &str, bytes: &[u8], mode: Mode| staging.create(&file(name), mode)?.write(bytes);
        staging.directory(node.name.as_str(), Mode::SECRET_DIRECTORY)?;
        write(KIT_ORDERS, &render::restore_orders(plan, node, &with)?, Mode::SECRET)?;
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
        let own = file(KIT_SNAPSHOT);
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

fn say(
    built: &Built,
    source: &Source,
    root: &Path,
    (machines, json): (Option<(&Path, &MachinesRecord)>, bool),
    out: &Output,
) -> Result<()> {
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
        let nodes = root.join(KIT_NODES);
        out.say(format_args!(
            "next: copy {}/NODE to each node, as root's alone; there: sh restore.sh prepare; when all are prepared: sh \
             restore.sh switch; then: kiln verify {}",
            nodes.display(),
            built.target.display()
        ));
        machines.iter().for_each(|machines| out.say(with_machines(*machines, &built.target, root)));
        let kept = root.join(KEPT);
        let kept = match disk::look(&kept)? {
            Some(_) => format!(" and {}", kept.display()),
            None => String::new(),
        };
        out.say(format_args!(
            "the cluster's data, decrypted, is in {}/*/{KIT_SNAPSHOT}{kept}: keep it from others. To go back before any node has \
             switched: kiln restore --abandon BUNDLE with the bundle that the nodes run",
            nodes.display()
        ));
    }
    and_said(&done, said)
}

/// How the VMs of the generation before are replaced: with new ones that are run in the same way.
fn with_machines((old, made): (&Path, &MachinesRecord), bundle: &Path, root: &Path) -> String {
    let connect = match made.driver.as_str() {
        "libvirt" => format!(" --connect {}", made.connect),
        _ => String::new(),
    };
    format!(
        "its VMs on this host: kiln down {}, then kiln up {} --restore {} --driver {}{connect} --carrier {}; the disks that \
         they have stay as they are",
        old.display(),
        bundle.display(),
        root.display(),
        made.driver,
        made.carrier
    )
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
