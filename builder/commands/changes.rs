//! Which profiles a store's releases change: those that name no version are built with the newest one.

use std::path::Path;

use serde::Serialize;

use super::build::default_out;
use super::inputs;
use crate::bundle::Bundle;
use crate::carrier;
use crate::disk;
use crate::etcd::{Release, gates, keys};
use crate::failure::Result;
use crate::profile::{self, Profile, Source};
use crate::values::{Arch, counted};
use crate::verbose;

/// More lines would push the result off the screen.
const MAX_SHOWN: usize = 20;

/// What the next build of a profile does with the releases that are there now.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    pub profile: String,
    #[serde(skip)]
    pub arch: Arch,
    /// The release before; `None` where there was none.
    pub from: Option<Release>,
    pub to: Release,
    pub step: Step,
    /// Why Kiln does not build the profile with it.
    pub refused: Option<String>,
    /// Known faults of the release that do not stop a build.
    pub faults: Vec<&'static str>,
}

/// How far a release is from the one before it; in kebab-case in `--json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// There was none.
    First,
    None,
    SameMinor,
    NextMinor,
    /// etcd's members can be upgraded by one minor release at a time only.
    SkipsMinors,
    /// Data of a later release is not read by an earlier minor one.
    Older,
}

impl Step {
    fn between(from: Option<Release>, to: Release) -> Self {
        let Some(from) = from else { return Self::First };
        match (from.major, from.minor.cmp(&to.minor)) {
            _ if from == to => Self::None,
            _ if from > to => Self::Older,
            (major, std::cmp::Ordering::Equal) if major == to.major => Self::SameMinor,
            (major, _) if major == to.major && from.minor + 1 == to.minor => Self::NextMinor,
            _ => Self::SkipsMinors,
        }
    }

    fn words(self, from: Option<Release>) -> Option<String> {
        Some(match self {
            Self::First | Self::None => return None,
            Self::SameMinor => "same minor".to_owned(),
            Self::NextMinor if from.is_some_and(|from| from.minor == 5 && from < gates::BEFORE_3_6) => {
                format!("the next minor; upgrade every member to {} or later first", gates::BEFORE_3_6)
            }
            Self::NextMinor => "the next minor; upgrade one member at a time".to_owned(),
            Self::SkipsMinors => "more than one minor; etcd upgrades one minor at a time".to_owned(),
            Self::Older => "an older release".to_owned(),
        })
    }
}

impl Change {
    /// For people: `ha3 would build 3.5.33 instead of 3.5.30 (same minor)`.
    pub fn line(&self) -> String {
        let Self { profile, to, from, .. } = self;
        let instead = match from {
            Some(from) if self.step != Step::None => format!("{to} instead of {from}"),
            _ => to.to_string(),
        };
        if let Some(why) = &self.refused {
            return format!("{profile} cannot be built with {instead}: {why}");
        }
        let faults = match self.faults[..] {
            [] => None,
            [one] => Some(format!("known fault: {one}")),
            [worst, ..] => Some(format!("{} known faults, the worst: {worst}", self.faults.len())),
        };
        let more: Vec<_> = self.step.words(*from).into_iter().chain(faults).collect();
        let more = if more.is_empty() { String::new() } else { format!(" ({})", more.join("; ")) };
        format!("{profile} would build {instead}{more}")
    }
}

/// The profiles in ./profiles, and the built-in ones of which there is a bundle; a directory that is missing has none.
///
/// # Errors
/// `Exit::Io` when the directory or a file in it cannot be read.
pub fn here() -> Result<Vec<Source>> {
    let is_built = |name: &&str| name.parse().is_ok_and(|name| disk::is_directory(&default_out(&name)));
    let mut names: Vec<String> = profile::names().filter(is_built).map(str::to_owned).collect();
    let directory = Path::new("profiles");
    if disk::is_directory(directory) {
        let files = disk::list(directory)?;
        let own = files.iter().filter_map(|name| name.strip_suffix(".toml"));
        names.extend(own.filter(|name| !name.starts_with(['_', '.'])).map(str::to_owned));
    }
    names.sort();
    names.dedup();
    names.iter().map(|name| inputs::as_written(name)).collect()
}

/// What an import has changed, from the releases before it and after it.
pub fn by_import(sources: &[Source], before: &[(Release, Arch)], after: &[(Release, Arch)]) -> Vec<Change> {
    let all = sources.iter().filter_map(|source| change(source, after, &|profile| newest(before, profile)));
    all.filter(|change| change.step != Step::None).collect()
}

/// What a build would change in the bundle that `out/` has.
pub fn of_bundles(sources: &[Source], available: &[(Release, Arch)]) -> Vec<Change> {
    let of_bundle = |profile: &Profile| {
        let bundle = Bundle::open(&default_out(&profile.name)).ok()?;
        Some(bundle.manifest.etcd.version)
    };
    sources.iter().filter_map(|source| change(source, available, &of_bundle)).collect()
}

/// Lines for people, at most [`MAX_SHOWN`].
pub fn lines(changes: &[Change]) -> Vec<String> {
    let mut lines: Vec<_> = changes.iter().take(MAX_SHOWN).map(Change::line).collect();
    if let Some(more) = changes.len().checked_sub(MAX_SHOWN).filter(|more| *more > 0) {
        lines.push(format!("and {} more; --json lists all", counted(more, "profile")));
    }
    lines
}

/// `None` for a profile that names its version, or that has mistakes whatever the release is.
fn change(
    source: &Source,
    available: &[(Release, Arch)],
    before: &dyn Fn(&Profile) -> Option<Release>,
) -> Option<Change> {
    let read = |available: &[(Release, Arch)]| profile::read(source, available, carrier::all()).ok();
    let fits = read(available).map(|(profile, _)| profile);
    // Some other release may fit: its options, or a fault of the newest that Kiln refuses, are the reason then.
    let other = || available.iter().find_map(|one| read(&[*one])).map(|(profile, _)| profile);
    let fit = fits.is_some();
    let Some(profile) = fits.or_else(other) else {
        verbose::tell("left out", || {
            format!("{}: it has mistakes, or there is no release for it", source.path)
        });
        return None;
    };
    if profile.etcd.pinned {
        verbose::tell("unchanged", || format!("{} names etcd {}", source.path, profile.etcd.release));
        return None;
    }
    let to = newest(available, &profile)?;
    let verdict = gates::judge(to, profile.nodes.len(), false);
    let refused = (!fit).then(|| match &verdict {
        Some(verdict) if verdict.refused => verdict.worst.to_owned(),
        _ => format!("its options do not fit; see kiln check --profile {}", source.name),
    });
    let from = before(&profile);
    Some(Change {
        profile: source.name.clone(),
        arch: profile.etcd.arch,
        from,
        to,
        step: Step::between(from, to),
        refused,
        faults: verdict.map_or_else(Vec::new, |verdict| verdict.faults().collect()),
    })
}

fn newest(list: &[(Release, Arch)], profile: &Profile) -> Option<Release> {
    let fit =
        |(release, arch): &&(Release, Arch)| *arch == profile.etcd.arch && keys::known_release(*release);
    list.iter().filter(fit).map(|(release, _)| *release).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_said_in_words() {
        let said = |from: &str, to: &str| {
            let from = (!from.is_empty()).then(|| from.parse().unwrap());
            Step::between(from, to.parse().unwrap()).words(from).unwrap_or_default()
        };
        assert_eq!(said("", "3.5.33"), "");
        assert_eq!(said("3.5.33", "3.5.33"), "");
        assert_eq!(said("3.5.30", "3.5.33"), "same minor");
        assert!(said("3.5.16", "3.6.14").contains("3.5.26 or later first"));
        assert!(said("3.5.26", "3.6.14").contains("one member at a time"));
        assert!(said("3.4.23", "3.6.14").contains("one minor at a time"));
        assert_eq!(said("3.6.14", "3.5.33"), "an older release");
    }
}
