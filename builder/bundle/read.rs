//! Reading a bundle back and comparing it with its manifest.

use std::path::{Path, PathBuf};

use super::layout::{INDEX, MANIFEST, MAX_MANIFEST_BYTES};
use super::manifest::{Manifest, Node};
use crate::disk;
use crate::failure::{Doing, Exit, Failure, Result};
use crate::values::Digest;

/// A bundle on disk.
pub struct Bundle {
    /// Its directory, as it was named.
    pub path: PathBuf,
    /// Checked for consistency; opening a bundle does not compare its files with it.
    pub manifest: Manifest,
    /// Of the manifest's bytes, as they were read.
    digest: Digest,
}

/// A file that every keystore has.
const KEYSTORE: &str = "keystore.toml";

/// The most bundles that are named where one has to be chosen.
const MAX_BUNDLES_NAMED: usize = 5;

impl Bundle {
    /// # Errors
    /// `Exit::Wrong` when it is not a bundle of this schema; `Exit::Usage` when the path is missing, or is something
    /// else that Kiln makes.
    pub fn open(path: &Path) -> Result<Self> {
        let manifest = path.join(MANIFEST);
        if !disk::is_directory(path) || disk::look(&manifest)?.is_none() {
            return Err(what_else(path)?);
        }
        let bytes = disk::read(&manifest, MAX_MANIFEST_BYTES)?;
        let digest = Digest::of(&bytes);
        let manifest = Manifest::from_json(&bytes).doing(|| format!("reading {}", manifest.display()))?;
        Ok(Self { path: path.to_owned(), manifest, digest })
    }

    /// Whether the path still leads to the bundle that was opened. What reads a bundle for a long time asks this at its
    /// end: another build may have replaced it, and the answer would be about parts of both.
    ///
    /// # Errors
    /// `Exit::Io` when another bundle, or none, is there now.
    pub fn check_same(&self) -> Result<()> {
        let manifest = self.path.join(MANIFEST);
        let now = match disk::look(&manifest)? {
            Some(_) => Some(Digest::of(&disk::read(&manifest, MAX_MANIFEST_BYTES)?)),
            None => None,
        };
        match now == Some(self.digest) {
            true => Ok(()),
            false => Err(Failure::io(format!(
                "{} was replaced during this run, so nothing is certain about either bundle; run kiln again",
                self.path.display()
            ))),
        }
    }

    /// # Errors
    /// `Exit::Usage` when there is no such node; the error lists the nodes.
    pub fn node(&self, name: &str) -> Result<&Node> {
        self.manifest.nodes.iter().find(|node| node.name.as_str() == name).ok_or_else(|| {
            let names: Vec<_> = self.manifest.nodes.iter().map(|node| node.name.as_str()).collect();
            Failure::new(Exit::Usage, format!("no node {name:?} in this bundle; it has {}", names.join(", ")))
        })
    }
}

/// Says what is at the path instead of a bundle.
fn what_else(path: &Path) -> Result<Failure> {
    let shown = path.display();
    let usage = |text: String| Ok(Failure::new(Exit::Usage, text));
    if disk::look(path)?.is_none() {
        let built = Path::new("out").join(path);
        let hint = match disk::look(&built.join(MANIFEST)) {
            Ok(Some(_)) => format!("; did you mean {}?", built.display()),
            _ => "; kiln build creates a bundle".to_owned(),
        };
        return usage(format!("{shown} does not exist{hint}"));
    }
    if !disk::is_directory(path) {
        return usage(match path.extension().is_some_and(|ending| ending == "toml") {
            true => format!("{shown} is a profile, not a bundle; kiln build --profile {shown} creates one"),
            false => format!("{shown} is a file, not the directory of a bundle"),
        });
    }
    let has = |name: &str| disk::look(&path.join(name)).is_ok_and(|found| found.is_some());
    let names = disk::list(path)?;
    let holding = |file| names.iter().filter(|name| has(&format!("{name}/{file}"))).collect::<Vec<_>>();
    let (within, fleets) = (holding(MANIFEST), holding(INDEX));
    if let ([], [fleet, ..]) = (&within[..], &fleets[..]) {
        let fleet = path.join(fleet);
        let fleet = fleet.display();
        return usage(format!("{shown} is not a bundle but contains the fleet {fleet}; name a bundle in it"));
    }
    let what = match () {
        () if has(INDEX) => "is a fleet",
        () if has(KEYSTORE) => return usage(format!("{shown} is a keystore, not a bundle")),
        () if !within.is_empty() => "is not a bundle but contains some",
        () => {
            return Ok(Failure::wrong(format!(
                "{shown} is not a bundle: it has no {MANIFEST}; kiln build creates one"
            )));
        }
    };
    if within.is_empty() {
        return usage(format!("{shown} {what} that has no bundle"));
    }
    let names: Vec<_> =
        within.iter().take(MAX_BUNDLES_NAMED).map(|name| path.join(name).display().to_string()).collect();
    let more = within.len().saturating_sub(MAX_BUNDLES_NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    usage(format!("{shown} {what}; name one of its bundles: {}{more}", names.join(", ")))
}
