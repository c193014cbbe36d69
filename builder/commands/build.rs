//! `kiln build`.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread;

use serde_json::json;

use super::ending::ending;
use super::keystore::KEEP_IT;
use super::output::{Output, and_said};
use super::overlays::Near;
use super::places::Places;
use super::progress::Progress;
use super::{cache, fleet, inputs, named, overlays, peers};
use crate::build::{Note, Prepared, Session, Sink, warn_of_same_keystore};
use crate::bundle::{Holds, Manifest, Place, Writer};
use crate::cli;
use crate::clock;
use crate::disk;
use crate::failure::Result;
use crate::pki::Keystore;
use crate::profile::Profile;
use crate::values::{ClusterName, counted};
use crate::{parallel, pki, render};

pub fn run(args: &cli::Build, out: &Output) -> Result<()> {
    thread::scope(|scope| {
        // Reading and checking everything keeps one core busy; the others have no work yet.
        let _early = parallel::beside(scope, || {
            pki::warm_up();
            render::embedded().map(drop)
        });
        match args.source.profiles() {
            [name] if args.source.shard.is_none() => one(name, args, out),
            _ => fleet::run(args, out),
        }
    })
}

/// The default output of a bundle.
pub fn default_out(name: &ClusterName) -> PathBuf {
    Path::new("out").join(name.as_str())
}

fn one(name: &str, args: &cli::Build, out: &Output) -> Result<()> {
    let wanted = One {
        name,
        settings: &args.source.settings,
        inputs: &args.inputs,
        target: &|profile| args.out.clone().unwrap_or_else(|| default_out(&profile.name)),
        find: &|path, cluster| Keystore::find(path, cluster),
    };
    let built = wanted.build(out)?;
    let said = say(&built.target, &built.prepared, args.inputs.json, out);
    and_said(&format!("{} is built", built.target.display()), said)
}

/// A bundle that is to be built.
pub struct One<'a> {
    /// The profile's name or file.
    pub name: &'a str,
    pub settings: &'a cli::Settings,
    pub inputs: &'a cli::BuildInputs,
    pub target: &'a dyn Fn(&Profile) -> PathBuf,
    /// Finds its keystore: in this directory, of this cluster.
    pub find: &'a dyn Fn(&Path, &ClusterName) -> Result<Option<Keystore>>,
}

/// A bundle that was built.
pub struct Built {
    pub target: PathBuf,
    pub prepared: Prepared,
}

impl One<'_> {
    /// Builds and publishes it, and saves its keystore.
    pub fn build(&self, out: &Output) -> Result<Built> {
        let tell = |note| out.tell(note);
        let inputs = self.inputs;
        let mut session = Session::new(inputs::options(inputs)?, &tell)?;
        let profile = inputs::profile(self.name, self.settings, Near::of(&session, &inputs.keys), out)?;
        let path = named::keystore_path(inputs.keys.keystore.as_ref(), &profile.cluster.name);
        let target = (self.target)(&profile);
        let places = Places::of(inputs, &target)?;
        places.refuse_keystore(&path)?;
        overlays::check(&[&profile], &session, &places.and_keystore(&path))?;
        // Only after the check that none of the directories is inside another.
        session.keep_results(cache::opened(&inputs.cache, out));
        let find = || (self.find)(&path, &profile.cluster.name);
        let mut prepared = Prepared::with(&profile, &session, (&path, &find), &target)?;
        warn_of_same_keystore(&target, &prepared.plan, &session);
        if let Some(why) = &prepared.plan.pki.desk_because {
            out.tell(Note::detail(format_args!(
                "certificates will be renewed by kiln keystore renew and builds, not by nodes: {why}; this build decides it"
            )));
        }
        let place = Place::begin(&target, Holds::Bundle)?.having_seen(session.seen(&target));
        let writer = place.bundle();
        let manifest = make(&prepared, &session, &writer, &place, inputs.jobs, out)?;
        if !prepared.plan.peers_by_name {
            peers::warn(prepared.plan.release, out);
        }
        if let Some(end) = prepared.shortened(&manifest) {
            out.warn(format_args!(
                "certificates expire on {end} with the CA, earlier than leaf-lifetime allows"
            ));
        }
        let expires = manifest.certificates.iter().map(|certificate| certificate.not_after).min();

        writer.finish(manifest)?;
        // The keystore is saved when every check has passed: a bundle whose keys are lost could never be built again.
        let noted = place.publish(|| save_keystore(&mut prepared, out))?;
        session.close(&target, &noted)?;
        if let Some(when) = expires.and_then(|expires| ending(expires, clock::now())) {
            out.warn(format_args!(
                "certificates in this bundle {when}; run kiln keystore renew {} --keystore {}, and build again",
                prepared.plan.cluster.name,
                prepared.keystore_path.display()
            ));
        }
        Ok(Built { target, prepared })
    }
}

/// Makes every file of the bundle except those that are written last.
fn make(
    prepared: &Prepared,
    session: &Session<'_>,
    writer: &Writer<'_>,
    place: &Place,
    jobs: Option<NonZeroUsize>,
    out: &Output,
) -> Result<Manifest> {
    let replaced = place.replaced(None);
    let replaced = disk::look(&replaced)?.map(|_| replaced.as_path());
    let nodes = prepared.plan.nodes.len();
    let progress = Progress::begin(out, nodes);
    let done = |done| progress.tell(done);
    let sink = Sink::Bundle { writer, replaced, progress: &done };
    // One thread for each node by default: with two threads, the third of three nodes would be left to one core alone.
    let each = NonZeroUsize::new(nodes).map_or(session.jobs, |nodes| nodes.max(session.jobs));
    crate::build::build(prepared, session, sink, jobs.unwrap_or(each))
}

fn save_keystore(prepared: &mut Prepared, out: &Output) -> Result<()> {
    let path = &prepared.keystore_path;
    if prepared.keystore.is_unsaved() {
        prepared.keystore.save(path)?;
        prepared.keystore.reminder().iter().for_each(|reminder| out.warn(reminder));
    }
    // From here on the keystore exists, whatever happens.
    if prepared.keystore_is_new {
        out.announce(format_args!("created the keystore {}: {KEEP_IT}", path.display()));
    }
    Ok(())
}

fn say(target: &Path, prepared: &Prepared, json: bool, out: &Output) -> Result<()> {
    let plan = &prepared.plan;
    if json {
        out.json(&json!({
            "bundle": target,
            "cluster": {
                "name": plan.cluster.name, "token": plan.cluster.token, "id": plan.cluster.id,
                "formed": plan.cluster.formed,
            },
            "etcd": plan.release,
            "nodes": plan.nodes.iter().map(|node| &node.name).collect::<Vec<_>>(),
            "keystore": prepared.keystore_path,
            "keystore_made": prepared.keystore_is_new,
        }))
    } else {
        out.print(format_args!(
            "{}: {} of etcd {} {}, cluster ID {}, token {}",
            target.display(),
            counted(plan.nodes.len(), "member"),
            plan.release,
            plan.arch,
            plan.cluster.id,
            plan.cluster.token
        ))
    }
}
