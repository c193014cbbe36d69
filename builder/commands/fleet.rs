//! `kiln build` of many profiles: all of them checked before the first is built, and all bundles published at once.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::ending::ending;
use super::output::{Output, and_said};
use super::overlays::Near;
use super::places::Places;
use super::progress::Progress;
use super::{cache, inputs, named, overlays, peers, side_by_side};
use crate::build::{self, Prepared, Session, Sink};
use crate::bundle::{Bundle, Holds, Index, IndexEntry, Place};
use crate::cli;
use crate::clock;
use crate::disk;
use crate::etcd::Release;
use crate::failure::{Doing, Failure, Result};
use crate::parallel;
use crate::pki::Keystore;
use crate::profile::Profile;
use crate::values::{Digest, Epoch, Shard, counted};

/// A finished bundle.
struct Built {
    entry: IndexEntry,
    /// The keystore to save, if any, once all bundles are finished; and whether it is new.
    unsaved: Option<(Keystore, PathBuf)>,
    is_new: bool,
    expires: Option<Epoch>,
    /// The end of leaves whose lifetime is shortened by the end of the CA.
    shortened: Option<Epoch>,
    /// The release, if its peer port accepts more than peers.
    open_peers: Option<Release>,
}

pub fn run(args: &cli::Build, out: &Output) -> Result<()> {
    let target = args.out.clone().unwrap_or_else(|| default_out(&args.source));
    let places = Places::of(&args.inputs, &target)?;
    let tell = |note| out.tell(note);
    let mut session = Session::new(inputs::options(&args.inputs)?, &tell)?;
    let sources = inputs::sources(&args.source)?;
    let (profiles, whole) = inputs::profiles(&sources, Near::of(&session, &args.inputs.keys), out)?;
    let mine: Vec<&Profile> = profiles
        .iter()
        .enumerate()
        .filter(|(at, _)| args.source.shard.is_none_or(|shard| shard.has(*at)))
        .map(|(_, profile)| profile)
        .collect();
    let keystores = named::keystores(&args.inputs.keys);
    mine.iter()
        .try_for_each(|profile| places.refuse_keystore(&keystores.join(profile.cluster.name.as_str())))?;
    overlays::check(&mine, &session, &places.and_keystore(&keystores))?;
    side_by_side::check(&mine, &session)?;
    // Only after the check that none of the directories is inside another.
    session.keep_results(cache::opened(&args.inputs.cache, out));
    refuse_missing(&mine, &session)?;
    look_at_replaced(&target, args.source.shard, &profiles, out)?;
    if let Some(shard) = args.source.shard {
        refuse_new_keystores(&mine, &keystores, shard)?;
    }
    let place = Place::begin(&target, Holds::Fleet)?.having_seen(session.seen(&target));
    let built = make(&mine, &keystores, &session, &place, out)?;
    warn_of_peers_and_ends(&built, out);
    let made = built.iter().filter(|built| built.is_new).count();
    let expires = built.iter().filter_map(|built| built.expires).min();
    let (entries, unsaved): (Vec<_>, Vec<_>) =
        built.into_iter().map(|built| (built.entry, built.unsaved)).unzip();
    let index = Index::new(whole, args.source.shard, entries);
    place.index(&index)?;
    // The keystores are saved when every check has passed: a bundle whose keys are lost could never be built again.
    let stale = stale(&unsaved);
    let noted = place.publish(|| {
        Keystore::save_all(unsaved.into_iter().flatten().collect(), || Ok(()))?;
        if made > 0 {
            out.announce(format_args!(
                "created {} in {}: all keys of these clusters derive from them; back them up and keep them secret",
                counted(made, "keystore"),
                keystores.display()
            ));
        }
        Ok(())
    })?;
    session.close(&target, &noted)?;
    stale.iter().for_each(|stale| out.warn(stale));
    if let Some(when) = expires.and_then(|expires| ending(expires, clock::now())) {
        out.warn(format_args!(
            "certificates in some of these bundles {when}; run kiln keystore renew, and build again"
        ));
    }
    let said = say(args, &target, &index, made, out);
    and_said(&format!("{} is built", target.display()), said)
}

/// A warning of the keystores whose last exports are older than what is to be saved.
fn stale(unsaved: &[Option<(Keystore, PathBuf)>]) -> Option<String> {
    let stale = unsaved.iter().flatten().filter(|(keystore, _)| keystore.reminder().is_some());
    let stale: Vec<_> = stale.map(|(keystore, _)| keystore.cluster().to_string()).collect();
    (!stale.is_empty()).then(|| {
        format!(
            "the last exports of these keystores are older than this change; export them again with kiln keystore export: {}",
            stale.join(", ")
        )
    })
}

/// Missing inputs of any cluster are reported before the first one is built.
fn refuse_missing(mine: &[&Profile], session: &Session<'_>) -> Result<()> {
    for profile in mine {
        session
            .release(profile)
            .and_then(|_| session.overlays(profile))
            .and_then(|_| session.boot(profile))
            .doing(|| format!("building {}", profile.name))?;
    }
    Ok(())
}

fn make(
    mine: &[&Profile],
    keystores: &Path,
    session: &Session<'_>,
    place: &Place,
    out: &Output,
) -> Result<Vec<Built>> {
    let progress = Progress::begin(out, mine.iter().map(|profile| profile.nodes.len()).sum());
    let build = Build {
        session,
        place,
        replaces: disk::look(&place.replaced(None))?.is_some(),
        progress: &progress,
        // With enough clusters to keep every core busy, each is built by one thread.
        jobs: if mine.len() >= session.jobs.get() { NonZeroUsize::MIN } else { session.jobs },
    };
    parallel::each(mine, session.jobs.get(), |profile| {
        build
            .bundle(profile, keystores.join(profile.cluster.name.as_str()))
            .doing(|| format!("building {}", profile.name))
    })
}

fn warn_of_peers_and_ends(built: &[Built], out: &Output) {
    let open_peers: BTreeSet<Release> = built.iter().filter_map(|built| built.open_peers).collect();
    open_peers.into_iter().for_each(|release| peers::warn(release, out));
    let shortened: Vec<(&str, Epoch)> =
        built.iter().filter_map(|built| Some((built.entry.name.as_str(), built.shortened?))).collect();
    if let [(first, end), ref others @ ..] = shortened[..] {
        let others =
            if others.is_empty() { String::new() } else { format!(" (and of {} more)", others.len()) };
        out.warn(format_args!(
            "certificates of {first}{others} expire on {end} with the CA, earlier than leaf-lifetime allows"
        ));
    }
}

/// Names the bundles that the new fleet no longer has.
///
/// # Errors
/// `Exit::Unsafe` when one of them has formed, or a shard would replace the whole fleet.
fn look_at_replaced(target: &Path, shard: Option<Shard>, profiles: &[Profile], out: &Output) -> Result<()> {
    let Ok(there) = Index::read(target) else { return Ok(()) };
    let shown = target.display();
    if let Some(shard) = shard
        && there.shard.is_none()
    {
        return Err(Failure::unsafe_to(format!(
            "{shown} is a whole fleet, and shard {shard} alone would replace it; choose another --out"
        )));
    }
    let is_here = |entry: &&IndexEntry| profiles.iter().any(|profile| profile.name == entry.name);
    for IndexEntry { name, id, .. } in there.bundles.iter().filter(|entry| !is_here(entry)) {
        let path = target.join(name.as_str());
        let shown = path.display();
        if Bundle::open(&path).is_ok_and(|bundle| bundle.manifest.cluster.formed) {
            return Err(Failure::unsafe_to(format!(
                "{shown} is the bundle of a formed cluster ({id}), but this fleet has no profile {name}: restore the profile, \
                 move the bundle elsewhere, or choose another --out"
            )));
        }
        out.announce(format_args!("{shown} will be removed: this fleet has no profile {name}"));
    }
    Ok(())
}

/// Shards of a fleet are built on several machines, each of which would make different keys.
///
/// # Errors
/// `Exit::Unsafe` when a keystore is missing.
fn refuse_new_keystores(mine: &[&Profile], keystores: &Path, shard: Shard) -> Result<()> {
    for profile in mine {
        let path = keystores.join(profile.cluster.name.as_str());
        if disk::look(&path)?.is_none() {
            return Err(Failure::unsafe_to(format!(
                "there is no keystore {}, and a build of shard {shard} creates none, because other machines would not have \
                 it; create all keystores first with kiln keystore init --fleet, and copy them to every machine",
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
    let part = index.shard.map(|shard| format!(", shard {shard}")).unwrap_or_default();
    out.print(format_args!("{}: {bundles} with {nodes}{part}", target.display()))
}

/// The default output of a fleet: `out/NAME` for a directory of this name; else `out/fleet`.
pub fn default_out(source: &cli::ProfileNames) -> PathBuf {
    let name = source.fleet.as_deref().and_then(|fleet| fleet.file_name());
    PathBuf::from("out").join(name.unwrap_or("fleet".as_ref()))
}

/// The inputs of all bundles of one fleet.
struct Build<'a> {
    session: &'a Session<'a>,
    place: &'a Place,
    /// Whether the target exists already.
    replaces: bool,
    progress: &'a Progress,
    /// The number of threads for one bundle.
    jobs: NonZeroUsize,
}

impl Build<'_> {
    fn bundle(&self, profile: &Profile, keystore: PathBuf) -> Result<Built> {
        let replaced = self.place.replaced(Some(&profile.name));
        let prepared = Prepared::new(profile, self.session, keystore, &replaced)?;
        let writer = self.place.bundle_of_fleet(&prepared.plan.name)?;
        let replaced = self.replaces.then_some(replaced.as_path());
        let done = |done| self.progress.tell(done);
        let sink = Sink::Bundle { writer: &writer, replaced, progress: &done };
        let manifest = build::build(&prepared, self.session, sink, self.jobs)?;
        let expires = manifest.certificates.iter().map(|certificate| certificate.not_after).min();
        let shortened = prepared.shortened(&manifest);
        let Prepared { plan, mut keystore, keystore_path, keystore_is_new, .. } = prepared;
        // Closed, because a fleet may have more keystores than a process may have open files.
        keystore.release();
        let [manifest, sums]: [Digest; 2] = writer.finish(manifest)?;
        Ok(Built {
            entry: IndexEntry {
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
}
