//! Checks overlays before anything is made: that they contain none of Kiln's own files, and what files the nodes get.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::output::colour;
use super::places::Places;
use crate::artifact::{EtcdProgram, Store};
use crate::build::{self, Note, Options, Session, plan_of};
use crate::cli;
use crate::etcd::Release;
use crate::failure::{Failure, Result};
use crate::parallel;
use crate::plan::Node;
use crate::profile::{self, About, FileBody, FileSpec, Finding, Mistakes, OptionSet, Profile};
use crate::render::{self, Budget, Laid, Overlay, Renderer, Replaced};
use crate::values::{Arch, Epoch, NODE_PROGRAM};

/// Checks the releases and the overlays of profiles, and reports all mistakes at once. Returns the files that they
/// replace.
///
/// # Errors
/// `Exit::Unsafe` when a secret or another program would get to the nodes, `Exit::Profile` when there are other
/// mistakes as well.
pub fn check(profiles: &[&Profile], session: &Session<'_>, places: &Places) -> Result<BTreeSet<Replaced>> {
    let looked = parallel::each(profiles, session.jobs.get(), |profile| look(profile, session, places))?;
    let (mut warnings, mut replaced) = (BTreeSet::new(), BTreeSet::new());
    let mut wrong = Vec::new();
    for (profile, looked) in profiles.iter().zip(looked) {
        warnings.extend(looked.warnings);
        replaced.extend(looked.replaced);
        if !looked.found.is_empty() {
            wrong.push(profile.written.mistakes(looked.found.into_iter().collect()));
        }
    }
    warnings.iter().for_each(|warning| (session.tell)(Note::warning(warning)));
    match wrong.is_empty() {
        true => Ok(replaced),
        false => Err(profile::failure_of_all(&wrong, colour())),
    }
}

/// The findings about one profile's overlays.
#[derive(Default)]
struct Looked {
    found: BTreeSet<Finding>,
    warnings: BTreeSet<String>,
    replaced: BTreeSet<Replaced>,
}

fn look(profile: &Profile, session: &Session<'_>, places: &Places) -> Result<Looked> {
    let named = profile.bundle.overlays.iter().chain(&session.options.overlays);
    let (mut looked, mut apart) = (Looked::default(), Vec::new());
    let etcd = &profile.etcd;
    looked.found.extend(missing_release(&session.store, etcd.release, etcd.arch)?);
    let no_base = session.missing_base(profile)?;
    looked.found.extend(no_base.map(|reason| Finding::new(About::Base, reason)));
    let found_before = looked.found.len();
    for directory in named {
        match places.around(directory) {
            Some(how) => {
                let shown = directory.display();
                let reason = format!("the overlay {shown} {how}, which would be copied to the nodes");
                let finding = Finding::unsafe_to(About::Overlay(directory.clone()), reason);
                looked.found.insert(finding.help("keep the files for nodes in a directory of their own"));
            }
            None => apart.push(directory.as_path()),
        }
    }
    for file in &profile.files {
        if let FileBody::Source(path) = &file.body
            && let Some(how) = places.around(path)
        {
            let reason =
                format!("[[file]] source {} {how}, which would be copied to the nodes", path.display());
            let finding = Finding::unsafe_to(About::File(file.at), reason);
            looked.found.insert(finding.help("keep the files for nodes in a directory of their own"));
        }
    }
    if looked.found.len() > found_before {
        // A refused overlay is not read, and the others alone do not show what files a node gets.
        for directory in apart {
            looked.found.extend(render::load(directory, &Budget::default())?.findings);
        }
        let is_apart = |file: &&FileSpec| match &file.body {
            FileBody::Source(path) => places.around(path).is_none(),
            _ => true,
        };
        let files: Vec<_> = profile.files.iter().filter(is_apart).cloned().collect();
        for file in render::files_of_profile(&files, &Budget::default())? {
            looked.found.extend(file.findings.iter().cloned());
        }
        return Ok(looked);
    }
    let laid = trials(profile, session)?;
    let overlays = session.overlays(profile)?;
    looked.found.extend(overlays.list.iter().flat_map(|overlay| overlay.findings.iter().cloned()));
    looked.found.extend(missing_files(profile, &overlays.list));
    for laid in laid {
        looked.found.extend(laid.findings);
        looked.warnings.extend(laid.warnings);
        looked.replaced.extend(laid.replaced);
    }
    Ok(looked)
}

/// etcd does not start without the files that its options name, and only overlays bring files of that kind.
fn missing_files(profile: &Profile, overlays: &[Arc<Overlay>]) -> BTreeSet<Finding> {
    let mut missing = BTreeSet::new();
    for node in &profile.nodes {
        for option in profile.options(node) {
            let is_there = |path: &str| {
                overlays.iter().any(|overlay| overlay.is_for(&node.name) && overlay.brings(path))
            };
            for path in option.reads().into_iter().filter(|path| !is_there(path)) {
                let OptionSet { key, at, .. } = option;
                let reason = format!("{key} names {path}, which no overlay contains; etcd would not start");
                let help =
                    "put the file into a directory of [bundle] overlays, where etcd's account can read it";
                missing.insert(Finding::new(About::Option(*at), reason).help(help));
            }
        }
    }
    missing
}

/// The files of each node with all overlays applied.
///
/// # Errors
/// Those of reading the overlays.
fn trials(profile: &Profile, session: &Session<'_>) -> Result<Vec<Laid>> {
    let overlays = session.overlays(profile)?;
    // Kiln's own overlays alone cannot cause a finding; lines of the unit can name what no overlay brings.
    let is_plain = profile.bundle.replace.is_empty() && profile.etcd.service.unit.unit.is_empty();
    if is_plain && overlays.list.iter().all(|overlay| !overlay.is_own()) {
        return Ok(Vec::new());
    }
    lay(profile, session, |_| true)
}

/// The files of some nodes with all overlays applied, in the order of the profile.
///
/// # Errors
/// Those of reading the overlays.
pub fn lay(profile: &Profile, session: &Session<'_>, wants: impl Fn(&Node) -> bool) -> Result<Vec<Laid>> {
    let overlays = session.overlays(profile)?;
    let plan = plan_of(profile, None)?;
    let etcd = &profile.etcd;
    let mut programs: Vec<_> = match session.store.find(etcd.release, etcd.arch, &etcd.sha256) {
        Ok(record) => record.binaries.keys().map(ToString::to_string).collect(),
        // A missing release is reported by the code that needs it.
        Err(_) => EtcdProgram::ALL.map(|program| program.to_string()).to_vec(),
    };
    programs.extend(profile.has_node_program().then(|| NODE_PROGRAM.to_owned()));
    let epoch = Epoch::from_seconds(0).map_err(|error| Failure::io(error.to_string()))?;
    let overlays = &overlays.list;
    let renderer = Renderer { plan: &plan, overlays, templates: &session.templates, programs, epoch };
    plan.nodes.iter().filter(|node| wants(node)).map(|node| renderer.trial(node)).collect()
}

/// A release that the profile names and the artifact store lacks.
fn missing_release(store: &Store, release: Release, arch: Arch) -> Result<Option<Finding>> {
    if store.has(release, arch)? {
        return Ok(None);
    }
    let there: Vec<_> = store.available()?.iter().map(|(r, a)| format!("{r} ({a})")).collect();
    let there = if there.is_empty() { "nothing".to_owned() } else { there.join(", ") };
    let directory = store.directory().display();
    let reason =
        format!("etcd {release} for {arch} is not in the artifact store {directory}, which has {there}");
    let help =
        format!("add it: kiln artifacts add --artifacts {directory} etcd-v{release}-linux-{arch}.tar.gz");
    Ok(Some(Finding::new(About::Release, reason).help(help)))
}

/// What a profile is read beside: the releases, and the other inputs where the run builds from it.
#[derive(Clone, Copy)]
pub struct Near<'a> {
    pub store: &'a Store,
    options: Option<&'a Options>,
    /// Where the keystores are that decide what the profile does not say.
    pub keys: Option<&'a cli::Keys>,
}

impl<'a> Near<'a> {
    /// For a run that has these keystores.
    pub fn of(session: &'a Session<'_>, keys: &'a cli::Keys) -> Self {
        Self { keys: Some(keys), ..Self::from(session) }
    }
}

impl<'a> From<&'a Store> for Near<'a> {
    fn from(store: &'a Store) -> Self {
        Self { store, options: None, keys: None }
    }
}

impl<'a> From<&'a Session<'_>> for Near<'a> {
    fn from(session: &'a Session<'_>) -> Self {
        Self { store: &session.store, options: Some(&session.options), keys: None }
    }
}

/// Adds findings about the release, the overlays, the files and the base system of a profile that is itself invalid, as
/// far as they are known.
///
/// # Errors
/// Those of reading them.
pub fn add_findings(mistakes: &mut Mistakes, near: Near<'_>) -> Result<()> {
    if let Some((release, arch)) = mistakes.release() {
        mistakes.add(missing_release(near.store, release, arch)?.into_iter().collect());
    }
    let options = near.options.filter(|options| options.needs_base && options.base.is_none());
    if let Some((options, base)) = options.zip(mistakes.base()) {
        let missing = build::missing_base(base, &options.bases)?;
        mistakes.add(missing.into_iter().map(|reason| Finding::new(About::Base, reason)).collect());
    }
    let named: Vec<PathBuf> = mistakes.overlays().map(Path::to_owned).collect();
    // Each overlay is dropped after it has been checked.
    let found: Vec<_> = named
        .iter()
        .map(|path| Ok(render::load(path, &Budget::default())?.findings))
        .collect::<Result<Vec<_>>>()?;
    mistakes.add(found.concat());
    let files = render::files_of_profile(mistakes.files(), &Budget::default())?;
    mistakes.add(files.iter().flat_map(|file| file.findings.iter().cloned()).collect());
    Ok(())
}
