//! What large files were found to hold. Whoever writes to a file changes the times that the file system has of it, and one of
//! them, that of the last change of any kind, nobody can set (inode(7), ctime). So a file that has the same times as when it was
//! last hashed is not read again: for a day, because a disk may lose what nobody has changed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::digest;
use crate::disk::{Input, Stamp};
use crate::failure::Result;
use crate::values::{Digest, Epoch};

/// From here on hashing a file takes longer than remembering it; in bytes.
pub(super) const LARGE: u64 = 1 << 20;

/// How long a digest holds, in seconds.
const HOLDS: u64 = 24 * 60 * 60;

/// File systems count time in steps, of up to two seconds (FAT): what is written to within one, may look as it did before.
const STEP: u64 = 3;

/// What was seen of the files of a place by the run that made it, and what this run sees in the one it makes.
#[derive(Default)]
pub struct Seen {
    now: u64,
    before: BTreeMap<Stamp, Sight>,
    here: Mutex<BTreeMap<String, (Stamp, Sight)>>,
}

#[derive(Clone, Copy)]
struct Sight {
    sha256: Digest,
    /// When every byte was last looked at, in seconds since 1970.
    read: u64,
}

#[derive(Serialize, Deserialize)]
struct Line {
    stamp: Stamp,
    sha256: Digest,
    read: u64,
}

impl Seen {
    /// With what an earlier run has noted down, as far as it still holds.
    pub fn new(noted: Option<&[u8]>, now: Epoch) -> Self {
        let now = now.seconds();
        let lines: Vec<Line> = noted.and_then(|noted| serde_json::from_slice(noted).ok()).unwrap_or_default();
        let holds = |line: Line| {
            let sight = Sight { sha256: line.sha256, read: line.read };
            (line.read..line.read.saturating_add(HOLDS)).contains(&now).then_some((line.stamp, sight))
        };
        Self { now, before: lines.into_iter().filter_map(holds).collect(), here: Mutex::default() }
    }

    /// The digest of a file that is as it was when it was hashed.
    pub(super) fn digest(&self, input: &Input) -> Option<Digest> {
        self.before.get(&input.stamp()).map(|sight| sight.sha256)
    }

    /// That a file with this digest lies at a path in the place that is being made.
    pub(super) fn lies(&self, path: String, stamp: Stamp, sha256: Digest) {
        let read = self.before.get(&stamp).map_or(self.now, |sight| sight.read);
        let mut here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
        here.insert(path, (stamp, Sight { sha256, read }));
    }

    /// What to note down of a place that has just appeared there. A file's last change was then that of its names.
    pub(super) fn note(self, place: &Path) -> Vec<u8> {
        self.note_of(|path| Input::open(&place.join(path)))
    }

    fn note_of(self, open: impl Fn(&str) -> Result<Input>) -> Vec<u8> {
        let here = self.here.into_inner().unwrap_or_else(PoisonError::into_inner);
        let line = |(path, (was, sight)): (String, (Stamp, Sight))| {
            let stamp = open(&path).ok()?.stamp();
            let rests = stamp.modified.0.saturating_add_unsigned(STEP) <= self.now.cast_signed();
            (rests && was.is_same_content(&stamp)).then_some(Line {
                stamp,
                sha256: sight.sha256,
                read: sight.read,
            })
        };
        let lines: Vec<Line> = here.into_iter().filter_map(line).collect();
        serde_json::to_vec(&lines).unwrap_or_default()
    }
}

/// The SHA-256 of one file, by what was noted down of it where that holds; and what to note down where it did not.
pub fn digest_as_seen(path: &Path, noted: Option<&[u8]>, now: Epoch) -> Result<(Digest, Option<Vec<u8>>)> {
    let seen = Seen::new(noted, now);
    let mut input = Input::open(path)?;
    if let Some(digest) = seen.digest(&input) {
        return Ok((digest, None));
    }
    let (_, digest) = digest::of_input(&mut input)?;
    // As it was when it was opened, so that what was written to it meanwhile is not taken for read.
    seen.lies(String::new(), input.stamp(), digest);
    Ok((digest, Some(seen.note_of(|_| Input::open(path)))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{self, Scratch};
    use crate::values::Mode;

    const NOW: u64 = 1_800_000_000;

    fn at(seconds: u64) -> Epoch {
        Epoch::from_seconds(seconds).unwrap()
    }

    /// A file that has rested for so long, and what is noted down of it at `NOW`.
    fn noted(rested: u64) -> (Scratch, Vec<u8>) {
        let scratch = Scratch::new("test").unwrap();
        let file = scratch.write("layer", b"content", Mode::FILE).unwrap();
        disk::set_modified(&file, (NOW - rested).cast_signed()).unwrap();
        let seen = Seen::new(None, at(NOW));
        let input = Input::open(&file).unwrap();
        assert!(seen.digest(&input).is_none());
        seen.lies("layer".into(), input.stamp(), Digest::of(b"content"));
        let noted = seen.note(scratch.path());
        (scratch, noted)
    }

    fn known(scratch: &Scratch, noted: &[u8], now: u64) -> Option<Digest> {
        Seen::new(Some(noted), at(now)).digest(&Input::open(&scratch.path().join("layer")).unwrap())
    }

    #[test]
    fn a_file_that_rests_is_known_for_a_day() {
        let (scratch, noted) = noted(100);
        let digest = Some(Digest::of(b"content"));
        for (later, want) in [(0, digest), (HOLDS - 1, digest), (HOLDS, None)] {
            assert_eq!(known(&scratch, &noted, NOW + later), want, "{later}");
        }
        assert_eq!(known(&scratch, &noted, NOW - 1), None, "the clock went back");
        assert_eq!(known(&scratch, b"no JSON", NOW), None);
        // What is taken over is not read anew by that.
        let seen = Seen::new(Some(&noted), at(NOW + HOLDS - 1));
        let input = Input::open(&scratch.path().join("layer")).unwrap();
        seen.lies("layer".into(), input.stamp(), Digest::of(b"content"));
        let again = seen.note(scratch.path());
        assert_eq!(known(&scratch, &again, NOW + HOLDS - 1), digest);
        assert_eq!(known(&scratch, &again, NOW + HOLDS), None);
    }

    #[test]
    fn one_file_by_itself_is_known_as_well() {
        let (scratch, _) = noted(100);
        let path = scratch.path().join("layer");
        let (digest, noted) = digest_as_seen(&path, None, at(NOW)).unwrap();
        assert_eq!(digest, Digest::of(b"content"));
        let noted = noted.unwrap();
        assert_eq!(digest_as_seen(&path, Some(&noted), at(NOW)).unwrap(), (digest, None));
        disk::write_whole(&path, b"other", Mode::FILE).unwrap();
        assert_eq!(digest_as_seen(&path, Some(&noted), at(NOW)).unwrap().0, Digest::of(b"other"));
    }

    #[test]
    fn a_file_that_was_just_written_is_not() {
        for (rested, want) in [(STEP, true), (STEP - 1, false), (0, false)] {
            let (scratch, noted) = noted(rested);
            assert_eq!(known(&scratch, &noted, NOW).is_some(), want, "{rested}");
        }
    }

    #[test]
    fn a_file_that_was_touched_in_any_way_is_not() {
        type Touch<'t> = (&'t str, &'t dyn Fn(&Path));
        let touches: [Touch; 4] = [
            ("the same bytes again", &|path| {
                disk::write_whole(path, b"content", Mode::FILE).unwrap();
            }),
            ("other bytes, and the time set back", &|path| {
                let time = (NOW - 100).cast_signed();
                std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(3).unwrap();
                disk::set_modified(path, time).unwrap();
            }),
            ("another mode", &|path| disk::set_mode(path, Mode::SECRET).unwrap()),
            ("another name", &|path| std::fs::hard_link(path, path.with_extension("other")).unwrap()),
        ];
        for (what, touch) in touches {
            let (scratch, noted) = noted(100);
            assert!(known(&scratch, &noted, NOW).is_some());
            // The file system's clock has to go on: Linux before 6.13 counts in ticks, of ten milliseconds at most.
            std::thread::sleep(std::time::Duration::from_millis(20));
            touch(&scratch.path().join("layer"));
            assert!(known(&scratch, &noted, NOW).is_none(), "{what}");
        }
    }
}
