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
    for meeting in [COVERS, TAKES] {
        for (mine, theirs) in meeting.pairs(&one, &other) {
            all.push(meeting.clash(mine, theirs, [&mine.0, &theirs.0]));
        }
        for (theirs, mine) in meeting.pairs(&other, &one) {
            all.push(meeting.clash(theirs, mine, [&mine.0, &theirs.0]));
        }
    }
    all
}

/// How a `[[file]]` of one meets another's below its path.
#[derive(Clone, Copy)]
struct Meeting {
    is_met: fn(&FileSpec, &FileSpec) -> bool,
    /// Of the upper and of the lower path.
    what: fn(String, String) -> String,
    help: &'static str,
}

/// A file or link where the other needs a directory.
const COVERS: Meeting = Meeting {
    is_met: |upper, _| upper.body != FileBody::Directory,
    what: |upper, lower| {
        format!("have one's [[file]] {upper} where the other needs a directory, for {lower}")
    },
    help: "use another path",
};

/// A directory of one's account with a file of another owner in it: at each boot systemd-tmpfiles would give it to the
/// account.
const TAKES: Meeting = Meeting {
    is_met: |upper, lower| {
        upper.body == FileBody::Directory && upper.owner.is_some() && lower.owner != upper.owner
    },
    what: |upper, lower| {
        format!(
            "have one's [[file]] {lower} in the directory {upper}, which belongs to another account for the other"
        )
    },
    help: "use another directory, or the same owner",
};

impl Meeting {
    /// Each upper one with the first below it.
    fn pairs<'p, 'a>(
        self,
        uppers: &'p Placed<'a>,
        lowers: &'p Placed<'a>,
    ) -> impl Iterator<Item = (&'p (String, &'a FileSpec), &'p (String, &'a FileSpec))> {
        uppers.iter().filter_map(move |upper| {
            let (_, above) = upper;
            let is_met = |(_, below): &&(String, &FileSpec)| {
                below.path != above.path
                    && below.path.is_within(above.path.as_str())
                    && (self.is_met)(above, below)
            };
            lowers.iter().find(is_met).map(|lower| (upper, lower))
        })
    }

    fn clash(
        self,
        (_, upper): &(String, &FileSpec),
        (_, lower): &(String, &FileSpec),
        places: [&String; 2],
    ) -> Clash {
        Clash {
            what: (self.what)(upper.path.absolute(), lower.path.absolute()),
            places: places.map(Clone::clone),
            help: self.help,
        }
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
