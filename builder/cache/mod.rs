//! What earlier builds have made, by a digest of all that it follows from. It may be deleted at any time.
//!
//! `1/<kind>/<64 hex digits>` is an entry: its bytes, then the SHA-256 of its key and its bytes. Entries appear whole, by a
//! rename out of `1/new`, so that any number of builds may use one cache at once. They are not synced: after a power cut one may
//! be short, and what does not have its digest is not there. The digest guards against damage; against others it is the
//! directory that does, which has to be its user's alone.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::disk::{self, Kind};
use crate::failure::{Failure, Result};
use crate::values::{Digest, Epoch, Mode};

/// How large the entries may become together unless somebody says otherwise, in bytes.
pub const LIMIT: u64 = 2 << 30;

/// The layout of the directory: another one lies beside it.
const LAYOUT: &str = "1";

/// The largest entry that is read: a release compresses to 25 MB.
const ENTRY_LIMIT: u64 = 1 << 30;

/// A cache is private: it tells the names and addresses of every node that was built.
const DIRECTORY: Mode = Mode::SECRET_DIRECTORY;
const FILE: Mode = Mode::SECRET;

const DIGEST: usize = 32;

/// Where entries are written before they get their place.
const UNFINISHED: &str = "new";

/// What has been unfinished for so long is of a run that was killed; in seconds.
const ABANDONED: u64 = 3600;

/// The file that says how many bytes have been added since all entries were last looked at.
const ADDED: &str = "added";

/// What an entry is of, which is where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Of {
    /// Content that many nodes share, compressed.
    Packed,
    /// What the files of a part of a bundle were.
    Part,
    /// What large files were when they were last read.
    Seen,
}

impl Of {
    pub const ALL: [Of; 3] = [Of::Packed, Of::Part, Of::Seen];

    fn directory(self) -> &'static str {
        match self {
            Of::Packed => "packed",
            Of::Part => "part",
            Of::Seen => "seen",
        }
    }
}

impl fmt::Display for Of {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.directory())
    }
}

pub struct Cache {
    directory: PathBuf,
    /// The bytes that this value has added.
    grown: AtomicU64,
}

/// How much of one kind there is.
#[derive(Clone, Debug, Serialize)]
pub struct Held {
    pub of: Of,
    pub entries: usize,
    pub bytes: u64,
}

/// What pruning has taken away, and what is left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    pub removed: usize,
    pub removed_bytes: u64,
    pub kept_bytes: u64,
}

impl Cache {
    /// Opens or makes one. What runs that were killed have left unfinished there goes away.
    ///
    /// # Errors
    /// `Exit::Unsafe` when others than this user may write there: what they put there would go into bundles.
    pub fn open(directory: &Path, now: Epoch) -> Result<Self> {
        let cache = Self::at(directory);
        let places = Of::ALL.map(|of| cache.place(of)).into_iter().chain([cache.unfinished()]);
        for place in places.clone() {
            disk::make_directories(&place, DIRECTORY)?;
        }
        for path in [directory.to_owned(), directory.join(LAYOUT)].into_iter().chain(places) {
            check_private(&path)?;
        }
        cache.sweep(&cache.unfinished(), now)?;
        Ok(cache)
    }

    /// Removes what killed runs have left unfinished in a directory.
    fn sweep(&self, place: &Path, now: Epoch) -> Result<()> {
        if disk::look(place)?.is_none() {
            return Ok(());
        }
        for file in disk::stored(place)? {
            let is_unfinished = is_temporary(&file.path);
            let age = now.seconds().saturating_sub(u64::try_from(file.modified.0).unwrap_or(0));
            if is_unfinished && age > ABANDONED {
                disk::remove_file(&file.path)?;
            }
        }
        Ok(())
    }

    /// One that is only looked at, or made smaller: a directory that is not there is an empty cache.
    pub fn at(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), grown: AtomicU64::new(0) }
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// `None` when there is no such entry, or what is there is damaged, which then goes away.
    pub fn get(&self, of: Of, key: Digest) -> Option<Vec<u8>> {
        let path = self.entry(of, key);
        let mut bytes = disk::read_and_mark(&path, ENTRY_LIMIT).ok()?;
        if let Some((rest, sum)) = bytes.split_last_chunk::<DIGEST>()
            && *sum == seal(key, &[rest])
        {
            bytes.truncate(bytes.len() - DIGEST);
            return Some(bytes);
        }
        let _ = disk::remove_file(&path);
        None
    }

    /// Keeps bytes, given in pieces. A cache that cannot be written to is one that keeps nothing: a build does not fail by it.
    pub fn put(&self, of: Of, key: Digest, pieces: &[&[u8]]) {
        let sum = seal(key, pieces);
        let all: Vec<&[u8]> = pieces.iter().copied().chain([&sum[..]]).collect();
        if disk::write_unsynced(&self.entry(of, key), &self.unfinished(), &all, FILE).is_ok() {
            self.grown.fetch_add(pieces.iter().map(|piece| piece.len() as u64).sum(), Ordering::Relaxed);
        }
    }

    /// Makes it smaller again where runs have made it larger than it may be, give or take a part in 64: to look at every entry
    /// takes longer than a small build does, so that is done only when so much has been added since the last time.
    pub fn keep_within(&self, limit: u64, now: Epoch) -> Result<()> {
        let grown = self.grown.swap(0, Ordering::Relaxed);
        if grown == 0 {
            return Ok(());
        }
        let path = self.directory.join(LAYOUT).join(ADDED);
        // What cannot be read says nothing, and so it may be much. Runs that meet here may lose one another's few.
        let before = match disk::look(&path)? {
            None => Some(0),
            Some(_) => disk::read(&path, 64).ok().and_then(|text| String::from_utf8(text).ok()?.parse().ok()),
        };
        let added = before.map_or(u64::MAX, |before: u64| before.saturating_add(grown));
        let is_much = added > limit / 64;
        let rest = if is_much { 0 } else { added };
        // A cache that cannot be written to does not grow.
        let _ = disk::write_unsynced(&path, &self.unfinished(), &[rest.to_string().as_bytes()], FILE);
        if is_much { self.prune(limit, now).map(drop) } else { Ok(()) }
    }

    pub fn held(&self) -> Result<Vec<Held>> {
        let count = |of| {
            let all = self.entries(of)?;
            Ok(Held { of, entries: all.len(), bytes: all.iter().map(|entry| entry.size).sum() })
        };
        Of::ALL.into_iter().map(count).collect()
    }

    /// Removes what has not been used for the longest time until no more than `limit` bytes are left.
    pub fn prune(&self, limit: u64, now: Epoch) -> Result<Pruned> {
        let mut all = Vec::new();
        self.sweep(&self.unfinished(), now)?;
        for of in Of::ALL {
            // Earlier versions of Kiln wrote entries where they were to stay.
            self.sweep(&self.place(of), now)?;
            all.append(&mut self.entries(of)?);
        }
        // The latest used first; of two that were used at the same time the smaller one is kept.
        all.sort_by_key(|entry| (std::cmp::Reverse(entry.modified), entry.size));
        let mut pruned = Pruned::default();
        for entry in all {
            if pruned.kept_bytes + entry.size <= limit {
                pruned.kept_bytes += entry.size;
                continue;
            }
            disk::remove_file(&entry.path)?;
            pruned.removed += 1;
            pruned.removed_bytes += entry.size;
        }
        Ok(pruned)
    }

    fn entries(&self, of: Of) -> Result<Vec<disk::Stored>> {
        let place = self.place(of);
        match disk::look(&place)? {
            // What is not whole yet is no entry.
            Some(_) => {
                Ok(disk::stored(&place)?.into_iter().filter(|file| !is_temporary(&file.path)).collect())
            }
            None => Ok(Vec::new()),
        }
    }

    fn unfinished(&self) -> PathBuf {
        self.directory.join(LAYOUT).join(UNFINISHED)
    }

    fn place(&self, of: Of) -> PathBuf {
        self.directory.join(LAYOUT).join(of.directory())
    }

    fn entry(&self, of: Of, key: Digest) -> PathBuf {
        self.place(of).join(key.to_string())
    }
}

fn is_temporary(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(disk::TEMPORARY.as_bytes()))
}

/// Of the key as well: a file under the wrong name is no entry.
fn seal(key: Digest, pieces: &[&[u8]]) -> [u8; DIGEST] {
    let mut hash = Sha256::new();
    hash.update(key.bytes());
    pieces.iter().for_each(|piece| hash.update(piece));
    hash.finalize().into()
}

fn check_private(path: &Path) -> Result<()> {
    let shown = path.display();
    let found = disk::look(path)?.filter(|found| found.kind == Kind::Directory);
    let reason = match found {
        None => format!("{shown} is not a directory"),
        Some(found) if found.mode.bits() & 0o022 != 0 => {
            format!("{shown} has mode {}: others may write there", found.mode)
        }
        Some(_) if !disk::is_own(path)? => format!("{shown} belongs to another user"),
        Some(_) => return Ok(()),
    };
    Err(Failure::unsafe_to(format!(
        "the cache is not used: {reason}, and what others put there would go into the bundle; close it, name another with \
         --cache, or use --no-cache"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Scratch;
    use crate::failure::Exit;

    fn key(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    fn now() -> Epoch {
        Epoch::from_seconds(1_800_000_000).unwrap()
    }

    fn cache() -> (Scratch, Cache) {
        let scratch = Scratch::new("test").unwrap();
        let cache = Cache::open(&scratch.path().join("cache"), now()).unwrap();
        (scratch, cache)
    }

    #[test]
    fn what_was_put_comes_back_and_nothing_else() {
        let (_scratch, cache) = cache();
        cache.put(Of::Part, key("a"), &[b"on", b"e"]);
        assert_eq!(cache.get(Of::Part, key("a")).unwrap(), b"one");
        assert!(cache.get(Of::Packed, key("a")).is_none());
        assert!(cache.get(Of::Part, key("b")).is_none());
        cache.put(Of::Part, key("a"), &[b"two"]);
        assert_eq!(cache.get(Of::Part, key("a")).unwrap(), b"two");
    }

    #[test]
    fn damage_of_any_byte_and_any_length_is_noticed() {
        let (_scratch, cache) = cache();
        let path = cache.entry(Of::Part, key("a"));
        cache.put(Of::Part, key("a"), &[b"hello"]);
        let good = disk::read(&path, 1 << 20).unwrap();
        let flipped = (0..good.len()).map(|at| {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            bytes
        });
        let cut = (0..good.len()).map(|length| good[..length].to_vec());
        for bad in flipped.chain(cut).chain([[&good[..], b"x"].concat()]) {
            disk::write_whole(&path, &bad, Mode::SECRET).unwrap();
            assert!(cache.get(Of::Part, key("a")).is_none(), "{bad:?}");
            assert!(disk::look(&path).unwrap().is_none(), "what is damaged goes away");
        }
        disk::write_whole(&cache.entry(Of::Part, key("b")), &good, Mode::SECRET).unwrap();
        assert!(cache.get(Of::Part, key("b")).is_none(), "an entry under another's name");
    }

    #[test]
    fn the_longest_unused_goes_first() {
        let (_scratch, cache) = cache();
        for (name, size) in [("old", 100), ("older", 100), ("new", 100)] {
            cache.put(Of::Part, key(name), &[&vec![0; size]]);
        }
        for (name, time) in [("old", 2_000), ("older", 1_000)] {
            disk::set_modified(&cache.entry(Of::Part, key(name)), time).unwrap();
        }
        assert!(
            cache.get(Of::Part, key("older")).is_some(),
            "which makes it the latest but one, or the latest"
        );
        let one = 100 + DIGEST as u64;
        let pruned = cache.prune(2 * one, now()).unwrap();
        assert_eq!(pruned, Pruned { removed: 1, removed_bytes: one, kept_bytes: 2 * one });
        assert!(cache.get(Of::Part, key("old")).is_none());
        assert!(cache.get(Of::Part, key("older")).is_some() && cache.get(Of::Part, key("new")).is_some());
        cache.keep_within(0, now()).unwrap();
        assert!(cache.get(Of::Part, key("old")).is_none());
        assert_eq!(cache.held().unwrap().iter().map(|held| held.entries).sum::<usize>(), 0);
    }

    #[test]
    fn it_grows_past_its_limit_by_little_however_little_each_run_adds() {
        let (_scratch, cache) = cache();
        let limit = 6_400;
        for run in 0..200 {
            let another = Cache::at(cache.directory());
            another.put(Of::Part, key(&run.to_string()), &[&[0; 68]]);
            another.keep_within(limit, now()).unwrap();
            let held: u64 = cache.held().unwrap().iter().map(|held| held.bytes).sum();
            assert!(held <= limit + limit / 64 + 2 * 100, "{held} after {run}");
        }
        // Whatever stands there.
        disk::write_whole(&cache.directory().join(LAYOUT).join(ADDED), b"many", Mode::SECRET).unwrap();
        cache.put(Of::Part, key("one"), &[b"x"]);
        cache.keep_within(200, now()).unwrap();
        assert!(cache.held().unwrap().iter().map(|held| held.bytes).sum::<u64>() <= 200);
    }

    #[test]
    fn a_cache_that_others_may_write_to_is_refused() {
        let (scratch, cache) = cache();
        drop(cache);
        let path = scratch.path().join("cache");
        disk::set_mode(&path, Mode::from_bits(0o777)).unwrap();
        let error = Cache::open(&path, now()).err().unwrap();
        assert_eq!(error.exit(), Exit::Unsafe);
        assert!(error.to_string().contains("mode 0777"), "{error}");
    }

    #[test]
    fn what_a_killed_run_left_goes_away_and_what_another_run_writes_stays() {
        let (_scratch, cache) = cache();
        let place = |directory: &Path, name: &str| {
            let path = directory.join(name);
            disk::write_whole(&path, b"half", Mode::SECRET).unwrap();
            path
        };
        let [old, old_layout] = [cache.unfinished(), cache.place(Of::Packed)].map(|d| place(&d, ".kiln-old"));
        let [young, young_layout] =
            [cache.unfinished(), cache.place(Of::Packed)].map(|d| place(&d, ".kiln-young"));
        cache.put(Of::Packed, key("a"), &[b"entry"]);
        let seconds = now().seconds().cast_signed();
        for (path, age) in [(&old, 3700), (&old_layout, 3700), (&young, 3000), (&young_layout, 3000)] {
            disk::set_modified(path, seconds - age).unwrap();
        }
        let is_there = |path: &Path| disk::look(path).unwrap().is_some();
        Cache::open(cache.directory(), now()).unwrap();
        assert!(!is_there(&old) && is_there(&young) && is_there(&young_layout));
        assert_eq!(cache.held().unwrap().iter().map(|held| held.entries).sum::<usize>(), 1);
        cache.prune(0, now()).unwrap();
        assert!(!is_there(&old_layout) && is_there(&young_layout) && is_there(&young));
        assert!(cache.get(Of::Packed, key("a")).is_none());
    }

    #[test]
    fn nothing_is_an_empty_cache() {
        let scratch = Scratch::new("test").unwrap();
        let cache = Cache::at(&scratch.path().join("none"));
        assert_eq!(cache.prune(0, now()).unwrap(), Pruned::default());
        assert!(cache.held().unwrap().iter().all(|held| held.entries == 0));
    }
}
