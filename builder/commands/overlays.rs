//! Overlays, looked at before anything is made: that they hold nothing of Kiln's own, and what they come to on the nodes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::inputs;
use super::output::colour;
use super::pantry::Pantry;
use super::places::Places;
use crate::artifact::Program;
use crate::failure::{Failure, Result};
use crate::profile::{self, About, Finding, Mistakes, Profile};
use crate::render::{self, Kitchen, Laid, Overlay};
use crate::values::Epoch;

/// Looks at the overlays of profiles, and refuses all of what is wrong with them at once.
///
/// # Errors
/// `Exit::Unsafe` when a secret or another program would get to the nodes, `Exit::Profile` when something else is wrong as
/// well.
pub fn check(profiles: &[&Profile], pantry: &Pantry<'_>, places: &Places) -> Result<()> {
    let mut warnings = BTreeSet::new();
    let mut wrong = Vec::new();
    for profile in profiles {
        let found = look(profile, pantry, places, &mut warnings)?;
        if !found.is_empty() {
            wrong.push(profile.written.mistakes(found));
        }
    }
    warnings.iter().for_each(|warning| pantry.out.warn(warning));
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(profile::failure_of_all(&wrong, colour())),
    }
}

fn look(
    profile: &Profile,
    pantry: &Pantry<'_>,
    places: &Places,
    warnings: &mut BTreeSet<String>,
) -> Result<Vec<Finding>> {
    let named = profile.bundle.overlays.iter().chain(&pantry.ingredients.overlays);
    let (mut found, mut apart) = (Vec::new(), Vec::new());
    for directory in named {
        match places.around(directory) {
            Some(how) => {
                let shown = directory.display();
                let reason = format!("the overlay {shown} {how}, which would get to the nodes");
                let finding = Finding::unsafe_to(About::Overlay(directory.clone()), reason);
                found.push(finding.help("keep what nodes get in a directory of its own"));
            }
            None => apart.push(directory.as_path()),
        }
    }
    if !found.is_empty() {
        // An overlay that is refused is not read, and the others alone do not say what a node gets.
        for directory in apart {
            found.extend(render::load(directory)?.findings);
        }
        return Ok(found);
    }
    let laid = trials(profile, pantry)?;
    let overlays = pantry.overlays(profile)?;
    let of_overlays = overlays.list.iter().flat_map(|overlay| overlay.findings.iter().cloned());
    let mut all: BTreeSet<Finding> = of_overlays.collect();
    for laid in laid {
        all.extend(laid.findings);
        warnings.extend(laid.warnings);
    }
    Ok(all.into_iter().collect())
}

/// What each node's files come to.
///
/// # Errors
/// Those of reading the overlays.
pub fn trials(profile: &Profile, pantry: &Pantry<'_>) -> Result<Vec<Laid>> {
    let overlays = pantry.overlays(profile)?;
    // Kiln's own are right, so that there is nothing to find with nothing else.
    if overlays.list.iter().all(|overlay| overlay.directory.is_none()) && profile.bundle.replace.is_empty() {
        return Ok(Vec::new());
    }
    let plan = inputs::plan(profile, None);
    let etcd = &profile.etcd;
    let programs = match pantry.store.find(etcd.release, etcd.arch, &etcd.sha256) {
        Ok(record) => record.binaries.keys().map(ToString::to_string).collect(),
        // What is missing is said by whoever needs it.
        Err(_) => Program::ALL.map(|program| program.to_string()).to_vec(),
    };
    let epoch = Epoch::from_seconds(0).map_err(|error| Failure::io(error.to_string()))?;
    let overlays = &overlays.list;
    let kitchen = Kitchen { plan: &plan, overlays, templates: &pantry.templates, programs, epoch };
    plan.nodes.iter().map(|node| kitchen.trial(node)).collect()
}

/// Says what is wrong with the overlays of a profile that is itself wrong, as far as they can be told.
///
/// # Errors
/// Those of reading them.
pub fn add_findings(mistakes: &mut Mistakes) -> Result<()> {
    let named: Vec<PathBuf> = mistakes.overlays().map(Path::to_owned).collect();
    let overlays: Vec<Overlay> = named.iter().map(|path| render::load(path)).collect::<Result<_>>()?;
    mistakes.add(overlays.into_iter().flat_map(|overlay| overlay.findings).collect());
    Ok(())
}
