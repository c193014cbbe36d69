//! `[[file]]` of two clusters on one node: the same path with another content, and files in the other's own places.

use super::file_spec::{FileBody, FileSpec};
use crate::values::{GuestPath, Mode};

/// A value that both have, and cannot.
pub(super) struct Clash {
    /// `both listen on port 2379`.
    pub what: String,
    /// Where it follows from, in each profile.
    pub places: [String; 2],
    pub help: &'static str,
}

/// Each file with its place.
type Placed<'a> = Vec<(String, &'a FileSpec)>;

/// The same path in both, where it is not the same in all its properties.
pub(super) fn of_both(one: Placed<'_>, other: Placed<'_>) -> Vec<Clash> {
    let mut all = Vec::new();
    for (place, mine) in &one {
        for (their_place, theirs) in other.iter().filter(|(_, theirs)| theirs.path == mine.path) {
            let how = [
                (mine.body != theirs.body || mine.is_template != theirs.is_template, "in what is there"),
                (mode(mine) != mode(theirs), "in its mode"),
                (mine.owner != theirs.owner, "in its owner"),
            ];
            let Some((_, how)) = how.into_iter().find(|(differs, _)| *differs) else { continue };
            all.push(Clash {
                what: format!("both have {}, and differ {how}", mine.path.absolute()),
                places: [place.clone(), their_place.clone()],
                help: "write the same in both, or in one of them only",
            });
        }
    }
    all
}

fn mode(file: &FileSpec) -> Option<Mode> {
    file.mode.or(matches!(file.body, FileBody::Text(_)).then_some(Mode::FILE))
}

/// Files of one cluster in a place of the other's, each place with where it follows from: its own account owns it, or
/// root runs what is there for it.
pub(super) fn in_places(files: Placed<'_>, places: &[(String, GuestPath)]) -> Vec<Clash> {
    let mut all = Vec::new();
    for (place, file) in files {
        let closes = file.body != FileBody::Directory || file.owner.is_some();
        let takes = |path: &GuestPath| {
            file.path.is_within(path.as_str()) || closes && path.is_within(file.path.as_str())
        };
        if let Some((their_place, path)) = places.iter().find(|(_, path)| takes(path)) {
            all.push(Clash {
                what: format!(
                    "have one's [[file]] {} at the other's {}",
                    file.path.absolute(),
                    path.absolute()
                ),
                places: [place, their_place.clone()],
                help: "use another path, or write it in the profile of that cluster",
            });
        }
    }
    all
}
