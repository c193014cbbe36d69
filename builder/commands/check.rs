//! `kiln check`: checks a profile by making everything and keeping nothing; or a finished bundle.

use std::num::NonZeroUsize;
use std::path::Path;

use serde_json::json;

use super::build::default_out;
use super::output::Output;
use super::overlays::Near;
use super::places::Places;
use super::{fleet, inputs, named, overlays, side_by_side};
use crate::build::{self, Prepared, Session, Sink};
use crate::bundle::{Bundle, Fleet, INDEX, Problem, differs};
use crate::cli;
use crate::disk::{self, Kind};
use crate::failure::{Doing, Exit, Failure, Result};
use crate::parallel;
use crate::profile::Profile;
use crate::values::counted;

pub fn run(args: &cli::Check, out: &Output) -> Result<()> {
    match (&args.bundle, &args.profile[..]) {
        (Some(path), _) => directory(path, args.inputs.json, out),
        (None, [name]) => profile(name, args, out),
        (None, _) => profiles(args, out),
    }
}

fn profile(name: &str, args: &cli::Check, out: &Output) -> Result<()> {
    let tell = |note| out.tell(note);
    let session = Session::new(inputs::options(&args.inputs)?, &tell)?;
    let profile = inputs::profile(name, &args.settings, Near::of(&session, &args.inputs.keys), out)?;
    let path = named::keystore_path(args.inputs.keys.keystore.as_ref(), &profile.cluster.name);
    let target = default_out(&profile.name);
    let places = Places::of(&args.inputs, &target)?;
    places.refuse_keystore(&path)?;
    overlays::check(&[&profile], &session, &places.and_keystore(&path))?;
    let prepared = Prepared::new(&profile, &session, path, &target)?;
    let plan = &prepared.plan;
    let manifest = build::build(&prepared, &session, Sink::Nowhere, session.jobs)?;
    if args.inputs.json {
        return out.json(&json!({
            "profile": plan.name, "nodes": plan.nodes.len(), "certificates": manifest.certificates.len(),
            "etcd": plan.release, "ok": true,
        }));
    }
    out.print(format_args!(
        "{}: a bundle of {} with etcd {} and {} can be built from it",
        plan.name,
        counted(plan.nodes.len(), "node"),
        plan.release,
        counted(manifest.certificates.len(), "certificate")
    ))
}

fn profiles(args: &cli::Check, out: &Output) -> Result<()> {
    let tell = |note| out.tell(note);
    let session = Session::new(inputs::options(&args.inputs)?, &tell)?;
    let source = cli::ProfileNames {
        profile: args.profile.clone(),
        fleet: args.fleet.clone(),
        named: Vec::new(),
        shard: None,
        settings: args.settings.clone(),
    };
    let sources = inputs::sources(&source)?;
    let (profiles, _) = inputs::profiles(&sources, Near::of(&session, &args.inputs.keys), out)?;
    let keystores = named::keystores(&args.inputs.keys);
    let target = fleet::default_out(&source);
    let places = Places::of(&args.inputs, &target)?;
    let of = |profile: &Profile| keystores.join(profile.cluster.name.as_str());
    profiles.iter().try_for_each(|profile| places.refuse_keystore(&of(profile)))?;
    let all: Vec<_> = profiles.iter().collect();
    overlays::check(&all, &session, &places.and_keystore(&keystores))?;
    side_by_side::check(&all, &session)?;
    let nodes = parallel::each(&profiles, session.jobs.get(), |profile| {
        let check = || {
            let out = target.join(profile.name.as_str());
            let prepared = Prepared::new(profile, &session, of(profile), &out)?;
            build::build(&prepared, &session, Sink::Nowhere, NonZeroUsize::MIN)
        };
        check().map(|manifest| manifest.nodes.len()).doing(|| format!("checking {}", profile.name))
    })?;
    let (bundles, nodes) = (nodes.len(), nodes.iter().sum::<usize>());
    if args.inputs.json {
        return out.json(&json!({ "profiles": bundles, "nodes": nodes, "ok": true }));
    }
    out.print(format_args!(
        "{} with {} can be built from these profiles",
        counted(bundles, "bundle"),
        counted(nodes, "node")
    ))
}

/// A finished bundle, or a fleet of them.
fn directory(path: &Path, json: bool, out: &Output) -> Result<()> {
    if disk::look(&disk::resolved(path))?.is_none_or(|found| found.kind != Kind::Directory)
        && let Some(name) = path.to_str().filter(|name| inputs::is_profile(name))
    {
        let built = Path::new("out").join(path);
        let bundle = match disk::look(&built)? {
            Some(_) => format!(", and kiln check {} its bundle", built.display()),
            None => String::new(),
        };
        let reason = format!("{name} is no bundle; kiln check --profile {name} checks the profile{bundle}");
        return Err(Failure::new(Exit::Usage, reason));
    }
    let (problems, whole) = if disk::is_directory(path) && disk::look(&path.join(INDEX))?.is_some() {
        let fleet = Fleet::open(path)?;
        let bundles = fleet.index.bundles.len();
        let problems = fleet.check()?;
        if json {
            out.json(&json!({
                "fleet": path, "bundles": bundles, "problems": first(&problems), "problem_count": problems.len(),
            }))?;
        }
        (problems, format!("{}: all match the index and their manifests", counted(bundles, "bundle")))
    } else {
        let bundle = Bundle::open(path)?;
        let files = bundle.manifest.files.len();
        let problems = bundle.check_with_releases()?;
        if json {
            out.json(&json!({
                "bundle": path, "files": files, "problems": first(&problems), "problem_count": problems.len(),
            }))?;
        }
        (problems, format!("all {files} files match the manifest"))
    };
    if problems.is_empty() {
        return if json { Ok(()) } else { out.print(format_args!("{}: {whole}", path.display())) };
    }
    Err(differs(path, &problems))
}

/// A limit for the answer: a manifest may list a million missing files.
fn first(problems: &[Problem]) -> &[Problem] {
    &problems[..problems.len().min(1000)]
}
