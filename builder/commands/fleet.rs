//! `kiln build` of many profiles: all of them checked before the first is built, and all bundles published at once.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::output::{Output, and_said};
use super::places::Places;
use super::progress::Progress;
use super::{cache, inputs, overlays, peers};
use crate::build::{self, Prepared, Session, Sink};
use crate::bundle::{Bundle, Entry, Holds, Index, Place};
use crate::cli;
use crate::clock;
use crate::disk;
use crate::etcd::Release;
use crate::failure::{Doing, Failure, Result};
use crate::parallel;
use crate::pki::Keystore;
use crate::profile::Profile;
use crate::values::{Digest, Epoch, Shard, counted};

/// A bundle that is done.
struct Built {
    entry: Entry,
    /// Where there is something to write down, which is done when all are done; and whether it is made by that.
    unsaved: Option<(Keystore, PathBuf)>,
    is_new: bool,
    expires: Option<Epoch>,
    /// When leaves end that end with the CA.
    shortened: Option<Epoch>,
    /// The release, where it lets in more than peers on the peer port.
    open_peers: Option<Release>,
}

pub fn run(args: &cli::Build, out: &Output) -> Result<()> {
    let target = args.out.clone().unwrap_or_else(|| default_out(&args.source));
    let places = Places::of(&args.inputs, &target)?;
    let tell = |note| out.tell(note);
    let mut session = Session::new(inputs::options(&args.inputs)?, &tell)?;
    let sources = inputs::sources(&args.source)?;
    let (profiles, whole) = inputs::profiles(&sources, &session.store, out)?;
    let mine: Vec<&Profile> = profiles
        .iter()
        .enumerate()
        .filter(|(at, _)| args.source.shard.is_none_or(|shard| shard.has(*at)))
        .map(|(_, profile)| profile)
        .collect();
    let keystores = inputs::keystores(&args.inputs.keys);
    mine.iter()
        .try_for_each(|profile| places.refuse_keystore(&keystores.join(profile.cluster.name.as_str())))?;
    overlays::check(&mine, &session, &places.and_keystore(&keystores))?;
    // What is missing for one of them is said before another one is built.
    for profile in &mine {
        session
            .release(profile)
            .and_then(|_| session.overlays(profile))
            .and_then(|_| session.boot(profile))
            .doing(|| format!("building {}", profile.name))?;
    }
    look_at_replaced(&target, args.source.shard, &profiles, out)?;
    if let Some(shard) = args.source.shard {
        refuse_new_keystores(&mine, &keystores, shard)?;
    }
    session.cache = cache::opened(&args.inputs.cache, out);
    let place = Place::begin(&target, Holds::Fleet)?.having_seen(session.seen(&target));
    let replaces = disk::look(&target)?.is_some();
    let progress = Progress::begin(out, mine.iter().map(|profile| profile.nodes.len()).sum());
    // One cluster has few nodes: there are enough of them to keep every core busy.
    let inner = if mine.len() >= session.jobs.get() { NonZeroUsize::MIN } else { session.jobs };
    let built = parallel::each(&mine, session.jobs.get(), |profile| {
        bundle(
            profile,
            keystores.join(profile.cluster.name.as_str()),
            &session,
            &place,
            replaces,
            &progress,
            inner,
        )
        .doing(|| format!("building {}", profile.name))
    })?;
    let mut entries = Vec::with_capacity(built.len());
    let mut unsaved = Vec::new();
    let made = built.iter().filter(|built| built.is_new).count();
    let expires = built.iter().filter_map(|built| built.expires).min();
    let open_peers: BTreeSet<Release> = built.iter().filter_map(|built| built.open_peers).collect();
    open_peers.into_iter().for_each(|release| peers::warn(release, out));
    let shortened: Vec<(&str, Epoch)> =
        built.iter().filter_map(|built| Some((built.entry.name.as_str(), built.shortened?))).collect();
    if let [(first, end), ref others @ ..] = shortened[..] {
        let others =
            if others.is_empty() { String::new() } else { format!(" (and of {} more)", others.len()) };
        out.warn(format_args!(
            "certificates of {first}{others} end on {end} with the CA, sooner than leaf-lifetime says"
        ));
    }
    for one in built {
        entries.push(one.entry);
        unsaved.extend(one.unsaved);
    }
    let index = Index::new(whole, args.source.shard, entries);
    place.index(&index)?;
    // The keystores are saved when nothing is left that could be refused: a bundle whose keys nobody has any more could
    // never be built again.
    drop(progress);
    let noted = place.publish(|| {
        Keystore::save_all(unsaved, || Ok(()))?;
        if made > 0 {
            out.announce(format_args!(
                "made {} in {}: every key of these clusters comes from them; keep them safe and back them up",
                counted(made, "keystore"),
                keystores.display()
            ));
        }
        Ok(())
    })?;
    session.close(&target, &noted)?;
    if expires.is_some_and(|expires| expires <= clock::now()) {
        out.warn("certificates in some of these bundles have expired; kiln keystore renew, and build again");
    }
    let said = say(args, &target, &index, made, out);
    and_said(&format!("{} is built", target.display()), said)
}

/// Names the bundles that the new fleet has no more.
///
/// # Errors
/// `Exit::Unsafe` when one of them has formed, or a part would take the place of the whole.
fn look_at_replaced(target: &Path, shard: Option<Shard>, profiles: &[Profile], out: &Output) -> Result<()> {
    let Ok(there) = Index::read(target) else { return Ok(()) };
    let shown = target.display();
    if let Some(shard) = shard
        && there.shard.is_none()
    {
        return Err(Failure::unsafe_to(format!(
            "{shown} is a whole fleet, and part {shard} alone would take its place; choose another --out"
        )));
    }
    let is_here = |entry: &&Entry| profiles.iter().any(|profile| profile.name == entry.name);
    for Entry { name, id, .. } in there.bundles.iter().filter(|entry| !is_here(entry)) {
        let path = target.join(name.as_str());
        let shown = path.display();
        if Bundle::open(&path).is_ok_and(|bundle| bundle.manifest.cluster.formed) {
            return Err(Failure::unsafe_to(format!(
                "{shown} is the bundle of a cluster that has formed ({id}), and no profile of this fleet is called {name}: \
                 bring the profile back, move the bundle elsewhere, or choose another --out"
            )));
        }
        out.announce(format_args!("{shown} goes: no profile of this fleet is called {name}"));
    }
    Ok(())
}

/// Parts of a fleet are built on several machines, of which each would make other keys.
///
/// # Errors
/// `Exit::Unsafe` when a keystore is missing.
fn refuse_new_keystores(mine: &[&Profile], keystores: &Path, shard: Shard) -> Result<()> {
    for profile in mine {
        let path = keystores.join(profile.cluster.name.as_str());
        if disk::look(&path)?.is_none() {
            return Err(Failure::unsafe_to(format!(
                "there is no keystore {}, and part {shard} of a fleet makes none: it would stay on this machine; make all \
                 of them first with kiln keystore init --fleet, and bring them to every machine",
                path.display()
            )));
        }
    }
    Ok(())
}

fn say(args: &cli::Build, target: &std::path::Path, index: &Index, made: usize, out: &Output) -> Result<()> {
    let nodes: usize = index.bundles.iter().map(|bundle| bundle.nodes).sum();
    if args.inputs.json {
        return out.json(&json!({
            "fleet": target, "shard": index.shard, "bundles": index.bundles.len(), "nodes": nodes, "keystores_made": made,
        }));
    }
    let (bundles, nodes) = (counted(index.bundles.len(), "bundle"), counted(nodes, "node"));
    let part = index.shard.map(|shard| format!(", part {shard}")).unwrap_or_default();
    out.print(format_args!("{}: {bundles} with {nodes}{part}", target.display()))
}

/// Where a fleet is made unless the command line says otherwise: `out/NAME`, where it is a directory of this name; else
/// `out/fleet`.
pub fn default_out(source: &cli::Source) -> PathBuf {
    let name = source.fleet.as_deref().and_then(|fleet| fleet.file_name());
    PathBuf::from("out").join(name.unwrap_or("fleet".as_ref()))
}

fn bundle(
    profile: &Profile,
    keystore: PathBuf,
    session: &Session<'_>,
    place: &Place,
    replaces: bool,
    progress: &Progress,
    jobs: NonZeroUsize,
) -> Result<Built> {
    let replaced = place.replaced(Some(&profile.name));
    let prepared = Prepared::new(profile, session, keystore, &replaced)?;
    let writer = place.bundle_of_fleet(&prepared.plan.name)?;
    let replaced = replaces.then_some(replaced.as_path());
    let done = |done| progress.tell(done);
    let sink = Sink::Bundle { writer: &writer, replaced, progress: &done };
    let manifest = build::build(&prepared, session, sink, jobs)?;
    let expires = manifest.certificates.iter().map(|certificate| certificate.not_after).min();
    let shortened = prepared.shortened(&manifest);
    let Prepared { plan, mut keystore, keystore_path, keystore_is_new, .. } = prepared;
    // A fleet may have more of them than a process may have open files.
    keystore.release();
    let [manifest, sums]: [Digest; 2] = writer.finish(manifest)?;
    Ok(Built {
        entry: Entry {
            name: plan.name,
            cluster: plan.cluster.name,
            token: plan.cluster.token,
            id: plan.cluster.id,
            nodes: plan.nodes.len(),
            manifest,
            sums,
        },
        unsaved: keystore.is_unsaved().then_some((keystore, keystore_path)),
        is_new: keystore_is_new,
        expires,
        shortened,
        open_peers: (!plan.peers_by_name).then_some(plan.release),
    })
}
