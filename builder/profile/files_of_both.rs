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
                (mine.body != theirs.body, "in what is there"),
                (mine.is_template || theirs.is_template, "in the values that each fills in"),
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
    all.extend(covered(&one, &other).map(|(mine, theirs)| cover(mine, theirs, [&mine.0, &theirs.0])));
    all.extend(covered(&other, &one).map(|(theirs, mine)| cover(theirs, mine, [&mine.0, &theirs.0])));
    all.extend(taken(&one, &other).map(|(mine, theirs)| take(mine, theirs, [&mine.0, &theirs.0])));
    all.extend(taken(&other, &one).map(|(theirs, mine)| take(theirs, mine, [&mine.0, &theirs.0])));
    all
}

/// Files and links of one, each with a file of the other's below it, which needs a directory there.
fn covered<'p, 'a>(
    one: &'p Placed<'a>,
    other: &'p Placed<'a>,
) -> impl Iterator<Item = (&'p (String, &'a FileSpec), &'p (String, &'a FileSpec))> {
    one.iter().filter(|(_, file)| file.body != FileBody::Directory).flat_map(move |mine| {
        let is_below = |theirs: &&(String, &FileSpec)| {
            theirs.1.path != mine.1.path && theirs.1.path.is_within(mine.1.path.as_str())
        };
        other.iter().find(is_below).map(|theirs| (mine, theirs))
    })
}

fn cover((_, file): &(String, &FileSpec), (_, below): &(String, &FileSpec), places: [&String; 2]) -> Clash {
    Clash {
        what: format!(
            "have one's [[file]] {} where the other needs a directory, for {}",
            file.path.absolute(),
            below.path.absolute()
        ),
        places: places.map(Clone::clone),
        help: "use another path",
    }
}

/// Directories that one's account owns, each with a file of the other's in it that has another owner: at each boot
/// systemd-tmpfiles would give it to the account.
fn taken<'p, 'a>(
    one: &'p Placed<'a>,
    other: &'p Placed<'a>,
) -> impl Iterator<Item = (&'p (String, &'a FileSpec), &'p (String, &'a FileSpec))> {
    let directories = one.iter().filter(|(_, file)| file.body == FileBody::Directory && file.owner.is_some());
    directories.flat_map(move |directory| {
        let is_in = |(_, file): &&(String, &FileSpec)| {
            file.path != directory.1.path
                && file.path.is_within(directory.1.path.as_str())
                && file.owner != directory.1.owner
        };
        other.iter().find(is_in).map(|file| (directory, file))
    })
}

fn take(
    (_, directory): &(String, &FileSpec),
    (_, file): &(String, &FileSpec),
    places: [&String; 2],
) -> Clash {
    Clash {
        what: format!(
            "have one's [[file]] {} in the directory {}, which belongs to another account for the other",
            file.path.absolute(),
            directory.path.absolute()
        ),
        places: places.map(Clone::clone),
        help: "use another directory, or the same owner",
    }
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
