//! Recorded digests of large files. Every write to a file changes its times, and one of them, that of the last change
//! of any kind, cannot be set (inode(7), ctime). So a file that has the same times as when it was last hashed is not
//! read again, for a day: a disk may corrupt a file that no process has changed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::digest;
use crate::disk::{Input, Stamp};
use crate::failure::Result;
use crate::values::{Digest, Epoch};

/// The minimum size in bytes: above it, hashing a file takes longer than remembering its digest.
pub(super) const MIN_REMEMBERED_BYTES: u64 = 1 << 20;

/// How long a recorded digest is used, in seconds.
const VALID_SECONDS: u64 = 24 * 60 * 60;

/// File systems store times in steps of up to two seconds (FAT): a file that is written twice within one step may keep
/// its times.
const TIMESTAMP_STEP_SECONDS: u64 = 3;

/// Digests recorded by the run that made the files of a place, and those of the place that this run makes.
#[derive(Default)]
pub struct SeenFiles {
    now: u64,
    before: BTreeMap<Stamp, Sight>,
    here: Mutex<BTreeMap<String, (Stamp, Sight)>>,
}

#[derive(Clone, Copy)]
struct Sight {
    sha256: Digest,
    /// When every byte was last read, in seconds since 1970.
    read: u64,
}

#[derive(Serialize, Deserialize)]
struct Line {
    stamp: Stamp,
    sha256: Digest,
    read: u64,
}

impl SeenFiles {
    /// With the records of an earlier run, as far as they are still valid.
    pub fn new(noted: Option<&[u8]>, now: Epoch) -> Self {
        let now = now.seconds();
        let lines: Vec<Line> = noted.and_then(|noted| serde_json::from_slice(noted).ok()).unwrap_or_default();
        let holds = |line: Line| {
            let sight = Sight { sha256: line.sha256, read: line.read };
            (line.read..line.read.saturating_add(VALID_SECONDS)).contains(&now).then_some((line.stamp, sight))
        };
        Self { now, before: lines.into_iter().filter_map(holds).collect(), here: Mutex::default() }
    }

    /// The digest of a file that is unchanged since it was hashed.
    pub(super) fn digest(&self, input: &Input) -> Option<Digest> {
        self.before.get(&input.stamp()).map(|sight| sight.sha256)
    }

    /// Records the digest of a file at a path in the place that is being made.
    pub(super) fn lies(&self, path: String, stamp: Stamp, sha256: Digest) {
        let read = self.before.get(&stamp).map_or(self.now, |sight| sight.read);
        let mut here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
        here.insert(path, (stamp, Sight { sha256, read }));
    }

    /// The record to keep of a place that has just been published. Publishing changes the ctime of a file, because it
    /// changes its names.
    pub(super) fn note(self, place: &Path) -> Vec<u8> {
        self.note_of(|path| Input::open(&place.join(path)))
    }

    fn note_of(self, open: impl Fn(&str) -> Result<Input>) -> Vec<u8> {
        let here = self.here.into_inner().unwrap_or_else(PoisonError::into_inner);
        let line = |(path, (was, sight)): (String, (Stamp, Sight))| {
            let stamp = open(&path).ok()?.stamp();
            let rests =
                stamp.modified.0.saturating_add_unsigned(TIMESTAMP_STEP_SECONDS) <= self.now.cast_signed();
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

/// The SHA-256 of one file, from the record where that is valid; and the new record where it is not.
pub fn digest_as_seen(path: &Path, noted: Option<&[u8]>, now: Epoch) -> Result<(Digest, Option<Vec<u8>>)> {
    let seen = SeenFiles::new(noted, now);
    let mut input = Input::open(path)?;
    if let Some(digest) = seen.digest(&input) {
        return Ok((digest, None));
    }
    let (_, digest) = digest::of_input(&mut input)?;
    // With the stamp of when it was opened, so that bytes written meanwhile do not count as read.
    seen.lies(String::new(), input.stamp(), digest);
    Ok((digest, Some(seen.note_of(|_| Input::open(path)))))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests use files as people do")]
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
        let seen = SeenFiles::new(None, at(NOW));
        let input = Input::open(&file).unwrap();
        assert!(seen.digest(&input).is_none());
        seen.lies("layer".into(), input.stamp(), Digest::of(b"content"));
        let noted = seen.note(scratch.path());
        (scratch, noted)
    }

    fn known(scratch: &Scratch, noted: &[u8], now: u64) -> Option<Digest> {
        SeenFiles::new(Some(noted), at(now)).digest(&Input::open(&scratch.path().join("layer")).unwrap())
    }

    #[test]
    fn a_file_that_rests_is_known_for_a_day() {
        let (scratch, noted) = noted(100);
        let digest = Some(Digest::of(b"content"));
        for (later, want) in [(0, digest), (VALID_SECONDS - 1, digest), (VALID_SECONDS, None)] {
            assert_eq!(known(&scratch, &noted, NOW + later), want, "{later}");
        }
        assert_eq!(known(&scratch, &noted, NOW - 1), None, "the clock went back");
        assert_eq!(known(&scratch, b"no JSON", NOW), None);
        // A digest that is taken over does not extend its own validity.
        let seen = SeenFiles::new(Some(&noted), at(NOW + VALID_SECONDS - 1));
        let input = Input::open(&scratch.path().join("layer")).unwrap();
        seen.lies("layer".into(), input.stamp(), Digest::of(b"content"));
        let again = seen.note(scratch.path());
        assert_eq!(known(&scratch, &again, NOW + VALID_SECONDS - 1), digest);
        assert_eq!(known(&scratch, &again, NOW + VALID_SECONDS), None);
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
        for (rested, want) in
            [(TIMESTAMP_STEP_SECONDS, true), (TIMESTAMP_STEP_SECONDS - 1, false), (0, false)]
        {
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
            // Wait until the file system's clock advances: Linux before 6.13 counts in ticks, of ten milliseconds at
            // most.
            std::thread::sleep(std::time::Duration::from_millis(20));
            touch(&scratch.path().join("layer"));
            assert!(known(&scratch, &noted, NOW).is_none(), "{what}");
        }
    }
}
