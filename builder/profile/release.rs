//! `[etcd]`: the release, and whether it is suitable for this cluster.

use toml::Spanned;

use super::diagnostics::Diagnostics;
use super::mistake::{Mistake, NO_RELEASE};
use super::reader::Section;
use crate::etcd::{Release, gates, keys};
use crate::values::Arch;

/// A release that Kiln knows, and its place in the profile.
pub(super) struct Chosen {
    pub release: Release,
    /// `None` when it is the newest of the store.
    pub pinned: Option<super::Span>,
}

/// The release that the profile names, or the newest of the store.
pub(super) fn choose(
    diagnostics: &mut Diagnostics,
    etcd: &Section,
    arch: Arch,
    available: &[(Release, Arch)],
) -> Option<Chosen> {
    let named = etcd.value::<Release>(diagnostics, "version");
    if let Some(named) = named {
        let release = *named.get_ref();
        if keys::known_release(release) {
            diagnostics.marks.release = Some((release, arch, named.span()));
            return Some(Chosen { release, pinned: Some(named.span()) });
        }
        let reason = format!("Kiln does not know the options of etcd {release}");
        diagnostics.mistake(Mistake::new(named.span(), reason).help(known_releases()));
        return None;
    }
    if etcd.has("version") {
        return None;
    }
    let newest = available
        .iter()
        .filter(|(release, of)| *of == arch && keys::known_release(*release))
        .map(|(release, _)| *release)
        .max();
    if newest.is_none() {
        let reason = format!("{NO_RELEASE} for {arch} has been imported, and the profile names none");
        diagnostics.mistake(Mistake::missing(None, reason).help(
            "import one with kiln artifacts add FILE…, where FILE is a release tarball or a .deb package",
        ));
    }
    newest.map(|release| Chosen { release, pinned: None })
}

fn known_releases() -> String {
    let ranges: Vec<String> =
        keys::known_releases().iter().map(|(first, last)| format!("{first} to {last}")).collect();
    format!("this version of Kiln knows {}", ranges.join(", "))
}

/// Refuses the release or warns about its known faults, unless the profile accepts them.
pub(super) fn judge(
    diagnostics: &mut Diagnostics,
    chosen: &Chosen,
    members: usize,
    accepted: &[Spanned<Release>],
) {
    let release = chosen.release;
    // No key of a profile turns etcd's authentication on.
    let verdict = gates::judge(release, members, false);
    let refused = verdict.as_ref().is_some_and(|verdict| verdict.refused);
    for entry in accepted {
        if !(refused && *entry.get_ref() == release) {
            let text = format!(
                "accept-risk names {}, which has no effect: the release is {release}{}",
                entry.get_ref(),
                if *entry.get_ref() == release { ", and Kiln does not refuse it" } else { "" }
            );
            diagnostics.warn(Some(&entry.span()), text);
        }
    }
    let Some(verdict) = verdict else { return };
    let is_accepted = accepted.iter().any(|entry| *entry.get_ref() == release);
    let fixed = match (verdict.fixed, verdict.others.is_empty()) {
        (Some(fixed), true) => format!("this is fixed in etcd {fixed}"),
        (Some(fixed), false) => format!("all of these are fixed in etcd {fixed}"),
        (None, _) => "no release that Kiln knows fixes this".into(),
    };
    if refused && !is_accepted {
        let reason = format!("Kiln refuses etcd {release}: {}", verdict.worst);
        let help =
            format!("{fixed}; to build with {release} anyway, write accept-risk = [\"{release}\"] in [etcd]");
        let others = verdict.others.iter().map(|other| format!("also: {other}"));
        let mistake = Mistake::unsafe_unless_allowed(chosen.pinned.clone(), reason);
        diagnostics.mistake(mistake.notes(others).help(help));
        return;
    }
    let accepted = if refused { " (accepted by accept-risk)" } else { "" };
    let faults = if verdict.others.is_empty() { "a known fault" } else { "known faults" };
    let has = match verdict.fixed {
        Some(fixed) => format!("etcd {release} has {faults}, fixed in {fixed}"),
        None => format!("etcd {release} has {faults}; {fixed}"),
    };
    let list: String = verdict.faults().map(|fault| format!("\n  {fault}")).collect();
    let text = format!("{has}{accepted}:{list}");
    diagnostics.warn(chosen.pinned.as_ref(), text);
}
