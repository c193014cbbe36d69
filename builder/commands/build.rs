//! `kiln build`.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread;

use serde_json::json;

use super::keystore::KEEP_IT;
use super::output::{Output, and_said};
use super::places::Places;
use super::progress::Progress;
use super::{cache, fleet, inputs, overlays, peers};
use crate::build::{Prepared, Session, Sink};
use crate::bundle::{Holds, Place};
use crate::cli;
use crate::clock;
use crate::disk;
use crate::failure::Result;
use crate::values::{ClusterName, counted};
use crate::{parallel, pki, render};

pub fn run(args: &cli::Build, out: &Output) -> Result<()> {
    thread::scope(|scope| {
        // To read and check everything is work for one core; the others have none yet.
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

/// Where a bundle is made unless the command line says otherwise.
pub fn default_out(name: &ClusterName) -> PathBuf {
    Path::new("out").join(name.as_str())
}

fn one(name: &str, args: &cli::Build, out: &Output) -> Result<()> {
    let tell = |note| out.tell(note);
    let mut session = Session::new(inputs::options(&args.inputs)?, &tell)?;
    let profile = inputs::profile(name, &session.store, out)?;
    let path = inputs::keystore_path(args.inputs.keys.keystore.as_ref(), &profile.cluster.name);
    let target = args.out.clone().unwrap_or_else(|| default_out(&profile.name));
    let places = Places::of(&args.inputs, &target)?;
    places.refuse_keystore(&path)?;
    overlays::check(&[&profile], &session, &places.and_keystore(&path))?;
    // Now that it is known to lie in none of the others.
    session.cache = cache::opened(&args.inputs.cache, out);
    let prepared = Prepared::new(&profile, &session, path, &target)?;
    let place = Place::begin(&target, Holds::Bundle)?.having_seen(session.seen(&target));
    let writer = place.bundle();
    let replaced = disk::look(&target)?.map(|_| place.replaced(None));
    let progress = Progress::begin(out, prepared.plan.nodes.len());
    let done = |done| progress.tell(done);
    let sink = Sink::Bundle { writer: &writer, replaced: replaced.as_deref(), progress: &done };
    // One for each node, unless somebody wants fewer: on two cores the third of three would otherwise be left alone with one.
    let each =
        NonZeroUsize::new(prepared.plan.nodes.len()).map_or(session.jobs, |nodes| nodes.max(session.jobs));
    let manifest = crate::build::build(&prepared, &session, sink, args.inputs.jobs.unwrap_or(each))?;
    if !prepared.plan.peers_by_name {
        peers::warn(prepared.plan.release, out);
    }
    if let Some(end) = prepared.shortened(&manifest) {
        out.warn(format_args!("certificates end on {end} with the CA, sooner than leaf-lifetime says"));
    }
    let expires = manifest.certificates.iter().map(|certificate| certificate.not_after).min();

    let Prepared { plan, mut keystore, keystore_path, keystore_is_new, .. } = prepared;
    writer.finish(manifest)?;
    // The keystore is saved when nothing is left that could be refused: a bundle whose keys nobody has any
    // more could never be built again.
    drop(progress);
    let noted = place.publish(|| {
        if keystore.is_unsaved() {
            keystore.save(&keystore_path)?;
        }
        // Whatever comes now, the keystore is there.
        if keystore_is_new {
            out.announce(format_args!("made the keystore {}: {KEEP_IT}", keystore_path.display()));
        }
        Ok(())
    })?;
    session.close(&target, &noted)?;
    if expires.is_some_and(|expires| expires <= clock::now()) {
        out.warn(format_args!(
            "certificates in this bundle have expired; kiln keystore renew {} --keystore {} and build again",
            plan.cluster.name,
            keystore_path.display()
        ));
    }
    let said = if args.inputs.json {
        out.json(&json!({
            "bundle": target,
            "cluster": {
                "name": plan.cluster.name, "token": plan.cluster.token, "id": plan.cluster.id,
                "formed": plan.cluster.formed,
            },
            "etcd": plan.release,
            "nodes": plan.nodes.iter().map(|node| &node.name).collect::<Vec<_>>(),
            "keystore": keystore_path,
            "keystore_made": keystore_is_new,
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
    };
    and_said(&format!("{} is built", target.display()), said)
}
